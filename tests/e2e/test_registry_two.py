# SPDX-License-Identifier: Apache-2.0
"""Two servers on one store, as while one takes over from another: what one answers holds at the other."""

import os
import threading

import pytest

import registry_load as load
import registry_server as rs
from registry_server import OCI_MANIFEST, digest, with_query

SETTINGS = "registry: {gc: 1s, grace: 3s, scrub: off, quotas: {small: 100kB}}\n"


@pytest.fixture
def two(tmp_path):
    servers = [rs.Server(tmp_path / "store", SETTINGS).start() for _ in range(2)]
    yield servers
    for server in servers:
        if server.process:
            server.stop()


@pytest.mark.sanitize
def test_what_one_answers_holds_at_the_other(two):
    one, other = two
    for n in range(20):
        data = one.push_image("a/b", "latest", b"layer %d" % n)
        got = other.request("GET", "/v2/a/b/manifests/latest")
        assert (got.status, got.body) == (200, data)
        assert other.request("GET", f"/v2/a/b/blobs/{digest(b'layer %d' % n)}").body == b"layer %d" % n
        one, other = other, one
    # Neither the other's memory nor its tags outlive a deletion.
    assert other.request("DELETE", f"/v2/a/b/manifests/{digest(data)}").status == 202
    for server in two:
        assert server.request("GET", "/v2/a/b/manifests/latest").status == 404
        assert server.request("GET", f"/v2/a/b/manifests/{digest(data)}").status == 404
    assert one.request("DELETE", f"/v2/a/b/blobs/{digest(b'layer 1')}").status == 202
    assert other.request("GET", f"/v2/a/b/blobs/{digest(b'layer 1')}").status == 404
    # Referrers, too.
    subject = rs.descriptor(one.push_image("a/b", "1"), OCI_MANIFEST)
    about = one.push_image("a/b", "sig", b"signature", subject=subject)
    assert [e["digest"] for e in other.json(f"/v2/a/b/referrers/{subject['digest']}")["manifests"]] == [digest(about)]


def test_an_upload_goes_on_at_the_other(two):
    one, other = two
    data = os.urandom(3 << 20)
    location, third = one.start_upload("a/b"), len(data) // 3
    for n, server in enumerate((one, other, one)):
        piece = data[n * third : (n + 1) * third if n < 2 else len(data)]
        headers = {"Content-Range": f"{n * third}-{n * third + len(piece) - 1}"}
        assert server.request("PATCH", location, piece, headers).status == 202
    assert other.request("GET", location).getheader("Range") == f"0-{len(data) - 1}"
    assert other.request("PUT", with_query(location, digest=digest(data))).status == 201
    assert one.request("GET", f"/v2/a/b/blobs/{digest(data)}").body == data


def test_a_quota_is_of_both(two):
    one, other = two
    one.push_blob("small/a", os.urandom(60_000))
    refused = other.request("POST", f"/v2/small/a/blobs/uploads/?digest={digest(b'x' * 60_000)}", b"x" * 60_000)
    assert refused.status == 403 and "quota" in refused.body.decode()


def test_pushes_at_both_with_collections_at_both(two):
    stop = threading.Event()
    pushers = [load.Pusher(two[n % 2], n, n, stop.is_set) for n in range(4)]
    load.start(pushers)
    while sum(p.accepted for p in pushers) < 60:
        assert all(p.is_alive() for p in pushers), [p.failure for p in pushers]
        stop.wait(0.1)
    stop.set()
    load.finish(pushers)
    # And one goes away.
    two[0].stop()
    for p in pushers:
        p.server = two[1]
        p.check()
