# SPDX-License-Identifier: Apache-2.0
"""cooper new: patterns with a Dockerfile build as scaffolded and run (those with a container.py: dagger/test_new_pipelines.py); upstreams; refusals."""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml
from conftest import Cooper
from new_lab import NewLab, running, unpack
from nix_lab import ARCHIVE, nix_env, path_without_nix

sys.path.append(str(pathlib.Path(__file__).parent / "dagger"))
from peers import GitOverHttp, WebServer, git  # noqa: E402

PATTERNS = ["go-node", "package", "go", "elixir-node", "download", "nix"]


@pytest.fixture
def lab(tmp_path, bare):
    return NewLab(tmp_path / "new", bare)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, debian_tar):
    """With Debian, for builds: what one installs, another need not."""
    top = tmp_path_factory.mktemp("new")
    cooper = Cooper(top / "home")
    cooper("image", "import", debian_tar, "--name", "debian:bookworm-slim")
    return NewLab(top / "new", cooper)


@pytest.fixture
def web():
    server = WebServer()
    yield server
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize("pattern, arguments", [("package", []), ("download", []), ("go", ["-listen", "127.0.0.1:PORT"])])
def test_it_builds_and_answers(shared, tmp_path, pattern, arguments):
    name = f"my-{pattern}"
    shared("new", name, "--pattern", pattern, "--version", "3.1.4", "--manifests")
    shared("build", name, timeout=900)
    shared.release(name)
    if pattern != "go":  # whose compiler takes long to install
        assert shared.digest(name, "--ref", "HEAD", "--no-cache") == shared.digest(name, "--ref", "HEAD")
    image = f"127.0.0.1:5000/lab/{name}:v3.1.4-{shared.git('rev-parse', 'HEAD')[:7]}"
    with running(shared.cooper, image, tmp_path / "root", *arguments) as get:
        assert f"{name} 3.1.4" in get("/")
    shared.goes_to_production(name)


@pytest.fixture
def go_upstream(tmp_path):
    """A project with annotated tags, one of them a candidate, behind git's own HTTP server."""
    place = tmp_path / "served"
    work = place / "work"
    (work / "cmd" / "hello").mkdir(parents=True)
    git(work, "init", "-q", "-b", "main")
    (work / "go.mod").write_text("module example.org/hello\n\ngo 1.19\n")
    for number, tag in enumerate(["v1.9.0", "v1.10.0", "v2.0.0-rc1"]):
        (work / "cmd/hello/main.go").write_text(f'package main\n\nvar version string\n\nfunc main() {{ println("hello {tag}", version) }}\n')
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", tag, when=1700000000 + number)
        git(work, "tag", "-a", "-m", tag, tag)
    git(place, "clone", "-q", "--bare", str(work), str(place / "hello.git"))

    class Open(GitOverHttp):
        def allowed(self, header):
            return True

    server = Open(place)
    server.work = work
    yield server
    server.close()


@pytest.mark.slow
def test_go_from_a_repository_elsewhere(shared, go_upstream, tmp_path):
    shared("new", "hello", "-p", "go", "--upstream", f"{go_upstream.url}/hello", "--package", "cmd/hello")
    text = shared.text("containers/hello/Dockerfile")
    commit = git(go_upstream.work, "rev-parse", "v1.10.0^{commit}")
    assert "ARG CONTAINER_APP_VERSION=1.10.0\n" in text and f"ARG UPSTREAM_COMMIT={commit}\n" in text
    assert f"ARG UPSTREAM={go_upstream.url}/hello.git\n" in text
    assert shared.files("containers/hello") == ["Dockerfile"]
    shared("build", "hello", "-t", "hello:1", timeout=900)
    config = unpack(shared.cooper, "hello:1", tmp_path / "root")
    run = subprocess.run(["chroot", tmp_path / "root", *config["Entrypoint"]], capture_output=True, text=True)
    assert run.stderr == "hello v1.10.0 1.10.0\n"
    # A tag that was moved is not built.
    git(go_upstream.work, "tag", "-f", "v1.10.0", "v1.9.0^{commit}")
    git(go_upstream.place / "hello.git", "fetch", "-q", "-f", str(go_upstream.work), "refs/tags/v1.10.0:refs/tags/v1.10.0")
    assert commit[:12] in shared("build", "hello", code=1).err


