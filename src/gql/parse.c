/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/parse_internal.h"

bool parser_init(struct parser *p, struct arena *a, struct problems *problems, struct str text, size_t tokens)
{
	*p = (struct parser){
		.lex = {.text = text, .arena = a, .problems = problems, .max_tokens = tokens},
		.arena = a,
		.problems = problems,
	};
	return parse_advance(p);
}

bool parse_advance(struct parser *p)
{
	return lex_next(&p->lex, &p->now);
}

bool parse_is(const struct parser *p, int kind)
{
	return p->now.kind == kind;
}

bool parse_is_word(const struct parser *p, const char *word)
{
	return p->now.kind == TOKEN_NAME && str_eq_c(p->now.text, word);
}

bool parse_accept(struct parser *p, int kind, bool *found)
{
	*found = p->now.kind == kind;
	return !*found || parse_advance(p);
}

static void kind_text(int kind, struct buf *out)
{
	if (kind == TOKEN_END)
		buf_adds(out, "<EOF>");
	else if (kind == TOKEN_NAME)
		buf_adds(out, "Name");
	else if (kind == TOKEN_INT)
		buf_adds(out, "Int");
	else if (kind == TOKEN_FLOAT)
		buf_adds(out, "Float");
	else if (kind == TOKEN_STRING)
		buf_adds(out, "String");
	else if (kind == TOKEN_SPREAD)
		buf_adds(out, "\"...\"");
	else
		buf_addf(out, "\"%c\"", kind);
}

static void token_text(const struct token *t, struct buf *out)
{
	kind_text(t->kind, out);
	if (t->text.len > 0)
		buf_addf(out, " \"%.*s\"", SHOW_ARG(t->text));
}

bool parse_unexpected(struct parser *p)
{
	struct buf got AUTO_BUF = {0};
	token_text(&p->now, &got);
	problem_add(p->problems, p->now.at, "Syntax Error: Unexpected %s.", buf_cstr(&got));
	return false;
}

bool parse_expect(struct parser *p, int kind)
{
	if (p->now.kind == kind)
		return parse_advance(p);
	struct buf want AUTO_BUF = {0}, got AUTO_BUF = {0};
	kind_text(kind, &want);
	token_text(&p->now, &got);
	problem_add(p->problems, p->now.at, "Syntax Error: Expected %s, found %s.", buf_cstr(&want),
		buf_cstr(&got));
	return false;
}

bool parse_name(struct parser *p, struct str *out)
{
	*out = p->now.text;
	return parse_expect(p, TOKEN_NAME);
}

static bool too_deep(struct parser *p, size_t depth, const char *what)
{
	if (depth < NESTING_MAX)
		return false;
	problem_add(p->problems, p->now.at, "Syntax Error: %s are nested deeper than %d.", what, NESTING_MAX);
	return true;
}

static bool parse_list(struct parser *p, bool constant, size_t depth, struct ast_value *v)
{
	v->kind = AST_LIST;
	struct ast_value **end = &v->list.first;
	bool close = false;
	if (!parse_advance(p))
		return false;
	for (;;) {
		if (!parse_accept(p, ']', &close))
			return false;
		if (close)
			return true;
		if (!parse_value(p, constant, depth + 1, end))
			return false;
		end = &(*end)->next;
		v->list.count++;
	}
}

/* "name: value" */
static bool parse_member(struct parser *p, bool constant, size_t depth, struct ast_value **out)
{
	struct str name = {0};
	uint32_t at = p->now.at;
	if (!parse_name(p, &name) || !parse_expect(p, ':') || !parse_value(p, constant, depth, out))
		return false;
	(*out)->name = name;
	(*out)->name_at = at;
	return true;
}

static bool parse_object(struct parser *p, bool constant, size_t depth, struct ast_value *v)
{
	v->kind = AST_OBJECT;
	struct ast_value **end = &v->list.first;
	bool close = false;
	if (!parse_advance(p))
		return false;
	for (;;) {
		if (!parse_accept(p, '}', &close))
			return false;
		if (close)
			return true;
		if (!parse_member(p, constant, depth + 1, end))
			return false;
		end = &(*end)->next;
		v->list.count++;
	}
}

