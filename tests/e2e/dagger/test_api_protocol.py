# SPDX-License-Identifier: Apache-2.0
"""What goes over the wire, as clients other than the SDKs ask for it: GraphQL as its specification has it, and HTTP."""

import concurrent.futures
import http.client
import json
import re
import socket
import subprocess
import time

import pytest

import sdk as sdks

BOX = 'container { from(address: "busybox")'


def test_version(session):
    data = session.data("{ version }")
    assert list(data) == ["version"] and data["version"]


def test_operations_by_name(session):
    text = "query One { version } query Two { defaultPlatform }"
    assert list(session.data(text, operationName="Two")) == ["defaultPlatform"]
    assert session.error(text)["message"]
    assert "Three" in session.error(text, operationName="Three")["message"]


def test_variables(session):
    text = 'query Q($args: [String!]!, $e: Boolean = false, $none: String) { ' + BOX + " { withExec(args: $args, expand: $e, stdin: $none) { stdout } } } }"
    assert session.data(text, variables={"args": ["echo", "a\n\"b\" é"]})["container"]["from"]["withExec"]["stdout"] == 'a\n"b" é\n'
    assert "args" in session.error(text, variables={})["message"]
    assert session.error(text, variables={"args": [1]})["message"]


def test_ids_as_variables(session):
    id = session.data('{ directory { withNewFile(path: "f", contents: "x") { id } } }')["directory"]["withNewFile"]["id"]
    data = session.data('query Q($d: ID!) { container { withDirectory(path: "/d", source: $d) { file(path: "/d/f") { contents } } } }', variables={"d": id})
    assert data["container"]["withDirectory"]["file"]["contents"] == "x"
    data = session.data("query Q($d: DirectoryID!) { loadDirectoryFromID(id: $d) { entries } }", variables={"d": id})
    assert data["loadDirectoryFromID"]["entries"] == ["f"]


def test_node(session):
    id = session.data('{ directory { withNewFile(path: "f", contents: "x") { id } } }')["directory"]["withNewFile"]["id"]
    data = session.data('query Q($d: ID!) { node(id: $d) { __typename id ... on Directory { entries } ... on File { size } } }', variables={"d": id})
    assert data["node"] == {"__typename": "Directory", "id": id, "entries": ["f"]}


def test_interfaces(session):
    id = session.data('{ directory { withNewFile(path: "f", contents: "x") { id } } }')["directory"]["withNewFile"]["id"]
    data = session.data("query Q($d: ID!) { node(id: $d) { ... on Syncer { sync } ... on Exportable { __typename } } }", variables={"d": id})
    assert data["node"] == {"sync": id, "__typename": "Directory"}


def test_fragments_aliases_and_directives(session):
    data = session.data(
        "query Q($no: Boolean = false) { a: version b: directory { ...names again: __typename skipped: entries @skip(if: true) } c: version @include(if: $no) }"
        " fragment names on Directory { kind: __typename entries ... @include(if: true) { name } }"
    )
    assert list(data) == ["a", "b"] and list(data["b"]) == ["kind", "entries", "name", "again"] and data["b"]["kind"] == "Directory"


def test_fields_come_in_the_order_asked_for(session):
    body = session.post({"query": "{ version defaultPlatform z: version a: version }"})[2].decode()
    assert re.findall(r'"(version|defaultPlatform|z|a)":', body) == ["version", "defaultPlatform", "z", "a"]


def test_the_same_field_twice_is_merged(session):
    data = session.data('{ container { from(address: "busybox") { user } } container { from(address: "busybox") { workdir } } }')
    assert set(data["container"]["from"]) == {"user", "workdir"}
    assert session.error('{ directory { f: file(path: "a") { name } f: file(path: "b") { name } } }')["message"]


def test_null_is_as_not_given(session):
    data = session.data("{ " + BOX + ' { withExec(args: ["echo", "$A"], expand: null, stdin: null, expect: null, useEntrypoint: null) { stdout } } } }')
    assert data["container"]["from"]["withExec"]["stdout"] == "$A\n"
    data = session.data('{ container { withNewFile(path: "/f", contents: "", owner: null, permissions: null) { stat(path: "/f") { permissions } } } }')
    assert data["container"]["withNewFile"]["stat"]["permissions"] == 0o644


