# SPDX-License-Identifier: Apache-2.0
"""
A registry on loopback that lies as a test wants. It has what was put into it; a rule is asked first.

with hostile_registry() as reg:
    reg.put_image("a/b", "1", layers=[b"..."])
    reg.rules.append(rule)      # rule(h) -> True when it sent the answer itself, by h.answer(...)
    reg.seen                    # [("GET", "/v2/...", headers)]
"""

import contextlib
import hashlib
import http.server
import json
import socket
import threading

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(data, media_type, **more):
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


class HostileRegistry:
    def __init__(self, host):
        self.host, self.rules, self.seen = host, [], []
        self.manifests, self.blobs = {}, {}

    def put_blob(self, data):
        self.blobs[sha256(data)] = data
        return data

    def put_manifest(self, repo, document, tag=None, media_type=MANIFEST):
        """document: bytes or what becomes JSON. Returns its descriptor."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (sha256(data), tag):
            if name:
                self.manifests[f"{repo}/{name}"] = (data, media_type)
        return descriptor(data, media_type)

    def put_image(self, repo, tag=None, layers=(b"",), **more):
        """An image of layers that are no archives, which only copies do not mind."""
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(one) for one in layers]}}
        config = self.put_blob(json.dumps(config).encode())
        listed = [descriptor(self.put_blob(one), LAYER) for one in layers]
        return self.put_manifest(repo, {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config, CONFIG), "layers": listed, **more}, tag)

    def asked(self, method, part):
        return [line for line in list(self.seen) if line[0] == method and part in line[1]]

    def usual(self, h):
        path = h.path.partition("?")[0]
        repo, _, name = path.removeprefix("/v2/").rpartition("/")
        if path == "/v2/":
            return h.answer(200)
        if repo.endswith("/manifests") and f"{repo.removesuffix('/manifests')}/{name}" in self.manifests:
            data, kind = self.manifests[f"{repo.removesuffix('/manifests')}/{name}"]
            return h.answer(200, {"Content-Type": kind, "Docker-Content-Digest": sha256(data)}, data)
        if repo.endswith("/blobs") and name in self.blobs:
            return h.answer(200, {"Content-Type": "application/octet-stream"}, self.blobs[name])
        return h.answer(404, {}, b"{}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry = None

    def answer(self, status, headers=None, body=b"", length=None, reason=None):
        """headers: a dict, or pairs where one comes twice. length: what is said instead of the true one."""
        headers = headers or {}
        self.send_response(status, reason)
        for name, value in headers.items() if isinstance(headers, dict) else headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if length is not None:
            self.close_connection = True
        return True

    def do_any(self):
        with contextlib.suppress(OSError):
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.registry.seen.append((self.command, self.path, dict(self.headers)))
            if not any(rule(self) for rule in self.registry.rules):
                self.registry.usual(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_any

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def hostile_registry(address="127.0.0.1"):
    handler = type("Bound", (Handler,), {})
    server = Server((address, 0), handler)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    handler.registry = HostileRegistry(f"{address}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield handler.registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
