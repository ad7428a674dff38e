#!/usr/bin/env bash
# All tests: installs what they need, builds, runs. Ends with "N passed, N failed".
# COOPER_TEST_ONLY="units e2e" runs only those parts (units lint e2e dagger asan clang).
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh build test
exec /usr/bin/python3 scripts/run_tests.py
