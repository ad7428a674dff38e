/* SPDX-License-Identifier: Apache-2.0 */
/* What the two parsers, of documents and of schemas, have in common. Each function: false after a problem. */
#pragma once

#include "gql/ast_internal.h"
#include "gql/lex_internal.h"

#include <stdbool.h>
#include <stddef.h>

/* Lists and objects in literals, lists in types: the walkers of these recurse. */
#define NESTING_MAX 100

struct parser {
	struct lexer lex;
	struct token now; /* not yet consumed */
	struct arena *arena;
	struct problems *problems;
	size_t max_depth; /* of selection sets */
};

/* Reads the first token. */
bool parser_init(
	struct parser *p, struct arena *a, struct problems *problems, struct str text, size_t tokens);
bool parse_advance(struct parser *p);
bool parse_is(const struct parser *p, int kind);
bool parse_is_word(const struct parser *p, const char *word);
/* Consumes the token if it is this one, saying so in *found. */
bool parse_accept(struct parser *p, int kind, bool *found);
bool parse_expect(struct parser *p, int kind);
bool parse_name(struct parser *p, struct str *out);
/* "Unexpected ...": false. */
bool parse_unexpected(struct parser *p);

/* constant: variables are refused. */
bool parse_value(struct parser *p, bool constant, size_t depth, struct ast_value **out);
/* "(name: value ...)" if there is one. */
bool parse_arguments(struct parser *p, bool constant, struct ast_value **out);
bool parse_directives(struct parser *p, bool constant, struct ast_directive **out);
bool parse_type(struct parser *p, struct type_ref **out);

/* A whole executable document. *out is to be finished also on failure. */
bool parse_document(struct parser *p, struct document *out);
