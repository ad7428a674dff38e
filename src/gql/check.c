/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/check_internal.h"

#include "gql/coerce_internal.h"

#include <stdio.h>
#include <string.h>

/* So much of a value is shown in messages. */
#define VALUE_SHOWN 60

static bool misfit(struct checker *c, const struct ast_value *v, const char *why, const char *type)
{
	struct buf shown AUTO_BUF = {0};
	value_print(v, VALUE_SHOWN, &shown);
	problem_add(c->problems, v->at, "%s %s: %s", type, why, buf_cstr(&shown));
	return false;
}

static bool unexpected(struct checker *c, const struct type_ref *r, const struct ast_value *v)
{
	struct buf shown AUTO_BUF = {0}, type AUTO_BUF = {0};
	value_print(v, VALUE_SHOWN, &shown);
	ref_print(r, &type);
	problem_add(c->problems, v->at, "Expected value of type \"%s\", found %s.", buf_cstr(&type),
		buf_cstr(&shown));
	return false;
}

static bool note_variable(
	struct checker *c, const struct type_ref *r, const struct ast_value *v, bool has_default)
{
	if (!c->definition)
		return unexpected(c, r, v);
	struct ast_usage *u = arena_new_of(c->arena, struct ast_usage);
	*u = (struct ast_usage){.variable = v, .type = r, .has_default = has_default};
	*c->definition->usages_end = u;
	c->definition->usages_end = &u->next;
	return true;
}

/* Variables within a custom scalar may be of any type. */
static bool check_any(struct checker *c, const struct ast_value *v)
{
	if (v->kind == AST_VARIABLE)
		return note_variable(c, NULL, v, false);
	bool good = true;
	if (v->kind == AST_LIST || v->kind == AST_OBJECT)
		for (const struct ast_value *i = v->list.first; i; i = i->next)
			good = check_any(c, i) && good;
	return good;
}

static bool check_int(struct checker *c, const struct ast_value *v)
{
	int64_t i = 0;
	if (v->kind != AST_INT)
		return misfit(c, v, "cannot represent non-integer value", "Int");
	if (!text_to_int(v->text, &i) || !int_in_range(i))
		return misfit(c, v, "cannot represent non 32-bit signed integer value", "Int");
	return true;
}

static bool check_float(struct checker *c, const struct ast_value *v)
{
	double f = 0;
	bool number = v->kind == AST_INT || v->kind == AST_FLOAT;
	if (!number || !text_to_float(v->text, &f))
		return misfit(c, v, "cannot represent non numeric value", "Float");
	return true;
}

static bool check_custom(struct checker *c, const struct gql_type *t, const struct ast_value *v)
{
	double f = 0;
	if ((v->kind == AST_INT || v->kind == AST_FLOAT) && !text_to_float(v->text, &f))
		return misfit(c, v, "cannot represent value", t->name.ptr);
	return check_any(c, v);
}

static bool check_scalar(struct checker *c, const struct gql_type *t, const struct ast_value *v)
{
	switch (t->scalar) {
	case SCALAR_INT:
		return check_int(c, v);
	case SCALAR_FLOAT:
		return check_float(c, v);
	case SCALAR_STRING:
		return v->kind == AST_STRING || misfit(c, v, "cannot represent a non string value", "String");
	case SCALAR_BOOLEAN:
		return v->kind == AST_BOOL || misfit(c, v, "cannot represent a non boolean value", "Boolean");
	case SCALAR_ID:
		return v->kind == AST_STRING || v->kind == AST_INT ||
		       misfit(c, v, "cannot represent a non-string and non-integer value", "ID");
	case SCALAR_CUSTOM:
		return check_custom(c, t, v);
	}
	return false;
}

static bool check_enum(struct checker *c, const struct gql_type *t, const struct ast_value *v)
{
	if (v->kind != AST_ENUM) {
		struct buf shown AUTO_BUF = {0};
		value_print(v, VALUE_SHOWN, &shown);
		problem_add(c->problems, v->at, "Enum \"%s\" cannot represent non-enum value: %s.",
			t->name.ptr, buf_cstr(&shown));
		return false;
	}
	if (enum_find(t, v->text))
		return true;
	problem_add(c->problems, v->at, "Value \"%.*s\" does not exist in \"%s\" enum.", SHOW_ARG(v->text),
		t->name.ptr);
	return false;
}

/* Which of the declared ones was given; unknown and repeated ones are reported by the caller. */
struct given_set {
	bool seen[INPUTS_MAX];
};

static bool check_missing(
	struct checker *c, const struct gql_type *t, const struct given_set *given, const struct ast_value *v)
{
	bool good = true;
	for (size_t i = 0; i < t->input_count; i++) {
		const struct input_value *d = &t->inputs[i];
		if (given->seen[i] || d->literal || d->type->kind != REF_NON_NULL)
			continue;
		struct buf type AUTO_BUF = {0};
		ref_print(d->type, &type);
		problem_add(c->problems, v->at, "Field \"%s.%s\" of required type \"%s\" was not provided.",
			t->name.ptr, d->name.ptr, buf_cstr(&type));
		good = false;
	}
	return good;
}

