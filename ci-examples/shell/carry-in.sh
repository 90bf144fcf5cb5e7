#!/bin/sh
# Bring a release that was carried in a file to where the clusters of this site read it. Nothing is signed here, and no key
# is needed: what was signed at home is what the clusters verify.
#
#   FILE        the tar that was carried, such as /media/stick/shop.tar
#   TAG         the channel in it, such as prod
#   REPOSITORY  the repository at home, which statements, policies and Deliveries name: registry.example/acme/shop
#   PLACE       where it goes: oci://registry.site.example/acme/shop, oci-layout:/srv/oci/acme/shop or s3://releases/acme/shop
#   POLICY      the policy file of the clusters at this site
set -eu

: "${FILE:?}" "${TAG:?}" "${REPOSITORY:?}" "${PLACE:?}" "${POLICY:?}"

# Nothing of what was carried is written anywhere before it is accepted.
sealift verify "$FILE:$TAG" --as "$REPOSITORY" --policy "$POLICY" --env prod
sealift copy "$FILE:$TAG" "$PLACE" --as "$REPOSITORY" --policy "$POLICY" --env prod
echo "brought to $PLACE"
