#!/usr/bin/env bash
# Format, layout rules, shellcheck and clang-tidy.
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh build test
/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/lint
shellcheck scripts/*.sh .ci/run
[ -f build-clang/build.ninja ] || CC=clang meson setup build-clang -Dstatic_deps=false >/dev/null
mapfile -t files < <(git ls-files 'src/*.c')
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 8 clang-tidy -p build-clang --quiet
