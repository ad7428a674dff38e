# SPDX-License-Identifier: Apache-2.0
"""Every header and query parameter that the server reads is known to the target that fuzzes it whole."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
READ = re.compile(r'\b(http_header|http_query|http_query_at|api_query_number|get_flag)\(\s*(?:x|[\w.>-]+),\s*"([^"]+)"')


def test_names():
    words = (ROOT / "tests" / "fuzz" / "server.dict").read_text()
    found = 0
    for folder in ("http", "registry", "server"):
        for path in (ROOT / "src" / folder).glob("*.c"):
            for kind, name in READ.findall(path.read_text()):
                found += 1
                word = f'"{name}: "' if kind == "http_header" else f'"?{name}="'
                assert word in words, f"{path}: {name} is missing in tests/fuzz/server.dict"
    assert found > 20
