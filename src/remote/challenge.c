/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/challenge.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

#define VALUE_MAX ((size_t)16 << 10)
#define CHALLENGES_MAX 16

void challenge_fini(struct challenge *c)
{
	mem_freep(&c->realm);
	mem_freep(&c->service);
	mem_freep(&c->scope);
	mem_freep(&c->error);
	*c = (struct challenge){0};
}

void challenges_fini(struct vec *list)
{
	for (size_t i = 0; i < list->len; i++)
		challenge_fini(vec_at(list, i));
	vec_fini(list);
}

struct parser {
	struct str rest;
	struct vec *out;
	size_t floor; /* challenges that were there before */
};

static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip(struct parser *p, const char *set)
{
	while (p->rest.len && p->rest.ptr[0] && strchr(set, p->rest.ptr[0]))
		p->rest = str_skip(p->rest, 1);
}

static struct str take_token(struct parser *p)
{
	size_t n = 0;
	while (n < p->rest.len && is_token_char(p->rest.ptr[n]))
		n++;
	struct str token = str_n(p->rest.ptr, n);
	p->rest = str_skip(p->rest, n);
	return token;
}

static struct err *take_quoted(struct parser *p, struct buf *out)
{
	p->rest = str_skip(p->rest, 1);
	while (p->rest.len && p->rest.ptr[0] != '"') {
		if (p->rest.ptr[0] == '\\' && p->rest.len > 1)
			p->rest = str_skip(p->rest, 1);
		if ((unsigned char)p->rest.ptr[0] < ' ')
			return err_new(ERR_INVALID, "a control character in a quoted value");
		buf_addc(out, p->rest.ptr[0]);
		p->rest = str_skip(p->rest, 1);
	}
	if (!p->rest.len)
		return err_new(ERR_INVALID, "a quoted value does not end");
	p->rest = str_skip(p->rest, 1);
	return NULL;
}

static void keep_parameter(struct challenge *c, struct str name, const struct buf *value)
{
	const struct {
		const char *name;
		char **to;
	} known[] = {
		{"realm", &c->realm}, {"service", &c->service}, {"scope", &c->scope}, {"error", &c->error}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq_nocase(name, known[i].name) && !*known[i].to)
			*known[i].to = mem_strdup(buf_cstr(value));
}

/* After "name" and before "=". */
static struct err *parse_parameter(struct parser *p, struct str name)
{
	if (p->out->len == p->floor)
		return err_new(ERR_INVALID, "a parameter comes before any scheme");
	p->rest = str_skip(p->rest, 1);
	skip(p, " \t");
	AUTO_BUF struct buf value = {0};
	if (str_starts(p->rest, "\"")) {
		TRY(take_quoted(p, &value));
	} else {
		/* Values that ought to be quoted but are not: up to the comma. */
		size_t n = 0;
		while (n < p->rest.len && !strchr(", \t\"", p->rest.ptr[n]))
			n++;
		buf_add(&value, p->rest.ptr, n);
		p->rest = str_skip(p->rest, n);
	}
	keep_parameter(vec_at(p->out, p->out->len - 1), name, &value);
	return NULL;
}

/* What follows a scheme may be one token68, as "Negotiate YWJj==": no parameter, and of no use here. */
static void skip_token68(struct parser *p)
{
	size_t n = 0;
	while (n < p->rest.len &&
		(isalnum((unsigned char)p->rest.ptr[n]) || strchr("-._~+/", p->rest.ptr[n])))
		n++;
	size_t token = n;
	while (n < p->rest.len && p->rest.ptr[n] == '=')
		n++;
	size_t end = n;
	while (n < p->rest.len && (p->rest.ptr[n] == ' ' || p->rest.ptr[n] == '\t'))
		n++;
	if (token && end && (n == p->rest.len || p->rest.ptr[n] == ','))
		p->rest = str_skip(p->rest, n);
}

static struct err *parse_item(struct parser *p)
{
	struct str word = take_token(p);
	if (!word.len)
		return err_new(ERR_INVALID, "unexpected '%c'",
			isprint((unsigned char)p->rest.ptr[0]) ? p->rest.ptr[0] : '?');
	bool blank = p->rest.len && strchr(" \t", p->rest.ptr[0]);
	skip(p, " \t");
	if (str_starts(p->rest, "="))
		return parse_parameter(p, word);
	if (p->rest.len && p->rest.ptr[0] != ',' && !blank)
		return err_new(ERR_INVALID, "a scheme runs into what follows it");
	if (p->out->len - p->floor >= CHALLENGES_MAX)
		return err_new(ERR_INVALID, "more than %d challenges", CHALLENGES_MAX);
	struct challenge *c = vec_push(p->out);
	if (str_eq_nocase(word, "basic"))
		c->scheme = CHALLENGE_BASIC;
	else if (str_eq_nocase(word, "bearer"))
		c->scheme = CHALLENGE_BEARER;
	skip_token68(p);
	return NULL;
}

static struct err *parse_items(struct parser *p)
{
	if (p->rest.len > VALUE_MAX)
		return err_new(ERR_INVALID, "it is longer than %zu bytes", VALUE_MAX);
	if (p->rest.len && memchr(p->rest.ptr, '\0', p->rest.len))
		return err_new(ERR_INVALID, "it has a NUL byte");
	for (skip(p, ", \t"); p->rest.len; skip(p, ", \t"))
		TRY(parse_item(p));
	return NULL;
}

struct err *challenge_parse(struct str value, struct vec *out)
{
	struct parser p = {.rest = value, .out = out, .floor = out->len};
	struct err *e = parse_items(&p);
	if (!e)
		return NULL;
	while (out->len > p.floor) {
		challenge_fini(vec_at(out, out->len - 1));
		vec_remove(out, out->len - 1);
	}
	return err_wrap(e, "reading the WWW-Authenticate header");
}

const struct challenge *challenge_choose(const struct vec *list)
{
	for (size_t i = 0; i < list->len; i++) {
		const struct challenge *c = vec_at(list, i);
		if (c->scheme == CHALLENGE_BASIC || (c->scheme == CHALLENGE_BEARER && c->realm))
			return c;
	}
	return NULL;
}
