# SPDX-License-Identifier: Apache-2.0
"""Large and many: what must work, and what must be refused in bounded memory."""

import json
import pathlib
import socket
import threading
import time

import pytest


def memory(session):
    """The most that the session has had in memory, in MiB."""
    for line in pathlib.Path(f"/proc/{session.proc.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmHWM")


@pytest.mark.slow
def test_a_thousand_chained_calls(sdk, nonce):
    out = sdk(
        """
        c = box()
        for i in range(1000):
            c = c.with_env_variable(f"V{i}", nonce)
        c = c.with_exec(["sh", "-c", "env | grep -c ^V"])
        return await c.stdout(), await c.env_variable("V999")
        """,
        nonce=nonce,
    )
    assert out == ["1000\n", nonce]


@pytest.mark.slow
def test_many_files_in_a_chain(sdk, nonce):
    out = sdk(
        """
        d = dag.directory()
        for i in range(1000):
            d = d.with_new_file(f"d/{i}", nonce)
        return len(await d.entries(path="d"))
        """,
        nonce=nonce,
    )
    assert out == 1000


@pytest.mark.slow
def test_a_chain_of_commands(sdk, nonce):
    out = sdk(
        """
        c = box().with_env_variable("N", nonce)
        for i in range(40):
            c = c.with_exec(["sh", "-c", f"echo {i} >> /log"])
        return len(await c.file("/log").contents())
        """,
        nonce=nonce,
    )
    assert out == sum(len(f"{i}\n") for i in range(40))


@pytest.mark.slow
def test_two_hundred_syncs_at_once(sdk, nonce):
    out = sdk(
        """
        made = await gather(*[box().with_new_file("/i", f"{nonce}-{i}").sync() for i in range(200)])
        return await gather(*[m.file("/i").contents() for m in made])
        """,
        nonce=nonce,
    )
    assert out == [f"{nonce}-{i}" for i in range(200)]


@pytest.mark.slow
def test_two_hundred_commands_at_once(sdk, nonce):
    out = sdk(
        """
        return await gather(*[box().with_exec(["sh", "-c", f"echo {nonce} {i}"]).stdout() for i in range(200)])
        """,
        nonce=nonce,
    )
    assert out == [f"{nonce} {i}\n" for i in range(200)]


@pytest.mark.slow
def test_a_file_of_fifty_megabytes(sdk):
    out = sdk(
        """
        text = await box().with_exec(["sh", "-c", "yes '0123456789 abcdefghijklmnopqrstuvwxyz' | head -c 52428800 > /big"]).file("/big").contents()
        return len(text), sha256(text)
        """
    )
    import hashlib

    line = b"0123456789 abcdefghijklmnopqrstuvwxyz\n"
    whole = (line * (52428800 // len(line) + 1))[:52428800]
    assert out == [52428800, hashlib.sha256(whole).hexdigest()]


def test_files_beyond_the_limit_are_refused(sdk):
    failure = sdk.fails("""return len(await box().with_exec(["truncate", "-s", "134217729", "/big"]).file("/big").contents())""")
    assert failure.kind == "query" and "134217729" in failure.message.replace(",", "") or "128" in failure.message, failure


@pytest.mark.slow
def test_large_output(sdk):
    out = sdk("""return len(await box().with_exec(["sh", "-c", "yes 0123456789 | head -c 8388608"]).stdout())""")
    assert out == 8388608


@pytest.mark.slow
def test_a_legitimate_query_of_thirty_megabytes(session):
    text = ("0123456789abcdef \\n\\\"" * 1_500_000)[: 30 << 20].rstrip("\\")
    data = session.data('{ file(name: "f", contents: "%s") { size } }' % text)
    assert data["file"]["size"] == len(json.loads(f'"{text}"'))


@pytest.mark.slow
def test_a_large_literal_from_an_sdk(sdk):
    assert sdk("""return await dag.directory().with_new_file("f", text).file("f").size()""", text="0123456789" * 300_000) == 3_000_000


@pytest.mark.slow
@pytest.mark.parametrize("nested", ["{ directory %s }", "[%s]", "{a: %s}"])
def test_a_query_of_depth_one_hundred_thousand(new_session, nested):
    session = new_session()
    before = memory(session)
    deep = 100_000
    if nested.startswith("{ dir"):
        text = "{" + ' directory(path: "x") {' * deep + "entries" + "}" * deep + "}"
    elif nested.startswith("["):
        text = "{ container { withExec(args: " + "[" * deep + "]" * deep + ") { id } } }"
    else:
        text = "{ container { withExec(args: " + "{a: " * deep + "1" + "}" * deep + ") { id } } }"
    began = time.monotonic()
    status, _, body = session.post({"query": text})
    assert time.monotonic() - began < 10
    assert 400 <= status < 500 or json.loads(body)["errors"], (status, body[:500])
    assert session.alive() and session.data("{ version }")
    assert memory(session) - before < 200


def test_depth_that_pipelines_have(session):
    deep = 2000
    text = "{ container {" + ' withLabel(name: "l", value: "x") {' * deep + 'label(name: "l")' + "}" * deep + "} }"
    status, _, body = session.post({"query": text})
    assert status == 200 and body.count(b'"withLabel"') == deep and b'"label":"x"' in body.replace(b" ", b"") and b"errors" not in body, body[:500]


def flood(session, head, unit, size):
    """Sends size bytes; (bytes that went, the first of what was answered)."""
    wire = socket.create_connection(("127.0.0.1", session.port), 30)
    wire.settimeout(60)
    answer = []

    def listen():
        try:
            answer.append(wire.recv(2000))
        except OSError as e:
            answer.append(repr(e).encode())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    sent = 0
    try:
        wire.sendall(head)
        while sent < size and not answer:
            wire.sendall(unit)
            sent += len(unit)
    except OSError:
        pass
    listener.join(60)
    wire.close()
    return sent, answer[0] if answer else b""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["length", "chunked"])
def test_a_body_of_a_gigabyte_is_refused(new_session, how):
    session = new_session()
    before = memory(session)
    size = 1 << 30
    lines = [f"{k}: {v}\r\n" for k, v in session.headers().items()]
    lines.append(f"Content-Length: {size}\r\n" if how == "length" else "Transfer-Encoding: chunked\r\n")
    head = ("POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "".join(lines) + "\r\n").encode()
    piece = b"x" * (1 << 20)
    unit = piece if how == "length" else b"100000\r\n" + piece + b"\r\n"
    _, answer = flood(session, head, unit, size)
    assert answer == b"" or b" 413 " in answer or b" 400 " in answer or b"ConnectionReset" in answer, answer
    assert session.alive() and session.data("{ version }")
    assert memory(session) - before < 600, memory(session)


@pytest.mark.slow
def test_a_hostile_number_of_fields(new_session):
    """Fragments that double: what is asked for is small, what they stand for is not."""
    session = new_session()
    parts = ["{ ...f0 }"] + [f"fragment f{i} on Query {{ a{i}: version ...f{i + 1} ...f{i + 1} }}" for i in range(40)] + ["fragment f40 on Query { version }"]
    began = time.monotonic()
    status, _, body = session.post({"query": " ".join(parts)})
    assert time.monotonic() - began < 10 and session.alive(), status
    assert session.data("{ version }")


@pytest.mark.slow
def test_many_idle_connections(session):
    idle = [socket.create_connection(("127.0.0.1", session.port), 10) for _ in range(150)]
    try:
        assert session.data("{ version }")
    finally:
        for one in idle:
            one.close()
    assert session.data("{ version }")
