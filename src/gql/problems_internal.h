/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of a request, as they stand in the answer. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NO_PLACE UINT32_MAX

struct problems {
	struct str text; /* the document */
	struct buf json; /* error objects, separated by commas */
	size_t count;
	size_t max; /* more are dropped */
	/* The first one, for those who want an err. */
	struct buf first;
	unsigned first_line, first_column;
	/* Where counting lines came to. */
	size_t seen_at, seen_line_start;
	unsigned seen_line;
};

void problems_init(struct problems *p, struct str text, size_t max);
void problems_fini(struct problems *p);
void problem_add(struct problems *p, uint32_t at, const char *fmt, ...) PRINTF(3, 4);
/* path: JSON text or empty; extensions: object or NULL. */
void problem_add_field(
	struct problems *p, uint32_t at, struct str path, struct str message, const json_t *extensions);
bool problems_full(const struct problems *p);

/* For "%.*s" of text that came from a document: a name is never shown longer than this. */
#define SHOWN_MAX 100
#define SHOW_ARG(s) ((s).len > SHOWN_MAX ? SHOWN_MAX : (int)(s).len), (s).ptr
