# SPDX-License-Identifier: Apache-2.0
"""
A session that runs nothing: it takes queries as the real one does, remembers the chains of calls, and fails as it is told to.

    SDK_PYTHON fake_session.py SCHEMA RULES

RULES is JSON: [{"field": "withExec", "args": ["false"], "error": {"message": ..., "extensions": {...}}}, ...]. A leaf that comes by a call with this field and first
argument, at any depth, answers with the error. stdout: one line {"port", "session_token"}; after the end of stdin, one line with the last chain
that was synced: [[field, {argument: value}], ...], where ids of objects are chains themselves.
"""

import base64
import http.server
import json
import pathlib
import sys
import threading

import graphql

TOKEN = "fake"
schema = graphql.build_schema(pathlib.Path(sys.argv[1]).read_text())
rules = json.loads(sys.argv[2])
known = {}  # id -> (type, chain)
synced = []


def whole(value):
    """With the chain in place of an id."""
    if isinstance(value, list):
        return [whole(one) for one in value]
    return known[value][1] if isinstance(value, str) and value in known else value


def calls(chain):
    for field, args in chain:
        yield field, args
        for value in args.values():
            for inner in value if isinstance(value, list) else []:
                if isinstance(value[0], list) and len(value[0]) == 2:
                    yield from calls([inner])


def refuse(chain):
    for field, args in calls(chain):
        for rule in rules:
            if field == rule["field"] and next(iter(args.values()), None) == rule["args"]:
                raise graphql.GraphQLError(rule["error"]["message"], extensions=rule["error"].get("extensions", {}))


def name_of(chain, type_name):
    key = f"{type_name}-{len(known)}"
    for old, (_, other) in known.items():
        if other == chain:
            return old
    known[key] = (type_name, chain)
    return key


def resolve(parent, info, /, **args):
    chain, field = parent or [], info.field_name
    if field == "node" or field.startswith("load"):
        return known[args["id"]][1]
    if field == "id":
        return name_of(chain, info.parent_type.name)
    if field == "sync":
        refuse(chain)
        synced[:] = [chain]
        return name_of(chain, info.parent_type.name)
    if field == "defaultPlatform":
        return "linux/amd64"
    chain = [*chain, [field, {k: whole(v) for k, v in args.items()}]]
    if graphql.is_leaf_type(graphql.get_named_type(info.return_type)):
        refuse(chain)
        return field
    return chain


def type_of(value, info, _type):
    node = info.field_nodes[0].arguments[0].value.value
    return known[node][0]


def answer(query):
    result = graphql.graphql_sync(schema, query, field_resolver=resolve, type_resolver=type_of)
    if result.errors:
        one = result.errors[0]
        return {"data": None, "errors": [{"message": one.message, "path": one.path, "extensions": one.extensions or {}}]}
    return {"data": result.data}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()
        text = json.dumps(answer(json.loads(body)["query"])).encode() if self.headers["Authorization"] == right else b""
        self.send_response(200 if text else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_address[1], "session_token": TOKEN}), flush=True)
sys.stdin.read()
print(json.dumps(synced[0] if synced else None))
