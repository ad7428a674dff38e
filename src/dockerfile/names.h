/* SPDX-License-Identifier: Apache-2.0 */
/* The spellings a Dockerfile names things by: platforms, images, repositories. Pure. */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/node.h"

#include <stdbool.h>

struct platform {
	const char *os, *arch, *variant; /* variant "" if there is none */
	const char *text;                /* "os/arch" or "os/arch/variant" */
};
/* Normalized: x86_64 is amd64, arm64/v8 is arm64, arm is arm/v7. */
MUST_USE struct err *platform_words_parse(struct arena *a, const char *text, struct platform *out);

/* "debian" gives "docker.io/library/debian:latest". */
MUST_USE struct err *image_name(struct arena *a, const char *text, const char **out);

/* Is this a repository to clone (and no file, archive URL or path)? */
bool git_url_is(const char *text);
/* Fragment "#ref:subdir" and the query keys are taken apart. */
MUST_USE struct err *git_url_parse(struct arena *a, const char *text, struct op_git *out);
bool http_url_is(const char *text);
/* What the file of a URL is called: HTTP_NO_NAME if the URL does not say. */
#define HTTP_NO_NAME "__unnamed__"
const char *http_url_file(struct arena *a, const char *url);