def test_strings(session):
    data = session.data(r'{ file(name: "f", contents: "\u0041\t\"\\\/\n\u00e9\ud83d\udc33\b\f\r") { contents } }')
    assert data["file"]["contents"] == 'A\t"\\/\né🐳\b\f\r'
    assert session.data('{ file(name: "f", contents: """\n   a\n     b\n   """) { contents } }')["file"]["contents"] == "a\n  b"


def test_every_name_of_an_enum(session):
    names = {"OCI", "OCIMediaTypes", "DOCKER", "DockerMediaTypes"}
    sizes = {n: session.data("{ " + BOX + " { asTarball(mediaTypes: %s, forcedCompression: Zstd) { size } } } }" % n)["container"]["from"]["asTarball"]["size"] for n in names}
    assert sizes["OCI"] == sizes["OCIMediaTypes"] and sizes["DOCKER"] == sizes["DockerMediaTypes"]
    for name in ("Gzip", "GZIP", "Zstd", "ZSTD", "Uncompressed", "UNCOMPRESSED"):
        session.data("{ " + BOX + " { asTarball(forcedCompression: %s) { size } } } }" % name)
    assert "NONE" in session.error("{ " + BOX + " { asTarball(forcedCompression: NONE) { size } } } }")["message"]


WRONG = {
    "{": "",
    "": "",
    "{ version ": "",
    "{ nosuchfield }": "nosuchfield",
    "{ container { nosuchfield } }": "nosuchfield",
    "{ container }": "container",
    "{ version { x } }": "version",
    '{ container { from(adress: "x") { id } } }': "adress",
    "{ container { from { id } } }": "address",
    "{ container { from(address: 1) { id } } }": "String",
    '{ container { withExec(args: "x", expect: MAYBE) { id } } }': "MAYBE",
    "mutation { version }": "",
    "query Q($x: Nothing) { version }": "Nothing",
    "{ ...missing }": "missing",
    "{ ...a } fragment a on Query { ...a }": "a",
    '{ file(name: "f", contents: "\\x") { id } }': "",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_queries(session, text):
    status, headers, body = session.post({"query": text})
    answer = json.loads(body)
    error = answer["errors"][0]
    assert WRONG[text] in error["message"] and answer.get("data") is None and "json" in headers["Content-Type"]
    assert isinstance(error.get("extensions", {}), dict)
    assert status in (200, 400)


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b"{}", b'{"query": 1}', b"\xff\xfe", b'{"query": "{version}", "variables": 3}'])
def test_wrong_bodies(session, body):
    status, _, answer = session.post(body)
    assert 400 <= status < 500 or json.loads(answer)["errors"], (status, answer)
    assert session.data("{ version }")


def test_errors_have_a_path_and_no_null_extensions(session):
    answer = session.query('{ directory { ok: entries sub: directory(path: "none") { entries } } }')
    assert answer["data"] is None
    error = answer["errors"][0]
    assert error.get("path", ["directory", "sub", "entries"]) == ["directory", "sub", "entries"]
    assert isinstance(error.get("extensions", {}), dict)


def test_an_exec_error_on_the_wire(session):
    error = session.error("{ " + BOX + ' { withExec(args: ["sh", "-c", "echo o; echo e >&2; exit 3"]) { stdout } } } }')
    assert error["extensions"] == {**error["extensions"], "_type": "EXEC_ERROR", "cmd": ["sh", "-c", "echo o; echo e >&2; exit 3"], "exitCode": 3, "stdout": "o", "stderr": "e"}
    assert error["message"].endswith("exit code: 3")


def test_a_wrong_token(session):
    for headers in ({"Authorization": "Basic " + "d3Jvbmc6"}, {"Authorization": "Bearer " + session.token}, {"Authorization": session.token}, {"Authorization": ""}):
        status, answer, body = session.post({"query": "{ version }"}, headers=headers)
        assert status == 401 and answer["WWW-Authenticate"].startswith("Basic realm=") and b"version" not in body


def test_no_token_at_all(session):
    wire = http.client.HTTPConnection("127.0.0.1", session.port, timeout=20)
    wire.request("POST", "/query", b'{"query": "{ version }"}', {"Content-Type": "application/json"})
    assert wire.getresponse().status == 401
    wire.close()


