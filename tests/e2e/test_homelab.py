# SPDX-License-Identifier: Apache-2.0
"""examples/homelab: what the demo releases. The demo itself (make demo) builds and runs all of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

import pytest
from conftest import ROOT, Cooper, free_port, layers_of_archive, wait_for_port
from nix_lab import nix_env

LAB = ROOT / "examples" / "homelab"
NAMES = sorted(p.parent.name for p in LAB.glob("containers/*/Dockerfile"))
PIPELINES = sorted(p.parent.name for p in LAB.glob("containers/*/container.py"))
NIX = sorted(p.parent.name for p in LAB.glob("containers/*/default.nix"))


@pytest.fixture
def lab(tmp_path):
    repo = tmp_path / "homelab"
    shutil.copytree(LAB, repo)
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    who = ["-c", "user.name=t", "-c", "user.email=t@example"]
    for args in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-q", "-m", "homelab"], ["update-ref", "refs/remotes/origin/main", "HEAD"]):
        subprocess.run(["git", *args], cwd=repo, env=env, check=True)
    return repo


def test_every_container_can_be_planned(bare, lab):
    assert len(NAMES) >= 5
    for name in NAMES:
        plan = json.loads(bare("release", name, "--dry-run", "--json", cwd=lab).out)
        text = (LAB / "containers" / name / "Dockerfile").read_text()
        version = re.search(r"^ARG CONTAINER_APP_VERSION=(\S+)", text, re.M).group(1)
        (job,) = plan["jobs"]
        assert job["reference"] == f"127.0.0.1:5000/homelab/{name}:v{version}-{plan['commit'][:7]}"
        assert re.search(r"^USER (?!0|root)", text, re.M), f"{name} runs as root"


def test_every_pipeline_can_be_planned(bare, lab):
    assert len(PIPELINES) >= 2
    for name in PIPELINES:
        plan = json.loads(bare("release", name, "--dry-run", "--json", cwd=lab).out)
        text = (LAB / "containers" / name / "container.py").read_text()
        version = re.search(r'^VERSION = "(\S+)"', text, re.M).group(1)
        (job,) = plan["jobs"]
        assert job["reference"] == f"127.0.0.1:5000/homelab/{name}:v{version}-{plan['commit'][:7]}"


def test_every_nix_container_can_be_planned(bare, lab):
    assert NIX == ["motd"]
    for name in NIX:
        plan = json.loads(bare("release", name, "--dry-run", "--json", cwd=lab).out)
        text = (LAB / "containers" / name / "default.nix").read_text()
        version = re.search(r'^ *version = "(\S+)";', text, re.M).group(1)
        (job,) = plan["jobs"]
        assert job["reference"] == f"127.0.0.1:5000/homelab/{name}:v{version}-{plan['commit'][:7]}-nix"
        assert job["runner"] == "nix-container-builder"
        assert 'User = "65534' in text, f"{name} runs as root"


def test_manifests_name_the_images(lab):
    for name in NAMES + PIPELINES + NIX:
        folder = lab / "argocd" / "manifests" / name
        image = f"127.0.0.1:5000/homelab/{name}"
        kustomization = folder / "kustomization.yaml"
        deployment = (folder / "deployment.yaml").read_text()
        if kustomization.exists():
            assert f"image: {image}:kustomized" in deployment
            assert re.search(rf"name: {re.escape(image)}\n    newTag: \S+", kustomization.read_text())
        else:
            assert re.search(rf"image: {re.escape(image)}:v\S+-[0-9a-f]{{7}}\n", deployment)


def releases(tmp_path):
    top = tmp_path / "upstream"
    subprocess.run([ROOT / "examples/beacon/release.sh", "1.4.2", top / "releases"], check=True)
    return top


def test_upstream_archives_have_the_sums_of_the_dockerfile(tmp_path):
    lines = (releases(tmp_path) / "releases/v1.4.2/SHA256SUMS").read_text().splitlines()
    text = (LAB / "containers/beacon/Dockerfile").read_text()
    assert len(lines) == 2
    for line in lines:
        digest, name = line.split()
        assert re.search(rf"--checksum=sha256:{digest} \\\n\s+\S+/{re.escape(name)} ", text), name


def test_lock_file_names_no_host():
    assert "resolved" not in (LAB / "containers/dashboard/package-lock.json").read_text()


@pytest.mark.slow
def test_beacon_builds_and_answers(debian, lab, tmp_path):
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", releases(tmp_path), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, server)
        args = ["--build-arg", f"UPSTREAM=http://127.0.0.1:{port}/releases", "--tag", "beacon:test", "--progress", "plain"]
        debian("build", "beacon", *args, cwd=lab, timeout=600)
    finally:
        server.terminate()
        server.wait(20)
    debian("image", "copy", "store:beacon:test", f"oci-archive:{tmp_path}/beacon.tar")
    files = layers_of_archive(tmp_path / "beacon.tar")
    assert files["opt/beacon/lib/platform"].data == f"linux/{debian_arch()}\n".encode()
    for name, entry in files.items():
        if name.startswith("opt/beacon/") and entry.isreg():
            target = tmp_path / "run" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(entry.data)
            target.chmod(entry.mode)
    port = free_port()
    beacon = subprocess.Popen([tmp_path / "run/opt/beacon/bin/beacon", "serve", f"127.0.0.1:{port}"])
    try:
        wait_for_port(port, beacon)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi-bin/status") as answer:
            assert json.load(answer)["version"] == "1.4.2"
    finally:
        beacon.terminate()
        beacon.wait(20)


@pytest.mark.sanitize
def test_motd_builds_without_nixpkgs_and_answers(home, lab, tmp_path):
    """In Nix's sandbox, where there is one: nothing of the machine but what the expression takes in."""
    cooper = Cooper(home, {**nix_env(tmp_path / "nix"), "NIX_CONFIG": "substitute = false\nbuild-users-group =\n"})
    (job,) = json.loads(cooper("release", "motd", "--json", "--force", cwd=lab).out)["jobs"]
    with cooper.serving() as address:
        source = f"docker://{address}/homelab/motd:{job['tag']}"
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", source, f"oci:{tmp_path}/oci:motd"], check=True)
    blobs, root = tmp_path / "oci" / "blobs" / "sha256", tmp_path / "root"
    index = json.loads((tmp_path / "oci" / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    assert len(manifest["layers"]) == 3
    root.mkdir()
    for layer in manifest["layers"]:
        subprocess.run(["tar", "-xf", blobs / layer["digest"][7:], "-C", root], check=True)
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())["config"]
    port = free_port()
    command = [str(port) if arg == "8080" else arg for arg in config["Cmd"]]
    env = dict(entry.split("=", 1) for entry in config["Env"])
    motd = subprocess.Popen(["/usr/sbin/chroot", f"--userspec={config['User']}", root, *command], env=env)
    try:
        wait_for_port(port, motd)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi-bin/motd") as answer:
            assert answer.read().decode() in (LAB / "containers/motd/messages").read_text().splitlines(keepends=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert b"Message of the day" in answer.read()
    finally:
        motd.terminate()
        motd.wait(20)


def debian_arch():
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
