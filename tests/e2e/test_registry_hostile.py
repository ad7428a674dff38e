# SPDX-License-Identifier: Apache-2.0
"""Registries that lie, on purpose or by mistake: the client ends, says what is wrong, and keeps what is secret."""

import base64
import json
import os
import random
import re
import signal
import time

import pytest

from conftest import Cooper
from hostile_registry import INDEX, MANIFEST, hostile_registry, sha256
from places import tmpfs


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


def test_an_interrupt_at_the_prompt(bare):
    """Ends it, with the terminal as it was."""
    import pty
    import termios

    from conftest import BIN

    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BIN, [BIN, "login", "127.0.0.1:1", "-u", "dev"], bare.env)
    shown = b""
    while b"password" not in shown or termios.tcgetattr(fd)[3] & termios.ECHO:
        shown += os.read(fd, 100) if b"password" not in shown else b""
    os.write(fd, b"\x03")
    for _ in range(200):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        pytest.fail("it went on")
    assert os.waitstatus_to_exitcode(status) != 0
    assert termios.tcgetattr(fd)[3] & termios.ECHO
    os.close(fd)


def test_a_token_that_is_two_headers(bare, reg, tmp_path):
    reg.put_image("a/b", "1")
    reg.rules.append(lambda h: h.path != "/v2/" and "Authorization" not in h.headers and h.answer(401, {"WWW-Authenticate": f'Bearer realm="http://{reg.host}/token"'}))
    (tmp_path / "auth.json").write_text('{"auths": {"%s": {"registrytoken": "a\\r\\nX-Other: b"}}}' % reg.host)
    done = bare("image", "copy", f"docker://{reg.host}/a/b:1", "store:got:1", code=1, env={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})
    assert "registrytoken cannot be sent in a header" in done.err
    assert not any("X-Other" in head for _, _, head in reg.seen)


# ---- pages ----


def tags(reg, *links):
    """Page i is of one tag and has the header Link: links[i]; the last of them comes again and again."""
    pages = []

    def rule(h):
        if "/tags/list" not in h.path:
            return False
        pages.append(h.path)
        i = len(pages) - 1
        link = links[min(i, len(links) - 1)]
        return h.answer(200, [("Content-Type", "application/json")] + [("Link", one) for one in link], b'{"tags": ["t%d"]}' % i)

    reg.rules.append(rule)
    return pages


@pytest.mark.parametrize(
    "link",
    [
        ['</v2/a/b/tags/list?n=1>; rel="prev", </v2/a/b/tags/list?n=2>; rel="next"'],
        ['</v2/a/b/tags/list?n=1>; rel="prev"', '</v2/a/b/tags/list?n=2>; title="x"; rel=next'],
        ["</v2/a/b/tags/list?n=2>"],
    ],
    ids=["one header", "two headers", "no rel"],
)
def test_the_next_page_among_others(bare, reg, tmp_path, link):
    reg.put_image("a/b", "1")
    pages = tags(reg, link, [])
    bare("image", "copy", "--referrers", f"docker://{reg.host}/a/b:1", f"oci:{tmp_path}/out")
    assert pages[1:] == ["/v2/a/b/tags/list?n=2"]


def test_pages_that_go_round_in_a_circle(bare, reg, tmp_path):
    reg.put_image("a/b", "1")
    one, two = ('</v2/a/b/tags/list?n=%d>; rel="next"' % n for n in (1, 2))
    pages = tags(reg, *[[one], [two]] * 50, [])
    done = bare("image", "copy", "--referrers", f"docker://{reg.host}/a/b:1", f"oci:{tmp_path}/out", code=1)
    assert "goes round in a circle" in done.err and len(pages) < 10


