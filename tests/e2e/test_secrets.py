# SPDX-License-Identifier: Apache-2.0
"""Secrets, the host's CA and proxies reach a step and stay nowhere."""

import os
import subprocess

SECRET = "hunter2-" + "c0ffee" * 4


def grep(place, text):
    """Files below place that hold the text, also inside gzip."""
    run = subprocess.run(["grep", "-rlaF", "--", text, place], capture_output=True, text=True)
    hits = run.stdout.split()
    for path in subprocess.run(["find", place, "-type", "f", "-path", "*blobs*"], capture_output=True, text=True).stdout.split():
        out = subprocess.run(f"zcat -f '{path}' 2>/dev/null | grep -cF -- '{text}'", shell=True, capture_output=True, text=True).stdout
        if out.strip() not in ("", "0"):
            hits.append(path)
    return hits


def test_a_secret_stays_nowhere(cooper, context, tmp_path):
    ctx = context(
        {
            "Dockerfile": "FROM busybox\n"
            "RUN --mount=type=secret,id=token,required test $(cat /run/secrets/token | wc -c) -gt 10 && stat -c %a /run/secrets/token | grep 400\n"
            "RUN --mount=type=secret,id=token,env=TOKEN test -n \"$TOKEN\" && echo ok > /ok\n"
            "RUN test ! -e /run/secrets/token && test -z \"$TOKEN\"\n"
        }
    )
    secret = tmp_path / "token"
    secret.write_text(SECRET)
    meta = cooper.build(ctx, "--secret", f"id=token,src={secret}", "-t", "s:1")
    assert SECRET not in meta["result"].err + meta["result"].out
    assert not grep(cooper.home, SECRET)
    files = cooper.files("s:1")
    assert not [p for p in files if p.startswith("run/secrets")]
    # its value is not part of a key
    secret.write_text(SECRET[::-1])
    again = cooper.build(ctx, "--secret", f"id=token,src={secret}")
    assert again["containerimage.digest"] == meta["containerimage.digest"]
    assert "(3 steps, 3 cached)" in again["result"].out


def test_a_failing_step_does_not_print_it(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=T,env=T test \"$T\" = other\n"})
    r = cooper("build", ctx, "--secret", "id=T,env=T", env={"T": SECRET}, code=1)
    assert SECRET not in r.err + r.out
    assert not grep(cooper.home, SECRET)


def test_the_hosts_ca_is_seen_and_not_kept(cooper, context, tmp_path):
    mark = "COOPERTESTCA" + os.urandom(8).hex()
    ca = tmp_path / "ca.pem"
    ca.write_text(f"-----BEGIN CERTIFICATE-----\n{mark}\n-----END CERTIFICATE-----\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"steps:\n  ca: {ca}\n  env:\n    MY_INDEX: http://index.example/{mark}\n")
    ctx = context(
        {"Dockerfile": f"FROM busybox\nRUN grep -q {mark[:12]} $SSL_CERT_FILE && test $MY_INDEX && env > /dev/null && echo yes > /yes\n"}
    )
    cooper.build(ctx, "--config", config, "-t", "ca:1")
    assert not [h for h in grep(cooper.home, mark)]
    files = cooper.files("ca:1")
    assert files["yes"].data == b"yes\n"
    assert not [p for p in files if "cooper" in p or p.startswith("run/")]
    # a step's environment does not reach the image
    assert mark not in cooper("image", "inspect", "--config", "ca:1").out


def test_proxies_reach_steps_and_no_key(cooper, context):
    ctx = context({"Dockerfile": "FROM busybox\nRUN case $http_proxy in *:1) echo y > /y ;; *) exit 1 ;; esac\n"})
    proxy = {"http_proxy": "http://proxy.example:1"}
    first = cooper.build(ctx, env=proxy)
    second = cooper.build(ctx)
    assert first["containerimage.digest"] == second["containerimage.digest"]
    assert not grep(cooper.home / "blobs", "proxy.example")
