# SPDX-License-Identifier: Apache-2.0
"""The registry client against registries with passwords, private CAs, mirrors, and helpers."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import Cooper


@pytest.fixture
def small(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN echo x > /x\n"})
    return cooper.build(ctx, "-t", "small:1")["containerimage.digest"]


def test_login_push_logout(cooper, small, closed_registry, tmp_path):
    auth = {"REGISTRY_AUTH_FILE": str(tmp_path / "docker" / "config.json"), "XDG_RUNTIME_DIR": str(tmp_path / "none"), "HOME": str(tmp_path)}
    target = f"docker://{closed_registry}/a/b:1"
    r = cooper("image", "copy", "store:small:1", target, env=auth, code=1)
    assert "login" in r.err and closed_registry in r.err
    r = cooper("login", closed_registry, "-u", "dev", "--password-stdin", input="wrong\n", env=auth, code=1)
    assert closed_registry in r.err
    cooper("login", closed_registry, "-u", "dev", "--password-stdin", input="s3cret\n", env=auth)
    written = json.loads((tmp_path / "docker" / "config.json").read_text())
    assert closed_registry in written["auths"]
    assert (tmp_path / "docker" / "config.json").stat().st_mode & 0o077 == 0
    cooper("image", "copy", "store:small:1", target, env=auth)
    cooper("image", "copy", target, "store:back:1", env=auth)
    cooper("logout", closed_registry, env=auth)
    cooper("image", "copy", target, "store:back:2", env=auth, code=1)


def test_credential_helper(cooper, small, closed_registry, tmp_path):
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    helper = bin_dir / "docker-credential-testing"
    helper.write_text('#!/bin/sh\nread host\n[ "$1" = get ] && echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"dev\\",\\"Secret\\":\\"s3cret\\"}"\n')
    helper.chmod(0o755)
    config = tmp_path / "docker"
    config.mkdir()
    (config / "config.json").write_text(json.dumps({"credHelpers": {closed_registry: "testing"}}))
    env = {"DOCKER_CONFIG": str(config), "PATH": f"{bin_dir}:{os.environ['PATH']}", "REGISTRY_AUTH_FILE": "", "XDG_RUNTIME_DIR": str(tmp_path / "none"), "HOME": str(tmp_path)}
    cooper("image", "copy", "store:small:1", f"docker://{closed_registry}/a/b:1", env=env)


@contextlib.contextmanager
def tls_server(cooper, tmp_path):
    """cooper serve with a certificate of a CA nobody knows."""
    d = tmp_path / "tls"
    d.mkdir()

    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", d / "ca.key", "-out", d / "ca.pem", "-subj", "/CN=cooper test CA")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", d / "key.pem", "-out", d / "csr.pem", "-subj", "/CN=127.0.0.1")
    (d / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", d / "csr.pem", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-CAcreateserial", "-days", "2", "-out", d / "cert.pem", "-extfile", d / "ext")
    with cooper.serving("--tls-cert", d / "cert.pem", "--tls-key", d / "key.pem") as address:
        yield address, d / "ca.pem"


def test_private_ca(cooper, small, tmp_path):
    server = Cooper(tmp_path / "server")
    with tls_server(server, tmp_path) as (address, ca):
        r = cooper("image", "copy", "store:small:1", f"docker://{address}/a/b:1", code=1)
        assert "certificate" in r.err.lower() and address in r.err
        config = tmp_path / "config.yaml"
        config.write_text(f"registries:\n  {address}:\n    ca: {ca}\n")
        cooper("image", "copy", "store:small:1", f"docker://{address}/a/b:1", "--config", config)
        cooper("image", "copy", f"docker://{address}/a/b:1", "store:back:1", "--config", config)
    assert json.loads(cooper("image", "inspect", "back:1").out)["digest"] == small


def test_a_mirror_answers_for_the_hub(cooper, small, docker_registry, tmp_path, context):
    cooper("image", "copy", "store:small:1", f"docker://{docker_registry}/library/mirrored:1")
    config = tmp_path / "config.yaml"
    config.write_text(f"registries:\n  docker.io:\n    mirrors: ['{docker_registry}']\n")
    other = Cooper(tmp_path / "other")
    ctx = context({"Dockerfile": "FROM mirrored:1\nRUN cat /x > /y\n"}, "m")
    meta = other.build(ctx, "--config", config)
    assert meta["cooper.pins"][0]["pin"] == f"docker.io/library/mirrored:1@{small}"


def test_unknown_settings_are_named(cooper, context, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("steps:\n  enviroment: {}\n")
    r = cooper("image", "ls", "--config", config, code=1)
    assert f"{config}:2" in r.err and "enviroment" in r.err


def test_base_layers_are_pulled_only_when_needed(cooper, docker_registry, tmp_path, context):
    """FROM big; COPY --link; push to where big came from: the base's layers never move."""
    ctx = context({"Dockerfile": "FROM busybox\nRUN head -c 3000000 /dev/urandom > /big\n"})
    cooper.build(ctx, "-t", f"{docker_registry}/lazy/base:1", "--push")
    other = Cooper(tmp_path / "other")
    ctx2 = context({"Dockerfile": f"FROM {docker_registry}/lazy/base:1\nENV A=1\nCOPY --link f /f\n", "f": "x"}, "lazy")
    other.build(ctx2, "-t", f"{docker_registry}/lazy/base:2", "--push")
    sizes = [p.stat().st_size for p in pathlib.Path(other.home / "blobs").rglob("*") if p.is_file()]
    assert max(sizes) < 1_000_000, "the base's big layer was pulled"
    # asked for as a file it has to come
    other.build(ctx2, "-o", f"type=oci,dest={tmp_path}/all.tar")
    assert (tmp_path / "all.tar").stat().st_size > 3_000_000


def test_containerd_pulls_and_pushes(cooper, small, tmp_path):
    if not shutil.which("containerd") or os.geteuid() != 0:
        pytest.fail("containerd is missing: scripts/deps.sh test")
    d = tmp_path / "ctrd"
    d.mkdir()
    sock = d / "sock"
    (d / "config.toml").write_text(f'version = 2\nroot = "{d}/root"\nstate = "{d}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{sock}"\n')
    proc = subprocess.Popen(["containerd", "--config", d / "config.toml"], stdout=subprocess.DEVNULL, stderr=(d / "log").open("wb"))
    try:
        for _ in range(200):
            if subprocess.run(["ctr", "-a", sock, "version"], capture_output=True).returncode == 0:
                break
            assert proc.poll() is None, (d / "log").read_text()[-2000:]
            import time

            time.sleep(0.05)
        with cooper.serving() as host:
            cooper("image", "copy", "store:small:1", f"docker://{host}/c/d:1")

            def ctr(*args):
                done = subprocess.run(["ctr", "-a", sock, "images", *args], capture_output=True, text=True)
                assert done.returncode == 0, (args, done.stdout[-1500:], done.stderr[-1500:])
                return done.stdout

            ctr("pull", "--plain-http", "--snapshotter", "native", f"{host}/c/d:1")
            assert small in ctr("ls")
            ctr("push", "--plain-http", f"{host}/c/pushed:1", f"{host}/c/d:1")
            cooper("image", "copy", f"docker://{host}/c/pushed:1", "store:pushed:1")
        assert json.loads(cooper("image", "inspect", "pushed:1").out)["digest"] == small
    finally:
        proc.terminate()
        proc.wait(20)
