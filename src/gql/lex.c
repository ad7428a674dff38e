/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/lex_internal.h"

#include <string.h>

/* Longer names serve nobody, and each may be repeated in an answer a million times. */
#define NAME_MAX_BYTES 1000

static bool is_name_start(char c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char peek(const struct lexer *l, size_t ahead)
{
	return l->at + ahead < l->text.len ? l->text.ptr[l->at + ahead] : 0;
}

static void skip_comment(struct lexer *l)
{
	while (l->at < l->text.len && l->text.ptr[l->at] != '\n' && l->text.ptr[l->at] != '\r')
		l->at++;
}

static void skip_ignored(struct lexer *l)
{
	while (l->at < l->text.len) {
		char c = l->text.ptr[l->at];
		if (c == '#')
			skip_comment(l);
		else if (c == ' ' || c == ',' || c == '\n' || c == '\t' || c == '\r')
			l->at++;
		else if (str_starts(str_skip(l->text, l->at), "\xEF\xBB\xBF"))
			l->at += 3;
		else
			return;
	}
}

static bool bad_character(struct lexer *l)
{
	unsigned char c = (unsigned char)peek(l, 0);
	if (l->at >= l->text.len)
		problem_add(l->problems, (uint32_t)l->at, "Syntax Error: Unexpected <EOF>.");
	else if (c > 0x20 && c < 0x7F)
		problem_add(l->problems, (uint32_t)l->at, "Syntax Error: Unexpected character: \"%c\".", c);
	else
		problem_add(l->problems, (uint32_t)l->at, "Syntax Error: Invalid character: byte 0x%02X.", c);
	return false;
}

static bool lex_name(struct lexer *l, struct token *out)
{
	size_t start = l->at;
	while (l->at < l->text.len && (is_name_start(l->text.ptr[l->at]) || is_digit(l->text.ptr[l->at])))
		l->at++;
	out->kind = TOKEN_NAME;
	out->text = str_n(l->text.ptr + start, l->at - start);
	if (out->text.len <= NAME_MAX_BYTES)
		return true;
	problem_add(l->problems, out->at, "Syntax Error: A name is longer than %d bytes.", NAME_MAX_BYTES);
	return false;
}

static bool bad_number(struct lexer *l, const char *why)
{
	problem_add(l->problems, (uint32_t)l->at, "Syntax Error: Invalid number, %s.", why);
	return false;
}

static bool lex_digits(struct lexer *l)
{
	if (!is_digit(peek(l, 0)))
		return bad_number(l, "expected a digit");
	while (is_digit(peek(l, 0)))
		l->at++;
	return true;
}

static bool lex_number(struct lexer *l, struct token *out)
{
	size_t start = l->at;
	out->kind = TOKEN_INT;
	if (peek(l, 0) == '-')
		l->at++;
	if (peek(l, 0) == '0')
		l->at++;
	else if (!lex_digits(l))
		return false;
	if (peek(l, 0) == '.') {
		out->kind = TOKEN_FLOAT;
		l->at++;
		if (!lex_digits(l))
			return false;
	}
	if (peek(l, 0) == 'e' || peek(l, 0) == 'E') {
		out->kind = TOKEN_FLOAT;
		l->at++;
		if (peek(l, 0) == '+' || peek(l, 0) == '-')
			l->at++;
		if (!lex_digits(l))
			return false;
	}
	char after = peek(l, 0);
	if (after == '.' || is_digit(after) || is_name_start(after))
		return bad_number(l, "expected its end");
	out->text = str_n(l->text.ptr + start, l->at - start);
	return true;
}

static bool lex_quoted(struct lexer *l, struct token *out)
{
	size_t start = l->at;
	out->kind = TOKEN_STRING;
	if (peek(l, 1) == '"' && peek(l, 2) == '"') {
		l->at += 3;
		return lex_block_string(l, start, &out->text);
	}
	l->at++;
	return lex_string(l, start, &out->text);
}

bool lex_next(struct lexer *l, struct token *out)
{
	skip_ignored(l);
	*out = (struct token){.at = (uint32_t)l->at};
	if (l->at >= l->text.len)
		return true;
	if (++l->tokens > l->max_tokens) {
		problem_add(l->problems, out->at, "Syntax Error: The document has more than %zu tokens.",
			l->max_tokens);
		return false;
	}
	char c = l->text.ptr[l->at];
	if (is_name_start(c))
		return lex_name(l, out);
	if (c == '-' || is_digit(c))
		return lex_number(l, out);
	if (c == '"')
		return lex_quoted(l, out);
	if (c == '.' && peek(l, 1) == '.' && peek(l, 2) == '.') {
		out->kind = TOKEN_SPREAD;
		l->at += 3;
		return true;
	}
	if (!c || !strchr("!$&():=@[]{|}", c))
		return bad_character(l);
	out->kind = c;
	l->at++;
	return true;
}
