# SPDX-License-Identifier: Apache-2.0
"""cooper.containers: the chains of calls that the helpers make, as a session gets them."""

import pytest
from conftest import ROOT

HEAD = """
import dagger
from dagger import dag
from cooper.containers import *

VERSION = "1"

async def build(src):
    return """


@pytest.fixture
def chain(repo):
    def made_by(expression, code=0):
        repo.container(HEAD + expression + "\n")
        done = repo.load(rules=[])
        assert done.code == code, done.err
        return done.chain if code == 0 else done.error

    return made_by


def file_from(chain):
    """The chain of what `dag.container().with_file("/x", ...)` or with_directory was given."""
    return chain[-1][1]["source"]


def fields(chain):
    return [field for field, _ in chain]


def all_args(chain, field):
    return [args for name, args in chain if name == field]


def scripts(chain):
    return [args["args"] for args in all_args(chain, "withExec")]


def env(chain):
    return {args["name"]: args["value"] for args in all_args(chain, "withEnvVariable")}


def caches(chain):
    return {args["path"]: args["cache"][0][1]["key"] for args in all_args(chain, "withMountedCache")}


def test_clone(chain):
    made = file_from(chain('dag.container().with_directory("/src", clone("https://git.example/x.git", "v1.2"))'))
    assert fields(made) == ["git", "tag", "tree"]
    assert made[0][1]["url"] == "https://git.example/x.git" and made[1][1] == {"name": "v1.2"}
    assert made[2][1]["discardGitDir"] is True
    made = file_from(chain('dag.container().with_directory("/src", clone("https://git.example/x.git", "v1.2", keep_git_dir=True))'))
    assert made[2][1].get("discardGitDir") is not True


def test_go_build(chain):
    made = file_from(chain('dag.container().with_file("/x", go_build(src))'))
    assert made[1][0] == "from" and made[1][1]["address"].startswith("golang:")
    assert scripts(made) == [["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", "/out/app", "."]]
    assert env(made)["CGO_ENABLED"] == "0"
    assert {"GOMODCACHE", "GOCACHE"} <= set(env(made)) and caches(made) == {env(made)["GOMODCACHE"]: "go-mod", env(made)["GOCACHE"]: "go-build"}
    assert made[-1] == ["file", {"path": "/out/app", "expand": False}]


def test_go_build_with_everything(chain):
    made = file_from(
        chain(
            'dag.container().with_file("/x", go_build(src, "./cmd/x", output="x", cgo=True, tags=["a", "b"], ldflags="-X main.v=1",'
            ' env={"GOARCH": "arm64"}, image="go:own"))'
        )
    )
    assert made[1][1]["address"] == "go:own"
    (command,) = scripts(made)
    assert command[-3:] == ["-tags", "a,b", "./cmd/x"] and "-s -w -buildid= -X main.v=1" in command and "/out/x" in command
    assert env(made)["CGO_ENABLED"] == "1" and env(made)["GOARCH"] == "arm64"


def test_images_may_be_containers(chain):
    made = file_from(chain('dag.container().with_file("/x", go_build(src, image=debian_runtime("golang-go", image="deb:1", uid=None)))'))
    assert made[1] == ["from", made[1][1]] and made[1][1]["address"] == "deb:1"
    assert "golang-go" in scripts(made)[0][-1]


