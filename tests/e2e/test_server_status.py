# SPDX-License-Identifier: Apache-2.0
"""What the server says of itself: health, metrics, its access log; and certificates that are renewed under it."""

import contextlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from places import tmpfs

PROM = re.compile(r'[a-z_:][a-z0-9_:]*(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.]+')


def token(cooper, name, *args):
    return cooper("token", "create", name, *args).out.strip()


def ask(address, method, path, headers=(), body=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, dict(headers))
    answer = connection.getresponse()
    answer.text = answer.read().decode(errors="replace")
    connection.close()
    return answer


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def until(what, seconds=20):
    """The value of what() once it is true; for things that happen on another thread of the server."""
    end = time.monotonic() + seconds
    while not (got := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return got


@contextlib.contextmanager
def server(cooper, *args, listen="127.0.0.1:0", env=None):
    """The process and its port, for signals."""
    proc = cooper.start("serve", "--listen", listen, *args, env=env)
    try:
        line = proc.stdout.readline()
        found = re.search(r":(\d+)$", line.strip())
        assert found, (line, proc.stderr.read())
        yield proc, int(found.group(1))
    finally:
        proc.terminate()
        proc.said = proc.communicate(timeout=20)[1]
        assert "AddressSanitizer" not in proc.said and "runtime error:" not in proc.said, proc.said


# ---- health ----


@pytest.mark.sanitize
def test_health_and_readiness(bare):
    with bare.serving() as address:
        assert ask(address, "GET", "/healthz").text == "ok"
        assert ask(address, "HEAD", "/readyz").status == 200
        assert ask(address, "GET", "/readyz").text == "ready\n"
        refused = ask(address, "POST", "/readyz")
        assert (refused.status, refused.getheader("Allow")) == (405, "GET, HEAD")


def test_not_ready_without_a_disk(bare, tmp_path):
    """On a disk that is full it lives and is not ready."""
    with tmpfs(tmp_path / "disk", "16m") as disk:
        bare.env["COOPER_HOME"] = str(disk / "home")
        with bare.serving() as address:
            assert ask(address, "GET", "/readyz").status == 200
            with open(disk / "fill", "wb", buffering=0) as f, contextlib.suppress(OSError):
                while True:
                    f.write(bytes(1 << 16))
            answer = until(lambda: (a := ask(address, "GET", "/readyz")).status == 503 and a)
            assert "takes no writes" in answer.text and str(disk) not in answer.text
            assert ask(address, "GET", "/healthz").status == 200
            (disk / "fill").unlink()
            until(lambda: ask(address, "GET", "/readyz").status == 200)


# ---- metrics ----


def values(text):
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            assert PROM.fullmatch(line), line
            name, _, value = line.rpartition(" ")
            assert name not in found, name
            found[name] = float(value)
    return found


@pytest.mark.sanitize
def test_metrics(bare):
    with bare.serving() as address:
        ask(address, "POST", "/v2/a/blobs/uploads/?digest=sha256:" + "0" * 64, body=b"12345")
        for _ in range(2):
            ask(address, "GET", "/v2/a/tags/list")
        ask(address, "BREW", "/coffee")
        answer = ask(address, "GET", "/metrics")
        assert answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
        typed = re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", answer.text, re.M)
        assert len(typed) == len(set(typed)) == len(re.findall("^# HELP ", answer.text, re.M))

        def complete():
            v = values(ask(address, "GET", "/metrics").text)
            return v if v.get('cooper_http_requests_total{route="other",method="other",status="404"}') else None

        v = until(complete)
        assert v['cooper_http_requests_total{route="tags",method="GET",status="404"}'] == 2
        assert v['cooper_http_requests_total{route="uploads",method="POST",status="400"}'] == 1
        assert v['cooper_http_received_bytes_total{route="uploads"}'] == 5
        assert v['cooper_http_sent_bytes_total{route="tags"}'] > 100
        assert v['cooper_http_request_duration_seconds_bucket{route="tags",le="+Inf"}'] == v['cooper_http_request_duration_seconds_count{route="tags"}'] == 2
        assert v['cooper_http_requests_in_flight{route="metrics"}'] >= 1 and v["cooper_uploads_in_flight"] == 0
        assert v["cooper_store_blobs"] >= 0 and v["cooper_store_free_bytes"] > 0 and v['cooper_jobs{status="waiting"}'] == 0
        for name in ("cooper_gc_runs_total", "cooper_gc_last_end_seconds", "cooper_access_log_dropped_total", "process_start_time_seconds"):
            assert name in v


def test_unfinished_uploads(bare):
    with bare.serving() as address:
        location = ask(address, "POST", "/v2/some/thing/blobs/uploads/").headers["Location"]
        assert ask(address, "PATCH", location, body=b"x" * 1000).status == 202
        assert ask(address, "POST", "/v2/other/thing/blobs/uploads/").status == 202
        v = values(ask(address, "GET", "/metrics").text)
        assert v["cooper_upload_sessions"] == 2 and v["cooper_upload_session_bytes"] == 1000


def test_uploads_in_flight(bare):
    with bare.serving() as address:
        where = ask(address, "POST", "/v2/a/blobs/uploads/").getheader("Location")
        connection = http.client.HTTPConnection(address)
        connection.putrequest("PATCH", where)
        connection.putheader("Content-Length", "10")
        connection.endheaders(b"12345")
        until(lambda: values(ask(address, "GET", "/metrics").text)["cooper_uploads_in_flight"] == 1)
        connection.close()
        until(lambda: values(ask(address, "GET", "/metrics").text)["cooper_uploads_in_flight"] == 0)


def test_who_may_read_metrics(bare):
    pull, scrape = token(bare, "p", "--scope", "pull"), token(bare, "prom", "--scope", "metrics")
    admin = token(bare, "me", "--scope", "admin")
    with bare.serving() as address:
        assert ask(address, "GET", "/metrics").status == 200
        # a proxy on this machine, a name that leads here, a page in a browser
        for more in ({"X-Forwarded-For": "192.0.2.1"}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            assert ask(address, "GET", "/metrics", more).status == 401
            assert ask(address, "GET", "/metrics", {**more, **bearer(pull)}).status == 403
            for text in (scrape, admin):
                assert ask(address, "GET", "/metrics", {**more, **bearer(text)}).status == 200
        assert ask(address, "GET", "/metrics", bearer("wrong")).status == 401
        assert ask(address, "GET", "/v2/", bearer(scrape)).status == 200
        assert ask(address, "GET", "/v2/a/tags/list", bearer(scrape)).status == 403


# ---- the access log ----


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_access_log(bare, tmp_path):
    log, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    text = token(bare, "ci", "--scope", "push")
    with server(bare, "--access-log", log) as (proc, port):
        address = f"127.0.0.1:{port}"
        ask(address, "POST", "/v2/a/blobs/uploads/?digest=sha256:" + "0" * 64, {**bearer(text), "User-Agent": 'a "client"\t'}, b"12345")
        ask(address, "GET", "/v2/a/tags/list?secret=1")
        first, second = until(lambda: len(lines(log)) == 2 and lines(log))
        assert (first["method"], first["path"], first["status"], first["received"], first["token"]) == ("POST", "/v2/a/blobs/uploads/", 400, 5, "ci")
        assert first["agent"].startswith('a "client"') and first["peer"] == "127.0.0.1" and 0 <= first["seconds"] < 60
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", first["time"]) and first["cut"] is False
        assert second["token"] is None and second["status"] == 401 and second["sent"] > 0
        assert text not in log.read_text() and "secret" not in log.read_text() and log.stat().st_mode & 0o777 == 0o600
        # moved away: it goes on there until it is told
        log.rename(moved)
        ask(address, "GET", "/healthz")
        until(lambda: len(lines(moved)) == 3)
        proc.send_signal(signal.SIGHUP)
        until(log.exists)
        ask(address, "GET", "/")
        assert until(lambda: lines(log))[0]["path"] == "/" and len(lines(moved)) == 3
        assert proc.poll() is None


def test_access_log_under_load(bare, tmp_path):
    """A line for each request, also while the file is moved again and again."""
    log, count, parts = tmp_path / "log", 200, []
    with server(bare, "--access-log", log) as (proc, port):

        def work():
            connection = http.client.HTTPConnection("127.0.0.1", port)
            for _ in range(count):
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for n in range(3):
            parts.append(tmp_path / f"log.{n}")
            log.rename(parts[-1])
            proc.send_signal(signal.SIGHUP)
            until(log.exists)
        for t in threads:
            t.join()
    assert sum(len(lines(p)) for p in [log, *parts]) == 4 * count


def test_access_log_on_standard_output(bare):
    with server(bare, "--access-log", "-") as (proc, port):
        ask(f"127.0.0.1:{port}", "GET", "/healthz")
        assert json.loads(proc.stdout.readline())["path"] == "/healthz"
    assert "opening the access log" in bare("serve", "--access-log", "/nowhere/x", code=1).err


def test_full_disk_of_the_access_log(bare):
    """Requests are answered, and the lines that were lost are counted."""
    with server(bare, "--access-log", "/dev/full") as (proc, port):
        for _ in range(5):
            assert ask(f"127.0.0.1:{port}", "GET", "/healthz").status == 200
        until(lambda: values(ask(f"127.0.0.1:{port}", "GET", "/metrics").text)["cooper_access_log_dropped_total"] >= 5)
    assert proc.said.count("writing the access log") == 1


# ---- TLS ----


def certificate(folder, name):
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def connect(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20))


def shown(port):
    """The certificate of a new connection."""
    with connect(port) as s:
        return ssl.DER_cert_to_PEM_cert(s.getpeercert(True)).split()


def get(sock):
    """A request on an open connection; the status and whether it stays open."""
    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    answer.read()
    return answer.status, answer.getheader("Connection") != "close"


@pytest.mark.sanitize
def test_certificates_are_renewed(bare, tmp_path):
    old, new = certificate(tmp_path, "old"), certificate(tmp_path, "new")
    cert, key = tmp_path / "cert", tmp_path / "key"

    def install(pair, end=None):
        for source, to in zip(pair, (cert, key)):
            temporary = tmp_path / "temporary"
            temporary.write_bytes(source.read_bytes()[:end])
            temporary.rename(to)

    install(old)
    with server(bare, "--tls-cert", cert, "--tls-key", key, env={"COOPER_LOG": "info"}) as (proc, port):
        assert shown(port) == old[0].read_text().split()
        idle = connect(port)
        assert get(idle) == (200, True)
        install(new)
        until(lambda: shown(port) == new[0].read_text().split())
        # what was open goes on, and is closed after its answer
        assert get(idle) == (200, False)
        idle.close()
        # half a pair, a certificate with another key, nothing: the one before stays
        for change in (
            lambda: install(old, 100),
            lambda: install((old[0], new[1])),
            lambda: (cert.unlink(), key.write_bytes(b"")),
        ):
            change()
            proc.send_signal(signal.SIGHUP)
            time.sleep(1.5)
            assert shown(port) == new[0].read_text().split()
        install(old)
        proc.send_signal(signal.SIGHUP)
        until(lambda: shown(port) == old[0].read_text().split())
    assert proc.said.count("the one before stays in use") == 2 and proc.said.count("get the new TLS certificate") == 2


def test_no_connection_fails_while_certificates_change(bare, tmp_path):
    pairs = [certificate(tmp_path, str(n)) for n in range(2)]
    cert, key = tmp_path / "cert", tmp_path / "key"
    for source, to in zip(pairs[0], (cert, key)):
        to.write_bytes(source.read_bytes())
    failures, seen, ending = [], set(), threading.Event()
    with server(bare, "--tls-cert", cert, "--tls-key", key) as (proc, port):

        def work():
            while not ending.is_set():
                try:
                    with connect(port) as s:
                        seen.add(s.getpeercert(True))
                        assert get(s)[0] == 200
                except Exception as e:
                    failures.append(repr(e))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads:
            t.start()
        for n in range(1, 5):
            wanted = pairs[n % 2]
            for source, to in zip(wanted, (cert, key)):
                to.write_bytes(source.read_bytes())
            proc.send_signal(signal.SIGHUP)
            until(lambda: shown(port) == wanted[0].read_text().split())
        ending.set()
        for t in threads:
            t.join()
    assert failures == [] and len(seen) == 2


def test_a_certificate_that_cannot_be_used(bare, tmp_path):
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    said = bare("serve", "--listen", "127.0.0.1:0", "--tls-cert", one[0], "--tls-key", two[1], code=1).err
    assert "are a PEM certificate and its key" in said
