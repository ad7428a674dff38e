#!/bin/sh
# The "upstream" of the example's beacon container: release.sh VERSION DIR writes its archives, the same bytes anywhere.
set -eu
version=$1
mkdir -p "$2/v$version"
out=$(cd "$2/v$version" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for arch in amd64 arm64; do
	top=$work/$arch/beacon-$version
	mkdir -p "$top"
	cp -R "$here/bin" "$here/lib" "$top/"
	echo "$version" >"$top/lib/version"
	echo "linux/$arch" >"$top/lib/platform"
	find "$top" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
	chmod 755 "$top/bin/beacon" "$top/lib/www/cgi-bin/status"
	tar -C "$work/$arch" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1767225600 \
		-cf "$out/beacon-linux-$arch.tar" "beacon-$version"
done
(cd "$out" && sha256sum beacon-linux-*.tar >SHA256SUMS)
