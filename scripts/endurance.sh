#!/usr/bin/env bash
# The registry's long tests in their whole form: pushes beside collections, kills, memory of many pulls. Some minutes.
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh build test
[ -f build-test/build.ninja ] || meson setup build-test >/dev/null
ninja -C build-test cooper >/dev/null
COOPER_ENDURANCE=1 COOPER_BIN=$PWD/build-test/cooper exec /usr/bin/python3 -m pytest -q -p no:cacheprovider \
	tests/e2e/test_registry_endurance.py tests/e2e/test_registry_memory.py "$@"
