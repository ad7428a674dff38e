/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references (the grammar of distribution/reference) and the rules for names and tags
 * (distribution-spec, "Pulling manifests").
 */
#pragma once

#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

struct reference {
	char *registry;       /* "docker.io", "127.0.0.1:5000"; never NULL */
	char *repository;     /* "library/debian" */
	char *tag;            /* NULL if none */
	struct digest digest; /* unset if none */
};
void reference_fini(struct reference *r);
/*
 * Familiar form with docker.io and library/ filled in; tag "latest" when neither tag nor digest is given and
 * default_tag is set. ERR_INVALID says which part is wrong.
 */
MUST_USE struct err *reference_parse(const char *text, bool default_tag, struct reference *out);
void reference_copy(const struct reference *from, struct reference *to);
/* "docker.io/library/debian:12[@sha256:...]". Caller frees. */
char *reference_text(const struct reference *r);
/* As people write it: without docker.io and library/. Caller frees. */
char *reference_familiar(const struct reference *r);

bool repository_valid(struct str s); /* path components of the grammar, at most 255 characters */
bool tag_valid(struct str s);        /* [A-Za-z0-9_][A-Za-z0-9._-]{0,127} */

/* Platforms: "os/arch[/variant]" normalized as containerd does ("x86_64" -> amd64, "aarch64" -> arm64,
 * arm64/v8 -> arm64, arm -> arm/v7). */
struct platform {
	char os[32], arch[32], variant[32];
	char os_version[64];
};
MUST_USE struct err *platform_parse(const char *text, struct platform *out);
void platform_host(struct platform *out);
const char *platform_text(const struct platform *p, char out[128]);
/* Can an image for have serve a request for want? 0: no; higher is better (exact variant first). */
int platform_match(const struct platform *want, const struct platform *have);
