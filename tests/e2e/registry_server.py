# SPDX-License-Identifier: Apache-2.0
"""A registry under test, and a small client that shows what is on the wire.

COOPER_BIN (default build-test/cooper) names the program: "cooper serve" is started. Without it COOPER_TEST_REGISTRY
may name the registry alone, as built from tests/registry/test_registry_server.c.
"""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
import time

BUILT = pathlib.Path(__file__).resolve().parents[2] / "build-test" / "cooper"

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"


def program():
    """The command line and whether the store is named by COOPER_HOME; None if there is nothing to test."""
    alone = os.environ.get("COOPER_TEST_REGISTRY")
    binary = os.environ.get("COOPER_BIN") or ("" if alone else str(BUILT))
    if binary and os.path.exists(binary):
        return [binary, "serve", "--listen", "127.0.0.1:0"], True
    return ([alone], False) if alone else None


def collector():
    """The test program that collects over and over (tests/registry/test_registry_server.c); None if it was not built."""
    alone = os.environ.get("COOPER_TEST_REGISTRY") or str(BUILT.parent / "tests" / "registry" / "test_registry_server")
    return alone if os.path.exists(alone) else None


class Server:
    """settings: text of the machine's configuration file, as "registry: {sparse: true}"."""

    def __init__(self, home, settings=None):
        self.home = str(home)
        self.settings = settings
        self.process = None
        self.port = 0

    def start(self):
        command, by_env = program()
        env = dict(os.environ, COOPER_HOME=self.home)
        if self.settings is not None:
            config = pathlib.Path(self.home + ".yaml")
            config.write_text(self.settings)
            command = command + ["--config", str(config)]
        if not by_env:
            command = command + [self.home]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True
        )
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                break
        else:
            raise RuntimeError("the server did not start: " + "".join(seen))
        # Whatever else it says must not fill the pipe.
        self.log = []
        self.reader = threading.Thread(target=self.log.extend, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        return self

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        """End it in its own way: it must do so cleanly, also by the word of a sanitizer."""
        if self.process is None:
            return
        self.process.stdin.close()
        if program()[1]:
            self.process.terminate()
        status = self.process.wait(timeout=60)
        self.reader.join(timeout=10)
        self.process = None
        assert status == 0, (status, "".join(self.log)[-4000:])

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=30)
        self.process = None

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(self, method, path, body=None, headers=None, chunked=False):
        """One request on a connection of its own. The answer has status, headers and body."""
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=headers or {}, encode_chunked=chunked)
            answer = connection.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            connection.close()

    def json(self, path):
        answer = self.request("GET", path)
        assert answer.status == 200, (path, answer.status, answer.body)
        return json.loads(answer.body)

    # ---- pushing in the plainest way ----

    def start_upload(self, repo):
        answer = self.request("POST", f"/v2/{repo}/blobs/uploads/")
        assert answer.status == 202, (answer.status, answer.body)
        return answer.getheader("Location")

    def push_blob(self, repo, data, algorithm="sha256"):
        name = digest(data, algorithm)
        answer = self.request("PUT", with_query(self.start_upload(repo), digest=name), data)
        assert answer.status == 201, (answer.status, answer.body)
        assert answer.getheader("Docker-Content-Digest") == name
        return name

    def push_manifest(self, repo, reference, doc, media_type=OCI_MANIFEST, expect=201):
        data = doc if isinstance(doc, bytes) else encode(doc)
        answer = self.request("PUT", f"/v2/{repo}/manifests/{reference}", data, {"Content-Type": media_type})
        assert answer.status == expect, (answer.status, answer.body)
        return answer

    def push_image(self, repo, tag, layer=b"layer", **extra):
        """A whole image of one layer; its manifest's bytes."""
        config = encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        self.push_blob(repo, config)
        self.push_blob(repo, layer)
        data = encode(image_manifest(descriptor(config, OCI_CONFIG), [descriptor(layer, OCI_LAYER)], **extra))
        self.push_manifest(repo, tag, data)
        return data


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def encode(doc):
    return json.dumps(doc, separators=(",", ":")).encode()


def descriptor(data, media_type, **extra):
    algorithm = extra.pop("algorithm", "sha256")
    return {"mediaType": media_type, "digest": digest(data, algorithm), "size": len(data), **extra}


def image_manifest(config, layers, **extra):
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers, **extra}


def index_manifest(manifests, **extra):
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests, **extra}


def refused_before_the_body(connection, method, path, headers, length=1_000_000):
    """The answer to a request whose body is held back until the server wants it."""
    connection.timeout = 20
    connection.putrequest(method, path)
    for header in {**headers, "Content-Length": str(length), "Expect": "100-continue"}.items():
        connection.putheader(*header)
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer


def check_not_modified(server, path):
    """Who has the bytes is told the headers of 200 and no more, by GET and HEAD."""
    for method in ("GET", "HEAD"):
        whole = server.request(method, path)
        same = server.request(method, path, headers={"If-None-Match": whole.getheader("ETag")})
        assert (whole.status, same.status, same.body) == (200, 304, b""), (method, path)
        assert whole.getheader("Content-Length") is not None
        assert [h for h in same.getheaders() if h[0] != "Date"] == [h for h in whole.getheaders() if h[0] != "Date"], (method, path)


def with_query(location, **params):
    mark = "&" if "?" in location else "?"
    return location + mark + "&".join(f"{k}={v}" for k, v in params.items())


def code(answer):
    return json.loads(answer.body)["errors"][0]["code"]


def cooper(server, *args, code=0):
    """The program with the server's store and settings: what it says."""
    command, _ = program()
    done = subprocess.run(
        [command[0], *args, "--config", server.home + ".yaml"], env={**os.environ, "COOPER_HOME": server.home}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


@contextlib.contextmanager
def days_ago(monkeypatch, days):
    """What is started within has its clock so many days back."""
    monkeypatch.delenv("COOPER_FAKE_TIME", raising=False)
    if days:
        monkeypatch.setenv("COOPER_FAKE_TIME", str(int(time.time() - days * 86400)))
    yield
    monkeypatch.delenv("COOPER_FAKE_TIME", raising=False)
