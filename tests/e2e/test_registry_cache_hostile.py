# SPDX-License-Identifier: Apache-2.0
"""
The registry as a cache: upstreams and mirrors that say untrue things of sizes, content of others that comes while a download waits, readers
whose download begins again.
"""

import concurrent.futures
import http.client
import os
import random
import threading

import pytest

import fault_proxy as fp
import registry_server as rs
from cache_lab import BLOB, NAME, asked, blob_path, held, until
from cache_lab import proxy, serve, upstream  # noqa: F401, fixtures
from registry_server import digest

pytestmark = pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only")


def test_pushed_while_it_waits_for_its_turn(serve, upstream, proxy):
    """What the store came to have for others meanwhile is the upstream's only if the upstream says so."""
    server, go_on = serve(), threading.Event()
    blobs = [random.Random(70 + i).randbytes(2 << 20) for i in range(8)]
    for b in blobs:
        upstream.push_blob(NAME, b)
    proxy.fault("GET", BLOB, held(1 << 20, go_on), times=8)
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        try:
            running = [pool.submit(server.request, "GET", blob_path(b)) for b in blobs]
            until(lambda: asked(proxy, f"GET .*{BLOB}") == 8)
            threads = len(os.listdir(f"/proc/{server.process.pid}/task"))
            secret = b"nobody else's"
            waiting = pool.submit(server.request, "GET", blob_path(secret))
            until(lambda: len(os.listdir(f"/proc/{server.process.pid}/task")) >= threads + 2)
            server.push_blob("private/app", secret)
        finally:
            go_on.set()
        answer = waiting.result()
        assert answer.status == 404, answer.body
        assert all(r.result().status == 200 for r in running)
    assert server.request("GET", blob_path(secret)).status == 404
    assert server.request("GET", blob_path(secret, "private/app")).body == secret
