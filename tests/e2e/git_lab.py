# SPDX-License-Identifier: Apache-2.0
"""A GitOps repository to release from, with a bare origin beside it."""

import os
import subprocess

WHEN = "2026-01-05T09:00:00Z"


class GitLab:
    """top/lab and top/origin.git, with these files (path: text) in the first commit; commits have the same names always."""

    def __init__(self, top, files):
        self.top, self.repo = top, top / "lab"
        self.env = {
            **os.environ,
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "t"), ("EMAIL", "t@example"), ("DATE", WHEN))},
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        self.git("init", "-q", "--bare", "-b", "main", top / "origin.git", cwd=top)
        self.git("init", "-q", "-b", "main", self.repo, cwd=top)
        self.git("remote", "add", "origin", top / "origin.git")
        for path, text in files.items():
            self.write(path, text)
        self.first = self.commit("first")

    def git(self, *args, cwd=None):
        run = subprocess.run(["git", *map(str, args)], cwd=cwd or self.repo, env=self.env, check=True, capture_output=True, text=True)
        return run.stdout.strip()

    def write(self, path, text):
        target = self.repo / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def commit(self, message, push=True):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        if push:
            self.git("push", "-q", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")
