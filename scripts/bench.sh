#!/usr/bin/env bash
# The benchmark against peers; see bench/bench.py for what can be chosen.
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh build test
make -s build
[ -n "${CASES:-}" ] || /usr/bin/python3 bench/provenance.py
exec /usr/bin/python3 bench/bench.py
