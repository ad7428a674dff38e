# SPDX-License-Identifier: Apache-2.0
"""Clients of the registry as a cache: each in the way that it is told of mirrors. The upstream is Debian's docker-registry, which stands for docker.io."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import time

import pytest

import fault_proxy as fp
import registry_server as rs
from cache_lab import NAME, Upstream, asked
from cache_lab import proxy  # noqa: F401, a fixture
from conftest import DOCKER, Cooper, running_docker_registry
from go_tools import go_tool
from test_registry_clients import containerd  # noqa: F401, a fixture
from test_registry_peers import layout_digest, make_layout, needs, run
from test_server_auth import ask, basic, make_token
from tls_front import Authority, tls_front

pytestmark = pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """library/app:1 somewhere; .image is its digest."""
    top = tmp_path_factory.mktemp("upstream")
    with running_docker_registry(top / "r") as address:
        server = Upstream(address)
        server.image = make_layout(top / "layout", [b"#!/bin/sh\n", os.urandom(3_000_000)])
        run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{top}/layout:v1", f"docker://{address}/{NAME}:1")
        yield server


@pytest.fixture
def cache(tmp_path, proxy):
    """A cache of docker.io, of which the proxy is the mirror, and the place where it is looked for what is not here."""
    settings = {
        "registry": {"cache": [{"upstream": "docker.io", "default": True}]},
        "registries": {"docker.io": {"mirrors": [proxy.host]}},
    }
    server = rs.Server(tmp_path / "store", json.dumps(settings)).start()
    yield server
    server.stop()


def gone(proxy):
    """From now on the upstream is not there."""
    proxy.fault("GET|HEAD", "", fp.not_http(), times=-1)


def mirror_of_docker(tmp_path, cache):
    """The file that podman, buildah and skopeo read."""
    conf = tmp_path / "registries.conf"
    conf.write_text(
        f'[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "{cache.host}/docker.io"\ninsecure = true\n'
    )
    return ["--registries-conf", str(conf)]


@needs("skopeo")
def test_skopeo(cache, proxy, upstream, tmp_path):
    conf = mirror_of_docker(tmp_path, cache)
    for i in range(2):
        run("skopeo", *conf, "copy", "docker://app:1", f"oci:{tmp_path}/{i}:v1")
        assert layout_digest(tmp_path / str(i)) == upstream.image
        gone(proxy)
    assert asked(proxy, "GET .*/blobs/") == 3 and asked(proxy, "GET .*/manifests/") == 1


def test_crane(cache, proxy, upstream, tmp_path):
    env = {**os.environ, "HOME": str(tmp_path)}
    name = f"{cache.host}/docker.io/app"
    assert run(go_tool("crane"), "digest", f"{name}:1", env=env).strip() == upstream.image
    assert "PASS" in run(go_tool("crane"), "validate", "--remote", f"{name}:1", env=env)
    gone(proxy)
    assert "PASS" in run(go_tool("crane"), "validate", "--remote", f"{name}:1", env=env)
    assert run(go_tool("crane"), "ls", f"{cache.host}/docker.io/{NAME}", env=env).split() == ["1"]
    run(go_tool("crane"), "copy", f"{name}:1", f"{cache.host}/own/app:1", env=env)
    assert run(go_tool("crane"), "digest", f"{cache.host}/own/app:1", env=env).strip() == upstream.image


@pytest.mark.parametrize("form", ["ns", "prefix"])
def test_containerd_mirror(cache, proxy, upstream, containerd, tmp_path, form):  # noqa: F811
    hosts = tmp_path / "certs.d" / "docker.io"
    hosts.mkdir(parents=True)
    url, more = (f"http://{cache.host}", "") if form == "ns" else (f"http://{cache.host}/v2/docker.io", "  override_path = true\n")
    (hosts / "hosts.toml").write_text(f'server = "https://registry-1.docker.io"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n{more}')
    name = f"docker.io/{NAME}:1"

    def pull():
        containerd("image", "pull", "--hosts-dir", str(tmp_path / "certs.d"), "--snapshotter", "native", name)
        assert upstream.image in containerd("image", "ls")
        containerd("image", "rm", "--sync", name)
        containerd("content", "prune", "references")

    pull()
    assert asked(proxy, "GET .*/blobs/") == 3
    gone(proxy)
    pull()


@pytest.fixture
def docker(cache, tmp_path):
    """docker(...) with a daemon that has the cache as its mirror of Docker Hub."""
    if os.geteuid() != 0 or not shutil.which("dockerd") or not os.path.exists(DOCKER):
        pytest.skip("needs root, dockerd and docker")
    top = tmp_path / "d"
    top.mkdir()
    address = f"unix://{top}/docker.sock"
    env = {**os.environ, "DOCKER_HOST": address, "DOCKER_CONFIG": str(top / "config")}
    command = ["dockerd", "-H", address, "--data-root", top / "data", "--exec-root", top / "exec", "-p", top / "pid", "--iptables=false"]
    with open(top / "log", "w") as log:
        daemon = subprocess.Popen(
            [*command, "--bridge=none", "--storage-driver", "vfs", "--registry-mirror", f"http://{cache.host}"], stdout=log, stderr=log
        )
    try:
        for _ in range(300):
            if subprocess.run([DOCKER, "version"], env=env, capture_output=True).returncode == 0:
                break
            assert daemon.poll() is None, (top / "log").read_text()[-3000:]
            time.sleep(0.1)
        yield lambda *args: run(DOCKER, *args, env=env)
    finally:
        daemon.terminate()
        daemon.wait(30)
        shutil.rmtree(top / "data", ignore_errors=True)


def test_docker_mirror(cache, proxy, upstream, docker):
    docker("pull", "app:1")
    assert f"app@{upstream.image}" in docker("image", "inspect", "app:1")
    docker("rmi", "app:1")
    gone(proxy)
    docker("pull", "app:1")
    # What is pushed to the very same address is pushed, and goes before the mirror's.
    docker("tag", "app:1", f"{cache.host}/own/app:1")
    docker("push", f"{cache.host}/own/app:1")
    assert cache.json("/v2/own/app/tags/list")["tags"] == ["1"]


@pytest.mark.sanitize
def test_builds(cache, proxy, tmp_path, busybox_tar):
    """cooper build, told of the cache as it is told of any mirror."""
    with Cooper(tmp_path / "other").serving() as address:
        source = Cooper(tmp_path / "source")
        source("image", "import", busybox_tar, "--name", "base:1")
        source("image", "copy", "store:base:1", f"docker://{address}/library/base:1")
        proxy.upstream = address
        (tmp_path / "ctx").mkdir()
        (tmp_path / "ctx" / "Dockerfile").write_text("FROM base:1\nCOPY Dockerfile /here\n")
        (tmp_path / "config.yaml").write_text(json.dumps({"registries": {"docker.io": {"mirrors": [f"{cache.host}/docker.io"]}}}))
        for home in ("one", "two"):
            cooper = Cooper(tmp_path / home)
            cooper("build", "./ctx", "--config", tmp_path / "config.yaml", "--tag", "made:1", "--pull", cwd=tmp_path)
            assert "here" in cooper.files("made:1")
            gone(proxy)
    assert asked(proxy, "GET .*/blobs/") == 2


# ---- rights ----


@contextlib.contextmanager
def closed(tmp_path, proxy, *options):
    """A cache that takes tokens: its address and what makes them."""
    config = tmp_path / "closed.yaml"
    config.write_text(json.dumps({"registry": {"cache": [{"upstream": proxy.host, "prefix": "hub", "default": True}]}}))
    cooper = Cooper(tmp_path / "closed")
    make_token(cooper, "me", "--scope", "admin")
    with cooper.serving("--config", config, *options) as address:
        yield address, cooper


def test_who_may_read_may_have_it_fetched(tmp_path, proxy, upstream):
    paths = [f"/v2/hub/{NAME}/manifests/1", f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/manifests/1?ns={proxy.host}"]
    with closed(tmp_path, proxy) as (address, cooper):
        for path in paths:
            answer = ask(address, "GET", path)
            # Clients are to ask for what it is here.
            assert answer.status == 401 and f'repository:hub/{NAME}:pull"' in answer.getheader("WWW-Authenticate")
        other = make_token(cooper, "other", "--scope", "pull", "--repository", "library/*")
        hub = make_token(cooper, "hub", "--scope", "pull", "--repository", "hub/library/*")
        push = make_token(cooper, "push", "--scope", "push", "--repository", "hub/*")
        for path in paths:
            assert ask(address, "GET", path, basic(other)).status == 403
            assert not asked(proxy)
        for path in paths:
            assert ask(address, "GET", path, basic(hub)).status == 200
        assert ask(address, "PUT", paths[0], basic(push), b"{}").status == 403
        assert ask(address, "DELETE", paths[0], basic(push)).status == 403


def test_everybody_may_read(tmp_path, proxy, upstream):
    with closed(tmp_path, proxy, "--anonymous-pull") as (address, _):
        env = {**os.environ, "HOME": str(tmp_path)}
        run("skopeo", "copy", "--src-tls-verify=false", f"docker://{address}/hub/{NAME}:1", f"oci:{tmp_path}/got:v1", env=env)
        assert layout_digest(tmp_path / "got") == upstream.image
        assert ask(address, "PUT", f"/v2/hub/{NAME}/manifests/1", body=b"{}").status == 401


def test_upstream_that_wants_credentials(tmp_path, closed_registry):
    """They are the machine's, and are looked for again when they were refused."""
    for user in ("dev:s3cret",):
        layout = make_layout(tmp_path / "layout", [b"x"]) and tmp_path / "layout"
        run("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", user, f"oci:{layout}:v1", f"docker://{closed_registry}/lab/app:1")
    auth = tmp_path / "auth.json"
    settings = {"credentials": str(auth), "registry": {"cache": [{"upstream": closed_registry, "prefix": "lab"}]}}
    server = rs.Server(tmp_path / "store", json.dumps(settings)).start()
    try:
        answer = server.request("GET", "/v2/lab/lab/app/manifests/1")
        assert answer.status == 403 and f"cooper login {closed_registry}" in answer.body.decode()
        assert "auth.json" not in answer.body.decode()
        cooper = Cooper(tmp_path / "store")
        cooper("login", closed_registry, "--username", "dev", "--password-stdin", "--config", server.home + ".yaml", input="s3cret")
        assert server.request("GET", "/v2/lab/lab/app/manifests/1").status == 200
    finally:
        server.stop()


