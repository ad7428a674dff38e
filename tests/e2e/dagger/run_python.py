# SPDX-License-Identifier: Apache-2.0
"""
Runs snippets against the session it is started in: one JSON object a line on standard input ({"code", "vars"}), one answer a line on standard output
({"value"} or {"error"}). A snippet is the body of an async function that sees dag, dagger, its vars and a few helpers.
"""

import asyncio
import enum
import hashlib
import json
import logging
import sys

import anyio
import dagger
from dagger import dag


async def together(*calls):
    return list(await asyncio.gather(*calls))


HELPERS = {
    "box": lambda: dag.container().from_("busybox"),
    "dag": dag,
    "dagger": dagger,
    "gather": together,
    "sha256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "seconds": asyncio.sleep,
}


def plain(value):
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def error_of(e):
    known = {"type": type(e).__name__, "message": str(e)}
    if isinstance(e, dagger.ExecError):
        known.update(command=e.command, exit_code=e.exit_code, stdout=e.stdout, stderr=e.stderr)
        known["message"] = e.message
    elif isinstance(e, dagger.QueryError):
        known["extensions"] = e.error.extensions
    return known


async def answer(request):
    code = "async def snippet():\n" + "\n".join("    " + line for line in request["code"].splitlines())
    space = {**HELPERS, **request["vars"]}
    exec(compile(code, "snippet", "exec"), space)
    try:
        return {"value": plain(await space["snippet"]())}
    except Exception as e:
        return {"error": error_of(e)}


async def main():
    async with dagger.connection():
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            print(json.dumps(await answer(json.loads(line))), flush=True)


# The clients build and print a query by recursion, several calls for a step of the chain: Python's usual limit ends at about 200 steps.
sys.setrecursionlimit(100_000)
# They log every failed query; the tests read the exceptions.
logging.disable(logging.CRITICAL)
anyio.run(main)
