# SPDX-License-Identifier: Apache-2.0
"""Services: containers and ports of the host that others talk to."""

import random
import socket
import time
import urllib.request

import pytest

# A web server of one file. Every test has a port of its own, so that a server left over cannot answer for another; but see
# test_services_take_turns_on_a_port.
SERVER = """
        server = box().with_new_file("/www/index.html", nonce).with_exposed_port(port)
        server = server.with_default_args(["httpd", "-f", "-p", str(port), "-h", "/www"])
"""
# Counts its starts in a cache volume, and serves the count.
COUNTER = """
        counter = box().with_mounted_cache("/c", dag.cache_volume(nonce)).with_exposed_port(port)
        svc = counter.as_service(args=["sh", "-c", f"echo start >> /c/starts; exec httpd -f -p {port} -h /c"])
"""


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def free_port():
    # Below those that the kernel gives to connections, which come and go.
    return next(p for p in iter(lambda: random.randrange(20000, 32000), None) if is_free(p))


@pytest.fixture
def port():
    return free_port()


def fetch(url):
    return urllib.request.urlopen(url, timeout=20).read().decode()


def test_a_bound_service(sdk, nonce, port):
    out = sdk(
        SERVER
        + """
        c = box().with_service_binding("web", server.as_service())
        return await c.with_exec(["wget", "-q", "-O-", f"http://web:{port}/"]).stdout()
        """,
        nonce=nonce,
        port=port,
    )
    assert out == nonce


def test_arguments_of_a_service(sdk, nonce, port):
    out = sdk(
        """
        server = box().with_new_file("/www/index.html", nonce).with_exposed_port(port).with_entrypoint(["httpd", "-f"]).with_default_args(["false"])
        other = box().with_new_file("/www/index.html", nonce).with_exposed_port(second).with_entrypoint(["httpd", "-f"])
        a = server.as_service(args=["httpd", "-f", "-p", str(port), "-h", "/www"])
        b = other.as_service(args=["-p", str(second), "-h", "/www"], use_entrypoint=True)
        one = box().with_service_binding("web", a).with_exec(["wget", "-q", "-O-", f"http://web:{port}/"])
        two = box().with_service_binding("web", b).with_exec(["wget", "-q", "-O-", f"http://web:{second}/"])
        return await one.stdout(), await two.stdout()
        """,
        nonce=nonce,
        port=port,
        second=free_port(),
    )
    assert out == [nonce, nonce]


def test_two_services_and_their_names(sdk, nonce, port):
    out = sdk(
        """
        one = box().with_new_file("/www/index.html", f"{nonce}-one").with_exposed_port(port)
        two = box().with_new_file("/www/index.html", f"{nonce}-two").with_exposed_port(second)
        c = box().with_service_binding("one", one.as_service(args=["httpd", "-f", "-p", str(port), "-h", "/www"]))
        c = c.with_service_binding("two", two.as_service(args=["httpd", "-f", "-p", str(second), "-h", "/www"]))
        return await c.with_exec(["sh", "-c", f"wget -q -O- http://one:{port}/; echo; wget -q -O- http://two:{second}/"]).stdout()
        """,
        nonce=nonce,
        port=port,
        second=free_port(),
    )
    assert out == f"{nonce}-one\n{nonce}-two"


def test_two_services_on_one_port_at_once(sdk, nonce, port):
    """All share the host's network: this cannot be had, and one may never be taken for the other."""
    failure = sdk.fails(
        """
        argv = ["httpd", "-f", "-p", str(port), "-h", "/www"]
        one = box().with_new_file("/www/index.html", f"{nonce}-one").with_exposed_port(port).as_service(args=argv)
        two = box().with_new_file("/www/index.html", f"{nonce}-two").with_exposed_port(port).as_service(args=argv)
        c = box().with_service_binding("one", one).with_service_binding("two", two)
        return await c.with_exec(["true"]).stdout()
        """,
        nonce=nonce,
        port=port,
    )
    assert failure.kind == "query" and f"not supported by cooper: two services on port {port} at once" in failure.message, failure


