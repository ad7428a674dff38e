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


# ---- logging in ----


def secrets(reg):
    """What was said in Authorization headers, decoded."""
    return [base64.b64decode(head["Authorization"].removeprefix("Basic ")).decode() for _, _, head in reg.seen if "Authorization" in head]


def basic(h):
    return "Authorization" not in h.headers and h.answer(401, {"WWW-Authenticate": 'Basic realm="x"'})


@pytest.fixture
def login(bare, reg, tmp_path):
    def run(password="b\n", code=0):
        return bare("login", reg.host, "-u", "dev", "--password-stdin", input=password, code=code, env={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})

    run.file = tmp_path / "auth.json"
    return run


@pytest.mark.parametrize("password", ['{\n  "type": "service_account",\n  "key": "x"\n}', "t" * 9000, " spaces "], ids=["a file of a key", "a long token", "spaces"])
def test_the_whole_of_standard_input_is_the_password(reg, login, password):
    reg.rules.append(basic)
    login(password + "\n")
    assert secrets(reg)[-1] == f"dev:{password}"


@pytest.mark.parametrize("password", ["", "\n", "a\0b", "t" * 70000], ids=["nothing", "an empty line", "NUL", "too long"])
def test_what_is_no_password(reg, login, password):
    reg.rules.append(basic)
    assert "standard input" in login(password, code=None).err
    assert not reg.seen and not login.file.exists()


def test_a_page_is_no_registry(reg, login):
    def rule(h):
        if h.path == "/v2/":
            return h.answer(302, {"Location": "/login"})
        return h.answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><p>Please log in")

    reg.rules.append(rule)
    assert "page of HTML" in login(code=1).err
    assert not login.file.exists()


def test_wrong_passwords_of_a_registry_that_all_may_read(reg, login):
    """It asks for nothing at /v2/, so they have to be shown to it."""
    right = base64.b64encode(b"dev:right").decode()
    reg.rules.append(lambda h: h.headers.get("Authorization", f"Basic {right}") != f"Basic {right}" and h.answer(401, {"WWW-Authenticate": 'Basic realm="x"'}))
    assert "was refused" in login("wrong\n", code=1).err
    assert not login.file.exists()
    login("right\n")
    assert login.file.exists()
