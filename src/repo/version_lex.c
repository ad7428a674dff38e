/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/version_internal.h"

#include <ctype.h>
#include <string.h>

static enum version_state top(const struct version_lexer *l)
{
	return l->stack[l->depth];
}

bool version_lexer_in_code(const struct version_lexer *l)
{
	return top(l) == LEX_CODE;
}

/* Deeper than any file written by people: what nests further is taken as part of the level it is in. */
static void push(struct version_lexer *l, enum version_state state)
{
	if (l->depth + 1 >= VERSION_LEXER_DEPTH)
		return;
	l->depth++;
	l->stack[l->depth] = state;
	l->braces[l->depth] = 0;
}

static void pop(struct version_lexer *l)
{
	if (l->depth)
		l->depth--;
}

static bool at(struct str line, size_t i, const char *what)
{
	return str_starts(str_skip(line, i), what);
}

/* Length of a text of one line in quotes, its quotes included. */
static size_t short_text(struct str line, size_t i)
{
	char quote = line.ptr[i];
	size_t n = 1;
	while (i + n < line.len && line.ptr[i + n] != quote)
		n += line.ptr[i + n] == '\\' ? 2 : 1;
	return n + 1;
}

static size_t python_code(struct version_lexer *l, struct str line, size_t i)
{
	char c = line.ptr[i];
	if (c == '#')
		return line.len - i;
	if (at(line, i, "\"\"\"") || at(line, i, "'''")) {
		push(l, c == '"' ? LEX_TRIPLE_DOUBLE : LEX_TRIPLE_SINGLE);
		return 3;
	}
	return c == '"' || c == '\'' ? short_text(line, i) : 1;
}

void version_lex_python(struct version_lexer *l, struct str line)
{
	for (size_t i = 0; i < line.len;) {
		if (top(l) == LEX_CODE) {
			i += python_code(l, line, i);
		} else if (line.ptr[i] == '\\') {
			i += 2;
		} else if (at(line, i, top(l) == LEX_TRIPLE_DOUBLE ? "\"\"\"" : "'''")) {
			pop(l);
			i += 3;
		} else {
			i++;
		}
	}
}

static size_t nix_code(struct version_lexer *l, struct str line, size_t i)
{
	char c = line.ptr[i];
	bool after_name = i && (isalnum((unsigned char)line.ptr[i - 1]) || strchr("_'", line.ptr[i - 1]));
	if (c == '#')
		return line.len - i;
	if (at(line, i, "/*")) {
		push(l, LEX_COMMENT);
		return 2;
	}
	if (c == '"') {
		push(l, LEX_STRING);
	} else if (at(line, i, "''") && !after_name) {
		push(l, LEX_INDENTED);
		return 2;
	} else if (c == '{') {
		l->braces[l->depth]++;
	} else if (c == '}' && l->braces[l->depth]) {
		l->braces[l->depth]--;
	} else if (c == '}') {
		pop(l); /* of the ${ that began this code */
	}
	return 1;
}

static size_t nix_string(struct version_lexer *l, struct str line, size_t i)
{
	if (line.ptr[i] == '\\' || at(line, i, "$$"))
		return 2;
	if (at(line, i, "${")) {
		push(l, LEX_CODE);
		return 2;
	}
	if (line.ptr[i] == '"')
		pop(l);
	return 1;
}

static size_t nix_indented(struct version_lexer *l, struct str line, size_t i)
{
	if (at(line, i, "'''") || at(line, i, "''$"))
		return 3;
	if (at(line, i, "''\\"))
		return 4;
	if (at(line, i, "$$"))
		return 2;
	if (at(line, i, "${")) {
		push(l, LEX_CODE);
		return 2;
	}
	if (!at(line, i, "''"))
		return 1;
	pop(l);
	return 2;
}

void version_lex_nix(struct version_lexer *l, struct str line)
{
	for (size_t i = 0; i < line.len;) {
		switch (top(l)) {
		case LEX_CODE:
			i += nix_code(l, line, i);
			break;
		case LEX_STRING:
			i += nix_string(l, line, i);
			break;
		case LEX_INDENTED:
			i += nix_indented(l, line, i);
			break;
		default:
			if (at(line, i, "*/"))
				pop(l);
			i += at(line, i, "*/") ? 2 : 1;
		}
	}
}
