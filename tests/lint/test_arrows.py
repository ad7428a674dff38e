# SPDX-License-Identifier: Apache-2.0
"""Every #include in src/ follows src/arrows, and platform headers stay in src/sys."""

import pathlib
import re

import pytest

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)
PLATFORM = re.compile(
    r"^(linux/|sched\.h|seccomp\.h|cap-ng\.h|sys/(mount|prctl|syscall|capability|sysmacros|signalfd|eventfd|epoll|inotify|fsuid)\.h)"
)
# Reading and making device numbers is plain data, used where tars and trees are.
ALLOWED_ANYWHERE = {"sys/sysmacros.h"}


def arrows():
    table = {}
    for line in (SRC / "arrows").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        folder, _, allowed = line.partition(":")
        table[folder.strip()] = set(allowed.split())
    return table


ARROWS = arrows()
FILES = sorted(p for p in SRC.rglob("*.[ch]"))


def test_every_folder_has_an_arrow_line():
    folders = {p.parent.relative_to(SRC).parts[0] for p in FILES}
    assert folders <= set(ARROWS), folders - set(ARROWS)


def test_arrows_have_no_cycle():
    order = list(ARROWS)
    for folder, allowed in ARROWS.items():
        for other in allowed:
            name = other.split("/")[0]
            if "/" not in other:
                assert order.index(name) < order.index(folder), f"{folder} -> {name} points upwards"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_includes(path):
    folder = path.relative_to(SRC).parts[0]
    bad = []
    for quote, name in INCLUDE.findall(path.read_text()):
        if quote == '"':
            target = name.split("/")[0]
            assert "/" in name, f'{path}: "{name}" does not name its folder'
            if target != folder and target not in ARROWS[folder] and name not in ARROWS[folder]:
                bad.append(name)
            if target != folder and name.endswith("_internal.h"):
                bad.append(name)
        elif PLATFORM.match(name) and folder != "sys" and name not in ALLOWED_ANYWHERE:
            bad.append(name)
    assert not bad, f"{path.relative_to(SRC)} may not include {bad}"
