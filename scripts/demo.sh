#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a git repository of containers to images that a foreign client pulls and runs. Everything is made in .demo/; a second run reuses it.
set -euo pipefail
cd "$(dirname "$0")/.."

top=$PWD
demo=$top/.demo
cooper=$top/build/cooper
suite=bookworm
base=debian:bookworm-slim
registry=127.0.0.1:${COOPER_DEMO_PORT:-5000}
upstream=127.0.0.1:8641 # stands in containers/beacon/Dockerfile
notes=127.0.0.1:8642
when=2026-01-05T09:00:00Z
export COOPER_HOME=$demo/store

bold='' plain=''
if [ -t 1 ]; then
	bold=$(printf '\033[1m')
	plain=$(printf '\033[0m')
fi
began=$SECONDS
say() { printf '\n%s== %s%s  (%ss)\n' "$bold" "$*" "$plain" $((SECONDS - began)); }
run() {
	printf '$ cooper %s\n' "$*"
	"$cooper" "$@" || fail "cooper could not do that (above); rm -rf .demo starts afresh"
}
fail() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

pids=()
stop() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT TERM

# background NAME ADDRESS COMMAND...: start it and wait until it answers there.
background() {
	local name=$1 address=$2
	shift 2
	if curl -s -o /dev/null "http://$address/"; then
		fail "something else listens on $address; stop it first, or set COOPER_DEMO_PORT if it is the registry's"
	fi
	"$@" >"$demo/$name.log" 2>&1 &
	local pid=$!
	pids+=("$pid")
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || break
		if curl -s -o /dev/null "http://$address/"; then
			return 0
		fi
		sleep 0.1
	done
	cat "$demo/$name.log" >&2
	fail "$name does not answer on $address (its output is above; is the port taken?)"
}

check_user() {
	[ "$(id -u)" = 0 ] && return 0
	fail "this makes a Debian base image and runs a program of an image, which needs root: sudo make demo
      (cooper itself also builds without root: see \"cooper doctor\")"
}

# The mirror that this machine uses for Debian; nothing if apt does not say.
mirrors() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk '$1 == "Debian" && $2 ~ /^[a-z]+(-updates|-security)?$/ { print $2, $3 }' | sort -u
}

