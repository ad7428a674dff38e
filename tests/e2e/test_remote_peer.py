# SPDX-License-Identifier: Apache-2.0
"""The registry client of the real binary: credentials, and pulls and pushes that are killed on the way."""

import contextlib
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import tarfile
import threading
import time

import pytest

from conftest import Cooper, free_port

LAYER = 24 << 20


class Proxy:
    """Passes bytes between a client and a server, no faster than it is told, and remembers the requests."""

    def __init__(self, host):
        self.target = (host.split(":")[0], int(host.split(":")[1]))
        self.rate = None  # bytes a second from the server, and from the client
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, sink, requests):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if requests:
                    self.requests += re.findall(rb"(?m)^(?:(?:GET|HEAD|PUT|POST|PATCH|DELETE) \S+ HTTP|[Rr]ange: \S+)", data)
                if self.rate:
                    time.sleep(len(data) / self.rate)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


@pytest.fixture
def proxy(docker_registry):
    p = Proxy(docker_registry)
    yield p
    p.close()


@pytest.fixture(scope="module")
def big_tar(tmp_path_factory):
    """A root file system whose layer does not compress."""
    path = tmp_path_factory.mktemp("big") / "big.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("random")
        info.size = LAYER
        tar.addfile(info, io.BytesIO(random.Random(1).randbytes(LAYER)))
    return path


@pytest.fixture
def big(bare, big_tar):
    bare("image", "import", big_tar, "--name", "big:1")
    return bare


def digest_of(cooper, image):
    return json.loads(cooper("image", "inspect", image).out)["digest"]


def kill_during(cooper, seconds, *args):
    proc = cooper.start(*args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        proc.wait(seconds)
    done = proc.poll() is not None
    proc.send_signal(signal.SIGKILL)
    proc.wait()
    return not done


@pytest.mark.slow
def test_killed_pull_goes_on(big, proxy, tmp_path):
    big("image", "copy", "store:big:1", f"docker://{proxy.host}/peer/big:1")
    puller = Cooper(tmp_path / "puller")
    copy = ["image", "copy", f"docker://{proxy.host}/peer/big:1", "store:big:1"]
    proxy.rate = 8 << 20
    killed = sum(kill_during(puller, seconds, *copy) for seconds in (1.0, 1.2, 1.4))
    assert killed >= 2
    proxy.rate = None
    puller(*copy)
    assert digest_of(puller, "big:1") == digest_of(big, "big:1")
    puller("store", "verify")
    ranges = [int(re.search(rb"bytes=(\d+)-", r).group(1)) for r in proxy.requests if r.lower().startswith(b"range:")]
    assert ranges and max(ranges) > 1 << 20, proxy.requests


@pytest.mark.slow
def test_killed_push_goes_on(big, proxy):
    copy = ["image", "copy", "store:big:1", f"docker://{proxy.host}/peer/big:1"]
    proxy.rate = 8 << 20
    killed = sum(kill_during(big, seconds, *copy) for seconds in (0.5, 1.0, 1.5))
    assert killed >= 2
    proxy.rate = None
    big(*copy)
    big("store", "verify")
    other = Cooper(str(big.home) + "-other")
    other("image", "copy", f"docker://{proxy.host}/peer/big:1", "store:big:1")
    assert digest_of(other, "big:1") == digest_of(big, "big:1")


def test_login(cooper, closed_registry, tmp_path):
    auth = tmp_path / "auth" / "auth.json"
    cooper.env = {**cooper.env, "REGISTRY_AUTH_FILE": str(auth)}
    target = f"docker://{closed_registry}/peer/bb:1"
    denied = cooper("image", "copy", "store:busybox:latest", target, code=1)
    assert f"cooper login {closed_registry}" in denied.err and str(auth) in denied.err, denied
    wrong = cooper("login", closed_registry, "-u", "dev", "--password-stdin", input="wrong\n", code=1)
    assert "refused" in wrong.err and "wrong" not in wrong.err, wrong
    assert not auth.exists()
    cooper("login", closed_registry, "-u", "dev", "--password-stdin", input="s3cret\n")
    assert os.stat(auth).st_mode & 0o777 == 0o600
    cooper("image", "copy", "store:busybox:latest", target)
    assert cooper("image", "copy", target, "store:back:1").out
    assert digest_of(cooper, "back:1") == digest_of(cooper, "busybox:latest")
    subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--authfile", auth, target], check=True, capture_output=True)
    cooper("logout", closed_registry)
    cooper("image", "copy", "store:busybox:latest", target, code=1)


def test_nothing_there(cooper):
    started = time.monotonic()
    gone = cooper("image", "copy", "store:busybox:latest", f"docker://127.0.0.1:{free_port()}/peer/bb:1", code=1)
    assert "onnect" in gone.err and time.monotonic() - started < 60, gone
