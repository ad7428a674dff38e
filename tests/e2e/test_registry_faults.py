# SPDX-License-Identifier: Apache-2.0
"""
The registry client through a proxy that breaks things, before real registries: it finishes, or says exactly what is
wrong; and the store holds nothing that was not verified.
"""

import io
import json
import random
import re
import tarfile

import pytest

import fault_proxy as fp
from conftest import Cooper, free_port, running_docker_registry

LAYER = 9 << 20
BLOB = r"/blobs/sha256:"
UPLOAD = r"/blobs/uploads/"
MANIFEST = "/manifests/"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A cooper whose store has "big:1": a layer that does not compress, and a small config."""
    top = tmp_path_factory.mktemp("source")
    with tarfile.open(top / "big.tar", "w") as tar:
        info = tarfile.TarInfo("random")
        info.size = LAYER
        tar.addfile(info, io.BytesIO(random.Random(7).randbytes(LAYER)))
    cooper = Cooper(top / "home")
    cooper("image", "import", top / "big.tar", "--name", "big:1")
    cooper.digest = json.loads(cooper("image", "inspect", "big:1").out)["digest"]
    return cooper


@pytest.fixture(scope="module", params=["docker-registry", "cooper"])
def registry(request, source, tmp_path_factory):
    """A real registry that has the image: its address."""
    top = tmp_path_factory.mktemp("registry")
    place = running_docker_registry(top / "r") if request.param == "docker-registry" else Cooper(top / "home").serving()
    with place as address:
        source("image", "copy", "store:big:1", f"docker://{address}/faults/big:1")
        yield address


# Where the fault hides the registry altogether, one kind of it suffices.
one_kind = pytest.mark.parametrize("registry", ["docker-registry"], indirect=True)


@pytest.fixture
def proxy(registry):
    with fp.fault_proxy(registry) as p:
        yield p


@pytest.fixture
def pull(source, bare, proxy):
    """pull() gets the image through the proxy; pull("words", ...) must fail with them. Either way the store is sound."""

    def run(*words):
        done = bare("image", "copy", f"docker://{proxy.host}/faults/big:1", "store:got:1", code=1 if words else 0)
        text = " ".join(done.err.split())
        for word in words:
            assert re.search(word, text), (word, done.err)
        bare("store", "verify")
        listed = bare("image", "ls").out
        assert ("got" in listed) == (not words), listed
        if not words:
            assert json.loads(bare("image", "inspect", "got:1").out)["digest"] == source.digest
        return done

    return run


# ---- pulls that finish ----


@pytest.mark.sanitize
def test_pull_goes_on_where_it_was_cut(pull, proxy):
    proxy.fault("GET", BLOB, fp.truncate(3 << 20), times=2)
    proxy.fault("GET", BLOB, fp.truncate(1 << 20, reset=True), times=1)
    pull()
    starts = [int(re.match(r"bytes=(\d+)-", h["Range"]).group(1)) for _, _, h in proxy.headers if "Range" in h]
    assert starts and starts == sorted(starts) and starts[-1] >= 1 << 20, starts


FINISHES = {
    "manifest 500": ("GET|HEAD", MANIFEST, fp.status(500), 2),
    "manifest 503 to all": ("GET|HEAD", "", fp.status(503, {"Retry-After": "0"}), 3),
    "429 with seconds": ("GET|HEAD", MANIFEST, fp.status(429, {"Retry-After": "1"}), 2),
    "429 with a date": ("GET", BLOB, fp.status(429, {"Retry-After": fp.http_date(2)}), 2),
    "manifest cut": ("GET", MANIFEST, fp.truncate(100), 2),
    "manifest reset": ("GET", MANIFEST, fp.truncate(0, reset=True), 2),
    "slow": ("GET", BLOB, fp.slow(6 << 20, piece=1 << 18), 2),
    "no length": ("GET", BLOB, fp.says_length(lambda n: None), -1),
    "too much promised": ("GET", MANIFEST, fp.says_length(lambda n: n + 10), 2),
    "answers lost": ("GET|HEAD", "", fp.lose_answer(), 3),
    "head without digest": ("HEAD", MANIFEST, fp.change(lambda a, h: a.set("Docker-Content-Digest", None)), -1),
    "head refused": ("HEAD", MANIFEST, fp.status(405), -1),
    "one hop": ("GET", r"sha256:[0-9a-f]+\Z", fp.redirect("{path}?again=1"), -1),
}


@one_kind
@pytest.mark.parametrize("case", FINISHES)
def test_pull_finishes(pull, proxy, case):
    method, path, act, times = FINISHES[case]
    proxy.fault(method, path, act, times)
    pull()
    assert proxy.count("-> fault") >= 1, proxy.seen


def resumed_as(edit):
    """Cut once, then edit(answer) what comes for the rest."""

    def arm(proxy):
        proxy.fault("GET", BLOB, fp.truncate(2 << 20), times=1)
        # the config is small and asked for whole
        proxy.fault("GET", BLOB, fp.change(lambda a, h: edit(a, h) if "Range" in h.headers else None), times=3)

    return arm


def whole(answer, handler):
    """The whole blob with a 206 that says it is the rest."""
    answer.body = b"\0" * len(answer.body)


def shifted(answer, handler):
    first = int(re.search(r"bytes=(\d+)", handler.headers["Range"]).group(1))
    answer.set("Content-Range", f"bytes {first - 1000}-{LAYER}/*")


@one_kind
@pytest.mark.parametrize("edit", [whole, shifted, lambda a, h: a.set("Content-Range", None)], ids=["other bytes", "other place", "no place"])
def test_a_206_that_lies_costs_a_pull_from_the_start(pull, proxy, edit):
    resumed_as(edit)(proxy)
    pull()


# ---- pulls that fail ----

FAILS = {
    "manifest wrong": ("GET", MANIFEST, fp.wrong_byte(20), [r"manifest is sha256:\w+ and should be sha256:"]),
    "blob wrong": ("GET", BLOB, fp.wrong_byte(5000), ["sha256:.* should be sha256:|digest"]),
    "blob too long": ("GET", BLOB, fp.change(lambda a, h: setattr(a, "body", a.body + b"xx")), [r"registry has \d+ bytes and the manifest names \d+|\d+ bytes came and the manifest names \d+"]),
    "gzip": ("GET", BLOB, fp.gzipped(), ["Content-Encoding gzip", "proxy or cache"]),
    "gzip of a manifest": ("GET", MANIFEST, fp.gzipped(), ["Content-Encoding gzip"]),
    "redirect loop": ("GET", BLOB, fp.redirect("{path}"), ["more than 10 redirects", r"GET http://127.0.0.1:\d+/v2/faults/big/blobs/sha256:"]),
    "redirect to nowhere": ("GET", BLOB, fp.redirect("http://127.0.0.1:1/x"), ["127.0.0.1:1/x", "refused"]),
    "redirect to a file": ("GET", BLOB, fp.redirect("file:///etc/passwd"), ["file"]),
    "endless headers": ("GET", MANIFEST, fp.endless_headers(), ["headers"]),
    "endless manifest": ("GET|HEAD", MANIFEST, fp.endless_body(), ["larger than 4194304 bytes"]),
    "endless blob": ("GET", BLOB, fp.endless_body(), ["more bytes come than|larger than"]),
    "not HTTP": ("GET|HEAD", MANIFEST, fp.not_http(), [r"127.0.0.1:\d+/v2/faults/big/manifests/1", "HTTP"]),
    "a page": ("GET|HEAD", MANIFEST, fp.status(403, {"Content-Type": "text/html"}, b"<!DOCTYPE html><p>no"), ["403", "page of HTML"]),
    "gone": ("GET", BLOB, fp.status(404), ["404", "fetching blob sha256:"]),
    "wait an hour": ("GET|HEAD", MANIFEST, fp.status(429, {"Retry-After": "3600"}), ["429 and asks to wait (1 h|60 min|1h)"]),
    "wait until tomorrow": ("GET|HEAD", MANIFEST, fp.status(429, {"Retry-After": fp.http_date(86000)}), ["429 and asks to wait 23 ?h"]),
    "hub limit": (
        "GET", MANIFEST,
        fp.status(429, {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600", "docker-ratelimit-source": "192.0.2.7"}, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'),
        ["answer is 429, TOOMANYREQUESTS: You have reached", r"100 times in 6 ?h\S* for 192.0.2.7, of which 0 are left", "cooper login 127.0.0.1"],
    ),
}  # fmt: skip


@one_kind
@pytest.mark.parametrize("case", FAILS)
def test_pull_says_what_is_wrong(pull, proxy, case):
    method, path, act, words = FAILS[case]
    proxy.fault(method, path, act, times=-1)
    pull(*words)
    if case == "hub limit":
        assert proxy.count("-> 429") == 1, "asking again does not help"


def test_after_a_failure_the_next_pull_is_whole(pull, proxy):
    """What a failed pull leaves behind is no part of the next one unless it is right."""
    proxy.fault("GET", BLOB, fp.wrong_byte(4000), times=-1)
    pull("should be")
    proxy.faults.clear()
    pull()


def test_credentials_stay_at_home(source, bare, closed_registry, tmp_path):
    """Blobs may come from another host; the password never goes there."""
    auth = tmp_path / "auth.json"
    env = {"REGISTRY_AUTH_FILE": str(auth)}
    with fp.fault_proxy(closed_registry) as front, fp.fault_proxy(closed_registry) as elsewhere:
        for host in (front.host, elsewhere.host):
            bare("login", host, "-u", "dev", "--password-stdin", input="s3cret\n", env=env)
        source("image", "copy", "store:big:1", f"docker://{front.host}/a/big:1", env=env)
        asked = len(elsewhere.headers)
        front.fault("GET", BLOB, fp.redirect(f"http://{elsewhere.host}{{path}}"), times=-1)
        elsewhere.fault("GET", BLOB, fp.status(200, None, b"not the bytes"), times=-1)
        done = bare("image", "copy", f"docker://{front.host}/a/big:1", "store:got:1", env=env, code=1)
        assert "manifest names" in done.err, done
        assert len(elsewhere.headers) > asked
        assert not [h for _, _, h in elsewhere.headers[asked:] if "Authorization" in h]
        bare("store", "verify")


# ---- pushes ----


@pytest.fixture
def push(source, bare, proxy, registry):
    """push() sends the image through the proxy to a repository of its own; push("words") must fail with them."""
    repository = f"faults/{random.randrange(1 << 40):x}"

    def run(*words):
        target = f"{repository}:1"
        # From a store of its own: what was pushed before must not be mounted.
        bare("image", "copy", f"docker://{registry}/faults/big:1", "store:big:1")
        other = Cooper(f"{bare.home}-push")
        bare("image", "copy", "store:big:1", f"oci-archive:{bare.home}.tar")
        other("image", "import", f"{bare.home}.tar", "--name", "big:1")
        done = other("image", "copy", "store:big:1", f"docker://{proxy.host}/{target}", code=1 if words else 0)
        text = " ".join(done.err.split())
        for word in words:
            assert re.search(word, text), (word, done.err)
        other("store", "verify")
        back = Cooper(f"{bare.home}-back")("image", "copy", f"docker://{registry}/{target}", "store:back:1", code=None)
        assert (back.code == 0) == (not words), back
        return done

    return run


PUSHES = {
    "503 to all": ("POST|PUT|HEAD|PATCH", "", fp.status(503), 3),
    "429 to an upload": ("POST", UPLOAD, fp.status(429, {"Retry-After": "1"}), 2),
    "put 500": ("PUT", UPLOAD, fp.status(500), 2),
    "put lost": ("PUT", UPLOAD, fp.lose_answer(), 2),
    "post lost": ("POST", UPLOAD, fp.lose_answer(), 2),
    "manifest lost": ("PUT", MANIFEST, fp.lose_answer(), 2),
    "cut at once": ("PUT", UPLOAD, fp.cut_upload(0), 1),
    "cut late": ("PUT|PATCH", UPLOAD, fp.cut_upload(5 << 20), 1),
    "cut again and again": ("PUT|PATCH", UPLOAD, fp.cut_upload(2 << 20), 3),
}


@pytest.mark.parametrize("case", PUSHES)
def test_push_finishes(push, proxy, case):
    method, path, act, times = PUSHES[case]
    proxy.fault(method, path, act, times)
    push()
    assert proxy.count("-> fault") >= 1, proxy.seen
    if case == "put lost":
        # Each blob was there: it is not sent twice.
        assert proxy.count(r"^PUT .*digest=.* -> (fault|20\d)") == 2, proxy.seen


@pytest.mark.sanitize
@pytest.mark.parametrize("registry", ["cooper"], indirect=True)
def test_push_goes_on_where_it_was_cut(push, proxy):
    """What the registry has said that it has is not sent again. (docker-registry 2.8 gives up an upload that was cut within a chunk.)"""
    proxy.fault("PUT", UPLOAD, fp.cut_upload(5 << 20), times=1, least=LAYER)
    proxy.fault("PATCH", UPLOAD, fp.change(lambda a, h: None), times=1)  # one chunk gets through
    proxy.fault("PATCH", UPLOAD, fp.cut_upload(1 << 20), times=2)
    push()
    sent = [re.match(r"(\d+)-(\d+)", h["Content-Range"]).groups() for m, _, h in proxy.headers if m == "PATCH"]
    starts = [int(first) for first, _ in sent]
    assert len(starts) >= 2 and starts == sorted(starts) and 0 < starts[0] <= 5 << 20, sent
    assert starts[1] > starts[0], sent
    assert proxy.count(r"^PUT .*digest=.* -> fault") == 1, proxy.seen


@one_kind
def test_push_to_a_registry_that_takes_no_chunks(push, proxy):
    """Cut, then refused in chunks: sent whole."""
    proxy.fault("PUT", UPLOAD, fp.cut_upload(5 << 20), times=1, least=LAYER)
    proxy.fault("PATCH", UPLOAD, fp.status(405), times=-1)
    push()
    assert proxy.count("PATCH .* -> 405") == 1 and proxy.count("PUT .*digest=.* -> 201") >= 2, proxy.seen


PUSHES_FAIL = {
    "denied": ("POST", UPLOAD, fp.status(403, None, b'{"errors":[{"code":"DENIED","message":"quota"}]}'), ["403, DENIED: quota"]),
    "too large": ("PUT|PATCH", UPLOAD, fp.status(413, {"Content-Type": "text/html"}, b"<html>413"), ["413", "client_max_body_size"]),
    "digest refused": ("PUT", UPLOAD, fp.status(400, None, b'{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}'), ["DIGEST_INVALID", "store verify"]),
    "always 500": ("PUT", UPLOAD, fp.status(500), ["pushing blob sha256:", "500, broken on purpose"]),
    "manifest refused": ("PUT", MANIFEST, fp.status(400, None, b'{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}'), ["MANIFEST_INVALID"]),
    "no location": ("POST", UPLOAD, fp.change(lambda a, h: a.set("Location", None)), ["no Location"]),
    "location loop": ("POST", UPLOAD, fp.redirect("{path}"), ["more than 10 redirects"]),
}


@one_kind
@pytest.mark.parametrize("case", PUSHES_FAIL)
def test_push_says_what_is_wrong(push, proxy, case):
    method, path, act, words = PUSHES_FAIL[case]
    proxy.fault(method, path, act, times=-1)
    push(*words)


# ---- nobody there ----


def test_nobody_listens(source):
    """The address is most likely wrong: two tries, no more. Tries that wait are told."""
    gone = source("image", "copy", "store:big:1", f"docker://127.0.0.1:{free_port()}/a/big:1", "--progress", "plain", code=1)
    assert "Connection refused" in gone.err and gone.err.count("trying again") == 1, gone


@one_kind
def test_a_registry_that_starts_again_is_waited_for(source, registry):
    """One that has answered gets all tries."""
    with fp.fault_proxy(registry) as proxy:
        proxy.fault("POST", UPLOAD, fp.go_away(), times=1)
        gone = source("image", "copy", "store:big:1", f"docker://{proxy.host}/a/restarted:1", "--progress", "plain", code=1)
        assert "Connection refused" in gone.err and gone.err.count("trying again") >= 3, gone
