# SPDX-License-Identifier: Apache-2.0
"""What pipelines fetch from: a web server that counts, a git daemon, git over HTTP behind a password. All on loopback."""

import base64
import contextlib
import hashlib
import http.server
import os
import pathlib
import subprocess
import threading
import urllib.parse

GIT_ENV = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git(place, *args, when=1700000000):
    env = {**os.environ, **GIT_ENV, "GIT_AUTHOR_DATE": f"{when} +0000", "GIT_COMMITTER_DATE": f"{when} +0000"}
    run = subprocess.run(["git", "-C", str(place), *args], env=env, capture_output=True, text=True)
    assert run.returncode == 0, (args, run.stdout, run.stderr)
    return run.stdout.strip()


class Page:
    def __init__(self, body, etag=None, modified=None, wants=None, headers=None):
        self.body = body if isinstance(body, bytes) else body.encode()
        self.etag, self.modified, self.wants = etag, modified, wants
        self.headers = headers or {}
        self.status = 200
        self.requests = []  # (headers, status)


class WebServer:
    """server.put("/x", "text", etag='"1"') gives the URL; server.page("/x").requests says who asked."""

    def __init__(self):
        self.pages = {}
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.httpd.daemon_threads = True
        self.port = self.httpd.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()

    def put(self, path, body, **kw):
        self.pages[path] = Page(body, **kw)
        return self.url + path

    def page(self, path):
        return self.pages[path]

    def _handler(server):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                page = server.pages.get(urllib.parse.urlsplit(self.path).path)
                status, body = self.judge(page)
                self.send_response(status)
                if page and page.etag:
                    self.send_header("ETag", page.etag)
                if page and page.modified:
                    self.send_header("Last-Modified", page.modified)
                for name, value in (page.headers if page else {}).items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                if page:
                    page.requests.append((dict(self.headers), status))

            do_HEAD = do_GET

            def judge(self, page):
                if page is None:
                    return 404, b"no such page"
                if page.wants and self.headers.get("Authorization") != page.wants:
                    return 401, b"who are you"
                if page.etag and page.etag in self.headers.get("If-None-Match", ""):
                    return 304, b""
                return page.status, page.body

            def log_message(self, *args):
                pass

        return Handler


@contextlib.contextmanager
def running_git_daemon(place, port):
    proc = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={place}", str(place)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **GIT_ENV},
    )
    try:
        yield proc
    finally:
        proc.terminate()
        proc.wait(10)
        # "git daemon" is a wrapper: what listens is its child, which ends with it.


class GitOverHttp:
    """`git http-backend` behind user "dev" and password "s3cret"."""

    TOKEN = "s3cret"

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.header = "Basic " + base64.b64encode(f"dev:{self.TOKEN}".encode()).decode()
        self.seen = []
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()

    def allowed(self, header):
        if header == self.header:
            return True
        # Any user name goes with the password, as forges do it for tokens.
        kind, _, word = (header or "").partition(" ")
        with contextlib.suppress(ValueError):
            return kind == "Basic" and base64.b64decode(word).decode().endswith(":" + self.TOKEN)
        return False

    def backend(self, handler, body):
        path, _, query = handler.path.partition("?")
        env = {
            **os.environ,
            **GIT_ENV,
            "GIT_PROJECT_ROOT": str(self.place),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": urllib.parse.unquote(path),
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        }
        return subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout

    def _handler(server):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = self.read_body()
                if not server.allowed(self.headers.get("Authorization")):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                server.seen.append(self.headers.get("Authorization"))
                head, _, rest = server.backend(self, body).partition(b"\r\n\r\n")
                lines = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
                status = next((int(v.split()[0]) for k, v in lines if k == "Status"), 200)
                self.send_response(status)
                for name, value in lines:
                    if name != "Status":
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(rest)

            do_POST = do_GET

            def read_body(self):
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    out = b""
                    while size := int(self.rfile.readline().strip() or b"0", 16):
                        out += self.rfile.read(size)
                        self.rfile.readline()
                    return out
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def log_message(self, *args):
                pass

        return Handler


class Repository:
    """
    A work tree and the bare repository that is served. Three commits: v0.9.0, v1.0.0, v1.1.0 (annotated, with a submodule after it on no tag);
    branches main and side (from v1.0.0, one commit of its own).
    """

    def __init__(self, place, name="app"):
        self.place, self.name = pathlib.Path(place), name
        self.work = self.place / f"{name}-work"
        self.bare = self.place / f"{name}.git"
        self.work.mkdir(parents=True)
        git(self.work, "init", "-q", "-b", "main")
        self.commits = [self.commit("one\n", 1700000000), self.commit("two\n", 1700000100)]
        git(self.work, "tag", "v0.9.0", self.commits[0])
        git(self.work, "tag", "v1.0.0")
        git(self.work, "branch", "side")
        self.commits.append(self.commit("three\n", 1700000200))
        git(self.work, "tag", "-a", "-m", "release", "v1.1.0", when=1700000300)
        git(self.work, "checkout", "-q", "side")
        self.side = self.commit("aside\n", 1700000400, "side.txt")
        git(self.work, "checkout", "-q", "main")
        git(self.place, "clone", "-q", "--bare", str(self.work), str(self.bare))
        self.publish()

    def commit(self, text, when, path="README"):
        (self.work / path).write_text(text)
        (self.work / "run.sh").write_text("#!/bin/sh\necho run\n")
        (self.work / "run.sh").chmod(0o755)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", text.strip(), when=when)
        return git(self.work, "rev-parse", "HEAD")

    def publish(self):
        git(self.bare, "fetch", "-q", "--prune", "--force", str(self.work), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        git(self.bare, "symbolic-ref", "HEAD", "refs/heads/main")
        git(self.bare, "update-server-info")


def sha256(data):
    return "sha256:" + hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()
