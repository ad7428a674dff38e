/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of pinning share. */
#pragma once

#include "release/pin.h"

/* "v1-1111111", "sha256:...", "v1-1111111@sha256:...". Caller frees. */
char *pin_value_text(const struct pin *p);
char *pin_target_value_text(const struct pin_target *t);
/* A unified diff of texts with as many lines each: edits of pins stay on their lines. */
void diff_add(struct buf *out, const char *file, struct str before, struct str after);
