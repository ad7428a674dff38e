# SPDX-License-Identifier: Apache-2.0
"""Nix with a store of its own, and images that need no nixpkgs: derivations whose builder is this machine's python3."""

import os
import shutil
import textwrap

# With builders that lie on the machine there is no sandbox; nobody is asked for what was built before; root builds as root.
CONFIG = "sandbox = false\nsubstitute = false\nbuild-users-group =\n"

# Run by Nix: writes a docker-archive of the layers in $texts, one file each, in the given $form.
ARCHIVE = """
import base64, gzip, hashlib, io, json, lzma, os, subprocess, tarfile

def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()

texts = os.environ["texts"].split("|")
layers = [tar([(f"srv/{i}", text.encode() * int(os.environ.get("repeat", "1")))]) for i, text in enumerate(texts)]
ids = [hashlib.sha256(layer).hexdigest() for layer in layers]
claimed = ids[:-1] + [os.environ.get("lie", ids[-1])]
config = json.dumps({
    "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:01Z", "author": "nix",
    "config": {"Cmd": ["/bin/app"], "Labels": {"own": "label"}} if os.environ.get("labels") else None,
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + i for i in claimed]},
    "history": [{"created": "1970-01-01T00:00:01Z", "comment": "store paths: []"} for _ in layers],
}).encode()
name = hashlib.sha256(config).hexdigest() + ".json"
manifest = json.dumps([{"Config": name, "RepoTags": ["other/name:hash"], "Layers": [i + "/layer.tar" for i in claimed]}]).encode()
archive = tar([(f"{i}/layer.tar", layer) for i, layer in zip(claimed, layers)] + [(name, config), ("manifest.json", manifest)])
form, out = os.environ["form"], os.environ["out"]
if form == "stream":
    script = f"#!/usr/bin/python3\\nimport base64, sys\\nprint('streaming', file=sys.stderr, flush=True)\\n"
    script += f"sys.stdout.buffer.write(base64.b64decode({base64.b64encode(archive).decode()!r}))\\n"
    script += os.environ.get("after", "") + "\\n"
    open(out, "w").write(script)
    os.chmod(out, 0o755)
else:
    pack = {
        "plain": lambda a: a,
        "gzip": lambda a: gzip.compress(a, mtime=0),
        "xz": lzma.compress,
        "zstd": lambda a: subprocess.run(["/usr/bin/zstd", "-c"], input=a, stdout=subprocess.PIPE, check=True).stdout,
    }
    open(out, "wb").write(pack[form](archive))
"""


def expression(version="1.2.3", **env):
    """A default.nix whose image has a layer for each of texts ("one|two")."""
    settings = {"form": "gzip", "texts": "one|two", **env}
    lines = "\n".join(f'  {name} = "{value}";' for name, value in settings.items())
    return f"""\
let
  version = "{version}";
in
derivation {{
  name = "app-${{version}}";
  system = builtins.currentSystem;
  builder = "/usr/bin/python3";
  args = [ ../../lib/archive.py ];
{lines}
}}
"""


def shell(script, **attributes):
    """A derivation that runs this."""
    more = " ".join(f'{name} = "{value}";' for name, value in attributes.items())
    return textwrap.dedent(f"""\
        let
          version = "1.0.0";
        in derivation {{
          name = "thing"; system = builtins.currentSystem; builder = "/bin/sh"; {more}
          args = [ "-c" ''{script}'' ];
        }}
        """)


def nix_env(top):
    """Settings of a Nix that has all it makes below top."""
    return {
        "NIX_STORE_DIR": str(top / "store"),
        "NIX_STATE_DIR": str(top / "var"),
        "NIX_LOG_DIR": str(top / "log"),
        "NIX_CONF_DIR": str(top / "etc"),
        "NIX_CONFIG": CONFIG,
        "NIX_PATH": "",
        "NIX_REMOTE": "",
        "HOME": str(top),
    }


def path_without_nix(top):
    """A folder with what cooper needs of the machine, and no Nix."""
    folder = top / "programs"
    folder.mkdir()
    for name in ("git", "sh"):
        (folder / name).symlink_to(shutil.which(name))
    return {"PATH": str(folder), "HOME": str(top), "XDG_STATE_HOME": str(top)}


def processes(word):
    """Processes with the word in their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if word.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found
