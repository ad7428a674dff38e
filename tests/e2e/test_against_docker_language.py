# SPDX-License-Identifier: Apache-2.0
"""As docker does it: stages, variables, lines and what goes into the config. See against_docker.py."""

import pytest

from against_docker import Cases, builders, same_image, url  # noqa: F401 (fixtures)

CASES = Cases()
case = CASES.add

case(
    "stages",
    """
FROM bb AS One
RUN mkdir -p /out/sub && echo 1 > /out/a && echo 2 > /out/sub/b && chown -R 1000:1001 /out/sub && chmod 700 /out/sub && ln -s a /out/l
FROM bb
RUN echo unnamed > /second
FROM one AS three
RUN echo more >> /out/a
FROM bb AS unused
RUN exit 1
FROM bb AS last
COPY --from=ONE /out /one/
COPY --from=1 /second /
COPY --from=three /out/a /out/sub/b /three/
COPY --from=three --chown=5:6 /out/sub /owned
COPY --from=three /out/./sub/../sub/b ../../clipped
COPY --from=bb /etc/passwd /image/
""",
)

case("target", "FROM bb AS a\nENV A=a\nRUN echo a > /a\nFROM a AS b\nRUN exit 1\n", args=("--target", "A"))

case(
    "arg_scopes",
    """
ARG TAG=latest
ARG GLOBAL=global
ARG OTHER=other
ARG BOTH=$GLOBAL-$OTHER
FROM bb:${TAG} AS a
ARG GLOBAL
ARG OTHER=mine
ARG BOTH
ARG GIVEN=default
ARG NOTHING
ARG later=$GIVEN-later x1=1 x2=2
RUN echo "$GLOBAL|$OTHER|$BOTH|$GIVEN|${NOTHING-unset}|$later|$x1$x2" > /args; env | grep -c NOTHING > /nothing || true
ENV KEPT=$GIVEN TAGGED=x${TAG}x
ENV GIVEN=env
RUN echo "$GIVEN $KEPT $TAGGED" > /env
FROM a
RUN echo "$GLOBAL|$OTHER|$GIVEN|$later" > /inherited
FROM a
ARG GIVEN
ARG UNDECLARED
RUN echo "$GIVEN|$UNDECLARED" > /inherited
ARG GLOBAL=again
LABEL g=$GLOBAL h=$GIVEN
COPY --from=a /args /args.$GLOBAL
""",
    args=("--build-arg", "GIVEN=given", "--build-arg", "UNDECLARED=u v"),
)

case(
    "platform_args",
    """
FROM --platform=$TARGETPLATFORM bb AS x
ARG TARGETARCH
ARG TARGETPLATFORM
ARG BUILDOS
ARG TARGETVARIANT
RUN echo "$TARGETARCH $TARGETPLATFORM $BUILDOS ($TARGETVARIANT) ${TARGETOS-undeclared}" > /platform
""",
)

case(
    "expansion",
    r"""
FROM bb
ENV a=1 b=$a
ENV b=$a c=${a}x d=${nope:-def$a} e=${a:+alt} f=${nope:+alt} g="$a b" h='$a b' i=\$a j="\$a" k=${nope:-${a}} l="q\"q" m=a\ b n="a\ b"
ENV legacy a  b   "c" $a \
  more
ENV empty= quoted=""
ENV o=${empty:-was} p=${empty:+was} q=$a$b${c} r="$a"'$a'$a s=é t=a\\b u='a\b' v=a=b w=${a}${nope}z
ENV $a$b=name ${b}k=v
LABEL x=$a "y z"="$c d" multi="line one \
line two" single='$a'
LABEL legacy  a label   of $a
LABEL x=later
ENV dir=/deep
WORKDIR $dir/${a}
COPY ${a}.txt ${dir}-$b/
COPY --chown=$a:${b} 1.txt "quoted.txt"
ADD $nope/1.txt $nope./add
EXPOSE $a${a} ${a}0-12/udp
VOLUME $dir/v "${dir}/w"
USER ${nope:-app}
STOPSIGNAL ${nope:-SIGUSR$a}
RUN echo "$a $b ${c%x} $((1+1)) \$a" '$a' > /tmp/run
CMD echo $a
ENTRYPOINT ["e", "$a", "${b}"]
""",
    {"1.txt": "one"},
)