def test_referrers_without_end(bare, reg, tmp_path):
    """Each page is another and has new entries: the list is bounded."""
    reg.put_image("a/b", "1")
    pages = []

    def rule(h):
        if "/referrers/" not in h.path:
            return False
        entries = [{"mediaType": MANIFEST, "digest": f"sha256:{len(pages):032x}{n:032x}", "size": 100} for n in range(6000)]
        pages.append(h.path)
        return h.answer(200, {"Content-Type": INDEX, "Link": f'<{h.path.partition("?")[0]}?n={len(pages)}>; rel="next"'}, json.dumps({"schemaVersion": 2, "manifests": entries}).encode())

    reg.rules.append(rule)
    tags(reg, [])
    done = bare("image", "copy", "--referrers", f"docker://{reg.host}/a/b:1", f"oci:{tmp_path}/out", code=1)
    assert "more than 20000 entries" in done.err and len(pages) == 4


def test_a_disk_that_runs_full_is_not_kept_full(reg, tmp_path):
    """What was got of a blob that does not fit goes, or nothing else would work, not even making room."""
    reg.put_image("a/b", "1", [random.Random(2).randbytes(6 << 20)])
    with tmpfs(tmp_path / "small", "4m") as small:
        cooper = Cooper(small / "home")
        pull(cooper, reg, "No space left on device")
        assert not list(small.glob("home/partial/*"))
        cooper("store", "gc")


# ---- files of credentials ----


def test_a_link_to_the_credentials_stays_one(reg, login, tmp_path):
    reg.rules.append(basic)
    real = tmp_path / "kept" / "real.json"
    real.parent.mkdir()
    real.write_text('{"auths": {"x": {"auth": "YTpi"}}}')
    login.file.symlink_to(real)
    login()
    assert login.file.is_symlink() and set(json.loads(real.read_text())["auths"]) == {"x", reg.host}


def test_logins_at_the_same_time(bare, tmp_path):
    file = tmp_path / "auth.json"
    with hostile_registry("0.0.0.0") as reg:
        hosts = [f"127.0.0.{i}:{reg.host.split(':')[1]}" for i in range(1, 13)]
        running = [bare.start("login", host, "-u", "dev", "-p", "b", env={"REGISTRY_AUTH_FILE": str(file)}) for host in hosts]
        assert [p.communicate(timeout=60) and p.returncode for p in running] == [0] * len(hosts)
        assert set(json.loads(file.read_text())["auths"]) == set(hosts)
        running = [bare.start("logout", host, env={"REGISTRY_AUTH_FILE": str(file)}) for host in hosts[1:]]
        assert [p.communicate(timeout=60) and p.returncode for p in running] == [0] * (len(hosts) - 1)
        assert set(json.loads(file.read_text())["auths"]) == {hosts[0]}


def test_an_interrupt_while_a_helper_hangs(bare, tmp_path):
    started = tmp_path / "started"
    (tmp_path / "docker-credential-hangs").write_text(f"#!/bin/sh\ntouch {started}\nexec sleep 100\n")
    (tmp_path / "docker-credential-hangs").chmod(0o755)
    (tmp_path / "auth.json").write_text('{"credsStore": "hangs"}')
    env = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    logout = bare.start("logout", "127.0.0.1:1", env=env)
    while not started.exists() and logout.poll() is None:
        time.sleep(0.02)
    logout.send_signal(signal.SIGINT)
    _, err = logout.communicate(timeout=30)
    assert logout.returncode == 1 and "canceled" in err


# ---- referrers ----


def test_what_is_about_another_image_is_not_attached(bare, reg, tmp_path):
    image = reg.put_image("a/b", "1", [b"image"])
    mine = reg.put_image("a/b", None, [b"mine"], subject=image)
    others = reg.put_image("a/b", None, [b"other"], subject=reg.put_image("a/b", None, [b"another"]))
    lists = {image["digest"]: [others, mine, image]}

    def rule(h):
        name = h.path.rpartition("/")[2]
        return "/referrers/" in h.path and h.answer(200, {"Content-Type": INDEX}, json.dumps({"schemaVersion": 2, "manifests": lists.get(name, [])}).encode())

    reg.rules.append(rule)
    tags(reg, [])
    done = bare("image", "copy", "--referrers", "--progress", "plain", f"docker://{reg.host}/a/b:1", f"oci:{tmp_path}/out")
    assert f"{others['digest']} stays behind" in done.err
    listed = [one["digest"] for one in json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]]
    assert listed == [image["digest"], mine["digest"]]
