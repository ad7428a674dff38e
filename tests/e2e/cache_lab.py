# SPDX-License-Identifier: Apache-2.0
"""A registry that is a cache of another one, which is reached through a proxy that breaks things: for tests of caches."""

import contextlib
import json
import os
import random
import re
import subprocess
import time

import pytest

import fault_proxy as fp
import registry_server as rs
from conftest import BIN, running_docker_registry
from registry_server import digest

DAY = 86400
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
        monkeypatch.delenv("COOPER_FAKE_TIME", raising=False)
        if days_ago:
            monkeypatch.setenv("COOPER_FAKE_TIME", str(int(time.time()) - days_ago * DAY))
        one = {"upstream": proxy.host, "prefix": "hub", **{k.replace("_", "-"): v for k, v in settings.items()}}
        server = rs.Server(tmp_path / home, f"registry: {{cache: [{json.dumps(one)}]{more}}}").start()
        monkeypatch.delenv("COOPER_FAKE_TIME", raising=False)
        running.append(server)
        return server

    yield start
    for s in running:
        if s.process:
            s.stop()


def cooper(server, *args, code=0):
    done = subprocess.run(
        [BIN, *args, "--config", server.home + ".yaml"], env={**os.environ, "COOPER_HOME": server.home}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


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
