#!/bin/sh
# Promote a release to the next environment: the same digest, verified by the policy of the environment it comes from and
# signed with the key of the one it goes to. Nothing is built.
#
#   REFERENCE    the release by digest, as release.sh printed it: registry.example/acme/shop@sha256:…
#   ENVIRONMENT  where it goes, such as prod; the tag of that name is moved
#   FROM_POLICY  the policy file of the environment it comes from
#   POLICY       the policy file of the clusters it goes to
#   SEALIFT_KEY  path of that environment's private key; its password is in SEALIFT_PASSWORD
set -eu

: "${REFERENCE:?}" "${ENVIRONMENT:?}" "${FROM_POLICY:?}" "${POLICY:?}" "${SEALIFT_KEY:?}"

sealift promote "oci://$REFERENCE" \
    --environment "$ENVIRONMENT" \
    --policy "$FROM_POLICY" \
    --key "$SEALIFT_KEY"

sealift verify "oci://$REFERENCE" --policy "$POLICY" --env "$ENVIRONMENT"
echo "promoted $REFERENCE"
