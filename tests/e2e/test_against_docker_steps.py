# SPDX-License-Identifier: Apache-2.0
"""As docker does it: what programs see and what they leave. See against_docker.py."""

import copy
import subprocess

import pytest

from against_docker import Cases, builders, same_image, url  # noqa: F401 (fixtures)

CASES = Cases()
case = CASES.add

case(
    "workdir",
    """
FROM bb
WORKDIR one
RUN pwd > /p1
WORKDIR two/../three/
RUN pwd > /p2
WORKDIR /etc
WORKDIR /a/b/c
WORKDIR ..
RUN pwd > /p3; mkdir -m 700 /mine && chown 5:5 /mine; ln -s /mine /wl
WORKDIR /mine
WORKDIR /wl/inside
RUN pwd > /p4
WORKDIR /
USER app
WORKDIR /users/dir
WORKDIR /a/new
RUN pwd > /tmp/p5
""",
)

ID = "RUN (id -u; id -g; id -G; echo $HOME) > /tmp/%s; touch /tmp/f%s; mkdir /tmp/d%s\n"

case(
    "users",
    "FROM bb\nRUN echo 'one:x:500:app' >> /etc/group && echo 'solo:x:2000:2000::/home/solo:/bin/sh' >> /etc/passwd\n"
    + "".join(
        f"USER {user}\n" + ID % (n, n, n)
        for n, user in enumerate(["root", "app", "1000", "app:staff", "1000:50", "nobody", "4321", "4321:8765", "0", "0:7", "solo", "app:12"])
    )
    + "COPY a /copied\nWORKDIR /w\n",
    {"a": ""},
)

case(
    "deletions_kept",
    """
FROM bb
RUN mkdir -p /a/b/c && echo 1 > /a/b/c/f && echo 1 > /a/g && mkdir /n
RUN rm -rf /a/b && mkdir -p /a/b/c && rm /a/g
RUN echo 2 > /a/b/c/h && rm -rf /n
RUN rm -rf /a
COPY t /a/b
RUN mkdir /n && rm -rf /a/b/file && mkdir -p /bin/sub && rm -rf /usr && ln -s bin /usr
""",
    {"t/file/in": "copied", "t/z": ""},
)

case(
    "deletions",
    """
FROM bb AS a
RUN mkdir -p /d/sub/deep /e/x /f /g && echo 1 > /d/a && echo 1 > /d/sub/b && echo 1 > /d/sub/deep/c && echo 1 > /e/x/y && echo 1 > /f/file && ln -s /e /g/dirlink && echo 1 > /g/f
RUN rm -rf /d && mkdir /d && echo new > /d/n
RUN rm -rf /e/x && echo file > /e/x
RUN rm /f/file && mkdir /f/file && echo in > /f/file/in
RUN rm /g/dirlink && mkdir -p /g/dirlink/x && mv /g/f /g/renamed && mv /e /moved
RUN mkdir /e && touch /e/kept && rm -rf /var /usr/bin /d/*
RUN rm -rf /moved && mkdir -p /moved/x && rm -rf /moved
COPY t /f
RUN rm -rf /f && ln -s g /f
COPY t /d/
RUN cp -a /g /g2 && rm -rf /g && mv /g2 /g
RUN rm -rf /bin/vi /bin/wget; touch /etc/passwd
RUN true
FROM bb
COPY --from=0 /d /g /e /copied/
COPY --from=0 /f /link
RUN rm -rf /copied/dirlink
COPY --from=0 /g /copied
""",
    {"t/file/in": "copied", "t/z": ""},
)


def devices(image):
    """docker 20.10 makes empty files of devices and leaves pipes out; today's BuildKit copies both."""
    image.files["t/p"] = copy.copy(image.files["s/p"])
    image.files["t/p"].owner = (0, 0)
    for name in "pcb":
        image.files["u/" + name] = copy.copy(image.files["s/" + name])
        image.files["u/" + name].owner = (0, 0)


case(
    "special_files",
    """
FROM bb AS a
RUN mkdir /s && mkfifo -m 640 /s/p && mknod -m 600 /s/c c 1 3 && mknod /s/b b 7 0 && dd if=/dev/zero of=/s/sparse bs=1 count=1 seek=3000000 2>/dev/null && : > /s/zero
FROM a
RUN chown 4:5 /s/p /s/c
COPY --from=a /s/p /s/sparse /s/zero /t/
COPY --from=a /s /u
""",
    instead=devices,
)


def capable(ctx):
    subprocess.run(["setcap", "cap_net_raw+ep", ctx / "raw"], check=True)


case(
    "capabilities",
    "FROM bb AS a\nCOPY raw /bin/raw\nFROM bb\nCOPY --from=a /bin/raw /bin/raw\nCOPY --chown=1:2 raw /own/\nRUN chmod 711 /bin/raw\n",
    {"raw": "x"},
    make=capable,
)

case(
    "run_mounts",
    """
FROM bb AS src
RUN mkdir -p /out && echo o > /out/f
FROM bb
RUN --mount=type=bind,target=/tmp cat /tmp/a > /context
RUN --mount=type=bind,from=src,source=/out,target=/usr/bin cat /usr/bin/f > /stage
RUN --mount=type=cache,target=/root,uid=7,gid=8,mode=0711 touch /root/c && stat -c '%u %g %a' /root > /cache
RUN --mount=target=/var,rw echo x > /var/new && test -f /var/a
RUN --mount=type=tmpfs,target=/tmp touch /tmp/x && ls /tmp > /tmpfs
""",
    {"a": "A"},
)


def mounted(image):
    """docker 20.10 leaves the directories it made to mount on; the reference has them removed."""
    assert "new/mount" in image.files and "made" in image.files
    del image.files["new/mount"], image.files["new"]


case("run_mount_points", "FROM bb\nRUN --mount=type=cache,target=/new/mount touch /new/mount/x && touch /made\n", instead=mounted)

# Of the variables that a step sees: ours has more, which say where its certificates are.
case(
    "environment",
    """
FROM bb
ARG ONE=1
ENV TWO=2
RUN env | grep -e ^ONE= -e ^TWO= -e ^PATH= -e ^HOME= | sort > /env
RUN umask > /umask; echo $$ > /pid; test -t 0 || echo no > /tty; cat > /stdin; pwd > /pwd; ls -ld / | cut -c1-10 > /rootmode
ENV HOME=/mine
USER app
RUN env | grep -e ^HOME= -e ^USER= | sort > /tmp/app
""",
)


@pytest.mark.parametrize("what", CASES, ids=lambda c: c.name)
def test_same_image(what, builders, context, tmp_path, url):
    same_image(what, builders, context, tmp_path, url)
