# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy before a real registry that breaks what it is told to break, and passes on the rest.

with fault_proxy("127.0.0.1:5000") as proxy:
    proxy.fault("GET", "/blobs/", truncate(1000), times=2)
    ... a client of proxy.host ...
    proxy.seen  # "GET /v2/... -> 200", in order; a fault is named after its answer
"""

import contextlib
import email.utils
import gzip
import http.client
import http.server
import re
import socket
import struct
import threading
import time

HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


class Answer:
    """What the registry said; faults change it before it goes on."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def set(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, str(value)))


def slam(handler):
    """End the connection with a reset."""
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


# ---- faults: called with the handler, which sends what it wants ----


def truncate(n, reset=False):
    """The body ends after n bytes of what Content-Length says."""

    def act(h):
        answer = h.forward()
        h.send_head(answer)
        h.wfile.write(answer.body[:n])
        h.close_connection = True
        if reset:
            slam(h)

    return act


def status(code, headers=None, body=b"broken on purpose"):
    """The registry never hears of it."""

    def act(h):
        h.read_body()
        values = [(k, v() if callable(v) else v) for k, v in (headers or {}).items()]
        h.send_answer(Answer(code, values, body))

    return act


def http_date(seconds):
    """For headers: a date that many seconds after the answer is made."""
    return lambda: email.utils.formatdate(time.time() + seconds, usegmt=True)


def slow(rate, piece=8192):
    """All of it, at so many bytes a second."""

    def act(h):
        answer = h.forward()
        h.send_head(answer)
        for at in range(0, len(answer.body), piece):
            h.wfile.write(answer.body[at : at + piece])
            time.sleep(piece / rate)

    return act


def wrong_byte(at=0):
    def act(h):
        answer = h.forward()
        body = bytearray(answer.body)
        if body:
            body[at % len(body)] ^= 0x55
        answer.body = bytes(body)
        h.send_answer(answer)

    return act


def redirect(to, code=307):
    """to: a URL, "{path}" in it is that of the request."""

    def act(h):
        h.read_body()
        h.send_answer(Answer(code, [("Location", to.replace("{path}", h.path))], b""))

    return act


def change(edit):
    """edit(answer, handler) changes the registry's answer."""

    def act(h):
        answer = h.forward()
        edit(answer, h)
        h.send_answer(answer)

    return act


def gzipped():
    def edit(answer, _):
        answer.set("Content-Encoding", "gzip")
        answer.body = gzip.compress(answer.body)

    return change(edit)


def says_length(length):
    """Content-Length as length(real one), whatever comes; None: none is said."""

    def act(h):
        answer = h.forward()
        said = length(len(answer.body))
        h.send_head(answer, said)
        h.wfile.write(answer.body if said is None else answer.body[:said])
        h.close_connection = True

    return act


def endless_headers():
    def act(h):
        h.read_body()
        h.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            while True:
                h.wfile.write(b"X-Endless: " + b"x" * 500 + b"\r\n")
        h.close_connection = True

    return act


def endless_body(content_type="application/json"):
    def act(h):
        h.read_body()
        h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + content_type.encode() + b"\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                h.wfile.write(b" " * 65536)
        h.close_connection = True

    return act


def not_http(data=b"SSH-2.0-OpenSSH_9.2\r\n"):
    def act(h):
        h.wfile.write(data)
        slam(h)

    return act


def cut_upload(n):
    """The registry and the proxy are cut off after n bytes of the request's body."""

    def act(h):
        h.forward_cut(n)
        slam(h)

    return act


def lose_answer():
    """The registry does what it is asked; nobody hears of it."""

    def act(h):
        h.forward()
        slam(h)

    return act


def go_away():
    """From now on nobody listens there."""

    def act(h):
        h.server.socket.shutdown(socket.SHUT_RDWR)
        h.server.gone = True
        slam(h)

    return act


# ---- the proxy ----


class Proxy:
    def __init__(self, upstream):
        self.upstream, self.faults, self.seen, self.headers = upstream, [], [], []
        self.lock = threading.Lock()

    def fault(self, method, path, act, times=1, least=0):
        """The next so many requests (-1: all) with this method and path (regular expressions), and a body of so many bytes."""
        self.faults.append([re.compile(method + r"\Z"), re.compile(path), act, times, least])

    def pick(self, handler):
        with self.lock:
            size = int(handler.headers.get("Content-Length") or 0)
            for fault in self.faults:
                if fault[3] and size >= fault[4] and fault[0].match(handler.command) and fault[1].search(handler.path):
                    fault[3] -= 1
                    return fault[2]
        return None

    def count(self, pattern):
        with self.lock:
            return sum(bool(re.search(pattern, line)) for line in self.seen)


def handler_of(proxy):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def read_body(self, most=None):
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                out = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    out += self.rfile.read(size)
                    self.rfile.readline()
                    if most is not None and len(out) >= most:
                        return out[:most]
                self.rfile.readline()
                return out
            size = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(size if most is None else min(size, most))

        def forward(self):
            upstream = http.client.HTTPConnection(proxy.upstream, timeout=60)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP | {"expect", "content-length"}}
                upstream.request(self.command, self.path, self.read_body(), headers)
                r = upstream.getresponse()
                body = r.read()
                kept = [(k, v) for k, v in r.getheaders() if k.lower() not in HOP | {"content-length"}]
                answer = Answer(r.status, kept, body)
                if self.command == "HEAD":
                    answer.length = r.getheader("Content-Length")
                return answer
            finally:
                upstream.close()

        def forward_cut(self, n):
            upstream = http.client.HTTPConnection(proxy.upstream, timeout=60)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for k, v in self.headers.items():
                if k.lower() not in HOP | {"expect"}:
                    upstream.putheader(k, v)
            upstream.endheaders()
            upstream.send(self.read_body(n))
            time.sleep(0.2)  # what was sent is to be read there before the end is
            upstream.close()

        def send_head(self, answer, length=-1):
            proxy.note(self, answer.status)
            self.send_response_only(answer.status)
            for k, v in answer.headers:
                self.send_header(k, v)
            if length == -1:
                length = getattr(answer, "length", None) or len(answer.body)
            if length is not None and answer.status not in (204, 304):
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def send_answer(self, answer):
            self.send_head(answer)
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def do_any(self):
            if self.server.gone:
                return slam(self)
            act = proxy.pick(self)
            with proxy.lock:
                proxy.headers.append((self.command, self.path, dict(self.headers.items())))
            try:
                if act:
                    proxy.note(self, "fault")
                    act(self)
                else:
                    self.send_answer(self.forward())
            except OSError:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

        def log_message(self, *_):
            pass

    return Handler


def note(proxy, handler, what):
    with proxy.lock:
        proxy.seen.append(f"{handler.command} {handler.path} -> {what}")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    gone = False

    def handle_error(self, *_):
        """A client that goes away is part of the tests."""


@contextlib.contextmanager
def fault_proxy(upstream):
    proxy = Proxy(upstream)
    proxy.note = lambda handler, what: note(proxy, handler, what)
    server = Server(("127.0.0.1", 0), handler_of(proxy))
    proxy.port = server.server_address[1]
    proxy.host = f"127.0.0.1:{proxy.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
