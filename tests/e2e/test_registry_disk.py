# SPDX-License-Identifier: Apache-2.0
"""What the registry asks of the disk before and while it answers, as strace sees it: no kill of a process shows what a loss of power would."""

import contextlib
import os
import re
import signal
import subprocess

import pytest

import registry_server as rs
from registry_server import OCI_CONFIG, OCI_LAYER, digest, with_query

CALLS = "fsync,fdatasync,read,pread64,readv,preadv,mmap,copy_file_range,sendfile,sendto,sendmsg,write,writev,pwrite64,linkat,renameat,mkdirat"
READS = "p?read.*|mmap|copy_file_range"
SIZE = 3 << 20


@pytest.fixture
def server(tmp_path):
    server = rs.Server(tmp_path / "store", "registry: {gc: off, scrub: off}").start()
    yield server
    server.stop()


class Trace:
    """calls: (name, what its first argument is, the rest) in the order in which they ended."""

    def __init__(self, text):
        self.calls, begun = [], {}
        for line in text.splitlines():
            thread, rest = line.split(maxsplit=1)
            if rest.endswith("<unfinished ...>"):
                begun[thread] = rest.removesuffix("<unfinished ...>")
                continue
            if resumed := re.match(r"<\.\.\. \w+ resumed>", rest):
                rest = begun.pop(thread) + rest[resumed.end() :]
            self.add(rest)
        # The answer may be here before strace saw the end of the call that sent it.
        for rest in begun.values():
            self.add(rest)

    def add(self, text):
        if call := re.match(r"(\w+)\((?:\d+<(.*?)>)?(.*)", text):
            self.calls.append(call.groups(default=""))

    def find(self, name, on="", rest="", before=None):
        """Places of such calls, by regular expressions."""
        return [i for i, (n, o, r) in enumerate(self.calls[:before]) if re.fullmatch(name, n) and re.search(on, o) and re.search(rest, r)]


@pytest.fixture
def traced(server, tmp_path):
    @contextlib.contextmanager
    def run():
        out = tmp_path / "trace"
        strace = subprocess.Popen(["strace", "-f", "-y", "-s", "96", "-e", f"trace={CALLS}", "-o", out, "-p", str(server.process.pid)], stderr=subprocess.PIPE, text=True)
        said = strace.stderr.readline()
        if "Operation not permitted" in said:
            strace.wait(20)
            pytest.skip("processes may not be traced here: " + said.strip())
        assert "attached" in said, said
        trace = Trace("")
        try:
            yield trace
        finally:
            strace.send_signal(signal.SIGINT)
            strace.communicate(timeout=20)
        trace.calls = Trace(out.read_text()).calls

    return run


def within(server, folders):
    return f"^{re.escape(server.home)}/({folders})/"


def assert_durable(server, trace, name):
    """Bytes, their name, its folder and the record of it are on the disk before the answer is: each synced after it was written."""
    (answer,) = trace.find("sendto|sendmsg", "socket", "HTTP/1.1 201")
    hex_ = name.split(":")[1]
    folder = f"blobs/sha256/{hex_[:2]}"
    new, wal = within(server, "tmp|partial"), "/cooper.db-wal$"

    def place(which, *what):
        return (trace.find(*what, before=answer) or [answer])[which]  # never: not before the answer

    synced, named = place(0, "fsync|fdatasync", new), place(-1, "linkat|renameat", "", f'"{folder}/{hex_}".* = 0$')
    steps = [
        (place(-1, "p?write.*", new), synced),
        (synced, named),
        (named, place(-1, "fsync", f"/{folder}$")),
        (place(-1, "p?write.*", wal), place(-1, "fsync|fdatasync", wal)),
        *((made, place(-1, "fsync", "/blobs/sha256$")) for made in trace.find("mkdirat", "", f'"{folder}"')),
    ]
    assert all(first < then < answer for first, then in steps), (steps, answer, trace.calls)


