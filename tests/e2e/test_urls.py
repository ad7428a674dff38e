# SPDX-License-Identifier: Apache-2.0
"""ADD of URLs: what makes an image of them, and what is said when they cannot be had."""

import contextlib
import http.server
import json
import threading

import pytest

from conftest import Cooper


class Files(http.server.BaseHTTPRequestHandler):
    """GET /NAME gives server.files[NAME], modified at server.date."""

    def do_GET(self):
        body = self.server.files.get(self.path)
        if body is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if self.server.date:
            self.send_header("Last-Modified", self.server.date)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.files, server.date = {"/tool": b"a tool"}, None
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    with contextlib.suppress(OSError):
        server.shutdown()
    thread.join()
    server.server_close()


def test_the_date_of_a_url_is_not_in_the_image(site, context, tmp_path):
    ctx = context({"Dockerfile": f"FROM scratch\nADD {site.url}/tool /tool\n"})
    made = []
    for date in (None, "Wed, 21 Oct 2015 07:28:00 GMT", "Thu, 22 Oct 2015 07:28:00 GMT"):
        site.date = date
        cooper = Cooper(tmp_path / f"home{len(made)}")
        meta = cooper.build(ctx, "-t", "x:1")
        made.append((meta["containerimage.digest"], meta["cooper.pins"]))
        assert cooper.files("x:1")["tool"].mtime == 315619200
    assert made[0] == made[1] == made[2]
    cooper.build(ctx, "-t", "x:1", "--build-arg", "SOURCE_DATE_EPOCH=1700000000")
    assert cooper.files("x:1")["tool"].mtime == 1700000000


@pytest.mark.parametrize(
    "add,reason",
    [
        ("ADD SITE/none /x", "404"),
        ("ADD http://127.0.0.1:1/tool /x", "connect"),
        (f"ADD --checksum=sha256:{'0' * 64} SITE/tool /x", "checksum"),
        ("ADD SITE/no.git /x", "no.git"),
    ],
)
def test_a_source_that_cannot_be_had_names_its_line(bare, site, context, add, reason):
    add = add.replace("SITE", site.url)
    ctx = context({"Dockerfile": f"FROM scratch\n\n{add}\n"})
    r = bare("build", ctx, "--progress", "plain", code=1)
    assert f">>> {add}" in r.err and "Dockerfile:3: " in r.err and reason in r.err, r


def test_a_locked_url_that_changed(site, context, tmp_path):
    ctx = context({"Dockerfile": f"FROM scratch\nADD {site.url}/tool /tool\n"})
    lock = tmp_path / "lock.json"
    Cooper(tmp_path / "home1")("build", ctx, "--metadata-file", lock)
    pin = json.loads(lock.read_text())["cooper.pins"][0]["pin"].partition("@")[2]
    other = Cooper(tmp_path / "home2")
    site.files["/tool"] = b"another tool"
    r = other("build", ctx, "--locked", lock, code=1)
    assert f"does not have the checksum {pin}" in r.err and "without --locked" in r.err, r
    site.files["/tool"] = b"a tool"
    other("build", ctx, "--locked", lock)