def test_services_take_turns_on_a_port(sdk, nonce, port):
    """Equal commands, too: what they give depends on the service they talk to."""
    code = """
        argv = ["httpd", "-f", "-p", str(port), "-h", "/www"]
        services = [box().with_new_file("/www/index.html", f"{nonce}{i}").with_exposed_port(port).as_service(args=argv) for i in range(4)]
        users = [box().with_service_binding("web", s) for s in services]
        return await gather(*[u.with_exec(["sh", "-c", f"sleep 0.2; wget -q -O- http://web:{port}/"]).stdout() for u in users])
        """
    assert sdk(code, nonce=nonce, port=port) == [f"{nonce}{i}" for i in range(4)]


def test_a_port_that_another_program_has(sdk, web, nonce):
    failure = sdk.fails(SERVER + "        return await server.as_service().start()", nonce=nonce, port=web.port)
    assert failure.kind == "query" and f"port {web.port} of this machine is in use by another program" in failure.message, failure


def test_one_service_runs_once_for_all_who_use_it(sdk, nonce, port):
    out = sdk(
        COUNTER
        + """
        users = [box().with_service_binding("web", svc).with_env_variable("I", f"{nonce}{i}") for i in range(5)]
        return await gather(*[u.with_exec(["sh", "-c", f"sleep 0.3; wget -q -O- http://web:{port}/starts"]).stdout() for u in users])
        """,
        nonce=nonce,
        port=port,
    )
    assert out == ["start\n"] * 5


def test_a_service_is_waited_for(sdk, nonce, port):
    out = sdk(
        """
        server = box().with_exposed_port(port).with_new_file("/www/x", nonce)
        svc = server.as_service(args=["sh", "-c", f"sleep 2; exec httpd -f -p {port} -h /www"])
        return await box().with_service_binding("web", svc).with_exec(["wget", "-q", "-O-", f"http://web:{port}/x"]).stdout()
        """,
        nonce=nonce,
        port=port,
    )
    assert out == nonce


def test_a_service_that_ends_before_it_is_ready(sdk, nonce, port):
    failure = sdk.fails(
        """
        svc = box().with_env_variable("N", nonce).with_exposed_port(port).as_service(args=["sh", "-c", "echo why it failed >&2; exit 4"])
        return await box().with_service_binding("web", svc).with_exec(["true"]).stdout()
        """,
        nonce=nonce,
        port=port,
    )
    assert failure.kind == "exec" and failure.exit_code == 4 and failure.stderr == "why it failed", failure
    assert failure.says("exit code: 4"), failure


def test_start_and_endpoint(sdk, nonce, port):
    endpoint, url, hostname, ports = sdk(
        SERVER
        + """
        svc = await server.as_service().start()
        return await svc.endpoint(), await svc.endpoint(scheme="http"), await svc.hostname(), [await p.port() for p in await svc.ports()]
        """,
        nonce=nonce,
        port=port,
    )
    assert endpoint == f"{hostname}:{port}" and url == f"http://{endpoint}" and ports == [port]


def test_start_use_and_stop(sdk, nonce, port):
    out = sdk(
        SERVER
        + """
        svc = await server.as_service().start()
        got = await box().with_service_binding("web", svc).with_exec(["wget", "-q", "-O-", f"http://web:{port}/"]).stdout()
        stopped = await svc.stop()
        return got, await stopped.hostname() == await svc.hostname()
        """,
        nonce=nonce,
        port=port,
    )
    assert out == [nonce, True]


def test_a_stopped_service_starts_again(sdk, nonce, port):
    out = sdk(
        COUNTER
        + """
        svc = await svc.start()
        svc = await svc.stop(kill=True)
        svc = await svc.start()
        return await box().with_service_binding("web", svc).with_exec(["wget", "-q", "-O-", f"http://web:{port}/starts"]).stdout()
        """,
        nonce=nonce,
        port=port,
    )
    assert out == "start\nstart\n"


def test_no_endpoint_without_a_port(sdk):
    failure = sdk.fails("""return await box().as_service(args=["sleep", "9"]).endpoint()""")
    assert failure.kind == "query" and "port" in failure.message, failure


