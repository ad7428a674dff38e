#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The official SDKs of the session API, for the tests: Python 0.21 and 0.20 and TypeScript 0.21 into build-sdk/, from their registries.
# Does nothing, quickly, when all is there; scripts/sdk.sh --upgrade asks for newer patch releases.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
top=${COOPER_SDK:-$here/build-sdk}
python=/usr/bin/python3
# What stands in a "ready" file says what was installed for; another line here installs anew.
npm_package=@dagger.io/dagger@~0.21.9

say() { printf 'cooper: %s\n' "$*" >&2; }

quietly() { # its output only when it fails
	if ! "$@" >"$top/log" 2>&1; then
		cat "$top/log" >&2
		say "failed: $*"
		exit 1
	fi
}

is_ready() { # place, what for
	[ "$upgrade" = no ] && [ -f "$1/ready" ] && [ "$(cat "$1/ready")" = "$2" ]
}

python_sdk() { # place, version range
	is_ready "$1" "$2" && return
	say "installing dagger-io $2"
	[ -x "$1/bin/python" ] || quietly "$python" -m venv "$1"
	quietly "$1/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "dagger-io$2"
	echo "$2" >"$1/ready"
}

node_sdk() { # place
	is_ready "$1" "$npm_package" && return
	say "installing $npm_package"
	mkdir -p "$1"
	printf '{"private": true, "type": "module"}\n' >"$1/package.json"
	quietly npm install --prefix "$1" --silent --no-audit --no-fund --ignore-scripts "$npm_package"
	echo "$npm_package" >"$1/ready"
}

upgrade=no
case ${1:-} in
'') ;;
--upgrade) upgrade=yes ;;
*)
	say "usage: scripts/sdk.sh [--upgrade]"
	exit 2
	;;
esac

for program in "$python" node npm; do
	if ! command -v "$program" >/dev/null; then
		say "$program is missing (packages python3-venv, nodejs, npm)"
		exit 1
	fi
done
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
	say "$python cannot make virtual environments: install python3-venv"
	exit 1
fi
if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)'; then
	say "node $(node --version) is too old: 20 or newer"
	exit 1
fi

mkdir -p "$top"
python_sdk "$top/py-0.21" '>=0.21.1,<0.22'
python_sdk "$top/py-0.20" '>=0.20,<0.21'
node_sdk "$top/node"
