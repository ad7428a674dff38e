/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of a GraphQL document. */
#pragma once

#include "base/arena.h"
#include "base/str.h"
#include "gql/problems_internal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Punctuation is its own character. */
enum token_kind {
	TOKEN_END = 0,
	TOKEN_NAME = 256,
	TOKEN_INT,
	TOKEN_FLOAT,
	TOKEN_STRING,
	TOKEN_SPREAD, /* ... */
};

struct token {
	int kind;
	uint32_t at;
	struct str text; /* of NAME, INT, FLOAT: as written; STRING: decoded */
};

struct lexer {
	struct str text; /* at most 4 GiB - 2 */
	size_t at;
	struct arena *arena; /* for strings that have to be decoded */
	struct problems *problems;
	size_t tokens, max_tokens;
};

/* False after a problem was reported. */
bool lex_next(struct lexer *l, struct token *out);
/* l->at is behind the opening quotes of the string that begins at "start". */
bool lex_string(struct lexer *l, size_t start, struct str *out);
bool lex_block_string(struct lexer *l, size_t start, struct str *out);
