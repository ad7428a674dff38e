# SPDX-License-Identifier: Apache-2.0
"""
The registry as a cache: upstreams and mirrors that say untrue things of sizes, content of others that comes while a download waits, readers
whose download begins again.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import subprocess
import threading

import pytest

import fault_proxy as fp
import registry_server as rs
from cache_lab import BLOB, LAYER, NAME, asked, blob_path, getting, held, mirrored_cache, until, values
from cache_lab import proxy, serve, upstream  # noqa: F401, fixtures
from conftest import BIN
from registry_server import cooper, digest

pytestmark = pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only")


def says_total(total):
    """The rest of the blob, of which the registry says that it has another size."""

    def edit(answer, _):
        if answer.status == 206:
            said = dict(answer.headers)["Content-Range"]
            answer.set("Content-Range", f"{said.partition('/')[0]}/{total}")

    return fp.change(edit)


@pytest.mark.parametrize("total", [1 << 19, (1 << 20) + 7])
def test_untrue_size_of_the_whole(serve, proxy, total):
    """Right bytes under a wrong size are no answer that looks whole."""
    server = serve()
    with open(f"{server.home}/partial/pull-{digest(LAYER)}", "wb") as f:
        f.write(LAYER[: 1 << 20])
    proxy.fault("GET", BLOB, says_total(total), times=1)
    with contextlib.suppress(http.client.HTTPException), getting(server, blob_path()) as answer:
        body = answer.read()
        assert answer.status == 502 or body == LAYER, (answer.status, len(body))
    until(lambda: server.request("GET", blob_path()).body == LAYER)
    assert server.request("HEAD", blob_path()).getheader("Content-Length") == str(len(LAYER))
    cooper(server, "store", "verify")


@pytest.mark.parametrize("said", [5 << 20, len(LAYER) + 1])
def test_a_mirror_that_says_an_untrue_size(tmp_path, upstream, proxy, said):
    """The next place is asked, which may have another size."""
    with mirrored_cache(tmp_path, upstream, proxy) as (server, mirror):

        def lie(h):
            del h.headers["Range"]
            answer = h.forward()
            h.send_head(answer, said)
            h.wfile.write(answer.body[: 2 << 20])
            h.close_connection = True

        mirror.fault("GET", BLOB, lie, times=-1)
        with contextlib.suppress(http.client.HTTPException), getting(server, blob_path()) as answer:
            assert answer.read() == LAYER
        # Who was told the wrong size is cut; the download goes on.
        until(lambda: values(server)['cooper_cache_downloads{upstream="%s"}' % proxy.host] == 0)
        assert server.request("GET", blob_path()).body == LAYER
        assert asked(proxy, f"GET .*{BLOB}") == 1
        cooper(server, "store", "verify")


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


def test_it_begins_again_before_a_reader_has_any(serve, proxy):
    """Who asked for a range that has not come yet does not see it."""
    server = serve()

    def cut(h):
        answer = h.forward()
        h.send_head(answer)
        h.wfile.write(answer.body[: 1 << 20])
        h.close_connection = True

    def ignores_range(h):
        del h.headers["Range"]
        h.send_answer(h.forward())

    proxy.fault("GET", BLOB, cut, times=1)
    proxy.fault("GET", BLOB, ignores_range, times=1)
    answer = server.request("GET", blob_path(), headers={"Range": f"bytes={3 << 20}-"})
    assert answer.status == 206 and answer.body == LAYER[3 << 20 :]
    assert asked(proxy, f"GET .*{BLOB}") == 2


def test_caches_of_each_other(tmp_path):
    """What neither has is not asked for in a circle."""
    ports = [rs.Server(tmp_path / name).start() for name in ("a", "b")]
    for server in ports:
        server.stop()
    running = []
    try:
        for own, other in (ports, reversed(ports)):
            cache = [{"upstream": other.host, "prefix": "x", "default": True, "timeout": "20s"}]
            (tmp_path / f"{own.port}.yaml").write_text(json.dumps({"registry": {"cache": cache}}))
            command = [BIN, "serve", "--listen", own.host, "--config", str(tmp_path / f"{own.port}.yaml")]
            running.append(subprocess.Popen(command, env={**os.environ, "COOPER_HOME": own.home}, stdout=subprocess.PIPE, text=True))
            assert "listening" in running[-1].stdout.readline()
        one = ports[0]
        for path in ("manifests/1", f"manifests/{digest(b'1')}", f"blobs/{digest(b'1')}", "tags/list", f"referrers/{digest(b'1')}"):
            for name in ("x/app", "app"):
                for method in ("HEAD", "GET"):
                    answer = one.request(method, f"/v2/{name}/{path}")
                    assert answer.status == 404, (method, name, path, answer.status, answer.body)
        now = values(one)
        assert now['cooper_cache_errors_total{upstream="%s",error="timeout"}' % ports[1].host] == 0
        assert now['cooper_cache_errors_total{upstream="%s",error="own"}' % ports[1].host] == 0
        # What one of them has the other one gets.
        blob = ports[1].push_blob("app", b"there")
        assert one.request("GET", f"/v2/x/app/blobs/{blob}").body == b"there"
    finally:
        for process in running:
            process.terminate()
            assert process.wait(60) == 0
