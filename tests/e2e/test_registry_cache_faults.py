# SPDX-License-Identifier: Apache-2.0
"""
The registry as a cache of another one that is broken, wrong, silent or gone: what clients get, and that nothing is stored or answered whole
that was not verified.
"""

import http.client
import json
import os
import re
import time

import pytest

import fault_proxy as fp
import registry_server as rs
from cache_lab import BLOB, LAYER, NAME, asked, blob_path, getting, log_has, manifest_path
from cache_lab import proxy, serve, upstream  # noqa: F401, fixtures
from registry_server import OCI_MANIFEST, code, cooper, descriptor, digest, encode

pytestmark = pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only")


# ---- faults ----


FINISHES = {
    "cut twice": ("GET", BLOB, fp.truncate(1 << 20), 2),
    "reset": ("GET", BLOB, fp.truncate(1 << 20, reset=True), 1),
    "500": ("GET", BLOB, fp.status(500), 2),
    "manifest 500": ("GET|HEAD", "/manifests/", fp.status(500), 1),
    "manifest cut": ("GET", "/manifests/", fp.truncate(100), 2),
    "no length": ("GET", BLOB, fp.says_length(lambda n: None), -1),
    "head without digest": ("HEAD", "/manifests/", fp.change(lambda a, h: a.set("Docker-Content-Digest", None)), -1),
    "one hop": ("GET", r"sha256:[0-9a-f]+\Z", fp.redirect("{path}?again=1"), -1),
    "answers lost": ("GET|HEAD", "", fp.lose_answer(), 1),
}


@pytest.mark.parametrize("case", FINISHES)
def test_client_does_not_see(serve, upstream, proxy, case):
    server = serve()
    method, path, act, times = FINISHES[case]
    proxy.fault(method, path, act, times)
    assert server.request("GET", manifest_path()).body == upstream.manifest
    assert server.request("GET", blob_path()).body == LAYER
    cooper(server, "store", "verify")
    if case == "cut twice":
        starts = [h["Range"] for _, _, h in proxy.headers if "Range" in h]
        assert len(starts) == 2 and all(int(s[6:-1]) >= 1 << 20 for s in starts), starts


TOLD = {
    "429": ("GET|HEAD", fp.status(429, {"Retry-After": "77"}), 429, "TOOMANYREQUESTS", "limits how much is pulled"),
    "401": ("GET|HEAD", fp.status(401, {"WWW-Authenticate": 'Basic realm="x"'}), 403, "DENIED", "cooper login 127.0.0.1"),
    "403": ("GET|HEAD", fp.status(403), 403, "DENIED", "cooper login 127.0.0.1"),
    "404": ("GET|HEAD", fp.status(404), 404, "_UNKNOWN", "answer is 404"),
    "500": ("GET|HEAD", fp.status(500), 502, "UNAVAILABLE", "answer is 500"),
    "redirects": ("GET|HEAD", fp.redirect("{path}"), 502, "UNAVAILABLE", "redirect"),
    "no http": ("GET|HEAD", fp.not_http(), 502, "UNAVAILABLE", "127.0.0.1"),
    "silence": ("GET|HEAD", lambda h: time.sleep(4), 504, "UNAVAILABLE", "127.0.0.1"),
    "packed": ("GET", fp.gzipped(), 502, "UNAVAILABLE", "gzip"),
}


@pytest.mark.parametrize("what", ["manifests", "blobs"])
@pytest.mark.parametrize("case", TOLD)
def test_client_is_told(serve, upstream, proxy, case, what):
    method, act, status, name, words = TOLD[case]
    server = serve(timeout="1s")
    path = manifest_path() if what == "manifests" else blob_path()
    proxy.fault(method, f"/{what}/", act, times=-1)
    answer = server.request("GET", path)
    assert answer.status == status and name in code(answer), (answer.status, answer.body)
    assert proxy.host in answer.body.decode() and words in answer.body.decode(), answer.body
    assert (answer.getheader("Retry-After") == "77") == (case == "429")
    # Not for ever.
    proxy.faults.clear()
    if case == "404":
        return
    assert server.request("GET", path).body in (upstream.manifest, LAYER)
    cooper(server, "store", "verify")


WRONG = {
    "a byte": fp.wrong_byte(5_000_000),
    "the last byte": fp.wrong_byte(-1),
    "another blob": fp.change(lambda a, h: setattr(a, "body", bytes(len(a.body)))),
    "too few": fp.change(lambda a, h: setattr(a, "body", a.body[:-10])),
    "unsaid length": lambda h: fp.says_length(lambda n: None)(wrong_handler(h)),
}


