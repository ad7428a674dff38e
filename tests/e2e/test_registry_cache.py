# SPDX-License-Identifier: Apache-2.0
"""
The registry as a cache of another one: what is fetched and when, who is asked, what is kept, who may what.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import re
import subprocess
import threading
import time

import pytest

import fault_proxy as fp
import registry_server as rs
from cache_lab import BLOB, LAYER, NAME, Upstream, asked, blob_path, getting, held, log_has, manifest_path, mirrored_cache, until, values
from cache_lab import proxy, serve, upstream  # noqa: F401, fixtures
from conftest import BIN
from registry_server import OCI_INDEX, OCI_MANIFEST, code, cooper, descriptor, digest, encode

pytestmark = pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only")


# ---- what is fetched, and when ----


@pytest.mark.sanitize
def test_what_is_fetched_and_when(serve, upstream, proxy):
    server = serve()
    assert log_has(server, f"caching {proxy.host} as hub/")
    for _ in range(2):
        answer = server.request("GET", manifest_path())
        assert (answer.status, answer.body) == (200, upstream.manifest)
        assert answer.getheader("Content-Type") == OCI_MANIFEST
        assert answer.getheader("Docker-Content-Digest") == digest(upstream.manifest)
        head = server.request("HEAD", manifest_path())
        assert head.status == 200 and head.getheader("Content-Length") == str(len(upstream.manifest))
    # By the digest that HEAD told, so that a limit on pulls counts one.
    assert asked(proxy, "HEAD .*/manifests/1$") == 1 and asked(proxy, "GET .*/manifests/") == 1
    assert asked(proxy, f"GET .*/manifests/{digest(upstream.manifest)}") == 1
    head = server.request("HEAD", blob_path())
    assert head.status == 200 and head.getheader("Content-Length") == str(len(LAYER))
    assert asked(proxy, f"GET .*{BLOB}") == 0
    for _ in range(2):
        answer = server.request("GET", blob_path())
        assert answer.status == 200 and answer.body == LAYER
        assert answer.getheader("Content-Length") == str(len(LAYER)) and answer.getheader("Docker-Content-Digest") == digest(LAYER)
    assert asked(proxy, f"GET .*{BLOB}") == 1
    assert server.json("/v2/_catalog")["repositories"] == [f"hub/{NAME}"]
    # All of it without anybody to ask, also after a restart.
    proxy.fault("GET|HEAD", "", fp.not_http(), times=-1)
    server.stop()
    server.start()
    assert server.request("GET", blob_path()).body == LAYER
    assert server.request("GET", manifest_path(digest(upstream.manifest))).body == upstream.manifest
    cooper(server, "store", "verify")


@pytest.mark.parametrize("case", ["kept", "no room", "no room, here for another repository"])
def test_what_the_client_has_already(serve, upstream, case):
    """304 has the headers of 200, whether it is here, comes for this very request, or is only looked for."""
    server = serve(more="" if case == "kept" else ", quotas: {hub: 1MB}")
    if "here" in case:
        server.push_blob("own", LAYER)
    for path, data in ((blob_path(), LAYER), (manifest_path(digest(upstream.manifest)), upstream.manifest)):
        for method in ("HEAD", "GET"):
            first = server.request(method, path, headers={"If-None-Match": f'"{digest(data)}"'})
            told = [first.getheader(h) for h in ("Content-Length", "Cache-Control", "ETag", "Docker-Content-Digest")]
            assert (first.status, *told) == (304, str(len(data)), "max-age=31536000, immutable", f'"{digest(data)}"', digest(data)), (method, path)
        rs.check_not_modified(server, path)
    rs.check_not_modified(server, manifest_path())


def test_a_tag_moves_and_goes(serve, upstream, proxy):
    server = serve(tag_ttl="off")
    one, two = upstream.push_image("moving/app", "t", b"one"), upstream.push_image("moving/app", "x", b"two")
    path = manifest_path("t", "hub/moving/app")
    assert server.request("GET", path).body == one
    upstream.push_manifest("moving/app", "t", two)
    assert server.request("GET", path).body == two
    assert server.request("GET", path).body == two
    assert asked(proxy, "GET .*/manifests/") == 2 and asked(proxy, "HEAD .*/manifests/t$") == 3
    # What the upstream says is not there is not there, but by its digest.
    proxy.fault("GET|HEAD", "/manifests/t", fp.status(404))
    answer = server.request("GET", path)
    assert answer.status == 404 and code(answer) == "MANIFEST_UNKNOWN"
    assert server.request("GET", path).status == 404 and asked(proxy, "/manifests/t$") == 4
    assert server.request("GET", manifest_path(digest(two), "hub/moving/app")).body == two
    # The name of a release is nothing that this registry would have to keep from moving.
    for tag in ("v1-74029e1",):
        upstream.push_manifest("moving/app", tag, one)
        assert server.request("GET", manifest_path(tag, "hub/moving/app")).body == one
        upstream.push_manifest("moving/app", tag, two)
        assert server.request("GET", manifest_path(tag, "hub/moving/app")).body == two


def test_index_with_some_of_its_children(serve, upstream, proxy):
    server = serve()
    child, other = upstream.push_image("multi/app", "a", b"amd64"), upstream.push_image("multi/app", "b", b"arm64")
    index = encode(rs.index_manifest([descriptor(child, OCI_MANIFEST), descriptor(other, OCI_MANIFEST)]))
    upstream.push_manifest("multi/app", "1", index, OCI_INDEX)
    answer = server.request("GET", manifest_path("1", "hub/multi/app"))
    assert answer.body == index and answer.getheader("Content-Type") == OCI_INDEX
    assert server.request("GET", manifest_path(digest(child), "hub/multi/app")).body == child
    assert server.request("GET", blob_path(b"amd64", "hub/multi/app")).body == b"amd64"
    cooper(server, "store", "gc")
    cooper(server, "store", "verify")
    assert asked(proxy, "GET .*/manifests/") == 2


# ---- while it comes ----


@pytest.mark.sanitize
def test_first_bytes_come_before_the_last_are_sent(serve, proxy):
    server, go_on = serve(), threading.Event()
    proxy.fault("GET", BLOB, held(4 << 20, go_on))
    with getting(server, blob_path()) as answer:
        assert answer.status == 200 and answer.getheader("Content-Length") == str(len(LAYER))
        start = answer.read(3 << 20)
        assert start == LAYER[: 3 << 20] and not go_on.is_set()
        go_on.set()
        assert start + answer.read() == LAYER


def test_many_clients_share_one_download(serve, proxy):
    server, go_on = serve(), threading.Event()
    proxy.fault("GET", BLOB, held(4 << 20, go_on))
    ready = threading.Barrier(21)

    def client(i):
        # Some are about parts of it.
        first = i * 100_000 if i % 2 else 0
        headers = {"Range": f"bytes={first}-"} if first else {}
        with getting(server, blob_path(), headers) as answer:
            start = answer.read(100)
            ready.wait(60)
            assert answer.status == (206 if first else 200)
            return start + answer.read() == LAYER[first:]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        each = [pool.submit(client, i) for i in range(20)]
        ready.wait(60)
        go_on.set()
        assert all(f.result() for f in each)
    assert asked(proxy, f"GET .*{BLOB}") == 1


def test_manifests_are_looked_up_once_for_all(serve, upstream, proxy):
    server = serve()
    proxy.fault("HEAD", "/manifests/", fp.slow(100))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: server.request("GET", manifest_path()).body, range(20)))
    assert answers == [upstream.manifest] * 20
    assert asked(proxy, "HEAD .*/manifests/") == 1 and asked(proxy, "GET .*/manifests/") == 1


def test_who_goes_away_ends_nothing(serve, proxy):
    server, go_on = serve(), threading.Event()
    proxy.fault("GET", BLOB, held(4 << 20, go_on))
    with getting(server, blob_path()) as staying:
        assert staying.read(100) == LAYER[:100]
        with getting(server, blob_path()) as leaving:
            leaving.read(100)
        go_on.set()
        assert staying.read() == LAYER[100:]
    # Nor when nobody is left.
    other = random.Random(5).randbytes(3 << 20)
    Upstream(proxy.upstream).push_blob(NAME, other)
    go_on.clear()
    proxy.fault("GET", BLOB, held(2 << 20, go_on))
    with getting(server, blob_path(other)) as leaving:
        leaving.read(100)
    go_on.set()
    until(lambda: values(server)['cooper_cache_downloads{upstream="%s"}' % proxy.host] == 0)
    before = asked(proxy, "/blobs/")
    assert server.request("GET", blob_path(other)).body == other
    assert asked(proxy, "/blobs/") == before


def test_one_blob_of_two_repositories(serve, upstream, proxy):
    """Who asks by the other one waits, and gets it when the upstream has it there, too."""
    upstream.push_image("twin/app", "1", LAYER)
    server, go_on = serve(), threading.Event()
    proxy.fault("GET", BLOB, held(4 << 20, go_on))
    with getting(server, blob_path()) as answer, concurrent.futures.ThreadPoolExecutor(2) as pool:
        answer.read(100)
        twin = pool.submit(server.request, "GET", blob_path(LAYER, "hub/twin/app"))
        none = pool.submit(server.request, "GET", blob_path(LAYER, "hub/none/app"))
        time.sleep(0.2)
        assert not twin.done() and not none.done()
        go_on.set()
        assert twin.result().body == LAYER and none.result().status == 404
    assert asked(proxy, f"GET .*{BLOB}") == 1 and asked(proxy, f"HEAD .*{BLOB}") == 2


def test_only_so_many_downloads_at_once(serve, upstream, proxy):
    blobs = [bytes([i]) * 1000 for i in range(12)]
    for data in blobs:
        upstream.push_blob(NAME, data)
    server, go_on = serve(), threading.Event()
    proxy.fault("GET", BLOB, held(500, go_on), times=-1)
    with contextlib.ExitStack() as gone, concurrent.futures.ThreadPoolExecutor(11) as pool:
        answers = [pool.submit(server.request, "GET", blob_path(data)) for data in blobs[:11]]
        until(lambda: asked(proxy, f"GET .*{BLOB}") == 8)
        leaving = gone.enter_context(contextlib.closing(server.connect()))
        leaving.request("GET", blob_path(blobs[11]))
        time.sleep(0.2)
        waiting = values(server)
        assert waiting['cooper_cache_downloads{upstream="%s"}' % proxy.host] == 8 and asked(proxy, f"GET .*{BLOB}") == 8
        go_on.set()
        assert [a.result().body for a in answers] == blobs[:11]


def test_blobs_elsewhere(serve, upstream, proxy):
    """Large registries send clients to a storage service."""
    server = serve()
    proxy.fault("GET|HEAD", BLOB, fp.redirect(f"http://localhost:{upstream.port}{{path}}"), times=-1)
    assert server.request("HEAD", blob_path()).getheader("Content-Length") == str(len(LAYER))
    assert server.request("GET", blob_path()).body == LAYER


def test_a_mirror_of_the_upstream_with_wrong_bytes(tmp_path, upstream, proxy):
    with mirrored_cache(tmp_path, upstream, proxy) as (server, mirror):
        mirror.fault("GET", BLOB, fp.wrong_byte(5_000_000), times=-1)
        # Some of it was sent before it was found out.
        with contextlib.suppress(http.client.HTTPException), getting(server, blob_path()) as answer:
            assert answer.read() == LAYER
        until(lambda: server.request("GET", blob_path()).body == LAYER)
        assert asked(mirror, f"GET .*{BLOB}") == 1 and asked(proxy, f"GET .*{BLOB}") == 1


def test_metrics(serve, proxy):
    server = serve()
    server.request("GET", blob_path())
    server.request("GET", blob_path())
    server.request("GET", manifest_path("nothing"))
    now = values(server)

    def of(name, **labels):
        return now["cooper_cache_%s{%s}" % (name, ",".join(f'{k}="{v}"' for k, v in {"upstream": proxy.host, **labels}.items()))]

    assert of("requests_total", result="miss") == 1 and of("requests_total", result="hit") == 1
    assert of("requests_total", result="failed") == 1 and of("errors_total", error="not_found") == 1
    assert of("upstream_bytes_total") == len(LAYER) and of("downloads") == 0


# ---- on disk ----


def test_killed_while_it_comes(serve, proxy):
    server, go_on = serve(), threading.Event()
    proxy.fault("GET", BLOB, held(4 << 20, go_on))
    with getting(server, blob_path()) as answer:
        answer.read(3 << 20)
        server.kill()
        go_on.set()
    cooper(server, "store", "gc")
    cooper(server, "store", "verify")
    server.start()
    assert server.request("GET", blob_path()).body == LAYER
    ranges = [h["Range"] for _, _, h in proxy.headers if "Range" in h]
    assert len(ranges) == 1 and int(ranges[0][6:-1]) >= (3 << 20) - 1
    cooper(server, "store", "verify")


@pytest.mark.slow
def test_killed_over_and_over(serve, proxy, upstream):
    """At any moment of pulls of several images: what is stored is sound, and what was begun goes on."""
    dice = random.Random(23)
    images = {}
    for i in range(6):
        layer = dice.randbytes(2 << 20)
        images[f"killed/app{i}"] = (upstream.push_image(f"killed/app{i}", "1", layer), layer)
    proxy.fault("GET", BLOB, fp.slow(20 << 20, piece=1 << 16), times=-1)
    server = serve(tag_ttl="1s")
    server.stop()

    def pull(repo):
        manifest, layer = images[repo]
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = server.request("GET", manifest_path("1", f"hub/{repo}"))
            assert answer.status == 200 and answer.body == manifest
            answer = server.request("GET", blob_path(layer, f"hub/{repo}"))
            assert answer.body == layer, (answer.status, answer.body[:500])

    for _ in range(12):
        server.start()
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            pulls = [pool.submit(pull, repo) for repo in images]
            time.sleep(dice.random() / 4)
            server.kill()
            for p in pulls:
                p.result()
        cooper(server, "store", "verify")
    server.start()
    for repo in images:
        pull(repo)
    proxy.fault("GET|HEAD", "", fp.not_http(), times=-1)
    for repo, (_, layer) in images.items():
        assert server.request("GET", blob_path(layer, f"hub/{repo}")).body == layer
    server.stop()
    cooper(server, "store", "gc")
    cooper(server, "store", "verify")


@pytest.mark.slow
def test_collected_while_it_comes(serve, proxy, upstream):
    """Collections and the scrub run all the time, and nobody who pulls sees any of it."""
    server = serve(more=", gc: 1s, grace: 1h, scrub: 4s", tag_ttl="off", keep="1s")
    dice, end = random.Random(29), time.monotonic() + 6
    layers = [dice.randbytes(1 << 20) for _ in range(8)]
    manifests = [upstream.push_image(f"gc/app{i}", "1", layer) for i, layer in enumerate(layers)]
    proxy.fault("GET", BLOB, fp.slow(4 << 20, piece=1 << 16), times=-1)

    def pull(i):
        rounds = 0
        while time.monotonic() < end or not rounds:
            repo = f"hub/gc/app{i}"
            assert server.request("GET", manifest_path("1", repo)).body == manifests[i]
            assert server.request("GET", blob_path(layers[i], repo)).body == layers[i]
            server.request("DELETE", manifest_path(digest(manifests[i]), repo))
            server.request("DELETE", blob_path(layers[i], repo))
            rounds += 1
        return rounds

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(pull, range(8)))
    server.stop()
    cooper(server, "store", "gc")
    cooper(server, "store", "verify")


def test_stops_while_it_comes(serve, proxy):
    server, go_on = serve(), threading.Event()
    proxy.fault("GET", BLOB, held(4 << 20, go_on))
    with getting(server, blob_path()) as answer:
        answer.read(3 << 20)
        threading.Timer(1, go_on.set).start()
        server.process.terminate()
        # There is time for what is nearly done.
        assert len(answer.read()) == len(LAYER) - (3 << 20)
    assert server.process.wait(60) == 0
    server.process = None


def test_what_an_earlier_process_left_is_wrong(serve, proxy):
    """It is gone on with, and found out: nobody gets it whole, and the next one gets the blob."""
    server = serve()
    with open(f"{server.home}/partial/pull-{digest(LAYER)}", "wb") as f:
        f.write(b"x" * (1 << 20))
    with contextlib.suppress(http.client.HTTPException), getting(server, blob_path()) as answer:
        assert answer.read() == LAYER
    until(lambda: server.request("GET", blob_path()).body == LAYER)
    assert [h["Range"] for _, _, h in proxy.headers if "Range" in h] == [f"bytes={(1 << 20) - 1}-"]
    cooper(server, "store", "verify")


def test_all_of_it_is_there_but_its_end(serve, proxy):
    """Killed before it was given its name: docker-registry must not be asked for what comes after the end."""
    server = serve()
    with open(f"{server.home}/partial/pull-{digest(LAYER)}", "wb") as f:
        f.write(LAYER)
    assert server.request("GET", blob_path()).body == LAYER
    assert [h["Range"] for _, _, h in proxy.headers if "Range" in h] == [f"bytes={len(LAYER) - 1}-"]


@pytest.mark.slow
def test_stops_though_nobody_answers(serve, proxy):
    server, silent = serve(timeout="1h"), threading.Event()
    proxy.fault("GET|HEAD", "", lambda h: silent.wait(90), times=-1)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        paths = [manifest_path(), manifest_path(), blob_path()]
        answers = [pool.submit(server.request, "GET", path) for path in paths]
        until(lambda: asked(proxy) >= 1)
        server.process.terminate()
        assert server.process.wait(60) == 0
        server.process = None
        for a in answers:
            with contextlib.suppress(OSError, http.client.HTTPException):
                assert a.result().status == 503
        silent.set()


def test_what_nobody_asks_for_goes(serve, upstream, proxy):
    server = serve(keep="5d", days_ago=8, more=", grace: 1d")
    kept = server.push_image("own/app", "1", b"own")
    for tag in ("old", "used"):
        upstream.push_image("ages/app", tag, tag.encode())
        server.request("GET", manifest_path(tag, "hub/ages/app"))
        server.request("GET", blob_path(tag.encode(), "hub/ages/app"))
    server.stop()
    server = serve(keep="5d", days_ago=4, more=", grace: 1d")
    assert server.request("GET", manifest_path("used", "hub/ages/app")).status == 200
    server.stop()
    told = cooper(server, "store", "gc", "--dry-run")
    assert re.search(r"hub/ages/app:old: a copy from .* that was asked for last 8d ago; such are kept for 5d", told), told
    assert "hub/ages/app:used" not in told and "own/app" not in told
    cooper(server, "store", "gc")
    proxy.fault("GET|HEAD", "", fp.not_http(), times=-1)
    server = serve(keep="5d", more=", grace: 1d, gc: 1s")
    assert server.request("GET", blob_path(b"used", "hub/ages/app")).body == b"used"
    assert server.request("GET", manifest_path("old", "hub/ages/app")).status == 502
    assert server.request("GET", blob_path(b"old", "hub/ages/app")).status == 502
    assert server.request("GET", "/v2/own/app/manifests/1").body == kept


def test_what_was_asked_for_longest_ago_goes(serve, upstream, proxy):
    """With a size: a layer that all share counts once, and what is no copy does not count."""
    shared, own = os.urandom(400_000), {tag: os.urandom(250_000) for tag in "abc"}
    for tag, layer in own.items():
        config = encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "tag": tag})
        for data in (config, layer, shared):
            upstream.push_blob("room/app", data)
        layers = [descriptor(data, rs.OCI_LAYER) for data in (layer, shared)]
        upstream.push_manifest("room/app", tag, encode(rs.image_manifest(descriptor(config, rs.OCI_CONFIG), layers)))
    # "b" is asked for again.
    for days, tag in ((9, "a"), (8, "b"), (7, "c"), (6, "b")):
        server = serve(keep="forever", days_ago=days, more=", grace: 1d, gc: off", size="1MB")
        server.push_blob("own/app", os.urandom(900_000))
        assert server.request("GET", manifest_path(tag, "hub/room/app")).status == 200
        for data in (own[tag], shared):
            assert server.request("GET", blob_path(data, "hub/room/app")).body == data
        server.stop()
    told = cooper(server, "store", "gc", "--dry-run")
    assert re.search(r"hub/room/app:a: a copy from .* that was asked for last 9d ago; later ones take all of 1.0 MB", told), told
    assert not re.search("room/app:[bc]", told)
    cooper(server, "store", "gc")
    assert "room/app" not in cooper(server, "store", "gc", "--dry-run")
    proxy.fault("GET|HEAD", "", fp.not_http(), times=-1)
    server = serve(keep="forever", more=", grace: 1d, gc: off", size="1MB")
    for tag in "bc":
        assert server.request("GET", manifest_path(tag, "hub/room/app")).status == 200
        assert server.request("GET", blob_path(own[tag], "hub/room/app")).body == own[tag]
    assert server.request("GET", blob_path(shared, "hub/room/app")).body == shared
    assert server.request("GET", blob_path(own["a"], "hub/room/app")).status == 502


def test_kept_for_ever(serve, upstream):
    server = serve(keep="forever", days_ago=900)
    server.request("GET", manifest_path())
    server.stop()
    assert "nothing to free" in cooper(server, "store", "gc", "--dry-run")


def test_quota(serve, upstream):
    """What there is no room for is passed on and not kept."""
    server = serve(more=', quotas: {hub: 1MB}, grace: 1s')
    for _ in range(2):
        assert server.request("GET", manifest_path()).body == upstream.manifest
        assert server.request("GET", blob_path()).body == LAYER
    assert server.request("HEAD", blob_path()).getheader("Content-Length") == str(len(LAYER))
    server.stop()
    cooper(server, "store", "gc")
    assert not os.path.exists(f"{server.home}/blobs/sha256/{digest(LAYER)[7:9]}/{digest(LAYER)[7:]}")


# ---- who may what ----


def test_nothing_is_pushed_to_a_copy(serve, upstream):
    server = serve()
    assert server.request("GET", manifest_path()).status == 200
    assert server.request("GET", blob_path()).status == 200
    for method, path in (
        ("PUT", manifest_path("2")),
        ("PUT", manifest_path(digest(upstream.manifest))),
        ("POST", f"/v2/hub/{NAME}/blobs/uploads/"),
        ("POST", f"/v2/hub/{NAME}/blobs/uploads/?digest={digest(b'x')}"),
        ("POST", f"/v2/hub/other/blobs/uploads/?mount={digest(LAYER)}&from=hub/{NAME}"),
        ("PATCH", f"/v2/hub/{NAME}/blobs/uploads/1234"),
    ):
        answer = server.request(method, path, b"x")
        assert answer.status == 403 and code(answer) == "DENIED" and "is a cache of" in answer.body.decode(), (method, path, answer.body)
    # From it to elsewhere is fine, and so is deleting.
    assert server.request("POST", f"/v2/own/app/blobs/uploads/?mount={digest(LAYER)}&from=hub/{NAME}").status == 201
    assert server.request("DELETE", manifest_path("1")).status == 202
    assert server.request("DELETE", manifest_path(digest(upstream.manifest))).status == 202
    assert server.request("DELETE", blob_path()).status == 202
    assert server.request("GET", manifest_path()).status == 200


def test_what_the_store_has_is_the_upstreams_to_give(serve, upstream, proxy):
    """Bytes that are here for somebody else are no way around who may read them."""
    server = serve()
    secret = b"for some eyes"
    manifest = server.push_image("private/app", "1", secret)
    for path in (blob_path(secret), manifest_path(digest(manifest))):
        assert server.request("GET", path).status == 404
        assert server.request("HEAD", path).status == 404
    # And what the upstream has need not come once more.
    server.push_image("public/app", "1", b"for all")
    upstream.push_image(NAME, "same", b"for all")
    assert server.request("GET", blob_path(b"for all")).body == b"for all"
    assert asked(proxy, f"GET .*/blobs/{digest(b'for all')}") == 0
    assert asked(proxy, f"HEAD .*/blobs/{digest(b'for all')}") == 1


def test_only_some_repositories(serve, upstream, proxy):
    server = serve(repositories=["library/*"])
    upstream.push_image("other/app", "1", b"x")
    assert server.request("GET", manifest_path()).status == 200
    before = asked(proxy)
    answer = server.request("GET", manifest_path("1", "hub/other/app"))
    assert answer.status == 403 and code(answer) == "DENIED" and "may fetch" in answer.body.decode()
    assert asked(proxy) == before


def test_namespaces(serve, upstream, proxy):
    server = serve()
    for path in (f"/v2/{NAME}/manifests/1", f"/v2/hub/{NAME}/manifests/1"):
        answer = server.request("GET", f"{path}?ns={proxy.host}")
        assert answer.body == upstream.manifest and answer.getheader("OCI-Namespace") == proxy.host
    assert server.request("GET", f"/v2/{NAME}/blobs/{digest(LAYER)}?ns={proxy.host}").body == LAYER
    before = asked(proxy)
    own = server.push_image(NAME, "1", b"own")
    for ns in ("quay.io", upstream.host, "127.0.0.1:1", "../x", "a" * 5000, "%00", "docker.io/"):
        answer = server.request("GET", f"/v2/{NAME}/manifests/1?ns={ns}")
        assert answer.status == (400 if ns == "%00" else 404), (ns, answer.status, answer.body)
        assert answer.getheader("OCI-Namespace") is None
    assert asked(proxy) == before
    assert server.request("GET", f"/v2/{NAME}/manifests/1").body == own


def test_names_that_are_not_here(serve, upstream, proxy):
    server = serve(default=True)
    own = server.push_image("own/app", "1", b"own")
    assert server.request("GET", f"/v2/{NAME}/manifests/1").body == upstream.manifest
    assert server.request("GET", "/v2/own/app/manifests/1").body == own
    assert server.request("GET", "/v2/own/app/manifests/2").status == 404
    assert server.request("GET", "/v2/nowhere/app/manifests/1").status == 404
    assert server.request("GET", f"/v2/{NAME}/blobs/{digest(LAYER)}").body == LAYER
    # The upstream hears nothing of blobs that somebody is about to push.
    before = asked(proxy)
    assert server.request("HEAD", f"/v2/new/app/blobs/{digest(LAYER)}").status == 404
    assert asked(proxy) == before
    # And whatever ails it does not become an error of what was not asked of it.
    for fault in (fp.status(500), fp.status(401), fp.status(429), fp.not_http()):
        proxy.fault("GET|HEAD", "", fault, times=-1)
        assert server.request("HEAD", "/v2/new/app/manifests/1").status == 404
        proxy.faults.clear()
    server.push_image(NAME, "mine", b"own")
    assert server.request("GET", f"/v2/{NAME}/manifests/1").status == 404


def test_a_mirror_that_is_the_cache_itself(tmp_path, upstream, proxy):
    """As when builds on the same machine are to use it: one file has both settings."""
    server = rs.Server(tmp_path / "store", f'registry: {{cache: [{{upstream: "{proxy.host}", prefix: hub, tag-ttl: off}}]}}').start()
    port = server.port
    server.stop()
    settings = f'{server.settings}\nregistries: {{"{proxy.host}": {{mirrors: ["127.0.0.1:{port}/hub"]}}}}\n'
    config = tmp_path / "store.yaml"
    config.write_text(settings)
    process = subprocess.Popen(
        [BIN, "serve", "--listen", f"127.0.0.1:{port}", "--config", config], env={**os.environ, "COOPER_HOME": server.home}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "listening" in process.stdout.readline()
        for _ in range(2):
            assert server.request("GET", manifest_path()).body == upstream.manifest
        assert server.request("GET", blob_path()).body == LAYER
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_repositories_that_are_no_copies(serve, proxy, tmp_path):
    server = serve(prefix="mirror")
    server.push_image("hub/app", "1", b"own")
    server.stop()
    (tmp_path / "store.yaml").write_text(f'registry: {{cache: [{{upstream: "{proxy.host}", prefix: hub}}]}}')
    said = cooper(server, "serve", "--listen", "127.0.0.1:0", code=1)
    assert re.search("repository hub/app is here and is no copy.*\n.*another prefix", said), said


REFUSED = {
    "{}": "1:20: a cache needs an upstream",
    "{upstream: 'https://docker.io'}": "1:.*the upstream is no registry",
    "{upstream: docker.io/library}": "1:.*the upstream is no registry",
    "{upstream: docker}": "1:.*the upstream is no registry",
    "{upstream: docker.io, prefix: Hub}": "1:.*the prefix is no name of a repository",
    "{upstream: '[::1]:5000'}": "1:.*the prefix is no name of a repository",
    "{upstream: docker.io, tag-ttl: soon}": "1:.*is not a duration",
    "{upstream: docker.io, keep: 0d}": "1:.*forever",
    "{upstream: docker.io, mirror: x}": "1:.*mirror",
    "{upstream: docker.io}, {upstream: index.docker.io, prefix: x}": "1:.*another cache is of this upstream",
    "{upstream: docker.io, prefix: a}, {upstream: quay.io, prefix: a/b}": "1:.*another cache has this prefix",
    "{upstream: a.io, default: true}, {upstream: b.io, default: true}": "1:.*only one cache can be the default",
}


@pytest.mark.parametrize("settings", REFUSED)
def test_settings_that_are_refused(tmp_path, settings):
    server = rs.Server(tmp_path / "store", f"registry: {{cache: [{settings}]}}")
    with pytest.raises(RuntimeError, match=r"store\.yaml:" + REFUSED[settings]):
        server.start()