def test_other_paths_and_methods(session):
    for method, path, status in (("GET", "/query", None), ("POST", "/nothing", 404), ("GET", "/", 404), ("DELETE", "/query", None)):
        wire = http.client.HTTPConnection("127.0.0.1", session.port, timeout=20)
        wire.request(method, path, b"", session.headers())
        got = wire.getresponse().status
        assert got == status if status else 400 <= got < 500, (method, path, got)
        wire.close()


def test_one_connection_for_many_requests(session):
    wire = http.client.HTTPConnection("127.0.0.1", session.port, timeout=20)
    for _ in range(20):
        wire.request("POST", "/query", b'{"query": "{ version }"}', session.headers())
        answer = wire.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["data"]["version"]
    wire.close()


def test_a_chunked_request(session):
    wire = http.client.HTTPConnection("127.0.0.1", session.port, timeout=20)
    wire.request("POST", "/query", iter([b'{"query"', b': "{ version }"}']), session.headers(), encode_chunked=True)
    answer = wire.getresponse()
    assert answer.status == 200 and json.loads(answer.read())["data"]["version"]
    wire.close()


def test_content_type_is_one_that_clients_parse(session):
    for accept in ("*/*", "application/graphql-response+json, application/json", "application/json"):
        _, headers, _ = session.post({"query": "{ version }"}, headers={"Accept": accept})
        assert headers["Content-Type"].split(";")[0] in ("application/json", "application/graphql-response+json")


def test_it_listens_on_loopback_alone(session):
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    for address in [a for a in own if "." in a]:
        with pytest.raises(OSError):
            socket.create_connection((address, session.port), 2).close()


def test_tokens_differ(session, new_session):
    other = new_session()
    assert other.token != session.token and len(session.token) >= 16
    assert other.post({"query": "{ version }"}, token=session.token)[0] == 401


def test_siblings_run_in_parallel(session, nonce):
    fields = " ".join(f'f{i}: withExec(args: ["sh", "-c", "sleep 2; echo {nonce}{i}"]) {{ stdout }}' for i in range(4))
    began = time.monotonic()
    data = session.data("{ " + BOX + " { " + fields + " } } }")
    took = time.monotonic() - began
    assert [data["container"]["from"][f"f{i}"]["stdout"] for i in range(4)] == [f"{nonce}{i}\n" for i in range(4)]
    assert took < 6, took


def test_requests_run_in_parallel(session, nonce):
    text = "{ " + BOX + ' { withExec(args: ["sh", "-c", "sleep 2; echo %s%d"]) { stdout } } } }'
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: session.data(text % (nonce, i)), range(4)))
    assert time.monotonic() - began < 6


def test_a_short_request_does_not_wait_for_a_long_one(session, nonce):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(session.data, "{ " + BOX + ' { withExec(args: ["sh", "-c", "sleep 4; echo %s"]) { stdout } } } }' % nonce)
        time.sleep(0.3)
        began = time.monotonic()
        session.data("{ version }")
        assert time.monotonic() - began < 1
        long.result()


def test_one_chain_asked_for_twice_at_once_runs_once(session, nonce):
    text = "{ " + BOX + ' { withEnvVariable(name: "N", value: "%s") { withExec(args: ["sh", "-c", "sleep 1; cat /proc/sys/kernel/random/uuid"]) { stdout } } } } }' % nonce
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: json.dumps(session.data(text)), range(5)))
    assert len(set(answers)) == 1, answers


def test_introspection_is_the_schema(session):
    """What is served is schema.graphqls, all of it; compared by graphql-core, which comes with the SDK."""
    query = subprocess.run(
        [sdks.PYTHONS["python-0.21"], "-c", "import graphql; print(graphql.get_introspection_query(descriptions=True))"], capture_output=True, text=True, check=True
    ).stdout
    status, _, body = session.post({"query": query, "operationName": "IntrospectionQuery"})
    assert status == 200
    program = (
        "import sys, json, graphql\n"
        "served = graphql.build_client_schema(json.load(sys.stdin)['data'])\n"
        "assert not graphql.validate_schema(served), graphql.validate_schema(served)\n"
        "wanted = graphql.build_schema(open(sys.argv[1]).read())\n"
        "sort = lambda s: graphql.print_schema(graphql.lexicographic_sort_schema(s))\n"
        "import difflib\n"
        "print('\\n'.join(difflib.unified_diff(sort(wanted).splitlines(), sort(served).splitlines(), 'schema.graphqls', 'served', lineterm='', n=1)))\n"
    )
    diff = subprocess.run(
        [sdks.PYTHONS["python-0.21"], "-c", program, sdks.ROOT / "src/dagger/schema.graphqls"], input=body.decode(), capture_output=True, text=True
    )
    assert diff.returncode == 0 and diff.stdout.strip() == "", (diff.stdout + diff.stderr)[:5000]


