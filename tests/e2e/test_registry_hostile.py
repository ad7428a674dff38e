# SPDX-License-Identifier: Apache-2.0
"""Registries that lie, on purpose or by mistake: the client ends, says what is wrong, and keeps what is secret."""

import base64
import random
import re

import pytest

from hostile_registry import hostile_registry, sha256


@pytest.fixture
def reg():
    with hostile_registry() as registry:
        yield registry


def pull(bare, reg, *words, repo="a/b", options=(), timeout=60):
    """Must fail with these words, or succeed when there are none."""
    done = bare("image", "copy", *options, f"docker://{reg.host}/{repo}:1", "store:got:1", code=1 if words else 0, timeout=timeout)
    text = " ".join(done.err.split())
    for word in words:
        assert re.search(word, text), (word, done.err)
    return done


def test_the_same_first_bytes_again_and_again(bare, reg):
    """Cut in the middle, and the rest is never given: no headway is made, so it ends."""
    layer = random.Random(1).randbytes(1500 << 10)
    reg.put_image("a/b", "1", [layer])

    def rule(h):
        if h.command != "GET" or sha256(layer) not in h.path:
            return False
        if "Range" in h.headers:
            return h.answer(206, {}, layer[600 << 10 :])
        return h.answer(200, {}, layer[: 600 << 10], length=len(layer))

    reg.rules.append(rule)
    pull(bare, reg, "ended after 614400 of 1536000 bytes|no Content-Range")
    assert len(reg.asked("GET", sha256(layer))) <= 10
