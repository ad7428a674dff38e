# SPDX-License-Identifier: Apache-2.0
"""default.nix, built by the real nix-build."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest
from api_client import Api
from conftest import BIN, Cooper, layers_of_archive
from git_lab import WHEN, GitLab
from nix_lab import ARCHIVE, expression, nix_env, path_without_nix, processes, shell

FORMS = ["plain", "gzip", "zstd", "xz", "stream"]
DOCKERFILE = "FROM scratch\nARG CONTAINER_APP_VERSION=1.2.3\nCOPY Dockerfile /\n"


@pytest.fixture(scope="session")
def nix(tmp_path_factory):
    if not shutil.which("nix-build"):
        pytest.fail("nix-build is missing: scripts/deps.sh test")
    return nix_env(tmp_path_factory.mktemp("nix"))


@pytest.fixture
def cooper(home, nix):
    return Cooper(home, nix)


@pytest.fixture
def lab(tmp_path):
    """lab({"app": text of its default.nix, ...}); other paths as they are."""

    def make(files, top=tmp_path):
        top.mkdir(exist_ok=True)
        named = {(name if "/" in name or "." in name else f"containers/{name}/default.nix"): text for name, text in files.items()}
        return GitLab(top, {"lib/archive.py": ARCHIVE, "cooper.yaml": "namespace: t\n", **named})

    return make


def inspect(cooper, image):
    return json.loads(cooper("image", "inspect", image).out)


def layer_digests(image):
    return [layer["digest"] for layer in image["layers"]]


def release(cooper, repo, name="app", *args):
    (job,) = json.loads(cooper("release", name, "--json", *args, cwd=repo).out)["jobs"]
    return job


@pytest.mark.sanitize
def test_every_form_of_a_result_is_the_same_image(cooper, lab):
    repo = lab({form: expression(form=form) for form in FORMS}).repo
    layers, texts = set(), set()
    for form in FORMS:
        result = cooper("build", form, "--tag", f"{form}:1", "--progress", "plain", cwd=repo)
        assert ("streamed by app-1.2.3" in result.err) == (form == "stream"), result
        image = inspect(cooper, f"{form}:1")
        layers.add(tuple(layer_digests(image)))
        assert {layer["mediaType"] for layer in image["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
        texts.add(tuple(cooper.files(f"{form}:1")[f"srv/{i}"].data for i in range(2)))
    assert len(layers) == 1 and texts == {(b"one", b"two")}
    assert os.listdir(cooper.home / "tmp") == []


def test_config_is_nix_own_with_labels_and_time(cooper, lab):
    repo = lab({"app": expression(labels="1")}).repo
    cooper("build", "app", "--tag", "app:1", "--label", "some=thing", cwd=repo)
    image = inspect(cooper, "app:1")
    config = image["config"]
    labels = config["config"].pop("Labels")
    assert labels.pop("dev.cooper.inputs").startswith("sha256:")
    assert labels == {"own": "label", "some": "thing"}
    assert config["config"] == {"Cmd": ["/bin/app"]}
    assert (config["author"], config["created"]) == ("nix", WHEN)
    assert [h["created"] for h in config["history"]] == ["1970-01-01T00:00:01Z"] * 2
    assert image["name"] == "docker.io/library/app:1"


@pytest.mark.sanitize
def test_release_list_and_pull(cooper, lab, tmp_path):
    gitlab = lab({"app": expression()})
    job = release(cooper, gitlab.repo)
    tag = f"v1.2.3-{gitlab.first[:7]}-nix"
    assert job["tag"] == tag and job["runner"] == "nix-container-builder"
    again = release(cooper, gitlab.repo)
    assert again["already"] and (again["digest"], again["inputs"]) == (job["digest"], job["inputs"])
    (listed,) = json.loads(cooper("list", "app", "--json", cwd=gitlab.repo).out)
    (listed_tag,) = listed["tags"]
    assert (listed_tag["tag"], listed_tag["provenance"], listed_tag["digest"]) == (tag, "main", job["digest"])
    with cooper.serving() as address:
        target = f"oci-archive:{tmp_path}/app.tar"
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", f"docker://{address}/t/app:{tag}", target], check=True)
    assert layers_of_archive(tmp_path / "app.tar")["srv/1"].data == b"two"
    labels = inspect(cooper, f"127.0.0.1:5000/t/app:{tag}")["config"]["config"]["Labels"]
    wanted = {"title": "app", "version": "1.2.3", "revision": gitlab.first, "created": WHEN}
    assert labels == {**{f"org.opencontainers.image.{k}": v for k, v in wanted.items()}, "dev.cooper.inputs": job["inputs"]}


def test_same_commit_same_image_from_elsewhere(cooper, lab, nix, tmp_path):
    gitlab = lab({"app": expression()})
    first = release(cooper, gitlab.repo)
    clone = tmp_path / "another" / "clone"
    subprocess.run(["git", "clone", "-q", gitlab.top / "origin.git", clone], check=True)
    other = Cooper(tmp_path / "other-home", nix)
    second = release(other, clone)
    assert (first["digest"], first["inputs"]) == (second["digest"], second["inputs"])


def test_a_new_version_keeps_the_layers_that_did_not_change(cooper, lab, docker_registry):
    gitlab = lab({"app": expression(texts="one|two|three", repeat="1000"), "cooper.yaml": f"namespace: t\nregistry: {docker_registry}\n"})

    def layers(job):
        argv = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{docker_registry}/t/app:{job['tag']}"]
        run = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
        return [layer["digest"] for layer in json.loads(run.stdout)["layers"]]

    old = layers(release(cooper, gitlab.repo))
    gitlab.write("containers/app/default.nix", expression(version="1.2.4", texts="one|two|four", repeat="1000"))
    gitlab.commit("next")
    new = layers(release(cooper, gitlab.repo))
    assert new[:2] == old[:2] and new[2] != old[2]


def test_dockerfile_beside_it_makes_two_jobs(cooper, lab):
    gitlab = lab({"app": expression(), "containers/app/Dockerfile": DOCKERFILE})
    jobs = json.loads(cooper("release", "app", "--json", cwd=gitlab.repo).out)["jobs"]
    tag = f"v1.2.3-{gitlab.first[:7]}"
    assert [(job["kind"], job["tag"]) for job in jobs] == [("dockerfile", tag), ("nix", f"{tag}-nix")]
    assert jobs[0]["digest"] != jobs[1]["digest"]
    assert "dockerfile+nix" in cooper("list", cwd=gitlab.repo).out

    def files(*kind):
        cooper("build", "app", *kind, "--tag", "app:1", cwd=gitlab.repo)
        return set(cooper.files("app:1"))

    assert files() == files("--kind", "dockerfile") == {"Dockerfile"}
    assert files("--kind", "nix") == {"srv/0", "srv/1"}
    assert "app has no container.py, only dockerfile+nix" in cooper("build", "app", "--kind", "container.py", cwd=gitlab.repo, code=2).err


def test_one_job_fails_and_the_other_one_is_published(cooper, lab):
    gitlab = lab({"app": shell("exit 3"), "containers/app/Dockerfile": DOCKERFILE})
    result = cooper("release", "app", "--json", cwd=gitlab.repo, code=1)
    docker, nix = json.loads(result.out)["jobs"]
    assert docker["digest"] and "failed with exit code 3" in nix["error"]


def test_a_commit_is_built_as_it_is(cooper, lab):
    """Also what the expression reads beside its file."""
    gitlab = lab({"app": expression(texts="one|two")})
    gitlab.write("lib/archive.py", "import sys; sys.exit('this was not committed')\n")
    first = release(cooper, gitlab.repo, "app", "--ref", "HEAD")
    assert first["digest"]
    assert "this was not committed" in cooper("build", "app", cwd=gitlab.repo, code=1).err
    cooper("build", "app", "--ref", "HEAD", "--tag", "app:1", cwd=gitlab.repo)
    assert cooper.files("app:1")["srv/0"].data == b"one"
    gitlab.write("containers/app/default.nix", expression(texts="changed"))
    gitlab.git("checkout", "-q", "lib")
    job = release(cooper, gitlab.repo, "app", "--force")
    assert re.fullmatch(rf"v1\.2\.3-{gitlab.first[:7]}-dirty-[0-9a-f]{{8}}-nix", job["tag"])


def test_affected_tells_by_the_derivation(cooper, lab):
    gitlab = lab({"app": expression(), "other": shell("echo >$out")})
    gitlab.write("README.md", "nobody reads this\n")
    gitlab.commit("words")

    def affected():
        return cooper("affected", "--base", gitlab.first, cwd=gitlab.repo).out

    assert "app" not in affected()
    gitlab.write("lib/archive.py", ARCHIVE + "# changed\n")
    gitlab.commit("library")
    assert "app" in affected() and "other" not in affected()


def test_promote_after_a_squash_builds_nothing(cooper, lab):
    gitlab = lab({"app": expression()})
    pins = "argocd/manifests/app/kustomization.yaml"
    gitlab.git("checkout", "-q", "-b", "topic")
    gitlab.write("containers/app/default.nix", expression(version="1.3.0", texts="one|new"))
    gitlab.commit("new text")
    branch = release(cooper, gitlab.repo)
    gitlab.write(pins, f"images:\n  - name: 127.0.0.1:5000/t/app\n    newTag: {branch['tag']}\n")
    gitlab.commit("pin")
    gitlab.git("checkout", "-q", "main")
    gitlab.git("merge", "-q", "--squash", "topic")
    # Another time than the branch's: the image must not be the same one by chance.
    gitlab.env["GIT_COMMITTER_DATE"] = "2026-02-01T10:00:00Z"
    main = gitlab.commit("topic (#1)")
    gitlab.git("push", "-q", "origin", "--delete", "topic")
    gitlab.git("branch", "-q", "-D", "topic")
    # A label that the branch's image has not: the remote has a name that all can use.
    gitlab.git("remote", "set-url", "origin", "https://forge.example/me/lab.git")

    result = cooper("promote", "--json", "--progress", "plain", cwd=gitlab.repo)
    tag = f"v1.3.0-{main[:7]}-nix"
    assert f"newTag: {tag}\n" in (gitlab.repo / pins).read_text(), result
    assert "nix-instantiate" in result.err and "nix-build" not in result.err
    old, new = (inspect(cooper, f"127.0.0.1:5000/t/app:{t}") for t in (branch["tag"], tag))
    assert layer_digests(old) == layer_digests(new)
    labels = new["config"]["config"]["Labels"]
    assert (labels["org.opencontainers.image.revision"], labels["dev.cooper.inputs"]) == (main, branch["inputs"])
    # It is what a build would have given.
    gitlab.git("add", "-A")
    again = release(cooper, gitlab.repo, "app", "--ref", main)
    assert again["already"] and again["digest"] == new["digest"]


def test_a_runner_builds_for_a_server(bare, cooper, lab, tmp_path, nix):
    gitlab = lab({"app": expression()})
    server = Cooper(tmp_path / "server-home")
    with server.serving() as address:
        plan = json.loads(cooper("release", "app", "--dry-run", "--json", cwd=gitlab.repo).out)
        (job,) = plan["jobs"]
        jobs = [{**{key: job[key] for key in ("kind", "version", "tag", "reference")}, "label": job["runner"]}]
        Api(address)("POST", "/runs", {"container": "app", "commit": plan["commit"], "ref": "main", "jobs": jobs}, expect=201)
        cooper("runner", "--server", f"http://{address}", "--label", "nix-container-builder", "--git", gitlab.top / "origin.git", "--once")
        (done,) = Api(address)("GET", "/runs/1", expect=200).json["jobs"]
        assert done["status"] == "success", done
        log = Api(address)("GET", "/runs/1/jobs/0/log", expect=200).body.decode()
    assert "nix-build containers/app/default.nix" in log
    assert inspect(server, job["reference"])["digest"] == done["digest"] == release(Cooper(tmp_path / "own", nix), gitlab.repo)["digest"]


# ---- what goes wrong ----


@pytest.mark.sanitize
def test_wrong_hash_says_both_first(cooper, lab):
    zeros = "sha256-" + "A" * 43 + "="
    fixed = shell("echo hi >$out", outputHashMode="flat", outputHashAlgo="sha256", outputHash=zeros)
    repo = lab({"app": fixed}).repo
    got = "sha256-mOpuTyFvL7S2n/+bOkSELDhobKaF8/VdxIxdP7EQe+Q="
    result = cooper("build", "app", cwd=repo, code=1)
    assert result.err.splitlines()[-2].startswith(f"cooper: specified: {zeros}, got: {got}: hash mismatch in fixed-output derivation")
    error = json.loads(cooper("release", "app", "--json", cwd=repo, code=1).out)["jobs"][0]["error"]
    assert error.startswith(f"specified: {zeros}, got: {got}: ")


@pytest.mark.parametrize(
    "text, wanted",
    [
        ('let version = "1.0"; in\nassert version == "2.0"; derivation { }', "containers/app/default.nix:2:1: assertion '(version == \"2.0\")' failed"),
        ('let version = "1.0"; in { a = ; }', "containers/app/default.nix:1:31: syntax error, unexpected ';'"),
        ('let version = "1.0"; in throw "you need this"', "containers/app/default.nix: you need this"),
        ('let version = "1.0"; in import <nixpkgs> { }', "containers/app/default.nix:1:32: file 'nixpkgs' was not found in the Nix search path"),
        ('let version = "1.0"; in { }', "containers/app/default.nix gives no derivation"),
        ("let version = \"1.0\"; in import ./missing.nix", "missing.nix"),
        ('let version = "1.0"; d = n: derivation { name = n; system = "x"; builder = "x"; }; in [ (d "a") (d "b") ]', "gives 2 derivations, not one"),
        (shell("/bin/mkdir $out"), "containers/app/default.nix gives a directory, not an image"),
        (shell("echo text >$out"), "containers/app/default.nix gives a file, not an image"),
        (shell("echo '#!/bin/sh' >$out"), "gives a program that may not be run, not an image"),
        (shell("echo some words; exit 3"), "failed with exit code 3"),
        (shell("/usr/bin/printf '#!/bin/sh\\necho broken >&2; exit 4\\n' >$out; /bin/chmod 755 $out"), "ended with status 4: broken"),
        (shell("/usr/bin/printf '#!/bin/sh\\nexit 0\\n' >$out; /bin/chmod 755 $out"), "nothing at all"),
        (expression(form="stream", after="sys.exit(5)"), "ended with status 5: streaming"),
        (expression(lie="0" * 64), "but the config says sha256:" + "0" * 64),
        (shell("cd /etc; /bin/tar cf $out hostname"), "it is not a docker-archive"),
        (shell("cd /; /bin/tar cf $out etc/hostname"), "is a root file system"),
    ],
)
def test_failures_say_what_and_where(cooper, lab, text, wanted):
    repo = lab({"app": text}).repo
    result = cooper("build", "app", "--tag", "app:1", cwd=repo, code=1)
    last = result.err[result.err.rindex("cooper: ") :]
    assert wanted in last, result
    assert "app:1" not in cooper("image", "ls").out
    assert os.listdir(cooper.home / "tmp") == []


def test_output_of_builders_is_kept(cooper, lab):
    repo = lab({"app": shell("echo words of the builder; exit 3")}).repo
    result = cooper("build", "app", cwd=repo, code=1)
    assert "words of the builder" in result.err
    (log,) = (cooper.home / "logs").glob("*.log")
    assert "words of the builder" in log.read_text()


@pytest.mark.sanitize
def test_without_nix(bare, lab, tmp_path):
    repo = lab({"app": expression()}).repo
    env = path_without_nix(tmp_path)
    result = bare("build", "app", cwd=repo, code=1, env=env)
    assert "nix-instantiate of Nix was not found" in result.err and "apt install nix-bin" in result.err

    def row(cwd, code, **kw):
        rows = json.loads(bare("doctor", "--json", cwd=cwd, code=code, **kw).out)
        return next(r for r in rows if r["check"] == "nix")

    assert row(repo, None, env=env)["state"] == "warn" and "nix-bin" in row(repo, None, env=env)["fix"]
    assert row(tmp_path, None, env=env)["state"] == "ok"
    assert re.search(r"\d\.\d", row(repo, None)["detail"])


def test_options_that_nix_decides(cooper, lab):
    repo = lab({"app": expression()}).repo
    for option in (["--target", "x"], ["--build-arg", "A=1"], ["--platform", "linux/arm64"], ["--twice"], ["--no-cache"]):
        assert "has no meaning for a default.nix" in cooper("build", "app", *option, cwd=repo, code=2).err
    assert "built by its name" in cooper("build", "./containers/app", "--kind", "nix", cwd=repo, code=2).err
    assert "there are container.py, dockerfile and nix" in cooper("build", "app", "--kind", "nyx", cwd=repo, code=2).err


# ---- stopping ----


def wait_until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


SLEEPERS = {
    "builder": lambda word: shell(f"/bin/sleep {word} & /bin/sleep {word}; wait"),
    "program": lambda word: shell(f"/usr/bin/printf '#!/bin/sh\\n/bin/sleep {word} & /bin/sleep {word}\\n' >$out; /bin/chmod 755 $out"),
}


@pytest.mark.parametrize("what", SLEEPERS)
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_stopping_leaves_no_process(cooper, lab, what, sig):
    word = f"6{os.getpid()}.{ord(what[0])}{int(sig)}"
    repo = lab({"app": SLEEPERS[what](word)}).repo
    proc = cooper.start("build", "app", cwd=repo)
    wait_until(lambda: len(processes(f"sleep\0{word}")) >= 2)
    proc.send_signal(sig)
    _, err = proc.communicate(timeout=20)
    assert proc.returncode == (1 if sig == signal.SIGINT else -sig), err
    if sig == signal.SIGKILL and what == "program":
        # Nobody is left to end what a program started; the program itself goes.
        wait_until(lambda: not processes("bin/sh\0" + cooper.env["NIX_STORE_DIR"]))
        for pid in processes(f"sleep\0{word}"):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes(f"sleep\0{word}") and not processes(f"{repo}/containers/app/default.nix"))
    if sig == signal.SIGINT:
        assert os.listdir(cooper.home / "tmp") == []


# ---- other users, other ways to reach the store ----


@pytest.mark.sanitize
def test_without_root(lab, tmp_path):
    """As a user with a Nix of their own: cooper is root of a namespace, nix-build stays the user it is."""
    if os.geteuid() != 0:
        pytest.skip("already without root")
    top = tmp_path / "user"
    top.mkdir()
    top.chmod(0o755)
    for above in top.parents:
        if above.stat().st_uid == os.geteuid() and above != pathlib.Path("/"):
            above.chmod(above.stat().st_mode | 0o111)
    gitlab = lab({"app": expression()}, top)
    env = nix_env(top / "nix")
    # The default for root is a group that need not exist.
    env["NIX_CONFIG"] = "sandbox = false\nsubstitute = false\n"
    (top / "nix").mkdir()
    subprocess.run(["chown", "-R", "65534:65534", top], check=True)
    run = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BIN, "build", "app", "--tag", "app:1"],
        cwd=gitlab.repo,
        env={**os.environ, **env, "COOPER_HOME": str(top / "home")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "nixbld" not in run.stderr and "built sha256:" in run.stdout
    assert {p.stat().st_uid for p in (top / "nix" / "store").iterdir()} == {65534}


def test_through_a_daemon(home, lab, tmp_path):
    top = tmp_path / "nix"
    top.mkdir()
    env = nix_env(top)
    socket = top / "socket"
    env["NIX_DAEMON_SOCKET_PATH"] = str(socket)
    # A daemon that finds no state would ask the daemon, which is itself.
    (top / "var").mkdir()
    daemon = subprocess.Popen(["nix-daemon"], env={**os.environ, **env, "NIX_REMOTE": "local"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(socket.exists)
        cooper = Cooper(home, {**env, "NIX_REMOTE": "daemon"})
        repo = lab({"app": expression(), "slow": SLEEPERS["builder"](f"7{os.getpid()}")}).repo
        cooper("build", "app", "--tag", "app:1", cwd=repo)
        assert cooper.files("app:1")["srv/0"].data == b"one"
        proc = cooper.start("build", "slow", cwd=repo)
        wait_until(lambda: len(processes(f"sleep\0007{os.getpid()}")) >= 2)
        proc.send_signal(signal.SIGINT)
        proc.communicate(timeout=20)
        wait_until(lambda: not processes(f"sleep\0007{os.getpid()}"))
    finally:
        daemon.terminate()
        daemon.wait(20)
