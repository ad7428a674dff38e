# SPDX-License-Identifier: Apache-2.0
"""nginx with TLS and HTTP/2 before a registry, as many stand; and certificates of a CA of our own."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from ports import free_port, wait_for_port


class Authority:
    """A CA and what it signs: paths of PEM files."""

    def __init__(self, place):
        self.place = place
        place.mkdir(exist_ok=True)
        self.ca = place / "ca.pem"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", place / "ca.key", "-out", self.ca, "-subj", "/CN=cooper test CA")

    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    def issue(self, name, san="IP:127.0.0.1"):
        """(certificate, key)"""
        cert, key, ext = (self.place / f"{name}.{end}" for end in ("cert", "key", "ext"))
        ext.write_text(f"subjectAltName={san}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", self.place / "csr", "-subj", f"/CN={name}")
        self.openssl("x509", "-req", "-in", self.place / "csr", "-CA", self.ca, "-CAkey", self.place / "ca.key", "-CAcreateserial", "-days", "2", "-out", cert, "-extfile", ext)
        return cert, key


class Front:
    def __init__(self, place, port):
        self.place, self.port, self.host = place, port, f"127.0.0.1:{port}"

    def start(self):
        with open(self.place / "out", "ab") as out:
            self.proc = subprocess.Popen(["nginx", "-p", self.place, "-e", self.place / "error.log", "-c", self.place / "nginx.conf"], stdout=out, stderr=out)
        wait_for_port(self.port, self.proc)

    def stop(self):
        self.proc.terminate()
        self.proc.wait(20)

    def kill(self):
        """Without a word to anybody."""
        workers = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read_text().split()
        for pid in (self.proc.pid, *map(int, workers)):
            os.kill(pid, signal.SIGKILL)
        self.proc.wait(20)

    def restart(self):
        self.stop()
        self.start()

    def requests(self):
        """A dict for each: connection, protocol, method, path, status."""
        keys = ("connection", "protocol", "method", "path", "status")
        return [dict(zip(keys, line.split())) for line in (self.place / "access.log").read_text().splitlines()]


@contextlib.contextmanager
def tls_front(place, upstream, certificate, client_ca=None, http2=True, more=""):
    """client_ca: clients must show a certificate of it. more: settings of the server."""
    if not shutil.which("nginx"):
        pytest.fail("nginx is missing: scripts/deps.sh test")
    place.mkdir()
    cert, key = certificate
    port = free_port()
    verify = f"ssl_client_certificate {client_ca}; ssl_verify_client on;" if client_ca else ""
    user = "user root;" if os.geteuid() == 0 else ""  # as nobody it may not use our folders
    (place / "nginx.conf").write_text(
        f"""daemon off; {user} worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{}}
http {{
  log_format short '$connection $server_protocol $request_method $uri $status';
  access_log {place}/access.log short;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{
    listen 127.0.0.1:{port} ssl{" http2" if http2 else ""};
    ssl_certificate {cert}; ssl_certificate_key {key}; {verify}
    client_max_body_size 0; {more}
    location / {{
      proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https;
    }}
  }}
}}
"""
    )
    front = Front(place, port)
    try:
        front.start()
        yield front
    finally:
        front.stop()
