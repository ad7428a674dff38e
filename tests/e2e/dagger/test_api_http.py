# SPDX-License-Identifier: Apache-2.0
"""Files downloaded over HTTP."""

import email.utils

import pytest

import peers


def test_a_download(sdk, web, nonce):
    url = web.put(f"/{nonce}/tool.tar.gz", b"data \xc3\xa9")
    out = sdk("""f = dag.http(url)\nreturn await f.contents(), await f.name(), await f.size(), await f.stat().permissions()""", url=url)
    assert out == ["data é", "tool.tar.gz", 7, 0o600]


def test_name_and_permissions(sdk, web, nonce):
    url = web.put(f"/{nonce}", "x")
    out = sdk(
        """
        f = dag.http(url, name="renamed", permissions=0o755)
        return await f.name(), await f.stat().permissions(), await box().with_file("/opt/", f).directory("/opt").entries()
        """,
        url=url,
    )
    assert out == ["renamed", 0o755, ["renamed"]]


def test_a_url_without_a_name(sdk, web, nonce):
    web.put("/", nonce)
    assert sdk("""return await dag.http(url).name()""", url=web.url + "/") == "index"


def test_a_query_is_not_part_of_the_name(sdk, web, nonce):
    assert sdk("""return await dag.http(url).name()""", url=web.put(f"/{nonce}/f.zip", "x") + "?a=b/c") == "f.zip"


def test_the_time_is_that_of_the_server(sdk, web, nonce):
    url = web.put(f"/{nonce}", "x", modified=email.utils.formatdate(1600000000, usegmt=True))
    out = sdk("""return await box().with_mounted_file("/f", dag.http(url)).with_exec(["stat", "-c", "%Y", "/f"]).stdout()""", url=url)
    assert out == "1600000000\n"


def test_asked_for_once_a_session(sdk, web, nonce):
    url = web.put(f"/{nonce}", "x", etag=f'"{nonce}"')
    code = """return await gather(dag.http(url).contents(), dag.http(url).size(), dag.http(url, name="other").contents())"""
    assert sdk(code, url=url) == ["x", 1, "x"]
    assert sdk(code, url=url) == ["x", 1, "x"]
    bodies = [status for _, status in web.page(f"/{nonce}").requests if status == 200]
    # Another name may be another question, but nothing is fetched again for the same one.
    assert 1 <= len(bodies) <= 2, web.page(f"/{nonce}").requests


def test_another_session_asks_whether_it_changed(sdk, web, new_client, nonce):
    url = web.put(f"/{nonce}", "first", etag=f'"{nonce}-1"')
    code = """return await dag.http(url).contents()"""
    assert sdk(code, url=url) == "first"
    assert new_client(sdk.name)(code, url=url) == "first"
    assert [status for _, status in web.page(f"/{nonce}").requests] == [200, 304]
    web.put(f"/{nonce}", "second", etag=f'"{nonce}-2"')
    assert sdk(code, url=url) == "first"
    assert new_client(sdk.name)(code, url=url) == "second"


def test_equal_downloads_are_equal_for_commands(sdk, web, nonce):
    code = """
        c = box().with_file("/f", dag.http(url, name="f")).with_env_variable("N", nonce)
        return await c.with_exec(["cat", "/proc/sys/kernel/random/uuid"]).stdout()
        """
    first = sdk(code, url=web.put(f"/{nonce}/a", nonce), nonce=nonce)
    assert sdk(code, url=web.put(f"/{nonce}/b", nonce), nonce=nonce) == first


@pytest.mark.parametrize("path, status", [("none", "404")])
def test_a_page_that_is_not_there(sdk, web, path, status):
    failure = sdk.fails("""return await dag.http(url).contents()""", url=f"{web.url}/{path}-page")
    assert failure.kind == "query" and status in failure.message, failure


def test_nobody_listens(sdk):
    failure = sdk.fails("""return await dag.http("http://127.0.0.1:1/x").contents()""")
    assert failure.kind == "query" and "127.0.0.1" in failure.message, failure


@pytest.mark.since_0_21
def test_checksum(sdk, web, nonce):
    url = web.put(f"/{nonce}", nonce)
    assert sdk("""return await dag.http(url, checksum=sum).contents()""", url=url, sum=peers.sha256(nonce)) == nonce
    failure = sdk.fails("""return await dag.http(url, checksum=sum).contents()""", url=url, sum=peers.sha256("other"))
    assert failure.kind == "query" and peers.sha256(nonce)[7:] in failure.message, failure


def test_auth_header(sdk, web, nonce):
    url = web.put(f"/{nonce}", "for friends", wants=f"Bearer {nonce}")
    assert sdk("""return await dag.http(url, auth_header=dag.set_secret(f"h-{nonce}", line)).contents()""", url=url, nonce=nonce, line=f"Bearer {nonce}") == "for friends"
    failure = sdk.fails("""return await dag.http(url, name="again").contents()""", url=url)
    assert failure.kind == "query" and "401" in failure.message, failure


def test_redirects(sdk, web, nonce):
    web.put(f"/{nonce}/real", "there")
    page = web.put(f"/{nonce}/old", "")
    # A page of its own kind: the server says where it went.
    web.page(f"/{nonce}/old").headers["Location"] = f"{web.url}/{nonce}/real"
    web.page(f"/{nonce}/old").status = 302
    assert sdk("""f = dag.http(url)\nreturn await f.contents(), await f.name()""", url=page) == ["there", "old"]


def test_an_executable_from_the_web(sdk, web, nonce):
    url = web.put(f"/{nonce}/run", f"#!/bin/sh\necho {nonce}\n")
    assert sdk("""return await box().with_file("/bin/run", dag.http(url), permissions=0o755).with_exec(["run"]).stdout()""", url=url) == f"{nonce}\n"
