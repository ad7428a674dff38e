/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/coerce_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Longer numbers are refused; room for any sensible one. */
#define NUMBER_MAX 400

bool int_in_range(int64_t i)
{
	return i >= INT32_MIN && i <= INT32_MAX;
}

bool text_to_int(struct str text, int64_t *out)
{
	return str_to_i64(text, out);
}

bool text_to_float(struct str text, double *out)
{
	char copy[NUMBER_MAX];
	if (text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = 0;
	*out = strtod(copy, NULL);
	return isfinite(*out);
}

static struct gql_value string_value(enum gql_kind kind, struct str s)
{
	return (struct gql_value){.kind = kind, .s = s};
}

static enum coerced coerce_number(const struct ast_value *v, bool as_float, struct gql_value *out)
{
	if (!as_float && v->kind == AST_INT && text_to_int(v->text, &out->i)) {
		out->kind = GQL_INT;
		return COERCED;
	}
	out->kind = GQL_FLOAT;
	return text_to_float(v->text, &out->f) ? COERCED : COERCED_BAD;
}

static enum coerced coerce_scalar(enum scalar scalar, const struct ast_value *v, struct gql_value *out)
{
	switch (v->kind) {
	case AST_INT:
	case AST_FLOAT:
		if (scalar == SCALAR_ID) {
			*out = string_value(GQL_STRING, v->text);
			return COERCED;
		}
		return coerce_number(v, scalar == SCALAR_FLOAT, out);
	case AST_STRING:
		*out = string_value(GQL_STRING, v->text);
		return COERCED;
	case AST_ENUM:
		*out = string_value(GQL_ENUM, v->text);
		return COERCED;
	case AST_BOOL:
		*out = (struct gql_value){.kind = GQL_BOOL, .b = v->b};
		return COERCED;
	default:
		return COERCED_BAD;
	}
}

/* In a custom scalar anything goes. */
static enum coerced coerce_any(const struct coercion *c, const struct ast_value *v, struct gql_value *out);

/* r is NULL in a custom scalar. */
static enum coerced coerce_item(
	const struct coercion *c, const struct type_ref *r, const struct ast_value *v, struct gql_value *out)
{
	enum coerced how = r ? coerce_literal(c, r, v, out) : coerce_any(c, v, out);
	if (how != COERCED_ABSENT)
		return how;
	*out = (struct gql_value){.kind = GQL_NULL};
	return r && r->kind == REF_NON_NULL ? COERCED_BAD : COERCED;
}

static enum coerced coerce_list(
	const struct coercion *c, const struct type_ref *r, const struct ast_value *v, struct gql_value *out)
{
	bool is_list = v->kind == AST_LIST;
	size_t count = is_list ? v->list.count : 1;
	struct gql_value *items = arena_array(c->arena, count, sizeof(*items));
	const struct ast_value *at = is_list ? v->list.first : v;
	for (size_t i = 0; i < count; i++, at = at->next)
		if (coerce_item(c, r, at, &items[i]) != COERCED)
			return COERCED_BAD;
	*out = (struct gql_value){.kind = GQL_LIST, .list = {.items = items, .count = count}};
	return COERCED;
}

static enum coerced coerce_any_object(
	const struct coercion *c, const struct ast_value *v, struct gql_value *out)
{
	struct gql_member *members = arena_array(c->arena, v->list.count, sizeof(*members));
	size_t count = 0;
	for (const struct ast_value *m = v->list.first; m; m = m->next) {
		enum coerced how = coerce_any(c, m, &members[count].value);
		if (how == COERCED_BAD)
			return how;
		if (how == COERCED)
			members[count++].name = m->name;
	}
	*out = (struct gql_value){.kind = GQL_OBJECT, .object = {.members = members, .count = count}};
	return COERCED;
}

static enum coerced coerce_variable(
	const struct coercion *c, const struct ast_value *v, struct gql_value *out)
{
	const struct gql_value *given = c->variables ? map_get(c->variables, v->text) : NULL;
	if (!given)
		return COERCED_ABSENT;
	*out = *given;
	return COERCED;
}

static enum coerced coerce_any(const struct coercion *c, const struct ast_value *v, struct gql_value *out)
{
	if (v->kind == AST_VARIABLE)
		return coerce_variable(c, v, out);
	if (v->kind == AST_LIST)
		return coerce_list(c, NULL, v, out);
	if (v->kind == AST_OBJECT)
		return coerce_any_object(c, v, out);
	if (v->kind == AST_NULL) {
		*out = (struct gql_value){.kind = GQL_NULL};
		return COERCED;
	}
	return coerce_scalar(SCALAR_CUSTOM, v, out);
}

static const struct ast_value *find_given(const struct ast_value *list, struct str name)
{
	for (; list; list = list->next)
		if (str_eq(list->name, name))
			return list;
	return NULL;
}

/* What a declared argument or member gets: given, its default, or nothing. */
static enum coerced coerce_declared(const struct coercion *c, const struct input_value *declared,
	const struct ast_value *given, struct gql_value *out)
{
	enum coerced how = given ? coerce_literal(c, declared->type, given, out) : COERCED_ABSENT;
	if (how != COERCED_ABSENT)
		return how;
	if (declared->literal) {
		*out = declared->fallback;
		return COERCED;
	}
	return declared->type->kind == REF_NON_NULL ? COERCED_BAD : COERCED_ABSENT;
}

static enum coerced coerce_input_object(
	const struct coercion *c, const struct gql_type *t, const struct ast_value *v, struct gql_value *out)
{
	if (v->kind != AST_OBJECT)
		return COERCED_BAD;
	struct gql_member *members = arena_array(c->arena, t->input_count, sizeof(*members));
	size_t count = 0;
	for (size_t i = 0; i < t->input_count; i++) {
		const struct input_value *declared = &t->inputs[i];
		enum coerced how = coerce_declared(
			c, declared, find_given(v->list.first, declared->name), &members[count].value);
		if (how == COERCED_BAD)
			return how;
		if (how == COERCED)
			members[count++].name = declared->name;
	}
	*out = (struct gql_value){.kind = GQL_OBJECT, .object = {.members = members, .count = count}};
	return COERCED;
}

enum coerced coerce_literal(
	const struct coercion *c, const struct type_ref *r, const struct ast_value *v, struct gql_value *out)
{
	if (v->kind == AST_VARIABLE) {
		enum coerced how = coerce_variable(c, v, out);
		bool bad = how == COERCED && r->kind == REF_NON_NULL && out->kind == GQL_NULL;
		return bad ? COERCED_BAD : how;
	}
	if (v->kind == AST_NULL) {
		*out = (struct gql_value){.kind = GQL_NULL};
		return r->kind == REF_NON_NULL ? COERCED_BAD : COERCED;
	}
	r = ref_nullable(r);
	if (r->kind == REF_LIST)
		return coerce_list(c, r->of, v, out);
	if (r->type->kind == TYPE_INPUT)
		return coerce_input_object(c, r->type, v, out);
	if (r->type->kind == TYPE_SCALAR && r->type->scalar == SCALAR_CUSTOM)
		return coerce_any(c, v, out);
	return coerce_scalar(r->type->kind == TYPE_SCALAR ? r->type->scalar : SCALAR_CUSTOM, v, out);
}

bool coerce_arguments(const struct coercion *c, const struct input_value *declared, size_t count,
	const struct ast_value *given, struct gql_value *out, const struct input_value **bad)
{
	for (size_t i = 0; i < count; i++) {
		out[i] = (struct gql_value){.kind = GQL_NULL};
		const struct ast_value *v = find_given(given, declared[i].name);
		enum coerced how = coerce_declared(c, &declared[i], v, &out[i]);
		if (how == COERCED_ABSENT)
			out[i] = (struct gql_value){.kind = GQL_NULL};
		if (how == COERCED_BAD) {
			*bad = &declared[i];
			return false;
		}
	}
	return true;
}

const struct gql_value *gql_member(const struct gql_value *object, const char *name)
{
	if (!object || object->kind != GQL_OBJECT)
		return NULL;
	for (size_t i = 0; i < object->object.count; i++)
		if (str_eq_c(object->object.members[i].name, name))
			return &object->object.members[i].value;
	return NULL;
}
