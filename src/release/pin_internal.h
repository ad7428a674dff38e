/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of pinning share. */
#pragma once

#include "release/pin.h"

/* "v1-1111111", "sha256:...", "v1-1111111@sha256:...". Caller frees. */
char *pin_target_value_text(const struct pin_target *t);
/* A unified diff of texts with as many lines each: edits of pins stay on their lines. */
void diff_add(struct buf *out, const char *file, struct str before, struct str after);

/* Finding the tag of one image. */
struct pin_tag_search {
	const struct pin_request *rq;
	const struct repo_config *config;
	const char *image;
	const struct container *container; /* NULL: its folder is gone */
};
/* The newest of main (and of branches, if the request allows them), of one kind. ERR_NOT_FOUND says what
 * there is instead. */
MUST_USE struct err *pin_tag_newest(const struct pin_tag_search *s, bool nix, struct pin_tag *out);
/* One by name; it must be in the registry. */
MUST_USE struct err *pin_tag_find(const struct pin_tag_search *s, const char *tag, struct pin_tag *out);
/* Which kind a digest is of; ERR_INVALID if nothing tells. */
MUST_USE struct err *pin_digest_kind(const struct pin_tag_search *s, const struct pin *p, bool *nix);
void pin_tag_fini(struct pin_tag *t);
