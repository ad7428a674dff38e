/* SPDX-License-Identifier: Apache-2.0 */
/* What a project elsewhere has, asked once, for `cooper new`: tags of a git repository, checksums of
 * downloads. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "repo/upstream_tag.h"

#include <stdio.h>

/* version NULL: the newest release; ERR_NOT_FOUND names tags that there are. */
MUST_USE struct err *upstream_find_tag(
	const char *url, const char *version, const struct cancel *cancel, struct upstream_tag *out);
/* The sum that Nix has for what an archive holds. Downloads it, into Nix's store. Caller frees *sum. */
MUST_USE struct err *upstream_nix_sum(const char *url, const struct cancel *cancel, char **sum);

struct upstream_request {
	const char *url; /* with {version} and {arch}, each of which may be missing */
	const char *version;
	const struct strvec *archs;   /* "amd64", "amd64=x86_64"; none: amd64 and arm64 */
	const struct strvec *sha256s; /* known sums: "amd64=<hex>", or "<hex>" of the only one */
	FILE *say;                    /* a line for each download */
	const struct cancel *cancel;
};
/* vec of struct scaffold_download; free with upstream_downloads_fini. */
MUST_USE struct err *upstream_downloads(const struct upstream_request *rq, struct vec *out);
void upstream_downloads_fini(struct vec *v);
