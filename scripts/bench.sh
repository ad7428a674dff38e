#!/usr/bin/env bash
# A benchmark against peers, scripts/bench.sh bench.py|registry.py: see there for what can be chosen.
set -eu
cd "$(dirname "$0")/.."
scripts/deps.sh build test bench
make -s build
[ -n "${CASES:-}" ] || [ "$1" != bench.py ] || /usr/bin/python3 bench/provenance.py
exec /usr/bin/python3 "bench/$1"
