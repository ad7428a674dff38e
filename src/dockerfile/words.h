/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting the rest of an instruction into flags, words, pairs and JSON strings. Offsets count from the start
 * of the text given. */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>

struct word {
	const char *text;
	size_t offset;
};

/* Append the leading "--flag" words to flags (unquoted); returns where the rest begins. */
size_t words_flags(struct arena *a, const char *text, char escape, struct vec *flags);
/* Words between blanks. */
void words_blank(struct arena *a, const char *text, struct vec *out);
/* Words between blanks outside quotes; quotes and escapes stay, an escape at the very end goes. */
void words_quoted(struct arena *a, const char *text, char escape, struct vec *out);

enum words_json { WORDS_NOT_JSON, WORDS_JSON, WORDS_JSON_BAD_MEMBER };
/* A JSON array of strings that is the whole text. */
enum words_json words_json(struct arena *a, const char *text, struct vec *out);
/* One line of comma separated fields with "" quoting; NULL-free. False: malformed. */
bool words_csv(struct arena *a, const char *text, struct vec *out);
