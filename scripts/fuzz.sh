#!/usr/bin/env bash
# Fuzz the parsers of foreign bytes with libFuzzer: "fuzz.sh [SECONDS]" each, or "fuzz.sh --corpus" to run only what is known.
set -eu
cd "$(dirname "$0")/.."
[ -n "${COOPER_FUZZ_NO_DEPS:-}" ] || scripts/deps.sh build test
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
seconds=${1:-60}
if [ ! -f build-fuzz/build.ninja ]; then
	CC=clang meson setup build-fuzz -Dstatic_deps=false -Dfuzz=true -Dtests=true \
		-Db_sanitize=address,undefined -Db_lundef=false >/dev/null
fi
ninja -C build-fuzz fuzzers >build-fuzz/ninja.log || { tail -n 30 build-fuzz/ninja.log; exit 1; }
status=0
for target in build-fuzz/tests/fuzz/fuzz_*; do
	if [ ! -x "$target" ] || [ ! -f "$target" ]; then continue; fi
	name=$(basename "$target")
	corpus=tests/fuzz/corpus/${name#fuzz_}
	found=build-fuzz/found/$name
	mkdir -p "$found" "$corpus"
	if [ "$seconds" = --corpus ]; then
		set -- -runs=0
	else
		set -- "-max_total_time=$seconds"
	fi
	dict=tests/fuzz/${name#fuzz_}.dict
	[ ! -f "$dict" ] || set -- "$@" "-dict=$dict"
	if "$target" "$@" -rss_limit_mb=4096 -timeout=20 -artifact_prefix="$found/" "$found" "$corpus" >"$found.log" 2>&1; then
		echo "$name: ok ($(find "$corpus" -type f | wc -l) seeds)"
	else
		echo "$name: FAILED, see $found.log"
		tail -n 40 "$found.log"
		status=1
	fi
done
exit $status