def wrong_handler(h):
    forward = h.forward

    def change():
        answer = forward()
        answer.body = answer.body[:-1] + bytes([answer.body[-1] ^ 1])
        return answer

    h.forward = change
    return h


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.sanitize if c == "a byte" else ()) for c in WRONG])
def test_wrong_bytes_are_neither_kept_nor_answered_whole(serve, proxy, case):
    server = serve()
    proxy.fault("GET", BLOB, WRONG[case], times=-1)
    for headers in ({}, {"Range": "bytes=100-199"}):
        with getting(server, blob_path(), headers) as answer:
            if answer.status == 502:  # that was known before a byte was sent
                continue
            with pytest.raises(http.client.HTTPException):
                whole = answer.read()
                raise AssertionError(f"an answer of {len(whole)} bytes")
    assert log_has(server, rf"cache of {proxy.host}: fetching {proxy.host}/{NAME}@{digest(LAYER)}.* should be|expected")
    assert not os.path.exists(f"{server.home}/blobs/sha256/{digest(LAYER)[7:9]}/{digest(LAYER)[7:]}")
    cooper(server, "store", "verify")
    proxy.faults.clear()
    assert server.request("GET", blob_path()).body == LAYER


def test_wrong_manifest(serve, upstream, proxy):
    server = serve()
    proxy.fault("GET", "/manifests/", fp.wrong_byte())
    answer = server.request("GET", manifest_path())
    assert answer.status == 502 and f"should be {digest(upstream.manifest)}" in answer.body.decode()
    assert server.request("GET", manifest_path()).body == upstream.manifest


# ---- an upstream that cannot be asked ----


@pytest.mark.parametrize("fault", [fp.not_http(), fp.status(500), fp.status(429, {"Retry-After": "900"}), fp.status(401)])
def test_what_is_here_is_answered(serve, upstream, proxy, fault):
    server = serve(tag_ttl="off")
    assert server.request("GET", manifest_path()).getheader("Warning") is None
    proxy.fault("GET|HEAD", "", fault, times=-1)
    for method in ("GET", "HEAD", "GET"):
        answer = server.request(method, manifest_path())
        assert answer.status == 200 and re.fullmatch(r'299 - ".*"', answer.getheader("Warning")) and proxy.host in answer.getheader("Warning")
    # By digest nobody has to be asked.
    before = asked(proxy)
    answer = server.request("GET", manifest_path(digest(upstream.manifest)))
    assert answer.body == upstream.manifest and answer.getheader("Warning") is None and asked(proxy) == before
    listed = server.request("GET", f"/v2/hub/{NAME}/tags/list")
    assert json.loads(listed.body)["tags"] == ["1"] and listed.getheader("Warning")
    assert server.request("GET", manifest_path("other")).status in (403, 429, 502)


def test_lists(serve, upstream, proxy):
    server = serve()
    for tag in ("a", "b", "c", "d"):
        upstream.push_image("lists/app", tag, b"x")
    assert server.json("/v2/hub/lists/app/tags/list") == {"name": "hub/lists/app", "tags": ["a", "b", "c", "d"]}
    # docker-registry knows nothing of n= and last=.
    mirrored = server.request("GET", f"/v2/lists/app/tags/list?n=2&ns={proxy.host}")
    assert mirrored.getheader("Link").startswith("</v2/lists/app/tags/list?") and f"ns={proxy.host.replace(':', '%3A')}" in mirrored.getheader("Link")
    answer = server.request("GET", "/v2/hub/lists/app/tags/list?n=2")
    assert json.loads(answer.body)["tags"] == ["a", "b"]
    following = re.fullmatch(r'<(.*)>; rel="next"', answer.getheader("Link")).group(1)
    answer = server.request("GET", following)
    assert json.loads(answer.body)["tags"] == ["c", "d"] and answer.getheader("Link") is None
    assert server.request("GET", "/v2/hub/lists/none/tags/list").status == 404
    # It has no referrers either: clients are to look for the tag.
    assert server.request("GET", f"/v2/hub/lists/app/referrers/{digest(b'x')}").status == 404


def test_lists_of_a_registry_that_has_them(serve, proxy, tmp_path):
    origin = rs.Server(tmp_path / "origin").start()
    try:
        proxy.upstream = origin.host
        server = serve()
        subject = origin.push_image("signed/app", "1", b"x")
        for kind in ("sbom", "sig"):
            origin.push_image("signed/app", kind, kind.encode(), subject=descriptor(subject, OCI_MANIFEST), artifactType=f"application/{kind}")
        path = f"/v2/hub/signed/app/referrers/{digest(subject)}"
        assert {m["artifactType"] for m in server.json(path)["manifests"]} == {"application/sbom", "application/sig"}
        answer = server.request("GET", path + "?artifactType=application/sig")
        assert [m["artifactType"] for m in json.loads(answer.body)["manifests"]] == ["application/sig"]
        assert answer.getheader("OCI-Filters-Applied") == "artifactType"
        answer = server.request("GET", "/v2/hub/signed/app/tags/list?n=1")
        assert json.loads(answer.body)["tags"] == ["1"] and "last=1" in answer.getheader("Link")
        # What was fetched is known when nobody can be asked.
        assert server.request("GET", manifest_path("sig", "hub/signed/app")).status == 200
        proxy.fault("GET|HEAD", "", fp.not_http(), times=-1)
        answer = server.request("GET", path)
        assert [m["artifactType"] for m in json.loads(answer.body)["manifests"]] == ["application/sig"] and answer.getheader("Warning")
    finally:
        origin.stop()
