# SPDX-License-Identifier: Apache-2.0
"""What the machine's settings say of the registry: tags that never move, quotas, retention, gc and scrub beside serving."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import registry_server as rs
from conftest import BIN
from git_lab import GitLab
from go_tools import go_tool
from places import tmpfs
from registry_server import OCI_CONFIG, OCI_LAYER, code, cooper, digest

pytestmark = pytest.mark.skipif(rs.program() is None or not rs.program()[1], reason="of the whole program only")


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """serve(settings, days_ago=0) starts a server; all are ended."""
    running = []

    def start(settings="", days_ago=0, home=None):
        for s in running:
            if s.process:
                s.stop()
        with rs.days_ago(monkeypatch, days_ago):
            running.append(rs.Server(home or tmp_path / "store", settings).start())
        return running[-1]

    yield start
    for s in running:
        if s.process:
            s.stop()


def image(server, repo, layer):
    """The bytes of a manifest whose blobs are there."""
    config = rs.encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
    for data in (config, layer):
        server.push_blob(repo, data)
    return rs.encode(rs.image_manifest(rs.descriptor(config, OCI_CONFIG), [rs.descriptor(layer, OCI_LAYER)]))


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about")


# ---- immutable tags ----


@pytest.mark.sanitize
def test_release_tags_do_not_move(serve):
    server = serve()
    one, two = image(server, "homelab/app", b"one"), image(server, "homelab/app", b"two")
    for tag in ("v1.2.3-74029e1", "v1.2.3-74029e1-nix"):
        server.push_manifest("homelab/app", tag, one)
        server.push_manifest("homelab/app", tag, one)
        answer = server.push_manifest("homelab/app", tag, two, expect=403)
        assert code(answer) == "DENIED" and f"homelab/app:{tag}" in answer.body.decode() and "immutable" in answer.body.decode()
        assert server.request("GET", f"/v2/homelab/app/manifests/{tag}").body == one
    # By parameter, and then none of the tags is set.
    server.push_manifest("homelab/app", digest(two) + "?tag=fresh&tag=v1.2.3-74029e1", two, expect=403)
    assert server.request("HEAD", "/v2/homelab/app/manifests/fresh").status == 404
    for tag in ("latest", "v1.2.3", "v1.2.3-74029e1-unpushed"):
        server.push_manifest("homelab/app", tag, one)
        server.push_manifest("homelab/app", tag, two)
    # Who may delete may make room; in other repositories nothing is taken.
    assert server.request("DELETE", "/v2/homelab/app/manifests/v1.2.3-74029e1").status == 202
    server.push_manifest("homelab/app", "v1.2.3-74029e1", two)
    image(server, "homelab/other", b"one")
    server.push_manifest("homelab/other", "v1.2.3-74029e1", one)


def test_own_patterns_and_what_clients_say(serve, tmp_path):
    server = serve("registry: {immutable-tags: [stable-*]}")
    one, two = image(server, "app", b"one"), image(server, "app", b"two")
    for tag in ("v1-74029e1", "v1-74029e1"):
        server.push_manifest("app", tag, one)
        server.push_manifest("app", tag, two)
    server.push_manifest("app", "stable-1", one)
    server.push_manifest("app", "stable-1", two, expect=403)
    done = subprocess.run(
        [go_tool("crane"), "copy", f"{server.host}/app:v1-74029e1", f"{server.host}/app:stable-1"], capture_output=True, text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode != 0 and "app:stable-1 exists with another digest and is immutable" in done.stderr


# ---- uploads ----


def test_an_upload_that_nobody_goes_on_with(serve, monkeypatch):
    server = serve("registry: {gc: off}\n")
    location = server.start_upload("r")
    assert server.request("PATCH", location, b"some").status == 202
    for hours, there in ((23, 204), (25, 404)):
        with rs.days_ago(monkeypatch, -hours / 24):
            cooper(server, "store", "gc")
        assert server.request("GET", location).status == there


def test_who_was_told_that_a_blob_is_here_need_not_send_it(serve, monkeypatch):
    """A client asks by HEAD, leaves the blob out and puts its manifest later: the grace begins anew with the answer."""
    server = serve("registry: {gc: off, grace: 10d}\n")
    for data in (b"{}", b"told", b"not told"):
        server.push_blob("r", data)
    server.stop()
    with rs.days_ago(monkeypatch, -6):
        server.start()
        for data in (b"{}", b"told"):
            assert server.request("HEAD", f"/v2/r/blobs/{digest(data)}").status == 200
        server.stop()
    with rs.days_ago(monkeypatch, -12):
        cooper(server, "store", "gc")
        server.start()
        assert server.request("HEAD", f"/v2/r/blobs/{digest(b'not told')}").status == 404
        config = rs.descriptor(b"{}", rs.OCI_EMPTY)
        server.push_manifest("r", "v1", rs.encode(rs.image_manifest(config, [rs.descriptor(b"told", OCI_LAYER)])))
        assert server.request("GET", f"/v2/r/blobs/{digest(b'told')}").body == b"told"
        server.stop()
    server.start()


# ---- quotas ----


@pytest.mark.sanitize
def test_quota(serve):
    server = serve("registry:\n  quotas: {small: 100kB, '*': 1MB}\n")
    server.push_blob("small/a", os.urandom(60_000))
    kept = os.urandom(30_000)
    server.push_blob("small/b", kept)
    big = os.urandom(50_000)
    want = digest(big)
    # In each way: announced, streamed without a length, in chunks, by mount.
    location = server.start_upload("small/a")
    refused = [
        server.request("POST", f"/v2/small/a/blobs/uploads/?digest={want}", big),
        server.request("PUT", rs.with_query(location, digest=want), big),
        server.request("PATCH", location, iter([big[:5_000], big[5_000:]]), {"Transfer-Encoding": "chunked"}, chunked=True),
    ]
    for method, path in (("POST", f"/v2/small/a/blobs/uploads/?digest={want}"), ("PUT", rs.with_query(location, digest=want)), ("PATCH", location)):
        refused.append(rs.refused_before_the_body(server.connect(), method, path, {}, len(big)))
    for answer in refused:
        assert answer.status == 403 and code(answer) == "DENIED" and "quota of 100.0 kB" in answer.body.decode()
    server.push_blob("large/a", big)
    mounted = server.request("POST", f"/v2/small/a/blobs/uploads/?mount={want}&from=large/a")
    assert mounted.status == 403
    assert server.request("HEAD", f"/v2/small/a/blobs/{want}").status == 404
    # What the namespace has already takes nothing.
    server.push_blob("small/c", kept)
    assert server.request("POST", f"/v2/small/d/blobs/uploads/?mount={digest(kept)}&from=small/b").status == 201
    # Others are not concerned; and room that is made can be used.
    server.push_blob("tiny/a", big)
    for repo in "bcd":
        assert server.request("DELETE", f"/v2/small/{repo}/blobs/{digest(kept)}").status == 202
    server.push_blob("small/a", big[:35_000])
    # A manifest counts, too.
    empty = rs.descriptor(b"{}", rs.OCI_EMPTY)
    server.push_blob("small/a", b"{}")
    doc = rs.image_manifest(empty, [], annotations={"a": "x" * 6_000})
    assert code(server.push_manifest("small/a", "v1", doc, expect=403)) == "DENIED"
    server.push_manifest("small/a", "v1", rs.image_manifest(empty, []))


# ---- retention ----

RULES = """registry:
  gc: off
  scrub: off
  retention:
    - repositories: [homelab/*]
      keep-newest: 2
      keep-younger: 20d
      keep-tags: [stable]
  pinned-in: [%s]
"""

DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
        - name: app
          image: 127.0.0.1:5000/homelab/app:%s
"""


@pytest.fixture
def lab(tmp_path):
    return GitLab(
        tmp_path, {"cooper.yaml": "namespace: homelab\nmanifests: [manifests]\n", "manifests/app/deployment.yaml": DEPLOYMENT % "v1.0-aaaaaaa"}
    )


def push_history(serve, settings):
    """Images of several ages: tags of homelab/app, oldest first."""
    tags = {"stable": 90, "v1.0-aaaaaaa": 80, "v1.1-bbbbbbb": 70, "v1.2-ccccccc": 60, "v1.3-ddddddd": 50, "v1.4-eeeeeee": 40, "v1.5-fffffff": 10}
    for tag, days in tags.items():
        server = serve(settings, days_ago=days)
        data = server.push_image("homelab/app", tag, tag.encode() * 1000)
        if tag == "v1.2-ccccccc":
            server.push_image("other/app", tag, b"kept for ever")
            server.push_manifest("homelab/app", "sha256-" + digest(data)[7:] + ".sig", data.replace(b'"layers"', b'"layers" '))
    return serve(settings)


def test_retention(serve, lab):
    settings = RULES % lab.repo
    server = push_history(serve, settings)
    # On main one more is pinned than in the work tree, and the other way round.
    lab.write("manifests/app/deployment.yaml", DEPLOYMENT % "v1.1-bbbbbbb")
    before = server.json("/v2/homelab/app/tags/list")["tags"]
    said = cooper(server, "store", "gc", "--dry-run")
    assert "homelab/app:v1.2-ccccccc: not among the newest 2" in said and "what it belongs to goes" in said
    assert "homelab/app:v1.3-ddddddd" in said and "would free" in said
    dry = json.loads(cooper(server, "store", "gc", "--dry-run", "--json"))
    assert {x["name"].split(":")[1] for x in dry["let go"]} >= {"v1.2-ccccccc", "v1.3-ddddddd"}
    assert server.json("/v2/homelab/app/tags/list")["tags"] == before
    real = json.loads(cooper(server, "store", "gc", "--json"))
    # The same, but for what the server still holds.
    assert real["tags"] == dry["tags"] == {"count": 3, "bytes": 0} and real["manifests"] == dry["manifests"]
    assert server.json("/v2/homelab/app/tags/list")["tags"] == ["stable", "v1.0-aaaaaaa", "v1.1-bbbbbbb", "v1.4-eeeeeee", "v1.5-fffffff"]
    assert server.json("/v2/other/app/tags/list")["tags"] == ["v1.2-ccccccc"]
    assert json.loads(cooper(server, "store", "gc", "--json"))["tags"]["count"] == 0
    for tag in ("stable", "v1.0-aaaaaaa"):
        doc = json.loads(server.request("GET", f"/v2/homelab/app/manifests/{tag}").body)
        assert server.request("GET", f"/v2/homelab/app/blobs/{doc['layers'][0]['digest']}").body == tag.encode() * 1000
    cooper(server, "store", "verify")


def test_retention_waits_when_pins_are_unknown(serve, lab, tmp_path):
    server = push_history(serve, RULES % lab.repo)
    lab.write("manifests/app/deployment.yaml", "a: [")
    said = cooper(server, "store", "gc", code=1)
    assert "manifests/app/deployment.yaml" in said
    assert len(server.json("/v2/homelab/app/tags/list")["tags"]) == 8
    # The server itself: what it can do without them it does.
    server = serve((RULES % (tmp_path / "nowhere")).replace("gc: off", "gc: 1s"))
    wait_for(lambda: any("retention waits" in line for line in server.log))
    assert len(server.json("/v2/homelab/app/tags/list")["tags"]) == 8


def test_retention_waits_for_a_clone_of_another_namespace(serve, lab):
    server = push_history(serve, RULES % lab.repo)
    lab.write("cooper.yaml", "namespace: elsewhere\nmanifests: [manifests]\n")
    lab.commit("another namespace")
    said = cooper(server, "store", "gc", code=1)
    assert "its manifests name no image below 127.0.0.1:5000/elsewhere/" in said
    assert len(server.json("/v2/homelab/app/tags/list")["tags"]) == 8


def test_retention_beside_serving(serve, lab):
    server = push_history(serve, (RULES % lab.repo).replace("gc: off", "gc: 1s"))
    wait_for(lambda: len(server.json("/v2/homelab/app/tags/list")["tags"]) == 4)
    assert server.json("/v2/homelab/app/tags/list")["tags"] == ["stable", "v1.0-aaaaaaa", "v1.4-eeeeeee", "v1.5-fffffff"]


# ---- gc and scrub by the clock ----


def fill(place):
    """To the last byte."""
    for size in (1 << 16, 1 << 12):
        with open(place / f"filler-{size}", "wb", buffering=0) as f, contextlib.suppress(OSError):
            while f.write(b"x" * size) == size:
                pass


FULL = "registry: {gc: %s, grace: 4s, scrub: off, retention: [{keep-newest: 1}]}"


def test_gc_on_a_full_disk(serve, tmp_path):
    """Retention and gc free what they can, also when the server could not note down what it told clients."""
    with tmpfs(tmp_path / "small", "24m") as place:
        server = serve(FULL % "off", home=place / "store")
        try:
            for n in range(8):
                server.push_image("app", f"v{n}", os.urandom(1 << 20))
            fresh = [server.push_blob("app", os.urandom(100)) for _ in range(400)]
            server = serve(FULL % "3s", home=place / "store")
            fill(place)
            # What it says to be there it holds; there is no room to say so in its lease.
            for name in fresh:
                assert server.request("HEAD", f"/v2/app/blobs/{name}").status in (200, 404, 500, 507)
            wait_for(lambda: server.json("/v2/app/tags/list")["tags"] == ["v7"])
            wait_for(lambda: shutil.disk_usage(place).free > 7 << 20)
            server.push_image("app", "v8", os.urandom(1 << 20))
            cooper(server, "store", "verify")
        finally:
            server.stop()


def blob_file(server, name):
    algorithm, _, value = name.partition(":")
    return pathlib.Path(server.home) / "blobs" / algorithm / value[:2] / value


@pytest.mark.sanitize
def test_gc_beside_serving(serve):
    server = serve("registry: {gc: 1s, grace: 1s}")
    kept = server.push_image("app", "v1", b"kept")
    stray = server.push_blob("app", b"stray")
    gone = server.push_image("app", "v2", b"gone")
    assert server.request("DELETE", f"/v2/app/manifests/{digest(gone)}").status == 202
    for name in (stray, digest(gone), digest(b"gone")):
        wait_for(lambda name=name: not blob_file(server, name).exists())
        assert server.request("HEAD", f"/v2/app/blobs/{name}").status == 404
    assert server.request("GET", "/v2/app/manifests/v1").body == kept
    assert server.request("GET", f"/v2/app/blobs/{digest(b'kept')}").body == b"kept"


@pytest.mark.sanitize
def test_scrub(serve):
    server = serve("registry: {scrub: 2s}")
    doc = server.push_image("app", "v1", b"rots")
    server.push_image("app", "v2", b"stays")
    path = blob_file(server, digest(b"rots"))
    path.chmod(0o600)
    path.write_bytes(b"r0ts")
    wait_for(lambda: not path.exists())

    def report(code):
        return json.loads(cooper(server, "store", "verify", "--scrub", "--json", code=code).split("\ncooper:")[0].split("\nerror:")[0])

    wait_for(lambda: any("set aside" in line for line in server.log))
    finding = report(3)["findings"][0]
    assert finding["digest"] == digest(b"rots") and "tag/app:v1" in finding["lost"] and not finding["healed"]
    assert (pathlib.Path(server.home) / "quarantine" / ("sha256-" + digest(b"rots")[7:])).read_bytes() == b"r0ts"
    assert "with it went app:v1" in cooper(server, "store", "verify", "--scrub", code=3)
    # Nobody is told that it is there, so that the next push heals it.
    for tag, status in (("v1", 404), ("v2", 200)):
        assert server.request("HEAD", f"/v2/app/manifests/{tag}").status == status
    assert server.request("HEAD", f"/v2/app/blobs/{digest(b'rots')}").status == 404
    assert server.push_image("app", "v1", b"rots") == doc
    wait_for(lambda: json.loads(cooper(server, "store", "verify", "--scrub", "--json"))["last"])
    assert report(0)["findings"][0]["healed"]
    cooper(server, "store", "verify")


# ---- settings ----


@pytest.mark.parametrize(
    "text,said",
    [
        ("registry: {gcc: 1h}", "gc"),
        ("registry: {gc: soon}", '"soon" is not a duration'),
        ("registry: {grace: 0s}", "more than 0"),
        ("registry: {grace: off}", "not a duration"),
        ("registry:\n  retention:\n    - {repositories: ['*']}", ":3:7: a rule of retention needs keep-newest, keep-younger or keep-pulled"),
        ("registry: {retention: {keep-newest: 1}}", "a list of rules"),
        ("registry:\n  retention:\n    - {keep-oldest: 1}", "keep-oldest"),
        ("registry: {quotas: {a/b: 1GB}}", "without a slash"),
        ("registry: {quotas: {a: much}}", "much"),
        ("registry: {pinned-in: [gitops]}", "absolute paths"),
        ("registry: {retention: [{repositories: [], keep-newest: 1}]}", "empty list of repositories"),
        ("registry: {retention: [{repositories: , keep-newest: 1}]}", "empty list of repositories"),
        ("registry: {quotas: {Lab: 1GB}}", "first part of a repository's name"),
        ('registry: {quotas: {"": 1GB}}', "first part of a repository's name"),
        ("registry: {quotas: 5}", "a map from namespace to size"),
    ],
)
def test_wrong_settings(tmp_path, text, said):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    done = subprocess.run(
        [BIN, "store", "du", "--config", config], env={**os.environ, "COOPER_HOME": str(tmp_path / "store")}, capture_output=True, text=True
    )
    assert done.returncode == 1 and said in done.stderr and "config.yaml:" in done.stderr, done.stderr
