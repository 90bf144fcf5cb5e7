#!/usr/bin/env bash
# Builds the binaries of the images for both architectures and runs each with nothing else than its image has: in a root of its own, by
# another architecture's emulator where it must. Needs root (a root of its own, port 53), and for arm64 on amd64 the packages that
# `deploy/build packages arm64` names, qemu-user-static and a toolchain (RUSTC_ARM64=/path/of/rustc if not rustup's).
set -euo pipefail
cd "$(dirname "$0")/.."
targets=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
machine=$(uname -m | sed 's/^x86_64$/amd64/; s/^aarch64$/arm64/')
for arch in ${ARCHS:-amd64 arm64}; do
  image=$targets/image/$arch
  rustc_of=RUSTC_${arch^^}
  for program in sealift-controller sealift; do
    RUSTC=${!rustc_of:-rustc} deploy/build "$program" "$arch" "$image"
  done
  root=$image/root
  rm -rf "$root"
  mkdir -p "$root"/{usr/local/bin,usr/share/sbom,etc/ssl/certs,tmp} "$image/bin"
  cp "$image"/sealift{,-controller} "$root/usr/local/bin/"
  cp "$image"/*.cdx.json "$root/usr/share/sbom/"
  emulator=
  if [ "$arch" != "$machine" ]; then
    emulator=/qemu
    cp "$(command -v "qemu-$(sed 's/amd64/x86_64/; s/arm64/aarch64/' <<<"$arch")-static")" "$root$emulator"
  fi
  # Devices are in every container (OCI runtime specification, "Default Devices").
  mkdir "$root/dev"
  mknod -m 666 "$root/dev/null" c 1 3
  mknod -m 666 "$root/dev/random" c 1 8
  mknod -m 666 "$root/dev/urandom" c 1 9
  # /tmp is what a pod mounts: a kubeconfig, keys, manifests.
  for program in sealift-controller:sealift-controller sealift:sealift-in-image; do
    printf '#!/bin/sh\nexec unshare --mount sh -c '\''mount --bind /tmp "$0/tmp" && exec chroot "$0" "$@"'\'' %q %s "$@"\n' \
      "$root" "$emulator /usr/local/bin/${program%:*}" > "$image/bin/${program#*:}"
    chmod +x "$image/bin/${program#*:}"
  done
  ln -sf "$targets/debug/sealift" "$image/bin/sealift"
  echo "== $arch: $(wc -c < "$root/usr/local/bin/sealift-controller") bytes, $(file -b "$root/usr/local/bin/sealift-controller" | cut -d, -f1-2,4)"
  SEALIFT_IMAGE=$root SEALIFT_BIN_DIR=$image/bin "$targets/debug/testenv" run -- cargo test --package sealift-e2e --test image
  SEALIFT_BIN_DIR=$image/bin "$targets/debug/testenv" run -- \
    cargo test --package sealift-e2e --test delivery podinfo
done