def test_a_tag_of_a_repository_elsewhere(lab, go_upstream):
    url = f"{go_upstream.url}/hello.git"
    plan = json.loads(lab("new", "x", "-p", "go", "--upstream", url, "--version", "2.0.0-rc1", "--dry-run", "--json").out)
    assert plan["version"] == "2.0.0-rc1" and plan["files"][0]["text"].count("#v${CONTAINER_APP_VERSION}") == 1
    plan = json.loads(lab("new", "x", "-p", "go", "--upstream", url, "--version", "v1.9.0", "--dry-run", "--json").out)
    assert plan["version"] == "v1.9.0" and "#${CONTAINER_APP_VERSION}" in plan["files"][0]["text"]
    said = lab("new", "x", "-p", "go", "--upstream", url, "--version", "7", code=1).err
    assert "no tag 7 or v7" in said and "1.10.0, 1.9.0" in said and url in said
    assert "/no.git" in lab("new", "x", "-p", "go", "--upstream", f"{go_upstream.url}/no", code=1).err
    assert lab.files() == ["cooper.yaml"]


def test_nix_builds_and_answers(tmp_path, bare):
    lab = NewLab(tmp_path / "new", bare, env=nix_env(tmp_path / "nix"))
    lab("new", "my-nix", "--pattern", "nix", "--version", "3.1.4", "--manifests")
    lab("build", "my-nix")
    lab.release("my-nix")
    image = f"127.0.0.1:5000/lab/my-nix:v3.1.4-{lab.git('rev-parse', 'HEAD')[:7]}-nix"
    with running(lab.cooper, image, tmp_path / "root", "-p", "127.0.0.1:PORT") as get:
        assert "<h1>my-nix</h1>" in get("/index.html")
    lab.goes_to_production("my-nix")
    assert "-nix #" in lab.text("argocd/manifests/my-nix/kustomization.yaml")


# Has the names that the scaffold uses; what is built says which settings it was given.
NIXPKGS = """{ config, overlays }: rec {
  busybox = "/busybox";
  cacert = "/cacert";
  writeTextDir = name: text: "/${name}";
  dockerTools.buildLayeredImage = { name, tag, contents, extraCommands, config }: derivation {
    name = "${name}-${tag}";
    system = builtins.currentSystem;
    builder = "/usr/bin/python3";
    args = [ ./archive.py ];
    form = "gzip";
    texts = builtins.toJSON config;
  };
}
"""


