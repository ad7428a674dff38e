#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Programs for the tests that come as Go modules: scripts/gotools.sh NAME... installs into build-gotools/ what is missing there
# (conformance: of the distribution specification; crane, oras, regctl: registry clients; kustomize). Does nothing, quickly, when all is there.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
top=${COOPER_GOTOOLS:-$here/build-gotools}

PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin

say() { printf 'cooper: %s\n' "$*" >&2; }

# The version is part of what says that a program is there: another one here installs anew.
module() {
	case $1 in
	conformance) echo github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111 ;;
	crane) echo github.com/google/go-containerregistry/cmd/crane@v0.22.1 ;;
	oras) echo oras.land/oras/cmd/oras@v1.3.6 ;;
	regctl) echo github.com/regclient/regclient/cmd/regctl@v0.11.7 ;;
	kustomize)
		case $(go env GOVERSION) in # the older for the Go of Debian 12
		go1.1? | go1.2[0-3]*) echo sigs.k8s.io/kustomize/kustomize/v5@v5.0.3 ;;
		*) echo sigs.k8s.io/kustomize/kustomize/v5@v5.8.1 ;;
		esac
		;;
	*)
		say "no program \"$1\": conformance, crane, oras, regctl or kustomize"
		exit 2
		;;
	esac
}

install_one() {
	if ! command -v go >/dev/null; then
		say "go is missing: scripts/deps.sh test"
		exit 1
	fi
	wanted=$(module "$1")
	[ -x "$top/$1" ] && [ "$(cat "$top/$1.version" 2>/dev/null)" = "$wanted" ] && return
	say "installing $wanted"
	if ! GOBIN=$top GOFLAGS='' go install "$wanted" >"$top/$1.log" 2>&1; then
		tail -n 20 "$top/$1.log" >&2
		say "could not install $1 with $(go version)"
		exit 1
	fi
	echo "$wanted" >"$top/$1.version"
}

[ $# -gt 0 ] || set -- conformance crane oras regctl kustomize
mkdir -p "$top"
# Tests that run at once may ask for the same one.
exec 9>"$top/lock"
flock 9
for name in "$@"; do
	install_one "$name"
done
