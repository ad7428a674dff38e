/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#pragma once

#include "release/release.h"

void release_job_fini(struct release_job *j);
/* "registry/namespace/name". Caller frees. */
char *release_image(const struct repo_config *cfg, const char *name);
void listed_tag_fini(struct listed_tag *t);
/* Newest first: version, then time of the commit (0 unknown), then text. Exposed for tests. */
struct tag_order {
	const char *tag, *version;
	int64_t time;
};
int tag_order_cmp(const struct tag_order *a, const struct tag_order *b);
