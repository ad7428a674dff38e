/* SPDX-License-Identifier: Apache-2.0 */
/* Which tag of a project to build, from what `git ls-remote --tags` lists. Pure; the listing is hostile. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

struct upstream_tag {
	char *url;     /* in the form that a Dockerfile takes for a repository */
	char *version; /* without what the tag has around it */
	char *tag;     /* with {version} where it stands */
	char *commit;  /* 40 hex */
};
void upstream_tag_fini(struct upstream_tag *t);
/* The tag of a version ("1.2" is also found as "v1.2"), or of the newest release (version NULL). Fills all
 * but url. ERR_NOT_FOUND names the newest that there are. */
MUST_USE struct err *upstream_choose_tag(struct str listing, const char *version, struct upstream_tag *out);
