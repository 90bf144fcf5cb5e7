#!/usr/bin/env bash
# Every scenario and size, each line on a control plane of its own, then the tables of all: half an hour on two quiet cores.
# SEALIFT_BIN_DIR names the folder of the release builds, as `make fleet-all` does.
set -uo pipefail
: "${SEALIFT_BIN_DIR:?run it by make fleet-all}"
FIGURES=$(mktemp)
export FIGURES
failed=0

run() {
	"$TESTENV" run -- "$SEALIFT_BIN_DIR/fleet" "$@" || failed=1
	echo
}

run --apps 100 limits install upgrade idle drift kill chain failing registry-down steady big
run --apps 100 --validation none limits install upgrade
run --apps 100 --artifacts each limits install upgrade idle drift kill
run --apps 100 --artifacts each --validation none limits install upgrade
run --apps 500 limits install upgrade idle
run --apps 500 --validation none limits install upgrade
run --apps 1000 limits install upgrade
run --apps 5000 limits install upgrade
"$SEALIFT_BIN_DIR/fleet" --tables "$FIGURES" || failed=1
rm -f "$FIGURES"
exit "$failed"
