/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variables, quotes and escapes of one word. Pure.
 * Errors are ERR_INVALID and say what is wrong, not where.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>

#define EXPAND_DEPTH_MAX 64
#define EXPAND_RESULT_MAX ((size_t)1 << 20)
#define EXPAND_WORK_MAX ((size_t)1 << 24)

struct expander {
	char escape;
	bool quotes_are_text; /* of a heredoc body */
	bool keep_quotes;     /* quotes work, but stay */
	bool keep_escapes;
	bool keep_unset;                                 /* $x stays as it is if x is unset */
	const char *(*get)(void *ctx, const char *name); /* NULL: unset. NULL function: all are unset */
	void *ctx;
	size_t *work; /* steps left for matching patterns, for a whole file; NULL: EXPAND_WORK_MAX a call */
};

/* Appends. */
MUST_USE struct err *expand_word(const struct expander *x, const char *word, struct buf *out);
/* Blanks outside quotes separate words, also those that come out of a variable. */
MUST_USE struct err *expand_words(const struct expander *x, const char *text, struct strvec *out);