def test_upstream_with_tokens(tmp_path):
    """As most are: the words of its token address are what clients are told of."""
    origin = Cooper(tmp_path / "origin")
    admin = make_token(origin, "me", "--scope", "admin")
    pull = make_token(origin, "pull", "--scope", "pull", "--repository", "lab/*")
    make_layout(tmp_path / "layout", [b"x"])
    with origin.serving() as address:
        run("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", f"me:{admin}", f"oci:{tmp_path}/layout:v1", f"docker://{address}/lab/app:1")
        settings = {"credentials": str(tmp_path / "auth.json"), "registry": {"cache": [{"upstream": address, "prefix": "up"}]}}
        server = rs.Server(tmp_path / "store", json.dumps(settings)).start()
        try:
            answer = server.request("GET", "/v2/up/lab/app/manifests/1")
            assert answer.status == 403 and f"cooper login {address}" in answer.body.decode(), answer.body
            (tmp_path / "auth.json").write_text(json.dumps({"auths": {address: {"auth": basic("wrong")["Authorization"].split()[1]}}}))
            assert server.request("GET", "/v2/up/lab/app/manifests/1").status == 403
            (tmp_path / "auth.json").write_text(json.dumps({"auths": {address: {"auth": basic(pull)["Authorization"].split()[1]}}}))
            assert server.request("GET", "/v2/up/lab/app/manifests/1").status == 200
            assert server.request("GET", "/v2/up/other/app/manifests/1").status == 403
        finally:
            server.stop()


