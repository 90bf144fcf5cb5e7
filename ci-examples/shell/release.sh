#!/bin/sh
# Push a signed release and check it as a cluster would.
#
#   REPOSITORY   where to push, such as registry.example/acme/shop
#   CHANNEL      the tag that clusters follow, such as prod
#   VERSION      a semantic version, such as 1.4.2
#   MANIFESTS    a folder of rendered manifests
#   POLICY       the policy file of the target clusters
#   SEALIFT_KEY  path of the private key; its password is in SEALIFT_PASSWORD
set -eu

: "${REPOSITORY:?}" "${CHANNEL:?}" "${VERSION:?}" "${MANIFESTS:?}" "${POLICY:?}" "${SEALIFT_KEY:?}"

reference=$(sealift push "oci://$REPOSITORY:$CHANNEL" \
    -f "$MANIFESTS" \
    --key "$SEALIFT_KEY" \
    --env prod \
    --version "$VERSION")

sealift verify "oci://$reference" --policy "$POLICY" --env prod
echo "released $reference"