def test_nix_with_nixpkgs_from_elsewhere(tmp_path, bare, web):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in (("default.nix", NIXPKGS), ("archive.py", ARCHIVE)):
            info = tarfile.TarInfo(f"nixpkgs-0123abc/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    url = web.put("/archive/0123abc.tar.gz", out.getvalue())
    lab = NewLab(tmp_path / "new", bare, env=nix_env(tmp_path / "nix"))
    lab("new", "web", "-p", "nix", "--upstream", url)
    text = lab.text("containers/web/default.nix")
    assert f'url = "{url}";' in text
    lab("build", "web", "-t", "web:1")
    config = json.loads(bare.files("web:1")["srv/0"].data)
    assert config["Entrypoint"] == ["/busybox/bin/httpd", "-f", "-h", "/index.html"]
    # Where there is no Nix, the sum has to be given.
    without = path_without_nix(tmp_path)
    said = bare("new", "other", "-p", "nix", "--upstream", url, cwd=lab.repo, env=without, code=1)
    assert "the program nix-prefetch-url of Nix was not found" in said.err and "--sha256" in said.err
    assert 'sha256 = "abc";' in bare("new", "other", "-p", "nix", "--upstream", url, "--sha256", "abc", "--dry-run", cwd=lab.repo, env=without).out


def archive(arch):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in (("hi-1.4/README", b"hi\n"), ("hi-1.4/bin/hi", f"#!/bin/sh\necho hi {arch}\n".encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.slow
def test_a_download_for_each_architecture(shared, web, tmp_path):
    sums = {}
    for arch, called in (("amd64", "x86_64"), ("arm64", "aarch64")):
        data = archive(arch)
        sums[arch] = hashlib.sha256(data).hexdigest()
        web.put(f"/1.4/hi-{called}.tgz", data)
    arguments = ["-p", "download", "--upstream", web.url + "/{version}/hi-{arch}.tgz", "--arch", "amd64=x86_64", "--arch", "arm64=aarch64"]
    said = shared("new", "hi", *arguments, "--version", "1.4").err
    text = shared.text("containers/hi/Dockerfile")
    for arch, called in (("amd64", "x86_64"), ("arm64", "aarch64")):
        assert f"sha256:{sums[arch]} \\\n    {web.url}/${{CONTAINER_APP_VERSION}}/hi-{called}.tgz /download\n" in text
        assert sums[arch] in said
    shared("build", "hi", "-t", "hi:1")
    config = unpack(shared.cooper, "hi:1", tmp_path / "root")
    here = {"x86_64": "amd64", "aarch64": "arm64"}[subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()]
    run = subprocess.run(["chroot", "--userspec=65532:65532", tmp_path / "root", *config["Entrypoint"]], capture_output=True, text=True)
    assert run.stdout == f"hi {here}\n"
    # Another file than the one that was there when the Dockerfile was made.
    web.put("/changed.tgz", archive("s390x"))
    wrong = ["--sha256", f"{here}={'0' * 64}", "--arch", here]
    shared("new", "changed", "-p", "download", "--upstream", web.url + "/changed.tgz", "--version", "1.4", *wrong)
    assert f"does not have the checksum sha256:{'0' * 64}" in shared("build", "changed", code=1).err


@pytest.mark.slow
def test_an_archive_without_the_program_says_what_it_holds(shared, web):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as out:
        out.writestr("bin/other", "x")
    web.put("/p.zip", data.getvalue())
    shared("new", "zipped", "-p", "download", "--upstream", web.url + "/p.zip", "--version", "1", "--arch", "amd64", "--arch", "arm64")
    assert len(web.page("/p.zip").requests) == 1
    said = shared("build", "zipped", "--progress", "plain", code=1).err
    assert "the archive holds no file zipped, but these:" in said and "/out/opt/zipped/bin/other" in said
    shared("build", "zipped", "--build-arg", "PROGRAM=other")


def test_checksums_that_are_known_are_not_asked_for(lab, web):
    url = web.put("/x-amd64", b"x").replace("amd64", "{arch}")
    base = ["new", "x", "-p", "download", "--upstream", url, "--version", "1", "--dry-run"]
    text = lab(*base, "--sha256", "amd64=" + "a" * 64, "--sha256", "arm64=" + "b" * 64).out
    assert "a" * 64 in text and "b" * 64 in text and "AS downloaded" in text
    assert "a" * 64 in lab(*base, "--arch", "amd64", "--sha256", "a" * 64).out
    assert not web.page("/x-amd64").requests
    said = lab(*base, code=1).err
    assert "/x-arm64: HTTP 404" in said and "--arch amd64=x86_64" in said
    assert "sha256:" in lab(*base, "--sha256", "arm64=" + "b" * 64).out
    for wrong in (["--sha256", "a" * 64], ["--sha256", "s390x=" + "a" * 64], ["--sha256", "amd64=abc"]):
        assert "--sha256" in lab(*base, *wrong, code=2).err
    assert "no sha256 sum" in lab(*base, "--arch", "amd64", "--sha256", "Z" * 64, code=1).err


def test_a_page_is_no_download(lab, web):
    for page in (b"<!DOCTYPE html>\n<title>log in</title>", b"<html>"):
        said = lab("new", "x", "-p", "download", "--upstream", web.put("/x.tar.gz", page), "--version", "1", code=1).err
        assert "/x.tar.gz: it gives a web page, not the file" in said and lab.files() == ["cooper.yaml"]


def test_dry_run_writes_nothing_and_shows_everything(lab):
    shown = lab("new", "web", "-p", "go", "--manifests", "--dry-run").out
    assert lab.files() == ["cooper.yaml"]
    as_json = json.loads(lab("new", "web", "-p", "go", "--manifests", "--dry-run", "--json").out)
    lab("new", "web", "-p", "go", "--manifests")
    assert shown == "\n".join(f"==> {f['path']} <==\n{f['text']}" for f in as_json["files"])
    for f in as_json["files"]:
        assert lab.text(f["path"]) == f["text"]
    assert [f["path"] for f in as_json["files"]] == [p for p in lab.files() if not p.endswith("/") and p != "cooper.yaml"]


@pytest.mark.sanitize
def test_every_pattern_is_planned_where_the_repository_says(tmp_path, bare):
    settings = "registry: registry.example:5000\nnamespace: a/b\ncontainers: images\nmanifests: [deploy/base, other]\n"
    lab = NewLab(tmp_path / "new", bare, settings)
    listed = json.loads(lab("new", "--list", "--json").out)
    assert [p["pattern"] for p in listed] == PATTERNS
    for one in listed:
        assert one["pattern"] in lab("new", "--list").out
        name = f"x-{one['pattern']}"
        said = lab("new", name, "--pattern", one["pattern"], "--manifests").out
        steps = [f"cooper build {name}\n", f"git add images/{name} ", f"cooper release {name}\n", f"cooper pin {name}\n", f"git add deploy/base/{name} "]
        assert sorted(steps, key=said.index) == steps
        assert (lab.repo / "images" / name / one["file"]).is_file()
        lab.commit(name)
        (job,) = json.loads(lab("release", name, "--dry-run", "--json").out)["jobs"]
        assert job["reference"].startswith(f"registry.example:5000/a/b/{name}:v0.1.0-")
        documents = {p.name: yaml.safe_load(p.read_text()) for p in (lab.repo / "deploy/base" / name).iterdir()}
        assert sorted(documents) == ["deployment.yaml", "kustomization.yaml", "service.yaml"]
        image = f"registry.example:5000/a/b/{name}"
        assert documents["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]["image"] == f"{image}:kustomized"
        (entry,) = documents["kustomization.yaml"]["images"]
        assert entry == {"name": image, "newTag": "v0.1.0-0000000" + "-nix" * (name == "x-nix")}
    assert {p.split("/")[0] for p in lab.files("images")} == {f"x-{p}" for p in PATTERNS}
    for path in ("x-package/start.sh", "x-elixir-node/start.sh", "x-download/release/sample-linux-arm64"):
        assert (lab.repo / "images" / path).stat().st_mode & 0o111, path
    assert not (lab.repo / "images/x-go/main.go").stat().st_mode & 0o111


def test_nothing_is_overwritten_and_nothing_half_made_stays(lab):
    lab.write("containers/there/notes.txt", "mine")
    said = lab("new", "there", "-p", "go", code=1).err
    assert "containers/there exists already" in said and "it holds notes.txt" in said
    lab.write("containers/file", "mine")
    assert "containers/file exists already" in lab("new", "file", "-p", "go", code=1).err
    (lab.repo / "containers/link").symlink_to("nowhere")
    assert "containers/link exists already" in lab("new", "link", "-p", "go", code=1).err
    lab.write("argocd/manifests/web/deployment.yaml", "mine")
    assert "argocd/manifests/web exists already" in lab("new", "web", "-p", "go", "--manifests", code=1).err
    before = lab.files()
    (lab.repo / "argocd").rename(lab.repo / "moved")
    lab.write("argocd", "a file")
    assert "a file is in the way" in lab("new", "web", "-p", "go", "--manifests", code=1).err
    (lab.repo / "argocd").unlink()
    (lab.repo / "moved").rename(lab.repo / "argocd")
    assert lab.files() == before


def test_one_of_several_at_once_wins(lab):
    started = [lab.cooper.start("new", "web", "-p", pattern, "--manifests", cwd=lab.repo) for pattern in PATTERNS]
    ended = [proc.communicate(timeout=60) for proc in started]
    codes = sorted(proc.returncode for proc in started)
    assert codes == [0] + [1] * (len(PATTERNS) - 1), ended
    winner = next(out for proc, (out, _) in zip(started, ended) if proc.returncode == 0)
    wrote = sorted(line.removeprefix("wrote ") for line in winner.splitlines() if line.startswith("wrote "))
    assert wrote == [p for p in lab.files() if not p.endswith("/") and p != "cooper.yaml"]


def test_what_is_wrong_is_said(lab):
    def said(*args, code=2):
        return lab("new", *args, code=code).err

    assert "what is it to be called?" in said()
    assert "of which pattern?" in said("web")
    assert 'did you mean "go-node"?' in said("web", "-p", "go_node")
    assert "has no upstream" in said("web", "-p", "go-node", "--upstream", "https://git.example/x.git")
    assert "which version" in said("web", "-p", "download", "--upstream", "https://d.example/{version}")
    assert "which version of nginx" in said("web", "-p", "package", "--package", "nginx")
    assert "--package goes with" in said("web", "-p", "go", "--package", "./x")
    assert "--arch goes with" in said("web", "-p", "go", "--arch", "amd64")
    assert "--sha256 goes with" in said("web", "-p", "nix", "--sha256", "a" * 64)
    assert "no address of an archive" in said("web", "-p", "nix", "--upstream", "nixpkgs")
    assert "no address of a git repository" in said("web", "-p", "go", "--upstream", "/srv/git/x")
    assert "no address of a download" in said("web", "-p", "download", "--upstream", "ftp://d.example/x", "--version", "1")
    assert '"+" cannot stand in a tag' in said("web", "-p", "go", "--version", "1+2", code=1)
    for name in ("Web", "../web", "a..b", "web_", "", "." * 3, "x" * 129):
        assert "cannot be the name of a container" in said(name, "-p", "go", code=1), name
    assert "cannot be the name of a service" in said("a.b", "-p", "go", "--manifests", code=1)
    secret = said("web", "-p", "download", "--upstream", "https://me:hunter2@d.example/x", "--version", "1", code=1)
    assert "a user or a password" in secret and "hunter2" not in secret
    assert lab.files() == ["cooper.yaml"]


def test_outside_of_a_repository(bare, tmp_path):
    place = tmp_path / "plain"
    place.mkdir()
    assert "no git repository" in bare("new", "web", "-p", "go", cwd=place, code=1).err
    assert not list(place.iterdir())


def test_in_a_repository_without_a_commit_the_first_comes_before_the_build(bare, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path / "fresh"], check=True)
    out = bare("new", "web", "-p", "package", cwd=tmp_path / "fresh").out
    assert out.index("git commit") < out.index("cooper build web")


def test_help_shows_one_version_option(bare):
    out = bare("new", "--help").out
    assert out.count("--version") == 1 and "--version VERSION" in out
    assert bare("build", "--help").out.count("--version") == 1
