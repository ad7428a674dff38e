# SPDX-License-Identifier: Apache-2.0
"""An HTTP server on loopback that answers as a test wants, and remembers what it was asked."""

import contextlib
import http.server
import threading

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Answer:
    """status, headers and a body that is sent even to HEAD (which no server should do)."""

    def __init__(self, status, headers=None, body=b""):
        self.status, self.headers, self.body = status, headers or {}, body


def there(digest=None):
    return Answer(200, {"Content-Type": MANIFEST, **({"Docker-Content-Digest": digest} if digest else {})})


class ScriptedRegistry:
    """answers: last part of the path of a manifest -> Answer; what is not there is a 404."""

    def __init__(self, address):
        self.address, self.answers, self.seen = address, {}, []
        self.lock = threading.Lock()

    def asked(self, part=""):
        """Requests for manifests, "METHOD /path"; the look at /v2/ that finds out about TLS does not count."""
        with self.lock:
            return [line for line in self.seen if "/manifests/" in line and part in line]


def handler_of(box):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self):
            registry = box[0]
            with registry.lock:
                registry.seen.append(f"{self.command} {self.path}")
                registry.accept = self.headers.get("Accept", "")
            if self.path == "/v2/":
                answer = Answer(200)
            else:
                answer = registry.answers.get(self.path.rsplit("/", 1)[-1], Answer(404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_HEAD = do_any

        def log_message(self, *_):
            pass

    return Handler


@contextlib.contextmanager
def scripted_registry():
    box = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(box))
    server.daemon_threads = True
    box.append(ScriptedRegistry(f"127.0.0.1:{server.server_address[1]}"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield box[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def paging_proxy(upstream, n):
    """What stands at upstream, but with pages of n tags."""
    import urllib.error
    import urllib.request

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        pages = []

        def do_GET(self):
            path = self.path.replace("n=1000", f"n={n}")
            try:
                with urllib.request.urlopen(urllib.request.Request(f"http://{upstream}{path}", headers={"Accept": self.headers.get("Accept", "*/*")})) as r:
                    status, headers, body = r.status, r.headers, r.read()
            except urllib.error.HTTPError as e:
                status, headers, body = e.code, e.headers, e.read()
            if "/tags/list" in path:
                self.pages.append(path)
            self.send_response(status)
            for name in ("Link", "Content-Type", "Docker-Content-Digest"):
                if headers.get(name):
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", Handler.pages
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
