# SPDX-License-Identifier: Apache-2.0
"""A file as bytes of C. Usage: embed.py FILE OUT.c NAME: const char NAME[], const size_t NAME_len."""

import sys

source, target, name = sys.argv[1:]
with open(source, "rb") as f:
    data = f.read()
lines = [",".join(map(str, data[at : at + 24])) + "," for at in range(0, len(data), 24)]
with open(target, "w") as f:
    f.write(f"#include <stddef.h>\nextern const char {name}[];\nextern const size_t {name}_len;\n")
    f.write(f"const char {name}[] = {{\n" + "\n".join(lines) + f"\n0}};\nconst size_t {name}_len = {len(data)};\n")