case(
    "lines",
    """# escape=`
# a comment

FROM bb
RUN echo one `
# inside
    && echo two `
  # indented

    && echo three > /l

COPY a.txt `b.txt /w/
run echo `
`
done > /d
LABEL a="b`
c" d=e`
f
CMD [ "a" , `
 "b" ]
""",
    {"a.txt": "", "b.txt": "b"},
)

case("crlf", "FROM bb\r\nRUN echo a \\\r\n  b > /ab\r\nENV a=b\r\nCOPY a \\\r\n b /c/\r\nCMD [\"x\"]\r\n", {"a": "1", "b": "2"})

case(
    "metadata",
    r"""
FROM bb
MAINTAINER Some One <one@example.org>
LABEL a=1 b="two words" c='single $x' d=e\ f
LABEL a=2 "dotted.key"=v empty= multi="a\
b"
EXPOSE 80 443/tcp 53/UDP 7000-7002
EXPOSE 80/tcp 90/sctp
VOLUME /data /more
VOLUME ["/json one", "/two"]
RUN mkdir -p /data /more && echo kept > /data/x
HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --retries=4 CMD curl -f "http://localhost/" || exit 1
STOPSIGNAL 9
STOPSIGNAL SIGTERM
USER app:staff
ENV PATH=/mine:$PATH Z=z A=a Z=again
ENV A=later
RUN echo kept > /tmp/x
CMD ["a", "b c", "d\"e", "é", "\u00e9"]
""",
)

case("healthcheck_none", "FROM bb AS a\nHEALTHCHECK CMD true\nFROM a\nHEALTHCHECK NONE\nCMD []\n")

case("healthcheck_exec", 'FROM bb\nHEALTHCHECK --retries=1 --interval=1s CMD ["a", "b"]\nCMD not ["json"]\nENTRYPOINT [\'single\']\n')

case(
    "shell",
    """
FROM bb AS a
SHELL ["/bin/sh", "-e", "-c"]
RUN echo $- > /flags; echo "$0" >> /flags
CMD echo x
FROM a
RUN echo $- > /inherited
ENTRYPOINT run it
HEALTHCHECK CMD check it
SHELL ["/bin/busybox", "sh", "-c"]
CMD now this
RUN ["/bin/busybox", "sh", "-c", "echo exec '$HOME' > /exec"]
RUN echo "$0 $#" > /zero
""",
)

ENTRIES = [
    ("inherited", "CMD c1\nENTRYPOINT [\"e1\"]", ""),
    ("cmd_cleared", "CMD [\"c1\"]", "ENTRYPOINT [\"e2\"]"),
    ("cmd_kept", "CMD [\"c1\"]", "CMD [\"c2\"]\nENTRYPOINT [\"e2\"]"),
    ("cmd_over", "ENTRYPOINT [\"e1\", \"x\"]\nCMD c1", "CMD [\"c2\"]"),
    ("both_over", "ENTRYPOINT e1\nCMD [\"c1\"]", "ENTRYPOINT e2\nCMD c2"),
    ("emptied", "ENTRYPOINT [\"e1\"]\nCMD [\"c1\"]", "ENTRYPOINT []"),
]

for entry_name, parent, child in ENTRIES:
    case("entry_" + entry_name, f"FROM bb AS p\n{parent}\nFROM p\n{child}\nLABEL x=y\n")

case(
    "onbuild",
    """
FROM bb AS base
ONBUILD ARG V=def
ONBUILD COPY a /onbuild/
ONBUILD RUN echo "$V $LATER" > /onbuild/ran
ONBUILD ENV ON=build-$V
ONBUILD WORKDIR /on
ONBUILD LABEL on=build
RUN echo base > /base
FROM base AS child
RUN pwd > /child; echo $ON >> /child
ONBUILD USER app
FROM child
RUN id -u > /tmp/grandchild
""",
    {"a": "A"},
)

case("onbuild_kept", 'FROM bb\nONBUILD RUN echo "x  y" \\\n && echo z\nONBUILD COPY --chown=1:2 ["a b", "/c"]\nonbuild label a=b\n')

case(
    "scratch",
    "FROM scratch\nCOPY a /\nCOPY d d\nCOPY a /etc/deep/a\nWORKDIR /w\nCOPY --chown=3:4 a x/\nCMD [\"/a\"]\n",
    {"a": "", "d/x": ""},
)


@pytest.mark.parametrize("what", CASES, ids=lambda c: c.name)
def test_same_image(what, builders, context, tmp_path, url):
    same_image(what, builders, context, tmp_path, url)