make_base() {
	[ -s "$demo/rootfs.tar" ] && return 0
	local list=() codename uri
	while read -r codename uri; do
		list+=("deb $uri $codename main")
	done < <(mirrors | awk -v s="$suite" '$1 == s || index($1, s "-") == 1')
	# Without lines of its own for this suite mmdebstrap knows where Debian is.
	printf '%s\n' "${list[@]}" >"$demo/sources.list"
	[ "${#list[@]}" -gt 0 ] && set -- "$demo/sources.list"
	# As the slim images do: no manuals and translations, no fsync for each file in a step, nothing of apt's left behind.
	local options=(--dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"')
	cat >"$demo/apt.conf" <<'CONF'
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
	options+=("--customize-hook=upload $demo/apt.conf /etc/apt/apt.conf.d/90clean")
	for folder in doc groff info lintian locale man; do
		options+=("--dpkgopt=path-exclude=/usr/share/$folder/*")
	done
	options+=('--dpkgopt=path-include=/usr/share/doc/*/copyright' '--dpkgopt=path-include=/usr/share/locale/locale.alias')
	if ! mmdebstrap --variant=minbase "${options[@]}" "$suite" "$demo/rootfs.new.tar" "$@" >"$demo/mmdebstrap.log" 2>&1; then
		tail -n 20 "$demo/mmdebstrap.log" >&2
		fail "mmdebstrap could not make the base (above)"
	fi
	mv "$demo/rootfs.new.tar" "$demo/rootfs.tar"
	# Images on another base have another content, and a published tag never changes its own.
	rm -rf "$COOPER_HOME"
}

import_base() {
	local mark=$demo/imported
	if [ "$mark" -nt "$demo/rootfs.tar" ] && "$cooper" image inspect "$base" >/dev/null 2>&1; then
		echo "$base is in the store"
		return 0
	fi
	run image import "$demo/rootfs.tar" --name "$base"
	touch "$mark"
}

# in_repo COMMAND...: in the demo's repository, as the same author at the same time always, so that commits have the same names.
in_repo() {
	(
		cd "$demo/homelab"
		export GIT_AUTHOR_NAME=demo GIT_AUTHOR_EMAIL=demo@homelab.example GIT_COMMITTER_NAME=demo
		export GIT_COMMITTER_EMAIL=demo@homelab.example GIT_AUTHOR_DATE=$when GIT_COMMITTER_DATE=$when
		export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
		"$@"
	)
}

commit() {
	in_repo git add -A
	in_repo git -c core.autocrlf=false commit -q -m "$1"
}

# The same commits each time, so that a second run finds everything published.
make_repository() {
	rm -rf "$demo/homelab" "$demo/origin.git"
	mkdir -p "$demo/homelab"
	in_repo git init -q -b main
	in_repo git init -q --bare -b main ../origin.git
	in_repo git remote add origin ../origin.git
	cp -R examples/homelab/. "$demo/homelab/"
	rm "$demo/homelab/containers/notes/content/network.md"
	[ "$nix" = yes ] || rm -r "$demo/homelab/containers/motd" "$demo/homelab/argocd/manifests/motd"
	commit 'the homelab and its services'
	when=2026-01-06T20:30:00Z
	cp examples/homelab/containers/notes/content/network.md "$demo/homelab/containers/notes/content/"
	commit 'notes: where things are in the network'
	in_repo git push -q -u origin main
}

# A pull request: changed, released, tried on the cluster.
work_on_branch() {
	when=2026-01-07T21:15:00Z
	in_repo git switch -q -c guests
	printf '# Guests\n\nThe password of the guest network is on the fridge.\n' >"$demo/homelab/containers/notes/content/guests.md"
	sed -i 's/^ARG CONTAINER_APP_VERSION=1.0.0$/ARG CONTAINER_APP_VERSION=1.1.0/' "$demo/homelab/containers/notes/Dockerfile"
	commit 'notes: for guests'
	in_repo git push -q -u origin guests
	in_repo run release notes
	in_repo run pin notes --allow-branch --commit
	in_repo git push -q
}

squash_merge() {
	when=2026-01-08T08:00:00Z
	in_repo git switch -q main
	in_repo git merge -q --squash guests >/dev/null
	commit 'notes: for guests (pull request 1)'
	in_repo git push -q origin main :guests
	in_repo git branch -q -D guests
}

# cooper check that must find something.
check_objects() {
	local status=0
	printf '$ cooper check\n'
	"$cooper" check || status=$?
	[ "$status" = 3 ] || fail "cooper check should have ended with 3, not $status"
	echo "(exit status 3)"
}

install_sdk() {
	export COOPER_PYTHON=$demo/venv/bin/python
	if ! "$COOPER_PYTHON" -c 'import dagger' 2>/dev/null; then
		/usr/bin/python3 -m venv "$demo/venv"
		if ! "$COOPER_PYTHON" -m pip install --quiet --disable-pip-version-check dagger-io >"$demo/pip.log" 2>&1; then
			tail -n 20 "$demo/pip.log" >&2
			fail "pip could not install dagger-io (above)"
		fi
	fi
	echo "dagger-io $("$COOPER_PYTHON" -c 'import importlib.metadata as m; print(m.version("dagger-io"))') in .demo/venv; cooper is its engine"
}

# Can a default.nix be built here? Nix is used where it is installed, and not installed for this.
with_nix() {
	local program=''
	if ! command -v nix-build >/dev/null && [ ! -x /nix/var/nix/profiles/default/bin/nix-build ]; then
		echo "motd is left out: it is built by Nix, which is not installed (Debian: apt install nix-bin busybox-static)"
		return 1
	fi
	for program in /usr/bin/busybox /bin/busybox none; do
		[ ! -x "$program" ] || break
	done
	if [ "$program" = none ] || ldd "$program" >/dev/null 2>&1; then
		echo "motd is left out: it takes a static busybox from the machine (Debian: apt install busybox-static)"
		return 1
	fi
	# Nothing has to be asked for; and a Nix that was not set up for many users has no users to build as.
	NIX_CONFIG="substitute = false"
	getent group nixbld >/dev/null || NIX_CONFIG+=$'\nbuild-users-group ='
	export NIX_CONFIG
}

# Debian's tools at the other end: skopeo pulls the image, tar unpacks it, chroot runs it.
pull_and_run() {
	local tag=$1 dir=$demo/pulled
	rm -rf "$dir"
	mkdir -p "$dir/rootfs"
	printf '$ skopeo copy --src-tls-verify=false docker://%s oci:...\n' "$registry/homelab/notes:$tag"
	skopeo copy -q --insecure-policy --src-tls-verify=false "docker://$registry/homelab/notes:$tag" "oci:$dir/oci:notes"
	python3 - "$dir/oci" >"$dir/layers" <<'PY'
import json, pathlib, sys
top = pathlib.Path(sys.argv[1])
def blob(d): return top / "blobs" / d["digest"].replace(":", "/")
manifest = json.loads(blob(json.loads((top / "index.json").read_text())["manifests"][0]).read_text())
for layer in manifest["layers"]:
    print(blob(layer))
PY
	while read -r layer; do
		tar -xf "$layer" -C "$dir/rootfs"
	done <"$dir/layers"
	background notes "$notes" chroot --userspec=65532:65532 "$dir/rootfs" /usr/bin/notes -listen "$notes" -dir /srv/notes
	printf '$ curl http://%s/api/notes\n' "$notes"
	curl -sS "http://$notes/api/notes" | python3 -m json.tool
}

check_user
say "installing what is missing, building cooper"
scripts/deps.sh build demo
mkdir -p "$demo"
if ! make -s build >"$demo/build.log" 2>&1; then
	tail -n 40 "$demo/build.log" >&2
	fail "cooper could not be built (above)"
fi
"$cooper" --version

say "a Debian base image, made by mmdebstrap"
make_base
import_base

say "a GitOps repository in .demo/homelab"
nix=no
if with_nix; then
	nix=yes
fi
make_repository
in_repo git log --oneline

say "the Dagger SDK, which container.py files are written on"
install_sdk

say "the registry, and the place that the beacon's releases are downloaded from"
examples/beacon/release.sh 1.4.2 "$demo/upstream/releases"
background upstream "$upstream" python3 -m http.server --bind "${upstream%:*}" --directory "$demo/upstream" "${upstream#*:}"
background serve "$registry" "$cooper" serve --listen "$registry"
echo "cooper serve on $registry"

cd "$demo/homelab"
mapfile -t names < <(printf '%s\n' containers/*/{Dockerfile,container.py,default.nix} | grep -v '\*' | cut -d/ -f2 | sort -u)
for name in "${names[@]}"; do
	say "releasing $name from main"
	run release "$name"
done

say "the manifests get what was released; nothing else of them changes"
when=2026-01-06T21:00:00Z
for name in "${names[@]}"; do
	run pin "$name"
done
commit 'pin what was released'
in_repo git push -q
run check

say "a pull request, released from its branch"
work_on_branch

say "squash-merged: the commit that is pinned is on no branch any more"
squash_merge
check_objects

say "main would build the very same: its tag goes over the same layers"
when=2026-01-08T08:05:00Z
in_repo run promote --commit
in_repo git push -q
in_repo git show --format=%B --stat HEAD
run check

say "what there is, and what was done"
run list
run logs

say "a foreign client pulls an image and runs it"
tag=$(sed -n 's/^ *newTag: \(v[^ ]*\).*/\1/p' argocd/manifests/notes/kustomization.yaml)
pull_and_run "$tag"

say "done"
count=$("$cooper" list --json | python3 -c 'import json, sys; print(sum(len(c["tags"]) for c in json.load(sys.stdin)))')
cat <<TEXT
$count images of ${#names[@]} containers in $((SECONDS - began)) seconds; the store takes $(du -sh "$COOPER_HOME" | cut -f1).

Try next, in $demo/homelab (with COOPER_HOME=$COOPER_HOME, COOPER_PYTHON=$COOPER_PYTHON and $cooper on the PATH):
  cooper release notes --dry-run     what a release would build and publish
  cooper logs 1 -j 0                 the whole log of the first job
  cooper affected --base main~4      what came out different since, and why
  cooper new shop --pattern go-node --manifests
  cooper build chores --progress plain
  cooper build links                 a Go and Node service described in containers/links/container.py
  cooper build transmission --twice  build cold twice and show what differs
  cooper image ls                    images of the store
  cooper store du                    what takes the space
Change a file of containers/notes and release again: only what depends on it is built, and not before it is committed and pushed.
TEXT
