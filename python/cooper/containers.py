# SPDX-License-Identifier: Apache-2.0
"""
The usual ways to make a container, on the Dagger SDK, for use in container.py:

    from cooper.containers import debian_runtime, go_build, oci_labels

All of them are lazy: they describe the work, which runs when its result is needed. Wherever an image is asked for, a reference or a container will
do: `image="golang:1.24-bookworm"`, or `image=debian_runtime("ca-certificates", "golang-go", uid=None)`.
Build steps run as root; what the `*_runtime` functions return runs as an unprivileged user.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Mapping, Sequence

import dagger
from dagger import dag

__all__ = [
    "Image",
    "alpine_runtime",
    "clone",
    "debian_runtime",
    "elixir_release",
    "fetch_release",
    "go_build",
    "node_build",
    "oci_labels",
    "python_venv",
]

Image = str | dagger.Container
"""A reference of an image, or a container to go on from."""

ALPINE = "alpine:3.22"
DEBIAN = "debian:bookworm-slim"
ELIXIR = "elixir:1.18-otp-27-slim"
GO = "golang:1.25-bookworm"
NODE = "node:22-bookworm-slim"
PYTHON = "python:3.13-slim-bookworm"

USER = 65532


def _container(image: Image) -> dagger.Container:
    return dag.container().from_(image) if isinstance(image, str) else image


def _builder(image: Image, env: Mapping[str, str] | None, caches: Mapping[str, str]) -> dagger.Container:
    """A container to build in: at /src, with variables and cache volumes. caches: variable of a tool -> name of the volume it is to point at."""
    made = _container(image).without_user().with_workdir("/src")
    for variable, name in caches.items():
        path = f"/var/cache/build/{name}"
        made = made.with_mounted_cache(path, dag.cache_volume(name)).with_env_variable(variable, path)
    for variable, value in (env or {}).items():
        made = made.with_env_variable(variable, value)
    return made


def _shell(container: dagger.Container, *commands: str) -> dagger.Container:
    # As a RUN of a Dockerfile, whose results it shares.
    return container.with_exec(["/bin/sh", "-c", " && ".join(commands)])


def clone(url: str, tag: str, *, keep_git_dir: bool = False) -> dagger.Directory:
    """The tree of a tag of a git repository, such as a mirror of an upstream project. keep_git_dir: for builds that ask git for their version."""
    return dag.git(url).tag(tag).tree(discard_git_dir=not keep_git_dir)


def go_build(
    src: dagger.Directory,
    package: str = ".",
    *,
    output: str = "app",
    cgo: bool = False,
    tags: Sequence[str] = (),
    ldflags: str = "",
    env: Mapping[str, str] | None = None,
    image: Image = GO,
) -> dagger.File:
    """
    A Go program, stripped and reproducible, as a file named `output`. Modules and compiled packages are kept in cache volumes.

    package: what to build, relative to the module in `src`. ldflags: added to `-s -w -buildid=`, for instance `-X main.version=1.2`.
    cgo: needs a C compiler in the image, and a C library in the runtime that fits it; without cgo the program is static.
    """
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w -buildid= {ldflags}".strip(), "-o", f"/out/{output}"]
    if tags:
        command += ["-tags", ",".join(tags)]
    made = _builder(image, {"CGO_ENABLED": str(int(cgo)), **(env or {})}, {"GOMODCACHE": "go-mod", "GOCACHE": "go-build"})
    return made.with_directory("/src", src).with_exec([*command, package]).file(f"/out/{output}")


def node_build(
    src: dagger.Directory,
    *,
    script: str = "build",
    output: str = "dist",
    env: Mapping[str, str] | None = None,
    image: Image = NODE,
) -> dagger.Directory:
    """The folder `output` that `npm run <script>` makes, after `npm ci`, which runs again only when package.json or the lock file changes."""
    manifests = ["**/package.json", "**/package-lock.json", "**/.npmrc"]
    made = _builder(image, None, {"npm_config_cache": "npm"})
    made = made.with_directory("/src", src, include=manifests, exclude=["**/node_modules"])
    made = made.with_exec(["npm", "ci", "--no-audit", "--no-fund"])
    for variable, value in (env or {}).items():
        made = made.with_env_variable(variable, value)
    made = made.with_directory("/src", src, exclude=["**/node_modules", output])
    return made.with_exec(["npm", "run", script]).directory(output)


def elixir_release(
    src: dagger.Directory,
    name: str,
    *,
    assets: dagger.Directory | None = None,
    assets_path: str = "priv/static",
    tasks: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    image: Image = ELIXIR,
) -> dagger.Directory:
    """
    The release `name` of a mix project, with its Erlang runtime: start it with `bin/<name> start` on a system like that of `image`.

    assets: put at `assets_path` before compiling, usually from node_build. tasks: mix tasks before the release, for instance `["phx.digest"]`.
    Set `cookie` in the release's options in mix.exs (and RELEASE_COOKIE where nodes connect), or mix makes up another one each time.
    """
    variables = {"MIX_ENV": "prod", "LANG": "C.UTF-8", "ERL_COMPILER_OPTIONS": "deterministic", **(env or {})}
    made = _builder(image, variables, {"HEX_HOME": "hex"})
    made = made.with_directory("/src", src, include=["**/mix.exs", "mix.lock", "config"], exclude=["deps", "_build"])
    made = _shell(made, "if [ -f mix.lock ]; then mix local.hex --force && mix local.rebar --force && mix deps.get --only prod; fi")
    made = made.with_directory("/src", src, exclude=["deps", "_build"])
    if assets:
        made = made.with_directory(assets_path, assets)
    for task in ("compile", *tasks):
        made = made.with_exec(["mix", *shlex.split(task)])
    return made.with_exec(["mix", "release", name, "--path", "/out"]).directory("/out")


def python_venv(
    requirements: dagger.File,
    *,
    path: str = "/opt/venv",
    require_hashes: bool = True,
    env: Mapping[str, str] | None = None,
    image: Image = PYTHON,
) -> dagger.Directory:
    """
    A virtual environment with what a requirements file lists. Put it at the same `path` of a runtime that has the Python of `image`:
    `runtime.with_directory("/opt/venv", python_venv(src.file("requirements.txt")))`.
    """
    options = ["--require-hashes"] if require_hashes else []
    made = _builder(image, env, {"PIP_CACHE_DIR": "pip"})
    made = made.with_exec(["python3", "-m", "venv", "/pip"]).with_exec(["python3", "-m", "venv", "--without-pip", path])
    made = made.with_file("/src/requirements.txt", requirements)
    # Compiled Python differs from one run of the compiler to the next.
    install = ["/pip/bin/pip", "--python", f"{path}/bin/python", "install", "--no-compile", *options, "-r", "requirements.txt"]
    return made.with_exec(install).directory(path)


def _runtime(
    image: Image, packages: Sequence[str], install: Sequence[str], clean: str, user: str, uid: int | None, gid: int | None
) -> dagger.Container:
    made = _container(image).without_user()
    commands = [*install, clean] if packages else []
    group = uid if gid is None else gid
    if uid is not None:
        # No line in /etc/shadow: the day of the build would stand there.
        commands += [f"echo {user}:x:{group}: >> /etc/group", f"echo {user}:x:{uid}:{group}::/nonexistent:/sbin/nologin >> /etc/passwd"]
    if commands:
        made = _shell(made, *commands)
    return made if uid is None else made.with_user(f"{uid}:{group}")


def debian_runtime(*packages: str, image: Image = DEBIAN, user: str = "app", uid: int | None = USER, gid: int | None = None) -> dagger.Container:
    """Debian (or Ubuntu) with packages, running as a user of its own. uid=None: stay root, as in a container to build in. gid: default the uid."""
    install = [
        # SOURCE_DATE_EPOCH: the day on which a package makes its user would else stand in /etc/shadow.
        "export SOURCE_DATE_EPOCH=0 DEBIAN_FRONTEND=noninteractive",
        "apt-get update",
        f"apt-get install -y --no-install-recommends {shlex.join(packages)}",
    ]
    clean = "rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/apt/*.bin /var/cache/ldconfig/* /var/cache/debconf/*-old"
    return _runtime(image, packages, install, clean, user, uid, gid)


def alpine_runtime(*packages: str, image: Image = ALPINE, user: str = "app", uid: int | None = USER, gid: int | None = None) -> dagger.Container:
    """Alpine with packages, running as a user of its own. uid=None: stay root, as in a container to build in. gid: default the uid."""
    return _runtime(image, packages, [f"apk add --no-cache {shlex.join(packages)}"], "rm -rf /var/log/* /var/cache/apk/*", user, uid, gid)


async def fetch_release(
    url: str,
    sha256: Mapping[str, str],
    *,
    platform: str | None = None,
    names: Mapping[str, str] | None = None,
    permissions: int = 0o644,
    image: Image = DEBIAN,
) -> dagger.File:
    """
    A file that upstream releases for each architecture, checked.

    url: with `{arch}` where the architecture stands. sha256: sums by architecture in OCI's terms, `{"amd64": "...", "arm64": "..."}`.
    names: what upstream calls them, `{"amd64": "x86_64"}`. platform: default that of the build. image: has sha256sum; used with SDKs before 0.21.
    """
    arch = str(platform or await dag.default_platform()).split("/")[1]
    if arch not in sha256:
        raise ValueError(f"no checksum for {arch}, only for {', '.join(sorted(sha256))}: {url}")
    address = url.format(arch=(names or {}).get(arch, arch))
    digest = sha256[arch].removeprefix("sha256:")
    if "checksum" in inspect.signature(dag.http).parameters:
        return dag.http(address, checksum=f"sha256:{digest}", permissions=permissions)
    name = address.rsplit("/", 1)[-1]
    there = _container(image).without_user().with_workdir("/download").with_file(name, dag.http(address, permissions=permissions))
    return there.with_exec(["sha256sum", "-c", "-"], stdin=f"{digest}  {name}\n").file(name)


def oci_labels(
    container: dagger.Container,
    *,
    title: str,
    version: str,
    description: str | None = None,
    source: str | None = None,
    url: str | None = None,
    vendor: str | None = None,
    licenses: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> dagger.Container:
    """The labels org.opencontainers.image.* that are given, then those of `extra` as they are."""
    given = {
        "title": title,
        "version": version,
        "description": description,
        "source": source,
        "url": url,
        "vendor": vendor,
        "licenses": licenses,
    }
    for name, value in given.items():
        if value is not None:
            container = container.with_label(f"org.opencontainers.image.{name}", value)
    for name, value in (extra or {}).items():
        container = container.with_label(name, value)
    return container