static bool parse_variable(struct parser *p, bool constant, struct ast_value *v)
{
	if (constant)
		return parse_unexpected(p);
	v->kind = AST_VARIABLE;
	return parse_advance(p) && parse_name(p, &v->text);
}

static bool parse_scalar(struct parser *p, struct ast_value *v)
{
	v->text = p->now.text;
	if (parse_is(p, TOKEN_INT)) {
		v->kind = AST_INT;
	} else if (parse_is(p, TOKEN_FLOAT)) {
		v->kind = AST_FLOAT;
	} else if (parse_is(p, TOKEN_STRING)) {
		v->kind = AST_STRING;
	} else if (parse_is_word(p, "null")) {
		v->kind = AST_NULL;
	} else if (parse_is_word(p, "true") || parse_is_word(p, "false")) {
		v->kind = AST_BOOL;
		v->b = p->now.text.len == 4;
	} else if (parse_is(p, TOKEN_NAME)) {
		v->kind = AST_ENUM;
	} else {
		return parse_unexpected(p);
	}
	return parse_advance(p);
}

bool parse_value(struct parser *p, bool constant, size_t depth, struct ast_value **out)
{
	if (too_deep(p, depth, "Values"))
		return false;
	struct ast_value *v = arena_new_of(p->arena, struct ast_value);
	v->at = p->now.at;
	*out = v;
	if (parse_is(p, '['))
		return parse_list(p, constant, depth, v);
	if (parse_is(p, '{'))
		return parse_object(p, constant, depth, v);
	if (parse_is(p, '$'))
		return parse_variable(p, constant, v);
	return parse_scalar(p, v);
}

bool parse_arguments(struct parser *p, bool constant, struct ast_value **out)
{
	struct ast_value **end = out;
	bool open = false, close = false;
	if (!parse_accept(p, '(', &open))
		return false;
	if (!open)
		return true;
	while (!close) {
		if (!parse_member(p, constant, 0, end))
			return false;
		end = &(*end)->next;
		if (!parse_accept(p, ')', &close))
			return false;
	}
	return true;
}

bool parse_directives(struct parser *p, bool constant, struct ast_directive **out)
{
	struct ast_directive **end = out;
	while (parse_is(p, '@')) {
		struct ast_directive *d = arena_new_of(p->arena, struct ast_directive);
		d->at = p->now.at;
		if (!parse_advance(p) || !parse_name(p, &d->name) || !parse_arguments(p, constant, &d->args))
			return false;
		*end = d;
		end = &d->next;
	}
	return true;
}

static struct type_ref *ref_new(struct parser *p, enum ref_kind kind, uint32_t at, const struct type_ref *of)
{
	struct type_ref *r = arena_new_of(p->arena, struct type_ref);
	*r = (struct type_ref){.kind = kind, .at = at, .of = of};
	return r;
}

/* The "!" and "]" that end a type whose inside was read. */
static bool parse_type_end(struct parser *p, struct type_ref *inner, size_t lists, struct type_ref **out)
{
	for (;; lists--) {
		bool bang = false;
		if (!parse_accept(p, '!', &bang))
			return false;
		if (bang)
			inner = ref_new(p, REF_NON_NULL, inner->at, inner);
		if (lists == 0)
			break;
		if (!parse_expect(p, ']'))
			return false;
		inner = ref_new(p, REF_LIST, inner->at, inner);
	}
	*out = inner;
	return true;
}

bool parse_type(struct parser *p, struct type_ref **out)
{
	size_t lists = 0;
	for (bool open = true;;) {
		if (!parse_accept(p, '[', &open))
			return false;
		if (!open)
			break;
		if (too_deep(p, ++lists, "Types"))
			return false;
	}
	struct type_ref *named = ref_new(p, REF_NAMED, p->now.at, NULL);
	return parse_name(p, &named->name) && parse_type_end(p, named, lists, out);
}
