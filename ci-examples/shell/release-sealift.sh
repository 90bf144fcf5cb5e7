#!/bin/sh
# Release Sealift itself, for `sealift bootstrap` and for the Delivery that keeps it in repair from then on: definitions,
# rights, controller, the platform's policies and trust roots, in one signed artifact.
#
#   SEALIFT      a checkout of Sealift in the version that IMAGE was built from
#   IMAGE        the controller's image by digest, built with deploy/Containerfile: registry.example/sealift-controller@sha256:…
#   REPOSITORY   where the release goes: registry.example/platform/sealift
#   CHANNEL      the tag that clusters follow, such as prod
#   VERSION      a semantic version, such as 0.1.0
#   PLATFORM     a folder with what else belongs to it: SignaturePolicies (one that accepts this very release), TrustRoots
#   POLICY       the policy file that clusters are bootstrapped by
#   SEALIFT_KEY  path of the platform's private key; its password is in SEALIFT_PASSWORD
set -eu

: "${SEALIFT:?}" "${IMAGE:?}" "${REPOSITORY:?}" "${CHANNEL:?}" "${VERSION:?}" "${PLATFORM:?}" "${POLICY:?}" "${SEALIFT_KEY:?}"

manifests=$(mktemp -d)
trap 'rm -rf "$manifests"' EXIT
sed "s|image: sealift-controller:.*|image: $IMAGE|" "$SEALIFT/deploy/install.yaml" > "$manifests/install.yaml"
sed "s|repository: .*|repository: $REPOSITORY|; s|select: .*|select: {tag: $CHANNEL}|" "$SEALIFT/deploy/root.yaml" > "$manifests/root.yaml"

reference=$(sealift push "oci://$REPOSITORY:$CHANNEL" \
    -f "$manifests" \
    -f "$PLATFORM" \
    --key "$SEALIFT_KEY" \
    --env prod \
    --version "$VERSION" \
    --no-tag)

# Clusters see it only once the policy that they are bootstrapped by accepts it.
sealift tag "oci://$reference" "$CHANNEL" --policy "$POLICY" --namespace sealift-system --env prod >&2
echo "released $reference"