@pytest.mark.parametrize("http2", [True, False])
def test_upstream_over_tls(tmp_path, upstream, http2):
    """Its certificate by the settings of registries; several downloads, which share a connection where there is HTTP/2."""
    authority = Authority(tmp_path / "ca")
    blobs = [os.urandom(2_000_000) for _ in range(6)]
    for data in blobs:
        upstream.push_blob("tls/app", data)
    with tls_front(tmp_path / "front", upstream.host, authority.issue("server"), http2=http2) as front:
        settings = {"registry": {"cache": [{"upstream": front.host, "prefix": "tls"}]}, "registries": {front.host: {"ca": str(authority.ca)}}}
        server = rs.Server(tmp_path / "store", json.dumps(settings)).start()
        try:
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                paths = [f"/v2/tls/tls/app/blobs/{rs.digest(data)}" for data in blobs]
                answers = list(pool.map(lambda path: server.request("GET", path).body, paths * 2))
            assert answers == blobs * 2
        finally:
            server.stop()
        got = [r for r in front.requests() if r["method"] == "GET" and "/blobs/" in r["path"]]
        assert len(got) == len(blobs) and {r["protocol"] for r in got} == {"HTTP/2.0" if http2 else "HTTP/1.1"}


def test_slow_readers_hold_nobody_up(cache, proxy, upstream):
    """One that does not read what it asked for, beside one that does."""
    manifest = cache.json(f"/v2/docker.io/{NAME}/manifests/1")
    path = f"/v2/docker.io/{NAME}/blobs/{manifest['layers'][1]['digest']}"
    idle = http.client.HTTPConnection("127.0.0.1", cache.port)
    idle.request("GET", path)
    answer = cache.request("GET", path)
    assert rs.digest(answer.body) == manifest["layers"][1]["digest"]
    assert rs.digest(idle.getresponse().read()) == manifest["layers"][1]["digest"]
    idle.close()
