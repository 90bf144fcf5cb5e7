#!/usr/bin/env bash
# The demo: CI pushes a signed release, a cluster verifies and applies it, and an attacker who holds the registry gets
# nowhere. `make demo` builds what it needs and calls this.
#
# Without KUBE_CONTEXT it starts a control plane of its own and leaves nothing behind. With KUBE_CONTEXT=NAME it uses
# that context of your kubeconfig, and removes there what it made.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${SEALIFT_BIN_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}

if [[ -z ${KUBE_CONTEXT:-} && -z ${SEALIFT_DEMO_INSIDE:-} ]]; then
	SEALIFT_DEMO_INSIDE=1 exec "$bin/testenv" run -- bash "${BASH_SOURCE[0]}"
fi

PATH=$bin:$("$root/testenv/build" path):$PATH
work=$(mktemp -d)
export KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}
export HOME=$work SEALIFT_PASSWORD=demo
kubectl=(kubectl ${KUBE_CONTEXT:+--context "$KUBE_CONTEXT"})
context=(${KUBE_CONTEXT:+--context "$KUBE_CONTEXT"})
repository=registry.example/acme/harbour
delivery=delivery.sealift.dev/harbour
started=$SECONDS

if [[ -t 1 ]]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' off=$'\e[0m'; else bold='' dim='' green='' red='' off=''; fi
scene() { printf '\n%s== %s%s\n' "$bold" "$*" "$off"; }
note() { printf '   %s\n' "$*"; }
show() {
	printf '%s$ %s%s\n' "$dim" "$*" "$off"
	"$@"
}
die() {
	printf '%sdemo: %s%s\n' "$red" "$*" "$off" >&2
	[[ -f $work/controller.log ]] && tail -n 30 "$work/controller.log" >&2
	exit 1
}

made=''
finish() {
	local code=$?
	if [[ -n $made ]]; then
		"${kubectl[@]}" delete $delivery -n acme-delivery --ignore-not-found --timeout=90s >/dev/null 2>&1 || true
		if [[ -n ${KUBE_CONTEXT:-} ]]; then
			"${kubectl[@]}" delete -f "$root/e2e/apps/harbour-delivery.yaml" -f "$work/policy.yaml" --ignore-not-found --timeout=60s >/dev/null 2>&1 || true
			"${kubectl[@]}" delete -f "$root/deploy/crds" --ignore-not-found --timeout=60s >/dev/null 2>&1 || true
		fi
	fi
	jobs -p | xargs -r kill 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
	exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

# status JSONPATH: a field of the Delivery
status() { "${kubectl[@]}" get $delivery -n acme-delivery -o "jsonpath=$1" 2>/dev/null; }
# await SECONDS WHAT JSONPATH PATTERN
await() {
	local until=$((SECONDS + $1)) value=''
	while ((SECONDS < until)); do
		value=$(status "$3") || true
		# shellcheck disable=SC2053 # the pattern is meant to be one
		[[ $value == $4 ]] && return 0
		sleep 0.3
	done
	"${kubectl[@]}" get $delivery -n acme-delivery -o yaml >&2 || true
	die "waited $1 s for $2, and it is '$value'"
}
now_please() {
	"${kubectl[@]}" annotate $delivery -n acme-delivery --overwrite "reconcile.sealift.dev/requestedAt=$(date +%s%N)" >/dev/null
}
# The attacker's tool: no credentials of ours, just the power over what the registry serves.
get() { curl -fsS --max-time 20 "http://$registry/v2/acme/harbour/$1" "${@:2}"; }
put_manifest() {
	curl -fsS --max-time 20 -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
		--data-binary "@$1" "http://$registry/v2/acme/harbour/manifests/$2" >/dev/null
}
refused() {
	now_please
	await 60 "the refusal $1" '{.status.conditions[?(@.type=="Verified")].reason}' "$1"
	printf '   %srefused%s  %s\n' "$green" "$off" "$(status '{.status.conditions[?(@.type=="Verified")].message}')"
	local image
	image=$("${kubectl[@]}" get deployment pilot -n harbour -o 'jsonpath={.spec.template.spec.containers[0].image}')
	[[ $image == registry.example/harbour/pilot:1.1.0 ]] || die "the cluster changed: $image"
	note "still running pilot:1.1.0, nothing was applied"
}

scene "1. A registry and a key"
"${kubectl[@]}" get crd deliveries.sealift.dev >/dev/null 2>&1 && die "Sealift is already installed in this cluster"
sealift registry serve --listen 127.0.0.1:0 --dir "$work/registry" 2>"$work/registry.log" &
until registry=$(grep -oE '127\.0\.0\.1:[0-9]+' "$work/registry.log" | head -n 1) && [[ -n $registry ]]; do sleep 0.1; done
note "an OCI registry listens on $registry; clusters know it as registry.example"
cd "$work"
show sealift keygen

scene "2. The policy: what this key signs for prod may run"
{
	cat <<-POLICY
		apiVersion: sealift.dev/v1alpha1
		kind: SignaturePolicy
		metadata: {name: demo}
		spec:
		  match: {repositories: [registry.example/acme/*]}
		  authorities:
		    - name: release
		      key:
		        pem: |
	POLICY
	sed 's/^/          /' cosign.pub
	cat <<-POLICY
		  require: {anyOf: [release]}
		  release:
		    streams: [{glob: acme/*}]
		    environment: prod
		  objects:
		    namespaces: [harbour]
	POLICY
} >policy.yaml
cat policy.yaml

scene "3. CI pushes release 1.0.0"
cp -r "$root/e2e/apps/harbour" app
push() {
	sealift push "oci://$registry/acme/harbour:prod" -f app --env prod --repository $repository \
		--var DOMAIN --var BOARD_REPLICAS:int=2 "$@"
}
first=$(push --key cosign.key --version 1.0.0)
note "$first"
show sealift verify "oci://$first" --as $repository --policy policy.yaml --set DOMAIN=harbour.example

scene "4. The cluster pulls, verifies and applies it"
made=1
"${kubectl[@]}" apply --server-side -f "$root/deploy/crds" >/dev/null
"${kubectl[@]}" wait --for=condition=Established crd/deliveries.sealift.dev crd/signaturepolicies.sealift.dev --timeout=30s >/dev/null
"${kubectl[@]}" apply --server-side -f policy.yaml -f "$root/e2e/apps/harbour-delivery.yaml" >/dev/null
sealift-controller run "${context[@]}" --metrics-listen 127.0.0.1:0 --plain-http-host "$registry" \
	--mirror "registry.example=$registry" >"$work/controller.log" 2>&1 &
await 180 "Ready=True" '{.status.conditions[?(@.type=="Ready")].status}' True
show sealift status "${context[@]}" -n acme-delivery
show "${kubectl[@]}" get deployments,statefulsets,jobs,berths -n harbour

scene "5. Release 1.1.0: one berth is gone, one image is new"
sed -i 's|pilot:1.0.0|pilot:1.1.0|' app/pilot.yaml
sed -i '/^---$/,$!d' app/berths.yaml && sed -i '1d' app/berths.yaml
second=$(push -q --no-tag --key cosign.key --version 1.1.0)
note "pushed and signed, but no tag moved yet; what would it change here?"
show sealift plan "oci://$second" --as $repository --policy policy.yaml --delivery acme-delivery/harbour "${context[@]}"
second=$(push -q --key cosign.key --version 1.1.0)
note "$second"
now_please
await 120 "1.1.0 applied and ready" '{.status.lastApplied.version}/{.status.conditions[?(@.type=="Ready")].status}' 1.1.0/True
show "${kubectl[@]}" get berths -n harbour

scene "6. An attacker holds the registry"
note "a) replays release 1.0.0: moves the tag back to it"
get "manifests/${first##*@}" -o first.json
get "manifests/${second##*@}" -o second.json
put_manifest first.json prod
refused RolledBack

note "b) tampers: changes the artifact and lets the tag name it"
{ cat second.json && printf '\n'; } >tampered.json
put_manifest tampered.json prod
refused Unsigned

note "c) signs with a key of their own"
sealift keygen --output-prefix mallory 2>/dev/null >&2
sed -i 's|pilot:1.1.0|pilot:evil|' app/pilot.yaml
push -q --key mallory.key --version 6.6.6 >/dev/null
refused NoTrustedSignature

note "d) puts other bytes under the signed digest"
layer=$(get "manifests/${second##*@}" | grep -oE '"layers":\[\{[^]]*' | grep -oE 'sha256:[0-9a-f]{64}')
printf 'not what was signed' >"$work/registry/blobs/sha256/${layer#sha256:}"
put_manifest second.json prod
if sealift verify "oci://$second" --as $repository --policy policy.yaml --set DOMAIN=harbour.example >verdict.txt 2>&1; then
	die "tampered bytes were accepted"
fi
printf '   %srefused%s  %s\n' "$green" "$off" "$(sed -nE 's/^ *(error|caused by): //p' verdict.txt | paste -sd ' ')"

scene "Done in $((SECONDS - started)) s"
note "What was shown: signed push, verified pull, prune, and each attack refused with its reason."
note "Next: README.md (install it in a cluster), policies/, ci-examples/. Nothing is left running."
