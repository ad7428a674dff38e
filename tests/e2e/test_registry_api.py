# SPDX-License-Identifier: Apache-2.0
"""The distribution API as seen on the wire: what the specification and its conformance program ask for."""

import itertools
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

import registry_server as rs
from registry_server import OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, code, digest, with_query

pytestmark = pytest.mark.skipif(rs.program() is None, reason="neither COOPER_BIN nor COOPER_TEST_REGISTRY is set")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = rs.Server(tmp_path_factory.mktemp("registry") / "store").start()
    yield s
    s.stop()


# ---- ping, errors ----


def test_ping(server):
    for path in ("/v2/", "/v2"):
        answer = server.request("GET", path)
        assert answer.status == 200
        assert answer.getheader("Docker-Distribution-API-Version") == "registry/2.0"
    assert server.request("HEAD", "/v2/").status == 200
    assert server.request("POST", "/v2/").status == 405


@pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only")
def test_front_page(server):
    health = server.request("GET", "/healthz")
    assert health.status == 200 and health.body == b"ok"
    page = server.request("GET", "/")
    assert page.status == 200 and b"/v2/" in page.body
    assert server.request("HEAD", "/").body == b""
    assert server.request("GET", "/nothing").status == 404
    assert server.request("POST", "/", b"x").status == 405


def test_error_bodies(server):
    checks = [
        ("GET", "/v2/none/manifests/latest", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/none/blobs/" + digest(b"never"), 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/none/blobs/sha256:baddigest", 400, "DIGEST_INVALID"),
        ("GET", "/v2/none/manifests/sha256:baddigeststring", 400, "DIGEST_INVALID"),
        ("PUT", "/v2/none/manifests/sha256:baddigeststring", 400, "DIGEST_INVALID"),
        ("GET", "/v2/None/manifests/latest", 400, "NAME_INVALID"),
        ("GET", "/v2/a..b/manifests/latest", 400, "NAME_INVALID"),
        ("GET", "/v2/a/../../etc/passwd/manifests/latest", 400, "NAME_INVALID"),
        ("GET", "/v2/a/%2e%2e/manifests/latest", 400, "NAME_INVALID"),
        ("PATCH", "/v2/a/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/a/blobs/uploads/..%2f..%2fcooper.db", 404, None),
        ("DELETE", "/v2/a/tags/list", 405, "UNSUPPORTED"),
        ("POST", "/v2/a/manifests/x", 405, "UNSUPPORTED"),
        ("GET", "/v2/nothing", 404, "UNSUPPORTED"),
    ]
    for method, path, status, want in checks:
        answer = server.request(method, path)
        assert answer.status == status, (method, path, answer.status, answer.body)
        if want:
            assert code(answer) == want
            assert answer.getheader("Content-Type") == "application/json"
        head = server.request("HEAD", path)
        assert head.body == b""


# ---- blobs ----


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 5000, 3 << 20])
def test_push_and_pull(server, algorithm, size):
    data = os.urandom(size)
    name = server.push_blob("blobs/plain", data, algorithm)
    path = f"/v2/blobs/plain/blobs/{name}"
    got = server.request("GET", path)
    assert got.status == 200 and got.body == data
    assert got.getheader("Docker-Content-Digest") == name
    assert got.getheader("ETag") == f'"{name}"'
    assert got.getheader("Cache-Control") == "max-age=31536000, immutable"
    assert int(got.getheader("Content-Length")) == size
    head = server.request("HEAD", path)
    assert head.status == 200 and head.body == b"" and int(head.getheader("Content-Length")) == size
    rs.check_not_modified(server, path)
    assert server.request("GET", path, headers={"If-None-Match": '"x"'}).status == 200
    assert server.request("GET", f"/v2/blobs/elsewhere/blobs/{name}").status == 404
    encoded = server.request("GET", path, headers={"Accept-Encoding": "zstd, gzip, deflate"})
    assert encoded.body == data and encoded.getheader("Content-Encoding") is None


