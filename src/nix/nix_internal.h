/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this folder. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/event.h"
#include "base/json.h"
#include "nix/nix.h"

/* A step whose output a program's standard error is. */
struct nix_step {
	const struct nix_request *rq;
	uint32_t number;
	char *name;
	int64_t started;
	struct buf said; /* the end of it, for the error */
};
void nix_step_begin(struct nix_step *s, const struct nix_request *rq, uint32_t number, const char *fmt, ...)
	PRINTF(4, 5);
/* Tells how it ended. Frees what s holds; e stays the caller's and may be NULL. */
void nix_step_end(struct nix_step *s, const struct err *e);
void nix_step_errout(void *step, struct str text); /* as of process_stream.h */

/* Variables that no program of a build inherits. */
extern const char *const nix_unset[];

/* Run one of Nix's programs, found by its name; its standard output is appended to out. An error says what
 * Nix said. */
MUST_USE struct err *nix_run(
	struct nix_step *step, const char *program, const char *const *args, struct buf *out);

/*
 * What Nix means by what it wrote before it failed with why, which is consumed: the message and its place,
 * with what to do about it where that is known. Paths below root are shown relative to it. NULL keeps NULL.
 */
MUST_USE struct err *nix_explain(struct str said, const struct nix_request *rq, struct err *why);

/* What is written into an image's config: an image_config_edit and its context. */
struct nix_config {
	const struct nix_request *rq;
	const struct digest *inputs;
};
MUST_USE struct err *nix_edit_config(void *ctx, json_t *config);