@pytest.mark.parametrize("data", [b"small", b"large" * (SIZE // 5)], ids=["small", "large"])
def test_a_blob_in_one_request_is_on_disk(server, traced, data):
    name = digest(data)
    with traced() as trace:
        assert server.request("POST", f"/v2/r/blobs/uploads/?digest={name}", data).status == 201
    assert_durable(server, trace, name)
    assert trace.find(READS, within(server, "tmp|partial|blobs")) == []


@pytest.mark.parametrize("data", [b"small", b"large" * (SIZE // 5)], ids=["small", "large"])
def test_a_blob_of_an_upload_is_on_disk(server, traced, data):
    name, location = digest(data), server.start_upload("r")
    with traced() as trace:
        assert server.request("PUT", with_query(location, digest=name), data).status == 201
    assert_durable(server, trace, name)


def test_a_blob_that_was_here_before_is_on_disk(server, traced):
    """A file without a record, as a crash leaves it: nothing says that its bytes were ever synced."""
    data = os.urandom(1000)
    name = digest(data)
    left = os.path.join(server.home, "blobs", "sha256", name[7:9], name[7:])
    os.makedirs(os.path.dirname(left), exist_ok=True)
    with open(left, "wb") as f:
        f.write(b"\0" * len(data))
    with traced() as trace:
        assert server.request("POST", f"/v2/r/blobs/uploads/?digest={name}", data).status == 201
    assert_durable(server, trace, name)
    assert server.request("GET", f"/v2/r/blobs/{name}").body == data


def test_a_blob_in_pieces_is_on_disk_and_read_once(server, traced):
    """Hashed as it came, in requests of several connections: nothing of it is read again."""
    data = os.urandom(SIZE)
    location = server.start_upload("r")
    with traced() as trace:
        for half in (data[: SIZE // 2], data[SIZE // 2 :]):
            assert server.request("PATCH", location, half).status == 202
        assert server.request("PUT", with_query(location, digest=digest(data))).status == 201
    assert_durable(server, trace, digest(data))
    assert trace.find(READS, within(server, "tmp|partial|blobs")) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_in_one_request_is_read_once(server, traced, algorithm):
    data = os.urandom(SIZE)
    location = server.start_upload("r")
    with traced() as trace:
        assert server.request("PUT", with_query(location, digest=digest(data, algorithm)), data).status == 201
    assert trace.find("sendto|sendmsg", "socket", "HTTP/1.1 201")
    assert trace.find(READS, within(server, "tmp|partial|blobs")) == []


def test_a_manifest_is_on_disk(server, traced):
    config, layer = rs.encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}), b"layer"
    for data in (config, layer):
        server.push_blob("r", data)
    manifest = rs.encode(rs.image_manifest(rs.descriptor(config, OCI_CONFIG), [rs.descriptor(layer, OCI_LAYER)]))
    with traced() as trace:
        server.push_manifest("r", "v1", manifest)
    assert_durable(server, trace, digest(manifest))
    # The tag that moves, the same bytes: a record alone.
    with traced() as trace:
        server.push_manifest("r", "v2", manifest)
    (answer,) = trace.find("sendto|sendmsg", "socket", "HTTP/1.1 201")
    assert [at for at in trace.find("fsync|fdatasync", "/cooper.db-wal$") if at < answer]


def test_a_deletion_is_on_disk(server, traced):
    server.push_image("r", "v1")
    with traced() as trace:
        assert server.request("DELETE", "/v2/r/manifests/v1").status == 202
    (answer,) = trace.find("sendto|sendmsg", "socket", "HTTP/1.1 202")
    assert [at for at in trace.find("fsync|fdatasync", "/cooper.db-wal$") if at < answer]


def test_a_large_blob_is_sent_by_the_kernel(server, traced):
    data = os.urandom(SIZE)
    name = server.push_blob("r", data)
    with traced() as trace:
        assert server.request("GET", f"/v2/r/blobs/{name}").body == data
    assert trace.find("sendfile", "socket", "/blobs/sha256/") and trace.find(READS, within(server, "blobs")) == []


def test_what_is_asked_for_often_is_in_memory(server, traced):
    manifest = server.push_image("r", "v1", b"layer")
    paths = ("/v2/r/manifests/v1", f"/v2/r/manifests/{digest(manifest)}", f"/v2/r/blobs/{digest(b'layer')}")
    for path in paths:
        assert server.request("GET", path).status == 200
    with traced() as trace:
        for path in paths:
            assert server.request("GET", path).status == 200
    assert len(trace.find("sendto|sendmsg|writev", "socket", "HTTP/1.1 200")) == 3 and trace.find(".*", within(server, "blobs")) == []