def test_ranges(server):
    data = os.urandom(2048)
    path = f"/v2/blobs/range/blobs/{server.push_blob('blobs/range', data)}"
    parts = {"500-1499": (500, 1500), "500-": (500, 2048), "-500": (1548, 2048), "2000-5000": (2000, 2048)}
    for text, (a, b) in parts.items():
        answer = server.request("GET", path, headers={"Range": "bytes=" + text})
        assert answer.status == 206 and answer.body == data[a:b], text
        assert int(answer.getheader("Content-Length")) == b - a
        assert answer.getheader("Content-Range") == f"bytes {a}-{b - 1}/2048"
    for text in ("5000-10000", "500-0", "2048-"):
        answer = server.request("GET", path, headers={"Range": "bytes=" + text})
        assert answer.status == 416, text
        assert answer.getheader("Content-Range") == "bytes */2048"
        assert len(answer.body) == int(answer.getheader("Content-Length"))
    whole = server.request("GET", path, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert whole.status == 200 and whole.body == data
    assert server.request("GET", path).getheader("Accept-Ranges") == "bytes"


def test_single_post(server):
    data = os.urandom(1000)
    answer = server.request("POST", f"/v2/blobs/post/blobs/uploads/?digest={digest(data)}", data)
    assert answer.status == 201
    assert server.request("GET", answer.getheader("Location")).body == data
    bad = server.request("POST", f"/v2/blobs/post/blobs/uploads/?digest={digest(b'other')}", data)
    assert bad.status == 400 and code(bad) == "DIGEST_INVALID"
    assert server.request("HEAD", f"/v2/blobs/post/blobs/{digest(b'other')}").status == 404


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_streamed_patch(server, algorithm):
    data = os.urandom(300_000)
    location = server.start_upload("blobs/stream")
    pieces = iter([data[:100_000], data[100_000:100_001], data[100_001:]])
    answer = server.request("PATCH", location, pieces, {"Transfer-Encoding": "chunked"}, chunked=True)
    assert answer.status == 202
    assert answer.getheader("Range") == "0-299999"
    assert answer.getheader("Docker-Upload-UUID")
    done = server.request("PUT", with_query(answer.getheader("Location"), digest=digest(data, algorithm)))
    assert done.status == 201 and done.getheader("Content-Length") == "0"
    assert server.request("GET", done.getheader("Location")).body == data


def chunk(server, location, data, start, method="PATCH"):
    headers = {"Content-Range": f"{start}-{start + len(data) - 1}", "Content-Type": "application/octet-stream"}
    return server.request(method, location, data, headers)


def test_chunks(server):
    data = os.urandom(3000)
    location = server.start_upload("blobs/chunks")
    assert location.startswith("/v2/")
    for method in ("GET", "HEAD"):
        empty = server.request(method, location)
        assert empty.status == 204 and empty.getheader("Range") == "0-0"
    first = chunk(server, location, data[:1024], 0)
    assert first.status == 202 and first.getheader("Range") == "0-1023"
    wrong = chunk(server, first.getheader("Location"), data[2000:], 2000)
    assert wrong.status == 416 and wrong.getheader("Location")
    again = chunk(server, first.getheader("Location"), data[:1024], 0)
    assert again.status == 416
    state = server.request("GET", location)
    assert state.status == 204 and state.getheader("Range") == "0-1023"
    second = chunk(server, state.getheader("Location"), data[1024:2048], 1024)
    assert second.status == 202 and second.getheader("Range") == "0-2047"
    last = with_query(second.getheader("Location"), digest=digest(data))
    assert chunk(server, last, data[2048:], 1024, "PUT").status == 416
    done = chunk(server, last, data[2048:], 2048, "PUT")
    assert done.status == 201
    assert server.request("GET", done.getheader("Location")).body == data
    assert server.request("GET", location).status == 404


def test_bad_digest_at_the_end(server):
    data = os.urandom(1024)
    for finish_with_body in (True, False):
        location = server.start_upload("blobs/bad")
        if not finish_with_body:
            location = server.request("PATCH", location, data).getheader("Location")
        answer = server.request(
            "PUT", with_query(location, digest=digest(b"wrong")), data if finish_with_body else None
        )
        assert answer.status == 400 and code(answer) == "DIGEST_INVALID"
    location = server.start_upload("blobs/bad")
    for text in ("sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", ""):
        answer = server.request("PUT", with_query(location, digest=text), data)
        assert answer.status == 400 and code(answer) == "DIGEST_INVALID"
    assert server.request("PUT", location, data).status == 400
    # The session is still there for the right one.
    assert server.request("PUT", with_query(location, digest=digest(data)), data).status == 201


def test_cancel(server):
    location = server.start_upload("blobs/cancel")
    server.request("PATCH", location, b"x" * 1000)
    assert server.request("DELETE", location).status == 204
    assert server.request("GET", location).status == 404
    assert server.request("DELETE", location).status == 404


def test_session_belongs_to_its_repository(server):
    location = server.start_upload("blobs/mine")
    assert server.request("PATCH", location.replace("/mine/", "/yours/"), b"x").status == 404


def test_mount(server):
    name = server.push_blob("mount/from", b"to be mounted")
    answer = server.request("POST", f"/v2/mount/to/blobs/uploads/?mount={name}&from=mount/from")
    assert answer.status == 201 and answer.getheader("Docker-Content-Digest") == name
    assert server.request("GET", answer.getheader("Location")).body == b"to be mounted"
    anonymous = server.request("POST", f"/v2/mount/anon/blobs/uploads/?mount={name}")
    assert anonymous.status == 201
    assert server.request("HEAD", f"/v2/mount/anon/blobs/{name}").status == 200
    for query in (f"mount={digest(b'none')}&from=mount/from", f"mount={name}&from=mount/none", f"mount={digest(b'no')}"):
        missing = server.request("POST", "/v2/mount/miss/blobs/uploads/?" + query)
        assert missing.status == 202 and missing.getheader("Location"), query
        assert server.request("GET", missing.getheader("Location")).status == 204


def test_delete_blob(server):
    name = server.push_blob("blobs/delete", b"gone soon")
    other = server.request("POST", f"/v2/blobs/keep/blobs/uploads/?mount={name}&from=blobs/delete")
    assert other.status == 201
    assert server.request("DELETE", f"/v2/blobs/delete/blobs/{name}").status == 202
    assert server.request("HEAD", f"/v2/blobs/delete/blobs/{name}").status == 404
    assert server.request("DELETE", f"/v2/blobs/delete/blobs/{name}").status == 404
    assert server.request("GET", f"/v2/blobs/keep/blobs/{name}").body == b"gone soon"


# ---- manifests ----


def test_manifest(server):
    data = server.push_image("m/one", "v1")
    name = digest(data)
    for reference in ("v1", name):
        path = f"/v2/m/one/manifests/{reference}"
        for headers in ({}, {"Accept": "text/plain"}, {"Accept": OCI_INDEX + ", " + OCI_MANIFEST}):
            got = server.request("GET", path, headers=headers)
            assert got.status == 200 and got.body == data
            assert got.getheader("Content-Type") == OCI_MANIFEST
            assert got.getheader("Docker-Content-Digest") == name
            assert got.getheader("Cache-Control") == ("max-age=31536000, immutable" if reference == name else None)
        head = server.request("HEAD", path)
        assert head.status == 200 and head.body == b""
        assert int(head.getheader("Content-Length")) == len(data)
        assert head.getheader("Content-Type") == OCI_MANIFEST
        assert server.request("GET", path, headers={"If-None-Match": f'W/"x", "{name}"'}).status == 304
        rs.check_not_modified(server, path)
    again = server.push_manifest("m/one", name, data)
    assert again.getheader("Docker-Content-Digest") == name
    assert server.request("GET", again.getheader("Location")).body == data


def test_manifest_chunked_put(server):
    data = server.push_image("m/chunked", "v1")
    answer = server.request(
        "PUT",
        "/v2/m/chunked/manifests/v2",
        iter([data[:10], data[10:]]),
        {"Content-Type": OCI_MANIFEST, "Transfer-Encoding": "chunked"},
        chunked=True,
    )
    assert answer.status == 201
    assert server.request("GET", "/v2/m/chunked/manifests/v2").body == data


def big_manifest(size):
    config = rs.descriptor(b"{}", OCI_EMPTY)
    doc = rs.image_manifest(config, [rs.descriptor(b"{}", OCI_EMPTY)], annotations={"a": ""})
    doc["annotations"]["a"] = "x" * (size - len(rs.encode(doc)))
    data = rs.encode(doc)
    assert len(data) == size
    return data


def test_manifest_limit(server):
    server.push_blob("m/big", b"{}")
    exact = big_manifest(4 << 20)
    server.push_manifest("m/big", "fits", exact)
    assert server.request("GET", "/v2/m/big/manifests/fits").body == exact
    over = big_manifest((4 << 20) + 1)
    answer = server.push_manifest("m/big", "over", over, expect=413)
    assert code(answer) == "SIZE_INVALID"
    chunked = server.request(
        "PUT",
        "/v2/m/big/manifests/over",
        iter([over]),
        {"Content-Type": OCI_MANIFEST, "Transfer-Encoding": "chunked"},
        chunked=True,
    )
    assert chunked.status == 413
    assert server.request("HEAD", "/v2/m/big/manifests/over").status == 404


def test_manifest_refused(server):
    good = server.push_image("m/bad", "v1")
    wrong = server.push_manifest("m/bad", digest(b"x"), good, expect=400)
    assert code(wrong) == "DIGEST_INVALID"
    assert code(server.push_manifest("m/bad", "v2", b"{", expect=400)) == "MANIFEST_INVALID"
    assert code(server.push_manifest("m/bad", "v2", b"", expect=400)) == "MANIFEST_INVALID"
    assert code(server.push_manifest("m/bad", "v2", good, OCI_INDEX, expect=400)) == "MANIFEST_INVALID"
    schema1 = rs.encode({"schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": []})
    answer = server.push_manifest("m/bad", "v2", schema1, "application/vnd.docker.distribution.manifest.v1+json", 400)
    assert "schema 1" in answer.body.decode()
    for tag in (".dot", "-dash", "a" * 129):
        server.push_manifest("m/bad", tag, good, expect=400)
    server.push_manifest("m/bad", "a" * 128, good)
    missing = rs.image_manifest(rs.descriptor(b"nope", OCI_CONFIG), [rs.descriptor(b"nope 2", OCI_LAYER)])
    answer = server.push_manifest("m/bad", "v2", missing, expect=400)
    assert code(answer) == "MANIFEST_BLOB_UNKNOWN" and len(json.loads(answer.body)["errors"]) == 2
    index = rs.index_manifest([rs.descriptor(b"nope", OCI_MANIFEST)])
    assert code(server.push_manifest("m/bad", "v2", index, OCI_INDEX, expect=400)) == "MANIFEST_BLOB_UNKNOWN"
    # Blobs of another repository do not count.
    server.push_manifest("m/bad2", "v1", good, expect=400)
    assert server.request("HEAD", "/v2/m/bad/manifests/v2").status == 404


def test_index_and_odd_manifests(server):
    first, second = server.push_image("m/index", "a", b"a"), server.push_image("m/index", "b", b"b")
    index = rs.encode(rs.index_manifest([rs.descriptor(m, OCI_MANIFEST) for m in (first, second)]))
    server.push_manifest("m/index", "both", index, OCI_INDEX)
    nested = rs.encode(rs.index_manifest([rs.descriptor(index, OCI_INDEX)], artifactType="application/x.y"))
    server.push_manifest("m/index", "nested", nested, OCI_INDEX)
    server.push_manifest("m/index", "empty", rs.index_manifest([]), OCI_INDEX)
    server.push_manifest("m/index", "blobs", rs.index_manifest([rs.descriptor(b"a", OCI_LAYER)]), OCI_INDEX)
    got = server.request("GET", "/v2/m/index/manifests/both")
    assert got.body == index and got.getheader("Content-Type") == OCI_INDEX
    server.push_blob("m/index", b"{}")
    empty = {**rs.descriptor(b"{}", OCI_EMPTY), "data": "e30="}
    server.push_manifest("m/index", "nolayers", rs.image_manifest(empty, [], custom={"x": [1]}))
    foreign = rs.descriptor(
        b"far away", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", urls=["https://example.com/x"]
    )
    server.push_manifest("m/index", "foreign", rs.image_manifest(empty, [foreign]))
    sha512 = server.push_blob("m/index", b"512", "sha512")
    doc = rs.encode(rs.image_manifest(empty, [rs.descriptor(b"512", OCI_LAYER, algorithm="sha512")]))
    assert sha512.startswith("sha512:")
    answer = server.push_manifest("m/index", digest(doc, "sha512"), doc)
    assert answer.getheader("Docker-Content-Digest") == digest(doc, "sha512")
    assert server.request("GET", answer.getheader("Location")).body == doc


def test_docker_media_types(server):
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    server.push_blob("m/docker", b"{}")
    doc = {
        "schemaVersion": 2,
        "mediaType": docker,
        "config": rs.descriptor(b"{}", "application/vnd.docker.container.image.v1+json"),
        "layers": [],
    }
    server.push_manifest("m/docker", "v1", doc, docker)
    assert server.request("GET", "/v2/m/docker/manifests/v1").getheader("Content-Type") == docker
    # A tag may change from one type to another.
    listing = "application/vnd.docker.distribution.manifest.list.v2+json"
    platform = {"os": "linux", "architecture": "amd64"}
    child = {**rs.descriptor(rs.encode(doc), docker), "platform": platform}
    server.push_manifest(
        "m/docker", "v1", {"schemaVersion": 2, "mediaType": listing, "manifests": [child]}, listing
    )
    assert server.request("HEAD", "/v2/m/docker/manifests/v1").getheader("Content-Type") == listing


def test_tag_parameters(server):
    data = server.push_image("m/tags", "base")
    tags = [f"t{i}" for i in range(12)]
    path = digest(data) + "?" + "&".join("tag=" + t for t in tags)
    answer = server.push_manifest("m/tags", path, data)
    assert [t.strip() for t in ",".join(answer.headers.get_all("OCI-Tag")).split(",")] == tags
    for tag in tags:
        assert server.request("GET", f"/v2/m/tags/manifests/{tag}").body == data
    many = digest(data) + "?" + "&".join(f"tag=x{i}" for i in range(200))
    assert server.push_manifest("m/tags", many, data, expect=414)


def test_delete_manifest(server):
    data = server.push_image("m/delete", "one")
    server.push_manifest("m/delete", "two", data)
    assert server.request("DELETE", "/v2/m/delete/manifests/one").status == 202
    assert server.request("HEAD", "/v2/m/delete/manifests/one").status == 404
    assert server.request("HEAD", "/v2/m/delete/manifests/two").status == 200
    assert server.request("DELETE", "/v2/m/delete/manifests/one").status == 404
    path = f"/v2/m/delete/manifests/{digest(data)}"
    assert server.request("DELETE", path).status == 202
    assert server.request("HEAD", path).status == 404
    assert server.request("HEAD", "/v2/m/delete/manifests/two").status == 404
    assert server.request("DELETE", path).status == 404
    server.push_manifest("m/delete", "two", data)
    assert server.request("HEAD", path).status == 200


# ---- referrers ----


def test_referrers(server):
    none = server.request("GET", f"/v2/never/seen/referrers/{digest(b'x')}")
    assert none.status == 200 and none.getheader("Content-Type") == OCI_INDEX
    assert json.loads(none.body) == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    assert server.request("GET", "/v2/a/referrers/sha256:bad").status == 400
    server.push_blob("ref/a", b"{}")
    empty = rs.descriptor(b"{}", OCI_EMPTY)
    # The subject comes later, or never.
    subject = rs.encode(rs.image_manifest(empty, [rs.descriptor(b"{}", "text/plain")]))
    about = rs.descriptor(subject, OCI_MANIFEST)
    signature = rs.image_manifest(
        empty, [empty], artifactType="application/vnd.example.sig", subject=about, annotations={"who": "me"}
    )
    plain = rs.image_manifest({**empty, "mediaType": OCI_CONFIG}, [], subject=about)
    index = rs.index_manifest([], subject=about)
    for tag, doc, media_type in (("s", signature, OCI_MANIFEST), ("p", plain, OCI_MANIFEST), ("i", index, OCI_INDEX)):
        answer = server.push_manifest("ref/a", tag, doc, media_type)
        assert answer.getheader("OCI-Subject") == digest(subject)
    got = server.json(f"/v2/ref/a/referrers/{digest(subject)}")["manifests"]
    by_digest = {m["digest"]: m for m in got}
    assert len(got) == 3
    entry = by_digest[digest(rs.encode(signature))]
    assert entry["artifactType"] == "application/vnd.example.sig"
    assert entry["annotations"] == {"who": "me"}
    assert entry["size"] == len(rs.encode(signature)) and entry["mediaType"] == OCI_MANIFEST
    assert by_digest[digest(rs.encode(plain))]["artifactType"] == OCI_CONFIG
    assert "artifactType" not in by_digest[digest(rs.encode(index))]
    path = f"/v2/ref/a/referrers/{digest(subject)}?artifactType="
    filtered = server.request("GET", path + "application/vnd.example.sig")
    assert filtered.getheader("OCI-Filters-Applied") == "artifactType"
    assert [m["digest"] for m in json.loads(filtered.body)["manifests"]] == [digest(rs.encode(signature))]
    json_type = server.request("GET", path + OCI_CONFIG)
    assert len(json.loads(json_type.body)["manifests"]) == 1
    assert server.request("DELETE", f"/v2/ref/a/manifests/{digest(rs.encode(signature))}").status == 202
    assert len(server.json(f"/v2/ref/a/referrers/{digest(subject)}")["manifests"]) == 2


def test_a_referrer_that_cannot_be_read_can_be_deleted(server):
    """Its subject is known by its entry in the list, which goes with it: otherwise the list would name what is not there."""
    subject = rs.descriptor(server.push_image("ref/bad", "1"), OCI_MANIFEST)
    data = server.push_image("ref/bad", "sig", b"signature", subject=subject)
    path = pathlib.Path(server.home, "blobs", "sha256", digest(data)[7:9], digest(data)[7:])
    path.unlink()
    path.write_bytes(b"x" * len(data))
    assert len(server.json(f"/v2/ref/bad/referrers/{subject['digest']}")["manifests"]) == 1
    assert server.request("DELETE", f"/v2/ref/bad/manifests/{digest(data)}").status == 202
    assert server.json(f"/v2/ref/bad/referrers/{subject['digest']}")["manifests"] == []


@pytest.mark.parametrize("kind", [None, 'application/x.y+json;a="<b>"#&c%'])
def test_referrers_paging(server, kind):
    server.push_blob("ref/many", b"{}")
    empty = rs.descriptor(b"{}", OCI_EMPTY)
    subject = rs.descriptor(f"the subject {kind}".encode(), OCI_MANIFEST)
    for i in range(5):
        doc = rs.image_manifest(empty, [], subject=subject, annotations={"n": str(i), "pad": "x" * 1_000_000})
        doc = {**doc, "artifactType": kind} if kind else doc
        server.push_manifest("ref/many", f"t{i}", doc)
    seen, path, pages = set(), f"/v2/ref/many/referrers/{subject['digest']}", 0
    if kind:
        path += "?artifactType=" + urllib.parse.quote(kind, safe="")
    while path:
        answer = server.request("GET", path)
        assert answer.status == 200 and len(answer.body) <= 4 << 20
        seen |= {m["annotations"]["n"] for m in json.loads(answer.body)["manifests"]}
        link = answer.getheader("Link")
        path = link[1 : link.index(">")] if link else None
        pages += 1
    assert seen == set("01234") and pages == 2


# ---- listings ----


def test_tags_list(server):
    data = server.push_image("list/tags", "b")
    for tag in ("a", "B", "_c", "a.1", "0"):
        server.push_manifest("list/tags", tag, data)
    path = "/v2/list/tags/tags/list"
    ordered = ["0", "B", "_c", "a", "a.1", "b"]
    assert server.json(path) == {"name": "list/tags", "tags": ordered}
    first = server.request("GET", path + "?n=2")
    assert json.loads(first.body)["tags"] == ordered[:2]
    assert first.getheader("Link") == f'<{path}?n=2&last=B>; rel="next"'
    assert server.json(path + "?n=2&last=B")["tags"] == ordered[2:4]
    last = server.request("GET", path + "?n=2&last=a")
    assert json.loads(last.body)["tags"] == ordered[4:] and last.getheader("Link") is None
    assert server.json(path + "?last=a")["tags"] == ordered[4:]
    assert server.json(path + "?last=zzz")["tags"] == []
    zero = server.request("GET", path + "?n=0")
    assert json.loads(zero.body)["tags"] == [] and zero.getheader("Link") is None
    assert server.request("GET", path + "?n=x").status == 400


def test_catalog(server):
    for repo in ("cat/b", "cat/a", "cat/a-b"):
        server.push_image(repo, "v1")
    names = server.json("/v2/_catalog")["repositories"]
    assert names == sorted(names) and {"cat/a", "cat/a-b", "cat/b"} <= set(names)
    answer = server.request("GET", "/v2/_catalog?n=1&last=cat/a")
    assert json.loads(answer.body)["repositories"] == ["cat/a-b"]
    assert 'rel="next"' in answer.getheader("Link")


def test_head_is_get_without_its_body(server):
    data = server.push_image("head/all", "v1")
    server.push_manifest("head/all", "v2", data)
    layer = digest(b"layer")
    paths = [
        "/v2/", "/v2/_catalog", "/v2/_catalog?n=1", "/v2/head/all/tags/list", "/v2/head/all/tags/list?n=1", f"/v2/head/all/referrers/{layer}",
        f"/v2/head/all/referrers/{layer}?artifactType=a%2Fb", "/v2/head/all/manifests/v1", f"/v2/head/all/manifests/{digest(data)}",
        f"/v2/head/all/blobs/{layer}", "/v2/head/all/manifests/none", f"/v2/head/all/blobs/{digest(b'none')}", "/v2/head/none/tags/list",
    ]
    for path in paths:
        got, head = server.request("GET", path), server.request("HEAD", path)
        assert (head.status, head.body) == (got.status, b""), path
        same = [n for n, _ in got.getheaders() if n != "Date"]
        assert [(n, head.getheader(n)) for n in same] == [(n, got.getheader(n)) for n in same], path


@pytest.mark.parametrize(
    "target, status",
    [("/v2/a%00b/tags/list", 400), ("/v2/a/tags/list?n=%", 400), ("/v2/" + "a" * 17_000, 414), ("/v2/" + "a" * 100_000, 414)],
    ids=["NUL", "half an escape", "too long", "longer than headers may be"],
)
def test_targets_that_cannot_be_read(server, target, status):
    answer = server.request("GET", target)
    assert answer.status == status and answer.getheader("Docker-Distribution-API-Version") == "registry/2.0"
    assert rs.code(answer) == "UNSUPPORTED"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_a_body_whose_end_is_not_known(server, method):
    """Is answered at once: nobody could say when it has come."""
    answer = server.request(method, "/v2/", headers={"Transfer-Encoding": "gzip"})
    assert answer.status == 400 and answer.getheader("Docker-Distribution-API-Version") == "registry/2.0"
    assert answer.getheader("Connection") == "close" and (method == "HEAD" or rs.code(answer) == "UNSUPPORTED")


def test_what_a_name_may_be(server):
    for name in ("a.b", "a_b", "a__b", "a-b", "a-----b", "a/b_c/d.e", "0"):
        assert rs.code(server.request("GET", f"/v2/{name}/tags/list")) == "NAME_UNKNOWN", name
    for name in ("a..b", "a___b", "a._b", "a.-b", "-a", "a-", "a_", "A", "a//b", "a" * 256):
        answer = server.request("GET", f"/v2/{name}/tags/list")
        assert answer.status == 400 and rs.code(answer) == "NAME_INVALID", name
        assert "joined by one '.', one or two '_' or any number of '-'" in answer.body.decode()


def test_digest_algorithm_hint(server):
    """A client may say beforehand what it will name the blob by."""
    data = os.urandom(1000)
    start = server.request("POST", "/v2/hint/blobs/uploads/?digest-algorithm=sha512")
    assert start.status == 202
    done = server.request("PUT", with_query(start.getheader("Location"), digest=digest(data, "sha512")), data)
    assert done.status == 201 and done.getheader("Docker-Content-Digest") == digest(data, "sha512")


@pytest.mark.parametrize("named", ["sha512", "sha256"])
def test_digest_algorithm_hint_of_a_blob_in_pieces(server, named):
    """The hint goes along in the location, and is no promise."""
    data = os.urandom(3 << 20)
    start = server.request("POST", "/v2/hint/blobs/uploads/?digest-algorithm=sha512")
    location = start.getheader("Location")
    for at in range(0, len(data), 1 << 20):
        answer = chunk(server, location, data[at : at + (1 << 20)], at)
        assert answer.status == 202
        assert answer.getheader("Location") == location
    for wrong in (digest(b"other", "sha512"), digest(data, named)):
        done = server.request("PUT", with_query(location, digest=wrong))
        if wrong == digest(data, named):
            break
        assert done.status == 400
        location = server.request("POST", "/v2/hint/blobs/uploads/?digest-algorithm=sha512").getheader("Location")
        assert server.request("PATCH", location, data).status == 202
    assert done.status == 201
    assert server.request("GET", f"/v2/hint/blobs/{digest(data, named)}").body == data


# ---- durability, many at once ----


def test_sessions_survive_a_kill(tmp_path):
    server = rs.Server(tmp_path / "store").start()
    try:
        data = os.urandom(2 << 20)
        location = server.start_upload("r")
        assert chunk(server, location, data[: 1 << 20], 0).status == 202
        image = server.push_image("r", "v1")
        server.kill()
        server.start()
        state = server.request("GET", location)
        assert state.status == 204 and state.getheader("Range") == f"0-{(1 << 20) - 1}"
        assert chunk(server, location, data[1 << 20 :], 1 << 20).status == 202
        done = server.request("PUT", with_query(location, digest=digest(data)))
        assert done.status == 201
        assert server.request("GET", done.getheader("Location")).body == data
        assert server.request("GET", "/v2/r/manifests/v1").body == image
    finally:
        server.stop()


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("end", ["close", "kill"])
def test_broken_connection_keeps_what_came(tmp_path, method, end):
    server = rs.Server(tmp_path / "store").start()
    try:
        cut_and_go_on(server, method, end)
    finally:
        server.stop()


def cut_and_go_on(server, method, end):
    location = server.start_upload("cut/off")
    connection = server.connect()
    connection.putrequest(method, with_query(location, digest=digest(b"x" * 1_000_000)) if method == "PUT" else location)
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    connection.send(b"x" * 300_000)
    if end == "kill":
        (file,) = (pathlib.Path(server.home) / "partial").glob("upload.*")
        while file.stat().st_size < 200_000:
            time.sleep(0.01)
        server.kill()
        kept = file.stat().st_size
        server.start()
        assert server.request("GET", location).getheader("Range") == f"0-{kept - 1}"
    connection.close()
    for _ in range(300):
        state = server.request("GET", location)
        # In use until the server has seen the end of the connection.
        assert state.status == 204 or (state.status == 503 and state.getheader("Retry-After"))
        if state.status == 204 and state.getheader("Range") != "0-0":
            break
        time.sleep(0.05)
    assert state.status == 204
    last = int(state.getheader("Range").split("-")[1])
    assert last < 300_000
    rest = b"x" * (1_000_000 - last - 1)
    assert chunk(server, location, rest, 1_000_000 - len(rest)).status == 202
    assert server.request("PUT", with_query(location, digest=digest(b"x" * 1_000_000))).status == 201


def test_many_at_once(server):
    shared = os.urandom(200_000)
    failures = []

    def push(n):
        try:
            for i in range(4):
                data = server.push_image(f"crowd/{n % 4}", f"t{n}-{i}", shared if i % 2 else os.urandom(10_000))
                assert server.request("GET", f"/v2/crowd/{n % 4}/manifests/t{n}-{i}").body == data
        except BaseException as e:  # noqa: BLE001 - told by the main thread
            failures.append(repr(e))

    threads = [threading.Thread(target=push, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[:3]
    assert sum(len(server.json(f"/v2/crowd/{n}/tags/list")["tags"]) for n in range(4)) == 64


def test_expect_continue_is_refused_before_the_body(server):
    assert rs.refused_before_the_body(server.connect(), "PUT", "/v2/Bad/manifests/x", {}).status == 400
    # More than the disk has.
    location = server.start_upload("r")
    for method, path in (("PATCH", location), ("PUT", with_query(location, digest=digest(b"x"))), ("POST", f"/v2/r/blobs/uploads/?digest={digest(b'x')}")):
        answer = rs.refused_before_the_body(server.connect(), method, path, {}, 1 << 60)
        assert answer.status == 507 and "disk of the registry" in answer.body.decode()


@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked", "Content-Length: 8388608\r\nExpect: 100-continue"])
def test_who_sends_on_reads_the_answer(server, framing):
    """A refused body that is not read to its end: the connection ends with the answer, not with a reset before it."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as s:
        s.sendall(f"PUT /v2/Bad/manifests/x HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        s.recv(1, socket.MSG_PEEK)
        for _ in range(8):
            s.sendall(bytes(1 << 20))
        assert s.recv(100).startswith(b"HTTP/1.1 400")


# ---- upkeep beside pushes ----


@pytest.mark.skipif(rs.collector() is None, reason="test_registry_server was not built")
def test_no_push_is_lost_to_a_collection(tmp_path):
    """Pushes while another process collects everything it may, all the time: what was answered 201 is there."""
    server = rs.Server(tmp_path / "store").start()
    collector = subprocess.Popen(
        [rs.collector(), server.home, "gc"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    pushed, failures, stop = [], [], time.monotonic() + 8

    def push(n):
        try:
            for i in itertools.count():
                if time.monotonic() > stop:
                    return
                layer = os.urandom(2000)
                pushed.append((f"gc/{n}", f"t{i}", server.push_image(f"gc/{n}", f"t{i}", layer), layer))
        except BaseException as e:  # noqa: BLE001 - told by the main thread
            failures.append(repr(e))

    threads = [threading.Thread(target=push, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    rounds = int(collector.communicate()[0])
    try:
        assert not failures, failures[:3]
        assert collector.returncode == 0 and rounds > 0 and len(pushed) > 3
        for repo, tag, manifest, layer in pushed:
            assert server.request("GET", f"/v2/{repo}/manifests/{tag}").body == manifest
            assert server.request("GET", f"/v2/{repo}/blobs/{digest(layer)}").body == layer
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a small file system")
def test_full_disk(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", small]).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        server = rs.Server(small / "store").start()
        kept = server.push_image("full", "v1")
        data = os.urandom(20 << 20)
        location = server.start_upload("full")
        target = with_query(location, digest=digest(data))
        announced = server.request("PUT", target, data)
        assert announced.status == 507 and "disk" in announced.body.decode()
        for method, path in (("PUT", target), ("PATCH", location)):
            pieces = iter([data[i : i + 65536] for i in range(0, len(data), 65536)])
            answer = server.request(method, path, pieces, {"Transfer-Encoding": "chunked"}, chunked=True)
            assert answer.status == 507 and "disk" in answer.body.decode()
        assert server.request("DELETE", location).status == 204
        server.push_image("full", "v2", b"another layer")
        assert server.request("GET", "/v2/full/manifests/v1").body == kept
        server.stop()
    finally:
        subprocess.run(["umount", "-l", small], check=True)
