/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of a Python or nix file begin inside a comment or a text of many lines, where nothing declares
 * a version. */
#pragma once

#include "base/str.h"

#include <stdbool.h>

#define VERSION_LEXER_DEPTH 64

enum version_state {
	LEX_CODE,
	LEX_STRING,   /* nix "..." */
	LEX_INDENTED, /* nix ''...'' */
	LEX_COMMENT,  /* nix block comment */
	LEX_TRIPLE_DOUBLE,
	LEX_TRIPLE_SINGLE,
};

struct version_lexer {
	enum version_state
		stack[VERSION_LEXER_DEPTH];   /* below the top; nix texts hold code, which holds texts */
	unsigned braces[VERSION_LEXER_DEPTH]; /* open ones in each level of code */
	unsigned depth;
};

bool version_lexer_in_code(const struct version_lexer *l);
/* Take in one line, without its newline. */
void version_lex_python(struct version_lexer *l, struct str line);
void version_lex_nix(struct version_lexer *l, struct str line);
