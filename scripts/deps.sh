#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what is missing: scripts/deps.sh [build] [test] [demo] [bench]. Does nothing, quickly, when all is there.
set -eu

# "a|b": either will do, the first is installed.
build='gcc libc6-dev make meson ninja-build pkg-config|pkgconf git scdoc python3
libjansson-dev libssl-dev libsqlite3-dev libyaml-dev libseccomp-dev libzstd-dev libisal-dev
libarchive-dev liblzma-dev libbz2-dev zlib1g-dev nettle-dev
libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev libmicrohttpd-dev libgit2-dev ca-certificates'
test='clang clang-format clang-tidy libclang-rt-dev|libclang-rt-14-dev libcmocka-dev shellcheck python3 python3-pytest python3-jsonschema
skopeo buildah runc docker.io docker-registry nginx-light mmdebstrap busybox-static uidmap git curl openssl python3-venv nix-bin strace'
bench='wrk'
demo='mmdebstrap skopeo git curl python3 python3-venv tar uidmap'

say() { printf 'cooper: %s\n' "$*" >&2; }

installed() { # a package, or one of its alternatives
	for one in $(printf '%s' "$1" | tr '|' ' '); do
		case $have in *" $one "*) return 0 ;; esac
	done
	return 1
}

wanted=
for group in "${@:-build}"; do
	case $group in
	build) wanted="$wanted $build" ;;
	test) wanted="$wanted $test" ;;
	demo) wanted="$wanted $demo" ;;
	bench) wanted="$wanted $bench" ;;
	*)
		say "no group \"$group\": build, test, demo or bench"
		exit 2
		;;
	esac
done

# Node and Go come from many places; Debian's only if there is none.
case " $* " in
*" test "*)
	command -v npm >/dev/null || wanted="$wanted nodejs npm"
	command -v go >/dev/null || [ -x /usr/local/go/bin/go ] || wanted="$wanted golang-go"
	;;
esac

if ! command -v dpkg-query >/dev/null; then
	say "this is not Debian; make sure there is something like: $(echo "$wanted" | tr '\n' ' ')"
	exit 0
fi

alternatives=$(printf '%s' "$wanted" | tr '|' ' ')
# shellcheck disable=SC2086
have=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $alternatives 2>/dev/null |
	sed -n 's/^installed //p' | tr '\n' ' ') "
missing=
for package in $wanted; do
	installed "$package" || missing="$missing ${package%%|*}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	say "packages are missing; install them first:"
	printf '  sudo apt-get install --no-install-recommends%s\n' "$missing" >&2
	exit 1
fi
say "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	say "apt-get could not install them (above)"
	exit 1
fi
