#!/bin/sh
# Put a release, with its signatures, into one file that is carried to a site without a network.
#
#   REFERENCE  the release: registry.example/acme/shop:prod, or by digest
#   FILE       the tar it goes into, such as /media/stick/shop.tar; what is in it already stays
#   POLICY     the policy file of the clusters at the site
set -eu

: "${REFERENCE:?}" "${FILE:?}" "${POLICY:?}"

# Judged where it is now: in the file.
sealift copy "oci://$REFERENCE" "$FILE" --policy "$POLICY" --env prod
echo "to be carried: $FILE"
