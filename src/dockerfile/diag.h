/* SPDX-License-Identifier: Apache-2.0 */
/* Places in a Dockerfile, and a collector so that one pass reports every mistake it can find. */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdint.h>

/* From 1; the column counts bytes. Column 0: the whole line. Line 0: nowhere. */
struct pos {
	uint32_t line;
	uint32_t column;
};

/* More mistakes than this are counted, not shown; so many are kept to be sorted. */
#define DIAG_SHOWN_MAX 20
#define DIAG_KEPT_MAX 1000

struct diag {
	const char *path;    /* borrowed */
	const char *about;   /* put before each message ("ONBUILD trigger of x: "), or NULL; borrowed */
	struct pos override; /* if its line is set, everything is reported there */
	struct vec items;    /* of struct diag_item */
	size_t count;
};

struct diag_item {
	struct pos at;
	size_t number; /* keeps the order of finding within a place */
	char *text;
};

void diag_fini(struct diag *d);
void diag_add(struct diag *d, struct pos at, const char *fmt, ...) PRINTF(3, 4);
/* All of them by place in one ERR_INVALID; NULL if there are none. */
MUST_USE struct err *diag_err(struct diag *d);
/* A user's text for a message: at most so much of it, cut between characters. */
#define DIAG_TEXT_MAX 120
void diag_quote(struct buf *out, const char *text);
/* "path:line:column: " in front of why, which is consumed. */
MUST_USE struct err *diag_place(const char *path, struct pos at, struct err *why);