static bool check_member(
	struct checker *c, const struct gql_type *t, struct given_set *given, const struct ast_value *m)
{
	const struct input_value *d = input_find(t->inputs, t->input_count, m->name);
	if (!d) {
		problem_add(c->problems, m->name_at, "Field \"%.*s\" is not defined by type \"%s\".",
			SHOW_ARG(m->name), t->name.ptr);
		return false;
	}
	bool *seen = &given->seen[d - t->inputs];
	if (*seen) {
		problem_add(c->problems, m->name_at, "There can be only one input field named \"%.*s\".",
			SHOW_ARG(m->name));
		return false;
	}
	*seen = true;
	return check_literal(c, d->type, m, d->literal != NULL);
}

static bool check_input_object(struct checker *c, const struct type_ref *r, const struct ast_value *v)
{
	if (v->kind != AST_OBJECT)
		return unexpected(c, r, v);
	struct given_set given = {0};
	bool good = true;
	for (const struct ast_value *m = v->list.first; m && !problems_full(c->problems); m = m->next)
		good = check_member(c, r->type, &given, m) && good;
	return check_missing(c, r->type, &given, v) && good;
}

bool check_literal(struct checker *c, const struct type_ref *r, const struct ast_value *v, bool has_default)
{
	if (v->kind == AST_VARIABLE)
		return note_variable(c, r, v, has_default);
	if (v->kind == AST_NULL)
		return r->kind != REF_NON_NULL || unexpected(c, r, v);
	r = ref_nullable(r);
	if (r->kind == REF_LIST) {
		if (v->kind != AST_LIST)
			return check_literal(c, r->of, v, false);
		bool good = true;
		for (const struct ast_value *i = v->list.first; i && !problems_full(c->problems); i = i->next)
			good = check_literal(c, r->of, i, false) && good;
		return good;
	}
	if (r->type->kind == TYPE_INPUT)
		return check_input_object(c, r, v);
	return r->type->kind == TYPE_ENUM ? check_enum(c, r->type, v) : check_scalar(c, r->type, v);
}

static void suggest_argument(
	const struct input_value *declared, size_t count, struct str name, struct buf *out)
{
	const char *names[INPUTS_MAX + 1] = {0};
	for (size_t i = 0; i < count; i++)
		names[i] = declared[i].name.ptr;
	char word[SHOWN_MAX + 1];
	snprintf(word, sizeof(word), "%.*s", SHOW_ARG(name));
	const char *near = str_suggest(word, names);
	if (near)
		buf_addf(out, " Did you mean \"%s\"?", near);
}

static bool check_argument(struct checker *c, const struct input_value *declared, size_t count,
	struct given_set *given, const struct ast_value *v, const char *what)
{
	const struct input_value *d = input_find(declared, count, v->name);
	if (!d) {
		struct buf hint AUTO_BUF = {0};
		suggest_argument(declared, count, v->name, &hint);
		problem_add(c->problems, v->name_at, "Unknown argument \"%.*s\" on %s.%s", SHOW_ARG(v->name),
			what, buf_cstr(&hint));
		return false;
	}
	bool *seen = &given->seen[d - declared];
	if (*seen) {
		problem_add(c->problems, v->name_at, "There can be only one argument named \"%.*s\".",
			SHOW_ARG(v->name));
		return false;
	}
	*seen = true;
	return check_literal(c, d->type, v, d->literal != NULL);
}

bool check_arguments(struct checker *c, const struct input_value *declared, size_t count,
	const struct ast_value *values, const char *what, uint32_t at)
{
	struct given_set given;
	memset(&given, 0, count);
	bool good = true;
	for (const struct ast_value *v = values; v && !problems_full(c->problems); v = v->next)
		good = check_argument(c, declared, count, &given, v, what) && good;
	for (size_t i = 0; i < count; i++) {
		const struct input_value *d = &declared[i];
		if (given.seen[i] || d->literal || d->type->kind != REF_NON_NULL)
			continue;
		struct buf type AUTO_BUF = {0};
		ref_print(d->type, &type);
		problem_add(c->problems, at,
			"Argument \"%s\" of type \"%s\" is required on %s, but it was not provided.",
			d->name.ptr, buf_cstr(&type), what);
		good = false;
	}
	return good;
}

static bool check_directive(
	struct checker *c, const struct ast_directive *d, enum directive_place place, uint64_t *seen)
{
	const struct directive_definition *known = map_get(c->schema->directives, d->name);
	if (!known) {
		problem_add(c->problems, d->at, "Unknown directive \"@%.*s\".", SHOW_ARG(d->name));
		return false;
	}
	if (!(known->places & UINT32_C(1) << place)) {
		problem_add(c->problems, d->at, "Directive \"@%s\" may not be used on %s.", known->name.ptr,
			directive_place_names[place]);
		return false;
	}
	uint64_t bit = UINT64_C(1) << known->number;
	if ((*seen & bit) && !known->repeatable) {
		problem_add(c->problems, d->at,
			"The directive \"@%s\" can only be used once at this location.", known->name.ptr);
		return false;
	}
	*seen |= bit;
	struct buf what AUTO_BUF = {0};
	buf_addf(&what, "directive \"@%s\"", known->name.ptr);
	return check_arguments(c, known->args, known->arg_count, d->args, buf_cstr(&what), d->at);
}

bool check_directives(struct checker *c, const struct ast_directive *list, enum directive_place place)
{
	uint64_t seen = 0;
	bool good = true;
	for (const struct ast_directive *d = list; d && !problems_full(c->problems); d = d->next)
		good = check_directive(c, d, place, &seen) && good;
	return good;
}