def test_node_build(chain):
    made = file_from(chain('dag.container().with_directory("/www", node_build(src, output="out", env={"V": "1"}))'))
    first, second = all_args(made, "withDirectory")
    assert "**/package.json" in first["include"] and "**/package-lock.json" in first["include"]
    assert second["exclude"] == ["**/node_modules", "out"]
    assert scripts(made) == [["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]]
    order = fields(made)
    assert order.index("withExec") > order.index("withDirectory"), "dependencies before the sources"
    assert caches(made) == {env(made)["npm_config_cache"]: "npm"} and env(made)["V"] == "1"
    assert made[-1][0] == "directory" and made[-1][1]["path"] == "out"


def test_elixir_release(chain):
    made = file_from(
        chain(
            'dag.container().with_directory("/app", elixir_release(src, "shop", assets=dag.directory(), tasks=["phx.digest", "x --y"], env={"A": "b"}))'
        )
    )
    dependencies, *commands = scripts(made)
    assert "mix deps.get --only prod" in dependencies[-1]
    assert commands == [["mix", "compile"], ["mix", "phx.digest"], ["mix", "x", "--y"], ["mix", "release", "shop", "--path", "/out"]]
    assert env(made)["MIX_ENV"] == "prod" and env(made)["A"] == "b"
    assert all_args(made, "withDirectory")[-1]["path"] == "priv/static"
    assert made[-1][1]["path"] == "/out"


def test_python_venv(chain):
    made = file_from(chain('dag.container().with_directory("/opt/venv", python_venv(src.file("requirements.txt")))'))
    pip = scripts(made)[-1]
    assert pip[:2] == ["/pip/bin/pip", "--python"] and "--require-hashes" in pip and pip[-2:] == ["-r", "requirements.txt"]
    assert made[-1][1]["path"] == "/opt/venv"
    made = file_from(chain('dag.container().with_directory("/v", python_venv(src.file("r.txt"), path="/v", require_hashes=False, image="py:1"))'))
    assert "--require-hashes" not in scripts(made)[-1] and "/v/bin/python" in scripts(made)[-1] and made[1][1]["address"] == "py:1"


@pytest.mark.parametrize("name, install", [("debian", "apt-get install -y --no-install-recommends"), ("alpine", "apk add --no-cache")])
def test_runtimes(chain, name, install):
    made = chain(f'{name}_runtime("curl", "odd;name")')
    assert made[1][1]["address"].startswith(name)
    ((sh, option, script),) = scripts(made)
    assert (sh, option) == ("/bin/sh", "-c") and f"{install} curl 'odd;name'" in script
    assert "app:x:65532:65532:" in script and made[-1] == ["withUser", {"name": "65532:65532"}]


@pytest.mark.parametrize("name", ["debian", "alpine"])
def test_runtime_users(chain, name):
    made = chain(f'{name}_runtime(user="me", uid=1000, gid=50, image="own:1")')
    assert made[1][1]["address"] == "own:1" and made[-1] == ["withUser", {"name": "1000:50"}]
    (command,) = scripts(made)
    assert command[-1] == "echo me:x:50: >> /etc/group && echo me:x:1000:50::/nonexistent:/sbin/nologin >> /etc/passwd"
    made = chain(f"{name}_runtime(uid=None)")
    assert scripts(made) == [] and made[-1] == ["withoutUser", {}]


RELEASE = 'fetch_release("https://x.example/v1/x-{arch}.tar", {"amd64": "%s", "arm64": "bb"}%s)'


def test_fetch_release(chain):
    made = file_from(chain('dag.container().with_file("/x", await ' + RELEASE % ("aa", ', names={"amd64": "x86_64"}') + ")"))
    address = "https://x.example/v1/x-x86_64.tar"
    if made[0][0] == "http":
        assert made[0][1]["url"] == address and made[0][1]["checksum"] == "sha256:aa"
    else:
        (check,) = all_args(made, "withExec")
        assert check["args"] == ["sha256sum", "-c", "-"] and check["stdin"] == "aa  x-x86_64.tar\n"
        assert all_args(made, "withFile")[0]["source"][0][1]["url"] == address
        assert made[-1][1]["path"] == "x-x86_64.tar"


def test_fetch_release_of_another_platform(chain):
    made = chain('dag.container().with_file("/x", await ' + RELEASE % ("sha256:aa", ', platform="linux/arm64/v8"') + ")")
    assert "x-arm64.tar" in str(made) and "aa" not in str(made).replace("sha256sum", "")


def test_fetch_release_without_a_sum(chain):
    error = chain("await " + RELEASE % ("aa", ', platform="linux/riscv64"'), code=1)
    assert error["type"] == "ValueError" and "no checksum for riscv64, only for amd64, arm64" in error["message"]
    assert error["file"] == "containers/one/container.py"


def test_oci_labels(chain):
    made = chain('oci_labels(dag.container(), title="x", version=VERSION, licenses="MIT", extra={"my.label": "1"})')
    labels = {args["name"]: args["value"] for args in all_args(made, "withLabel")}
    image = "org.opencontainers.image."
    assert labels == {f"{image}title": "x", f"{image}version": "1", f"{image}licenses": "MIT", "my.label": "1"}


@pytest.mark.parametrize("name", sorted(p.parent.name for p in ROOT.glob("examples/homelab/containers/*/container.py")))
def test_the_examples_can_be_planned(repo, name):
    """Their chains come about, with the import path that examples/homelab/cooper.yaml asks for."""
    lab = ROOT / "examples" / "homelab"
    done = repo.load("--root", lab, "--helpers", lab / "src", path=lab / "containers" / name / "container.py", rules=[])
    assert done.code == 0, done.err
    assert ["withUser", {"name": "65532:65532"}] in done.chain
    assert all_args(done.chain, "withEntrypoint")
    assert {a["name"] for a in all_args(done.chain, "withLabel")} >= {"org.opencontainers.image.version", "org.opencontainers.image.title"}
