# SPDX-License-Identifier: Apache-2.0
"""Services: containers and ports of the host that others talk to."""

import socket
import time
import urllib.request

import pytest

# A web server of one file on port 8080, which appends a line to /c/starts each time it starts.
SERVER = """
        server = box().with_new_file("/www/index.html", nonce).with_exposed_port(8080)
        server = server.with_default_args(["httpd", "-f", "-p", "8080", "-h", "/www"])
"""


def test_a_bound_service(sdk, nonce):
    out = sdk(
        SERVER
        + """
        c = box().with_service_binding("web", server.as_service())
        return await c.with_exec(["wget", "-q", "-O-", "http://web:8080/"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == nonce


def test_arguments_of_a_service(sdk, nonce):
    out = sdk(
        """
        server = box().with_new_file("/www/index.html", nonce).with_exposed_port(8081).with_entrypoint(["httpd", "-f"]).with_default_args(["false"])
        a = server.as_service(args=["httpd", "-f", "-p", "8081", "-h", "/www"])
        b = server.as_service(args=["-p", "8081", "-h", "/www"], use_entrypoint=True)
        get = ["wget", "-q", "-O-", "http://web:8081/"]
        return await box().with_service_binding("web", a).with_exec(get).stdout(), await box().with_service_binding("web", b).with_exec(get).stdout()
        """,
        nonce=nonce,
    )
    assert out == [nonce, nonce]


def test_two_services_and_their_names(sdk, nonce):
    out = sdk(
        """
        argv = ["httpd", "-f", "-p", "8080", "-h", "/www"]
        one = box().with_new_file("/www/index.html", f"{nonce}-one").with_exposed_port(8080).as_service(args=argv)
        two = box().with_new_file("/www/index.html", f"{nonce}-two").with_exposed_port(8080).as_service(args=argv)
        c = box().with_service_binding("one", one).with_service_binding("two", two)
        return await c.with_exec(["sh", "-c", "wget -q -O- http://one:8080/; echo; wget -q -O- http://two:8080/"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == f"{nonce}-one\n{nonce}-two"


def test_one_service_runs_once_for_all_who_use_it(sdk, nonce):
    out = sdk(
        """
        server = box().with_mounted_cache("/c", dag.cache_volume(nonce)).with_exposed_port(8080)
        svc = server.as_service(args=["sh", "-c", "echo start >> /c/starts; exec httpd -f -p 8080 -h /c"])
        users = [box().with_service_binding("web", svc).with_env_variable("I", f"{nonce}{i}") for i in range(5)]
        return await gather(*[u.with_exec(["sh", "-c", "sleep 0.3; wget -q -O- http://web:8080/starts"]).stdout() for u in users])
        """,
        nonce=nonce,
    )
    assert out == ["start\n"] * 5


def test_a_service_is_waited_for(sdk, nonce):
    out = sdk(
        """
        svc = box().with_exposed_port(8080).with_new_file("/www/x", nonce).as_service(args=["sh", "-c", "sleep 2; exec httpd -f -p 8080 -h /www"])
        return await box().with_service_binding("web", svc).with_exec(["wget", "-q", "-O-", "http://web:8080/x"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == nonce


def test_a_service_that_ends_before_it_is_ready(sdk, nonce):
    failure = sdk.fails(
        """
        svc = box().with_env_variable("N", nonce).with_exposed_port(8080).as_service(args=["sh", "-c", "echo why it failed >&2; exit 4"])
        return await box().with_service_binding("web", svc).with_exec(["true"]).stdout()
        """,
        nonce=nonce,
    )
    assert "exit code: 4" in failure.message or failure.exit_code == 4, failure


def test_start_endpoint_and_stop(sdk, nonce):
    code = (
        SERVER
        + """
        svc = server.as_service()
        svc = await svc.start()
        return await svc.endpoint(), await svc.endpoint(scheme="http"), await svc.hostname(), [await p.port() for p in await svc.ports()]
        """
    )
    endpoint, url, hostname, ports = sdk(code, nonce=nonce)
    assert endpoint.endswith(":8080") and url == f"http://{endpoint}" and endpoint == f"{hostname}:8080" and ports == [8080]
    out = sdk(
        SERVER
        + """
        svc = await server.as_service().start()
        got = await box().with_service_binding("web", svc).with_exec(["wget", "-q", "-O-", "http://web:8080/"]).stdout()
        stopped = await svc.stop()
        return got, await stopped.hostname()
        """,
        nonce=nonce,
    )
    assert out == [nonce, hostname]


def test_a_stopped_service_starts_again(sdk, nonce):
    out = sdk(
        """
        server = box().with_mounted_cache("/c", dag.cache_volume(nonce)).with_exposed_port(8080)
        svc = server.as_service(args=["sh", "-c", "echo start >> /c/starts; exec httpd -f -p 8080 -h /c"])
        svc = await svc.start()
        svc = await svc.stop(kill=True)
        svc = await svc.start()
        return await box().with_service_binding("web", svc).with_exec(["wget", "-q", "-O-", "http://web:8080/starts"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == "start\nstart\n"


def test_no_endpoint_without_a_port(sdk):
    failure = sdk.fails("""return await box().as_service(args=["sleep", "9"]).endpoint()""")
    assert failure.kind == "query" and "port" in failure.message, failure


def test_a_name_of_its_own(sdk, nonce):
    out = sdk(
        SERVER
        + """
        svc = await server.as_service().with_hostname(f"db-{nonce}").start()
        c = box().with_service_binding("alias", svc)
        return await svc.hostname(), await c.with_exec(["wget", "-q", "-O-", f"http://db-{nonce}:8080/"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == [f"db-{nonce}", nonce]


def test_a_service_that_uses_a_service(sdk, nonce):
    out = sdk(
        SERVER
        + """
        front = box().with_service_binding("back", server.as_service()).with_exposed_port(8090)
        svc = front.as_service(args=["sh", "-c", "mkdir /w; wget -q -O /w/x http://back:8080/ && exec httpd -f -p 8090 -h /w"])
        return await box().with_service_binding("front", svc).with_exec(["wget", "-q", "-O-", "http://front:8090/x"]).stdout()
        """,
        nonce=nonce,
    )
    assert out == nonce


def test_ports_of_the_host(sdk, web, nonce):
    web.put(f"/{nonce}", "of the host")
    out = sdk(
        """
        svc = dag.host().service([dagger.PortForward(backend=port, frontend=80)])
        return await box().with_service_binding("www", svc).with_exec(["wget", "-q", "-O-", f"http://www/{nonce}"]).stdout()
        """,
        port=web.port,
        nonce=nonce,
    )
    assert out == "of the host"
    failure = sdk.fails("""return await dag.host().service([]).hostname()""")
    assert failure.kind == "query", failure


def test_a_tunnel_to_the_host(sdk, nonce):
    endpoint = sdk(
        SERVER
        + """
        tunnel = await dag.host().tunnel(server.as_service()).start()
        return await tunnel.endpoint(scheme="http")
        """,
        nonce=nonce,
    )
    assert urllib.request.urlopen(endpoint, timeout=20).read().decode() == nonce


def test_a_tunnel_with_ports_of_its_own(sdk, nonce):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    out = sdk(
        SERVER
        + """
        tunnel = await dag.host().tunnel(server.as_service(), ports=[dagger.PortForward(backend=8080, frontend=port)]).start()
        return await tunnel.endpoint()
        """,
        nonce=nonce,
        port=port,
    )
    assert out.endswith(f":{port}")
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read().decode() == nonce


@pytest.mark.parametrize("what", ["git", "http"])
def test_fetching_from_a_service(sdk, nonce, what):
    """experimentalServiceHost: the server of a download is a container."""
    out = sdk(
        SERVER
        + """
        svc = server.with_new_file(f"/www/{nonce}.txt", "from a service").as_service()
        url = await svc.endpoint(scheme="http")
        return await dag.http(f"{url}/{nonce}.txt", experimental_service_host=svc).contents()
        """,
        nonce=nonce,
    ) if what == "http" else sdk.fails(
        SERVER
        + """
        svc = server.as_service()
        url = await svc.endpoint(scheme="http")
        return await dag.git(f"{url}/none.git", experimental_service_host=svc).head().commit()
        """,
        nonce=nonce,
    ).message
    assert out == "from a service" if what == "http" else "none.git" in out, out


def test_services_end_with_the_session(new_client, nonce, tmp_path):
    client = new_client("python-0.21")
    endpoint = client(
        SERVER
        + """
        tunnel = await dag.host().tunnel(server.as_service()).start()
        return await tunnel.endpoint()
        """,
        nonce=nonce,
    )
    host, port = endpoint.rsplit(":", 1)
    socket.create_connection(("127.0.0.1", int(port)), 5).close()
    began = time.monotonic()
    assert client.session.end() == 0
    assert time.monotonic() - began < 20
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(port)), 5).close()