def test_parts_of_introspection(session):
    data = session.data('{ __type(name: "PortForward") { kind inputFields { name defaultValue type { kind name ofType { name } } } } none: __type(name: "Nope") { name } }')
    assert data["none"] is None and data["__type"]["kind"] == "INPUT_OBJECT"
    fields = {f["name"]: f for f in data["__type"]["inputFields"]}
    assert fields["protocol"]["defaultValue"] == "TCP" and fields["backend"]["type"]["kind"] == "NON_NULL"
    kinds = session.data('{ __type(name: "Node") { kind possibleTypes { name } } }')["__type"]
    assert kinds["kind"] == "INTERFACE" and {"Container", "File"} <= {t["name"] for t in kinds["possibleTypes"]}


def test_a_client_that_goes_away_takes_its_work_with_it(session, nonce):
    text = "{ " + BOX + ' { withExec(args: ["sh", "-c", "sleep 543.21; echo %s"]) { stdout } } } }' % nonce
    body = json.dumps({"query": text}).encode()
    wire = socket.create_connection(("127.0.0.1", session.port))
    head = "".join(f"{k}: {v}\r\n" for k, v in {**session.headers(), "Host": "127.0.0.1", "Content-Length": len(body)}.items())
    wire.sendall(f"POST /query HTTP/1.1\r\n{head}\r\n".encode() + body)

    def running():
        return subprocess.run(["pgrep", "-f", f"sleep 543.21; echo {nonce}"], capture_output=True, text=True).stdout.split()

    end = time.monotonic() + 20
    while not running():
        assert time.monotonic() < end, "the command did not start\n" + session.tail()
        time.sleep(0.05)
    wire.close()
    end = time.monotonic() + 15
    while running():
        assert time.monotonic() < end, "the command still runs"
        time.sleep(0.05)
    assert session.data("{ version }")


def test_work_that_another_still_waits_for_goes_on(session, nonce):
    text = "{ " + BOX + ' { withExec(args: ["sh", "-c", "sleep 3; echo %s"]) { stdout } } } }' % nonce
    body = json.dumps({"query": text}).encode()
    wire = socket.create_connection(("127.0.0.1", session.port))
    head = "".join(f"{k}: {v}\r\n" for k, v in {**session.headers(), "Host": "127.0.0.1", "Content-Length": len(body)}.items())
    wire.sendall(f"POST /query HTTP/1.1\r\n{head}\r\n".encode() + body)
    time.sleep(0.7)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        other = pool.submit(session.data, text)
        time.sleep(0.7)
        wire.close()
        assert other.result()["container"]["from"]["withExec"]["stdout"] == f"{nonce}\n"


def test_recorded_requests_of_older_clients(session):
    """Shapes that the 0.19 and 0.20 clients send: aliases of every field, null for a default, both names of media types, load*FromID."""
    id = session.data('{ directory { withNewFile: withNewFile(path: "a", contents: "b") { id: id } } }')["directory"]["withNewFile"]["id"]
    data = session.data(
        '{ container { from: from(address: "busybox") { withDirectory: withDirectory(path: "/x", source: "%s", owner: null) { withExec: withExec(args: ["cat", "/x/a"]) { stdout: stdout } } } } }'
        % id
    )
    assert data["container"]["from"]["withDirectory"]["withExec"]["stdout"] == "b"
    assert session.data('{ loadDirectoryFromID(id: "%s") { sync: sync } }' % id)["loadDirectoryFromID"]["sync"] == id


def test_the_first_line_is_exactly_two_fields(session):
    assert re.fullmatch(r'\{"port":\d+,"session_token":"[^"]+"\}\n', session.first_line), session.first_line
