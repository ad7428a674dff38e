# SPDX-License-Identifier: Apache-2.0
"""As docker does it: building on images, and what both refuse. See against_docker.py."""

import concurrent.futures
import os

import pytest

from against_docker import builders, compare, images, url  # noqa: F401 (fixtures)

BASE = """
FROM bb
RUN mkdir -p /gone/x /opaque /data && echo 1 > /gone/x/f && echo 1 > /opaque/old && echo 1 > /data/d
RUN rm -rf /gone && rm -rf /opaque && mkdir /opaque && echo 2 > /opaque/new && ln -s /opaque /o
ENV A=base B=base
VOLUME /data
EXPOSE 80
LABEL a=base b=base
HEALTHCHECK --timeout=3s CMD ["/ok"]
SHELL ["/bin/sh", "-e", "-c"]
STOPSIGNAL SIGINT
WORKDIR /work
ENTRYPOINT ["/entry"]
CMD ["base"]
ONBUILD COPY trigger /o/
ONBUILD RUN pwd > /tmp/triggered; echo "$A" >> /tmp/triggered; id -u >> /tmp/triggered
ONBUILD ENV FROM_TRIGGER=$A
USER app
"""

ON_TOP = [
    ("bare", "FROM base:1\n"),
    ("more", "FROM base:1\nENV B=top C=$A\nLABEL b=top\nVOLUME /more\nEXPOSE 81\nUSER root\nRUN echo $- > flags; rm -rf /opaque; echo later > /data/e\nCOPY trigger .\nCMD [\"top\"]\nHEALTHCHECK NONE\n"),
    ("entry", "FROM base:1 AS x\nENTRYPOINT other\nFROM x\nWORKDIR sub\n"),
    ("copied", "FROM scratch\nCOPY --from=base:1 /opaque /opaque\nCOPY --from=base:1 /work /o/new /w/\n"),
]


@pytest.fixture(scope="module")
def base_image(builders, tmp_path_factory):
    """The same image under both: docker's, read by us."""
    cooper, docker = builders
    top = tmp_path_factory.mktemp("base")
    (top / "Dockerfile").write_text(BASE)
    docker("build", "--network", "host", "-t", "base:1", top)
    docker("save", "-o", top / "base.tar", "base:1")
    cooper("image", "import", top / "base.tar")


@pytest.mark.parametrize("dockerfile", [d for _, d in ON_TOP], ids=[n for n, _ in ON_TOP])
def test_on_top_of_an_image(dockerfile, builders, base_image, context, tmp_path):
    ctx = context({"Dockerfile": dockerfile, "trigger": "t"})
    compare(*images(builders, ctx, [], tmp_path))


REFUSED = {
    "missing": "FROM bb\nCOPY nope /\n",
    "missing_in_dir": "FROM bb\nCOPY d/nope /\n",
    "ignored": "FROM bb\nCOPY secret /\n",
    "outside": "FROM bb\nCOPY ../Dockerfile.other /\n",
    "broken_link": "FROM bb\nCOPY broken /\n",
    "file_onto_directory": "FROM bb\nRUN mkdir -p /x/a\nCOPY a /x/\n",
    "directory_onto_file": "FROM bb\nCOPY d /etc/passwd\n",
    "parent_is_file": "FROM bb\nCOPY a /etc/passwd/x\n",
    "later_stage": "FROM bb AS x\nCOPY --from=later /a /\nFROM bb AS later\nFROM x\n",
    "cycle": "FROM bb AS a\nCOPY --from=a /x /\n",
    "url_gone": "FROM bb\nADD @URL@/gone /\n",
    "unknown_user": "FROM bb\nUSER nobody-here\nRUN true\n",
    "unknown_group": "FROM bb\nUSER app:nobody-here\nRUN true\n",
    "failing": "FROM bb\nRUN exit 3\n",
    "no_such_program": 'FROM bb\nRUN ["/nope"]\n',
    "workdir_is_file": "FROM bb\nWORKDIR /etc/passwd\n",
    "onbuild_from": "FROM bb\nONBUILD FROM x\n",
    "onbuild_onbuild": "FROM bb\nONBUILD ONBUILD RUN x\n",
    "no_from": "RUN x\n",
    "env_without_value": "FROM bb\nENV a\n",
    "expose_words": "FROM bb\nEXPOSE many\n",
    "flag": "FROM bb\nCOPY --nope=1 a /\n",
    "expansion": "FROM bb\nENV a=${b\n",
    "required": 'FROM bb\nARG V\nLABEL a=${V:?must be given}\n',
    "signal": "FROM bb\nSTOPSIGNAL SIGNOPE\n",
    "copy_one_word": "FROM bb\nCOPY a\n",
    "blank_image": "ARG I\nFROM $I\n",
    "stage_name": "FROM bb AS 1x\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(name, builders, context, url):
    cooper, docker = builders
    ctx = context({"Dockerfile": REFUSED[name].replace("@URL@", url), "a": "A", "d/x": "X", "secret": "", ".dockerignore": "secret\n"})
    os.symlink("nowhere", ctx / "broken")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        theirs = pool.submit(docker, "build", "--network", "host", ctx, code=1)
        cooper("build", ctx, "--progress", "plain", code=1)
        theirs.result()
