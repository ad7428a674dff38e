# SPDX-License-Identifier: Apache-2.0
"""Connections that do nothing, or too slowly, keep nobody out."""

import socket
import threading

import pytest

import registry_server as rs


@pytest.fixture
def server(tmp_path):
    server = rs.Server(tmp_path / "store").start()
    yield server
    server.stop()


def dial(server, text=b""):
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    if text:
        sock.sendall(text)
    return sock


def read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(4096)
        assert part, data
        data += part
    return data


@pytest.mark.sanitize
def test_idle_ones_give_way(server):
    """Silent ones, some within their headers, some after an answer, and one in the middle of a push."""
    idle = []
    layer = b"layer" * 100_000
    location = server.start_upload("a")
    pushing = dial(server, f"PUT {location}?digest={rs.digest(layer)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(layer)}\r\n\r\n".encode() + layer[:1000])
    beginnings = [b"", b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"\x16\x03\x01", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"]
    try:
        for i in range(600):
            idle.append(dial(server, beginnings[i % 4]))
        before = server.push_image("b", "v1", b"pushed among idle ones")
        assert server.request("GET", "/v2/b/manifests/v1").body == before
        for i in range(600):
            idle.append(dial(server, beginnings[i % 4]))
        assert server.request("GET", "/v2/b/blobs/" + rs.digest(b"pushed among idle ones")).body == b"pushed among idle ones"
        pushing.sendall(layer[1000:])
        assert read_head(pushing).startswith(b"HTTP/1.1 201")
        assert server.request("GET", "/v2/a/blobs/" + rs.digest(layer)).body == layer
    finally:
        for sock in [*idle, pushing]:
            sock.close()


def test_many_at_once(server):
    """Each of more clients than there are connections gets its answer when all the others sit idle on theirs."""
    data = server.push_image("a", "v1")
    held, wrong = [], []

    def work():
        for _ in range(40):
            connection = server.connect()
            held.append(connection)
            connection.request("GET", "/v2/a/manifests/v1")
            body = connection.getresponse().read()
            if body != data:
                wrong.append(body)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 640 and not wrong
    for connection in held:
        connection.close()


def test_settings(bare):
    assert "at most 16384" in bare("serve", "--max-connections", "100000", code=2).err
