# SPDX-License-Identifier: Apache-2.0
"""A registry that is a cache of another one, which is reached through a proxy that breaks things: for tests of caches."""

import contextlib
import json
import random
import re
import time

import pytest

import fault_proxy as fp
import registry_server as rs
from conftest import running_docker_registry
from registry_server import digest

LAYER = random.Random(11).randbytes(6 << 20)
BLOB = r"/blobs/sha256:"
NAME = "library/app"


class Upstream(rs.Server):
    """A real registry somewhere, which pushes go to."""

    def __init__(self, host):
        super().__init__("unused")
        self.port = int(host.rpartition(":")[2])

    def push_blob(self, repo, data, algorithm="sha256"):
        location = re.sub(r"^http://[^/]*", "", self.start_upload(repo))
        assert self.request("PUT", rs.with_query(location, digest=digest(data)), data).status == 201
        return digest(data)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """Debian's docker-registry with library/app:1, an image of one large layer."""
    with running_docker_registry(tmp_path_factory.mktemp("upstream") / "r") as address:
        server = Upstream(address)
        server.manifest = server.push_image(NAME, "1", LAYER)
        yield server


@pytest.fixture
def proxy(upstream):
    with fp.fault_proxy(upstream.host) as p:
        yield p


@pytest.fixture
def serve(tmp_path, proxy, monkeypatch):
    """serve(cache settings..., more="...") starts a cache of the proxy below hub/; all are ended."""
    running = []

    def start(more="", home="store", days_ago=0, **settings):
        one = {"upstream": proxy.host, "prefix": "hub", **{k.replace("_", "-"): v for k, v in settings.items()}}
        with rs.days_ago(monkeypatch, days_ago):
            server = rs.Server(tmp_path / home, f"registry: {{cache: [{json.dumps(one)}]{more}}}").start()
        running.append(server)
        return server

    yield start
    for s in running:
        if s.process:
            s.stop()


@contextlib.contextmanager
def mirrored_cache(place, upstream, proxy):
    """A cache of the proxy, and a proxy that it has as a mirror of that: (server, mirror)."""
    with fp.fault_proxy(upstream.host) as mirror:
        settings = {
            "registry": {"cache": [{"upstream": proxy.host, "prefix": "hub"}]},
            "registries": {proxy.host: {"mirrors": [mirror.host]}},
        }
        server = rs.Server(place / "store", json.dumps(settings)).start()
        try:
            yield server, mirror
        finally:
            server.stop()


def blob_path(data=LAYER, repo=f"hub/{NAME}"):
    return f"/v2/{repo}/blobs/{digest(data)}"


def manifest_path(reference="1", repo=f"hub/{NAME}"):
    return f"/v2/{repo}/manifests/{reference}"


def log_has(server, pattern, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if re.search(pattern, "".join(server.log)):
            return True
        time.sleep(0.05)
    return False


def asked(proxy, pattern=""):
    """How many requests the upstream got whose "METHOD path" has the pattern."""
    with proxy.lock:
        return sum(bool(re.search(pattern, f"{method} {path}")) for method, path, _ in proxy.headers)


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def held(n, go_on):
    """The first n bytes of the body, and the rest when go_on is set."""

    def act(h):
        answer = h.forward()
        h.send_head(answer)
        h.wfile.write(answer.body[:n])
        h.wfile.flush()
        go_on.wait(60)
        h.wfile.write(answer.body[n:])

    return act


@contextlib.contextmanager
def getting(server, path, headers=None):
    connection = server.connect()
    try:
        connection.request("GET", path, headers=headers or {})
        yield connection.getresponse()
    finally:
        connection.close()


def values(server):
    lines = server.request("GET", "/metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