def test_a_name_of_its_own(sdk, nonce, port):
    out = sdk(
        SERVER
        + """
        svc = await server.as_service().with_hostname(f"db-{nonce}").start()
        c = box().with_service_binding("alias", svc)
        return await svc.hostname(), await c.with_exec(["wget", "-q", "-O-", f"http://db-{nonce}:{port}/"]).stdout()
        """,
        nonce=nonce,
        port=port,
    )
    assert out == [f"db-{nonce}", nonce]


def test_a_service_that_uses_a_service(sdk, nonce, port):
    out = sdk(
        SERVER
        + """
        front = box().with_service_binding("back", server.as_service()).with_exposed_port(second)
        script = f"mkdir /w; wget -q -O /w/x http://back:{port}/ && exec httpd -f -p {second} -h /w"
        svc = front.as_service(args=["sh", "-c", script])
        return await box().with_service_binding("front", svc).with_exec(["wget", "-q", "-O-", f"http://front:{second}/x"]).stdout()
        """,
        nonce=nonce,
        port=port,
        second=free_port(),
    )
    assert out == nonce


@pytest.mark.parametrize("renumbered", [True, False])
def test_a_port_of_the_host(sdk, web, nonce, renumbered):
    """Under another number and under its own."""
    frontend = free_port() if renumbered else None
    web.put(f"/{nonce}", "of the host")
    out = sdk(
        """
        svc = dag.host().service([dagger.PortForward(backend=port, frontend=frontend)])
        return await box().with_service_binding("www", svc).with_exec(["wget", "-q", "-O-", f"http://www:{seen}/{nonce}"]).stdout()
        """,
        port=web.port,
        frontend=frontend or web.port,
        seen=frontend or web.port,
        nonce=nonce,
    )
    assert out == "of the host"


def test_no_port_of_the_host(sdk):
    failure = sdk.fails("""return await dag.host().service([]).hostname()""")
    assert failure.kind == "query", failure


def test_a_tunnel_to_the_host(sdk, nonce, port):
    endpoint = sdk(
        SERVER
        + """
        tunnel = await dag.host().tunnel(server.as_service()).start()
        return await tunnel.endpoint(scheme="http")
        """,
        nonce=nonce,
        port=port,
    )
    assert fetch(endpoint) == nonce


def test_a_tunnel_with_ports_of_its_own(sdk, nonce, port):
    frontend = free_port()
    out = sdk(
        SERVER
        + """
        tunnel = await dag.host().tunnel(server.as_service(), ports=[dagger.PortForward(backend=port, frontend=frontend)]).start()
        return await tunnel.endpoint()
        """,
        nonce=nonce,
        port=port,
        frontend=frontend,
    )
    assert out.endswith(f":{frontend}") and fetch(f"http://127.0.0.1:{frontend}/") == nonce


def test_a_download_from_a_service(sdk, nonce, port):
    """experimentalServiceHost: what serves it is a container."""
    out = sdk(
        SERVER
        + """
        svc = server.with_new_file(f"/www/{nonce}.txt", "from a service").as_service()
        url = await svc.endpoint(scheme="http")
        return await dag.http(f"{url}/{nonce}.txt", experimental_service_host=svc).contents()
        """,
        nonce=nonce,
        port=port,
    )
    assert out == "from a service"


def test_a_repository_from_a_service(sdk, nonce, port, repository):
    """The plain files of a bare repository, by a web server: what git calls the dumb protocol."""
    out = sdk(
        SERVER
        + """
        svc = server.with_directory("/www/app.git", dag.host().directory(bare)).as_service()
        url = await svc.endpoint(scheme="http")
        return await dag.git(f"{url}/app.git", experimental_service_host=svc).branch("main").commit()
        """,
        nonce=nonce,
        port=port,
        bare=str(repository.bare),
    )
    assert out == repository.commits[2]


def test_services_end_with_the_session(new_client, nonce, port):
    client = new_client("python-0.21")
    endpoint = client(
        SERVER
        + """
        tunnel = await dag.host().tunnel(server.as_service()).start()
        return await tunnel.endpoint()
        """,
        nonce=nonce,
        port=port,
    )
    there = int(endpoint.rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", there), 5).close()
    began = time.monotonic()
    assert client.session.end() == 0
    assert time.monotonic() - began < 20
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", there), 5).close()
