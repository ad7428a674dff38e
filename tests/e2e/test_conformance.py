# SPDX-License-Identifier: Apache-2.0
"""The conformance program of the OCI distribution specification, all of it, against "cooper serve"."""

import os
import re
import subprocess

import pytest

import registry_server as rs
from go_tools import go_tool

pytestmark = pytest.mark.skipif(rs.program() is None, reason="neither COOPER_BIN nor COOPER_TEST_REGISTRY is set")

# What the profiles leave out by themselves.
EVERYTHING = {
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
    "OCI_DATA_SPARSE": "true",
}


def conformance(server, place, version, settings):
    """Runs it: what it counted by its own word, and each test (and group) that did not pass with what it said."""
    place.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith("OCI_")}
    env.update(
        OCI_REGISTRY=server.host, OCI_TLS="disabled", OCI_VERSION=version, OCI_RESULTS_DIR=str(place),
        OCI_REPO1="conformance/one", OCI_REPO2="conformance/two", **settings,
    )
    done = subprocess.run([go_tool("conformance")], env=env, cwd=place, capture_output=True, text=True, timeout=300)
    (place / "output").write_text(done.stdout + done.stderr)
    counts = dict(re.findall(r"^  (FAIL|Error|Skip|Disabled|Pass|Total)\.+: +(\d+)$", done.stdout, re.M))
    bad = re.findall(r"^ *(OCI Conformance Test.*: (?!Pass|Disabled).*(?:\n *- .*)*)", done.stdout, re.M)
    return {k: int(v) for k, v in counts.items()}, bad, done.stdout + done.stderr


@pytest.mark.sanitize
@pytest.mark.parametrize("version,settings", [("1.1", {}), ("dev", {}), ("1.1", EVERYTHING)], ids=["stable", "dev", "everything"])
def test_conformance(tmp_path, version, settings):
    # Manifests with missing parts are taken only where the settings say so.
    server = rs.Server(tmp_path / "store", f"registry: {{sparse: {'true' if settings else 'false'}}}").start()
    try:
        counts, bad, output = conformance(server, tmp_path / "results", version, settings)
    finally:
        server.stop()
    assert not bad, bad[:5]
    assert counts.get("Pass", 0) > 600, (counts, output[-4000:])
    assert (counts["FAIL"], counts["Error"], counts["Skip"]) == (0, 0, 0), output[-4000:]
    if settings:
        assert counts["Disabled"] == 0, output[-4000:]
