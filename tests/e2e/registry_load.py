# SPDX-License-Identifier: Apache-2.0
"""Clients that push, delete and pull all the time, and remember what they were answered for.

Each pusher has a repository of its own and does one thing after the other, so that when the server dies under it there is
at most one thing of each pusher that may have happened or not.
"""

import contextlib
import http.client
import json
import os
import random
import threading
import time

import registry_server as rs

GONE = object()


class Pusher(threading.Thread):
    """Pushes images of small layers as clients do: asks for each blob first, and sends only what is not there."""

    def __init__(self, server, n, seed, until, layer_size=2000):
        super().__init__(daemon=True)
        self.server, self.repo, self.random = server, f"load/{n}", random.Random(seed)
        self.until, self.layer_size = until, layer_size
        self.tags = {}  # tag -> manifest that is acknowledged, or GONE
        self.open = None  # the tag, and the manifests any of which it may stand for now
        self.unfinished = None  # location, bytes sent, digest
        self.layers = [os.urandom(layer_size) for _ in range(4)]
        self.accepted = self.refused = self.deleted = self.skipped = self.count = 0
        self.failure = None
        self.least = 1.5  # seconds that a push has: half of the grace in the tests' settings
        self.down = False

    # ---- requests ----

    def ask(self, method, path, body=None, headers=None, chunked=False):
        return self.server.request(method, path, body, headers, chunked)

    def send_blob(self, data):
        name = rs.digest(data)
        if self.ask("HEAD", f"/v2/{self.repo}/blobs/{name}").status == 200:
            self.skipped += 1
            return
        way = self.random.randrange(4)
        if way == 0:
            answer = self.ask("POST", f"/v2/{self.repo}/blobs/uploads/?digest={name}", data)
        elif way == 1:
            other = f"load/{self.random.randrange(3)}"
            answer = self.ask("POST", f"/v2/{self.repo}/blobs/uploads/?mount={name}&from={other}")
            if answer.status == 202:
                answer = self.ask("PUT", rs.with_query(answer.getheader("Location"), digest=name), data)
        else:
            location = self.ask("POST", f"/v2/{self.repo}/blobs/uploads/").getheader("Location")
            half = len(data) // 2 if way == 2 else len(data)
            self.unfinished = (location, data)
            answer = self.ask("PATCH", location, iter([data[:half]]), {"Transfer-Encoding": "chunked"}, chunked=True)
            assert answer.status == 202, (answer.status, answer.body)
            answer = self.ask("PUT", rs.with_query(location, digest=name), data[half:])
            self.unfinished = None
        assert answer.status == 201, (answer.status, answer.body)

    def layer(self):
        if self.random.random() < 0.4:
            return self.random.choice(self.layers)
        self.layers[self.random.randrange(len(self.layers))] = fresh = os.urandom(self.random.randrange(1, 2 * self.layer_size))
        return fresh

    def push(self):
        self.count += 1
        self.began = time.monotonic()
        tag = f"t{self.count}" if self.random.random() < 0.8 else f"m{self.random.randrange(5)}"
        config = rs.encode({"architecture": "amd64", "os": "linux", "n": self.count if self.random.random() < 0.5 else 0})
        layers = [self.layer() for _ in range(self.random.randrange(1, 4))]
        for data in [config, *layers]:
            self.send_blob(data)
        doc = rs.encode(rs.image_manifest(rs.descriptor(config, rs.OCI_CONFIG), [rs.descriptor(x, rs.OCI_LAYER) for x in layers]))
        self.put(tag, doc, rs.OCI_MANIFEST)
        if self.random.random() < 0.1:
            index = rs.encode(rs.index_manifest([rs.descriptor(doc, rs.OCI_MANIFEST)]))
            self.put(f"i{self.count}", index, rs.OCI_INDEX)

    def put(self, tag, doc, media_type):
        self.open = (tag, {self.tags.get(tag, GONE), doc})
        answer = self.ask("PUT", f"/v2/{self.repo}/manifests/{tag}", doc, {"Content-Type": media_type})
        if answer.status == 201:
            self.tags[tag] = doc
            self.accepted += 1
        else:
            # Blobs that were there too long ago: the client begins anew. A blob that was said to be here, or sent, stays for
            # half of the grace at least.
            assert answer.status == 400 and rs.code(answer) == "MANIFEST_BLOB_UNKNOWN", (answer.status, answer.body)
            assert time.monotonic() - self.began > self.least, (time.monotonic() - self.began, answer.body)
            self.refused += 1
        self.open = None

    def delete(self):
        here = sorted(t for t, doc in self.tags.items() if doc is not GONE)
        if not here:
            return
        tag = self.random.choice(here)
        self.open = (tag, {self.tags[tag], GONE})
        assert self.ask("DELETE", f"/v2/{self.repo}/manifests/{tag}").status == 202
        self.tags[tag] = GONE
        self.deleted += 1
        self.open = None

    def delete_image(self):
        """By digest: all tags of it go."""
        here = sorted(t for t, doc in self.tags.items() if doc is not GONE and not t.startswith("i"))
        if not here:
            return
        doc = self.tags[self.random.choice(here)]
        if any(json.loads(d).get("manifests", [{}])[0].get("digest") == rs.digest(doc) for d in self.tags.values() if d is not GONE and b'"manifests"' in d):
            return  # an index needs it
        same = [t for t, d in self.tags.items() if d is not GONE and d == doc]
        self.open = (same, {doc, GONE})
        assert self.ask("DELETE", f"/v2/{self.repo}/manifests/{rs.digest(doc)}").status == 202
        for tag in same:
            self.tags[tag] = GONE
        self.deleted += 1
        self.open = None

    def run(self):
        try:
            while not self.until():
                what = self.random.random()
                if what < 0.75:
                    self.push()
                elif what < 0.9:
                    self.delete()
                else:
                    self.delete_image()
        except (OSError, http.client.HTTPException):
            self.down = True
        except BaseException as e:  # noqa: BLE001 - told by the main thread
            self.failure = repr(e)

    # ---- looking ----

    def settle(self):
        """After the server came back: what the thing under way has become is what counts from now on."""
        if not self.open:
            return
        tags, possible = self.open
        for tag in [tags] if isinstance(tags, str) else tags:
            answer = self.ask("GET", f"/v2/{self.repo}/manifests/{tag}")
            now = answer.body if answer.status == 200 else GONE
            assert now in possible, (self.repo, tag, answer.status, answer.body)
            self.tags[tag] = now
        self.open = None

    def check_upload(self):
        """It goes on where it stopped, or is gone. Says which."""
        if not self.unfinished:
            return None
        location, data = self.unfinished
        self.unfinished = None
        state = self.ask("GET", location)
        if state.status == 404:
            return "gone"
        assert state.status == 204, (state.status, state.body)
        have = int(state.getheader("Range").split("-")[1]) + 1
        # "0-0" is said of none and of one.
        for start in {have, 0} if have == 1 else {have}:
            answer = self.ask("PATCH", location, data[start:], {"Content-Range": f"{start}-{len(data) - 1}"}) if start < len(data) else None
            if answer is None or answer.status == 202:
                break
        done = self.ask("PUT", rs.with_query(location, digest=rs.digest(data)))
        assert done.status == 201, (done.status, done.body, have, len(data))
        assert self.ask("GET", f"/v2/{self.repo}/blobs/{rs.digest(data)}").body == data
        return "resumed"

    def check(self, tags=None):
        """Everything that was acknowledged (of these tags) is there, whole, and what was deleted is not. Says how many images."""
        seen = set()
        for tag in list(self.tags) if tags is None else tags:
            doc = self.tags[tag]
            answer = self.ask("GET", f"/v2/{self.repo}/manifests/{tag}")
            if doc is GONE:
                assert answer.status == 404, (self.repo, tag, answer.status)
                continue
            assert answer.status == 200 and answer.body == doc, (self.repo, tag, answer.status, answer.body)
            self.check_children(json.loads(doc), seen)
        return sum(1 for doc in self.tags.values() if doc is not GONE)

    def check_children(self, doc, seen):
        for child in doc.get("manifests", []):
            answer = self.ask("GET", f"/v2/{self.repo}/manifests/{child['digest']}")
            assert answer.status == 200 and rs.digest(answer.body) == child["digest"], (self.repo, child, answer.status)
            self.check_children(json.loads(answer.body), seen)
        for child in [doc["config"], *doc["layers"]] if "config" in doc else []:
            if child["digest"] in seen:
                continue
            seen.add(child["digest"])
            answer = self.ask("GET", f"/v2/{self.repo}/blobs/{child['digest']}")
            assert answer.status == 200 and rs.digest(answer.body) == child["digest"], (self.repo, child, answer.status)


def start(pushers):
    for p in pushers:
        p.start()


def finish(pushers):
    for p in pushers:
        p.join(timeout=120)
        assert not p.is_alive() and not p.failure, (p.repo, p.failure)


@contextlib.contextmanager
def while_running(fn):
    """Call fn over and over in a thread until the block ends; gives the list of its results."""
    stop, results, failures = threading.Event(), [], []

    def loop():
        try:
            while not stop.is_set():
                results.append(fn())
        except BaseException as e:  # noqa: BLE001 - told below
            failures.append(repr(e))

    t = threading.Thread(target=loop, daemon=True)
    t.start()
    yield results
    stop.set()
    t.join(timeout=120)
    assert not failures, failures


def deadline(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
