# SPDX-License-Identifier: Apache-2.0
"""A client of the server's API that checks every answer against docs/openapi.json, and notes what it has seen."""

import http.client
import json
import re

import jsonschema

from conftest import ROOT

DOC = json.loads((ROOT / "docs" / "openapi.json").read_text())
METHODS = ("get", "post", "put", "patch", "delete")
# Any operation may end so (said in the document's description).
ALWAYS = {"400", "405", "500", "503", "507"}


def resolve(node):
    """A $ref of the document followed."""
    while "$ref" in node:
        target = DOC
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def validator(schema):
    return jsonschema.Draft202012Validator({**schema, "components": DOC["components"]}, format_checker=jsonschema.FormatChecker())


def operations():
    """(method, path template, operation) of all that is documented."""
    for path, item in DOC["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def find_operation(method, path):
    for name, template, operation in operations():
        pattern = re.sub(r"\{[a-z]+\}", "[^/]+", template)
        if name == method.lower() and re.fullmatch(pattern, path):
            return template, operation
    return None, None


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        error = self.json["error"]
        return error["message"] + " / " + error.get("hint", "")

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:2000]!r}"


class Api:
    """Requests to one server with one token; seen: {(method, template, status)} of all clients that share it."""

    def __init__(self, address, token=None, seen=None):
        self.address, self.token, self.seen = address, token, set() if seen is None else seen

    def as_(self, token):
        return Api(self.address, token, self.seen)

    def __call__(self, method, path, body=None, headers=(), expect=None, check=True):
        headers = dict(headers)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, "/api/v1" + path, body, headers)
            got = connection.getresponse()
            answer = Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()
        if check:
            self.check(method, "/api/v1" + path, answer)
        assert expect is None or answer.status == expect, answer
        return answer

    def check(self, method, path, answer):
        template, operation = find_operation(method, path.partition("?")[0])
        if operation is None:
            assert answer.status in (404, 405), f"{method} {path} is not documented: {answer}"
            return
        status = str(answer.status)
        self.seen.add((method.lower(), template, status))
        if status in ALWAYS and status not in operation["responses"]:
            validator(DOC["components"]["schemas"]["Error"]).validate(answer.json)
            return
        assert status in operation["responses"], f"{method} {template}: {status} is not documented: {answer}"
        response = resolve(operation["responses"][status])
        for name, header in response.get("headers", {}).items():
            if header.get("required"):
                assert name.lower() in answer.headers, (name, answer)
        content = response.get("content")
        if not content:
            assert answer.body == b"", answer
            return
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in content, f"{method} {template}: {kind} is not documented"
        if kind == "application/json":
            validator(content[kind]["schema"]).validate(answer.json)
