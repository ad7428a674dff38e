# SPDX-License-Identifier: Apache-2.0
"""What the server takes while 200 clients pull one large blob at once; COOPER_ENDURANCE=1: of 500 MB, else of 20 MB."""

import os
import socket
import threading
import time

import pytest

import registry_server as rs

WHOLE = os.environ.get("COOPER_ENDURANCE") == "1"
SIZE = 500_000_000 if WHOLE else 20_000_000
PULLS = 200
LIMIT_KB = 64 * 1024

pytestmark = [
    pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only"),
    pytest.mark.slow,
]


def peak_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))


def pull(server, path, times, barrier, results):
    """Bytes are thrown away where they arrive (MSG_TRUNC), so that the clients do not take the machine."""
    got = []
    with socket.create_connection(("127.0.0.1", server.port), 600) as s:
        barrier.wait()
        for _ in range(times):
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                more = s.recv(4096)
                assert more, head
                head += more
            head, _, rest = head.partition(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            assert head.startswith(b"HTTP/1.1 200") and length == SIZE, head
            have = len(rest)
            buffer = bytearray(1 << 20)
            while have < length:
                n = s.recv_into(buffer, min(len(buffer), length - have), socket.MSG_TRUNC)
                assert n, have
                have += n
            got.append(have)
    results.append(sum(got))


def test_memory_of_many_pulls(tmp_path, capsys):
    server = rs.Server(tmp_path / "store", "registry: {scrub: off}").start()
    try:
        block = os.urandom(1 << 20)
        data = (block * (SIZE // len(block) + 1))[:SIZE]
        path = f"/v2/big/blobs/{server.push_blob('big', data)}"
        del data
        after_push = peak_kb(server.process.pid)
        # Several requests on a connection: what is kept between them counts, too.
        times = 1 if WHOLE else 3
        barrier, results, started = threading.Barrier(PULLS), [], time.monotonic()
        threads = [threading.Thread(target=pull, args=(server, path, times, barrier, results)) for _ in range(PULLS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        seconds = time.monotonic() - started
        peak = peak_kb(server.process.pid)
        with capsys.disabled():
            print(f"\n{PULLS} pulls at once of {SIZE} bytes, {times} each: VmHWM {after_push} kB after the push, {peak} kB in all; "
                  f"{sum(results) / seconds / 1e6:.0f} MB/s")
        assert results == [SIZE * times] * PULLS
        assert peak <= LIMIT_KB, peak
    finally:
        server.stop()
