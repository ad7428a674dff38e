/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/coerce_internal.h"

#include "base/json.h"

#include <math.h>
#include <stdlib.h>

/* Where below a variable a mistake is: a step of the way down, on the C stack. */
struct place {
	const struct place *up;
	const char *key; /* NULL: an index */
	size_t index;
};

struct json_coercion {
	const struct coercion *c;
	struct buf *why;
};

static void place_print(const struct place *p, struct buf *out)
{
	if (!p)
		return;
	place_print(p->up, out);
	if (p->key)
		buf_addf(out, ".%.*s", SHOWN_MAX, p->key);
	else
		buf_addf(out, "[%zu]", p->index);
}

static bool misfit(
	struct json_coercion *jc, const struct type_ref *r, const json_t *j, const struct place *place)
{
	if (place) {
		buf_adds(jc->why, "at \"");
		place_print(place, jc->why);
		buf_adds(jc->why, "\": ");
	}
	buf_adds(jc->why, "Expected a value of type \"");
	ref_print(r, jc->why);
	buf_adds(jc->why, "\", found ");
	char *shown = j && !json_is_object(j) && !json_is_array(j) ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
	struct str text = str_c(shown ? shown : json_is_object(j) ? "an object" : j ? "a list" : "nothing");
	buf_addf(jc->why, "%.*s.", SHOW_ARG(text));
	free(shown);
	return false;
}

static struct gql_value from_string(enum gql_kind kind, const json_t *j)
{
	return (struct gql_value){.kind = kind, .s = {json_string_value(j), json_string_length(j)}};
}

static bool any(struct json_coercion *jc, const json_t *j, struct gql_value *out);

static bool any_list(struct json_coercion *jc, const json_t *j, struct gql_value *out)
{
	size_t count = json_array_size(j);
	struct gql_value *items = arena_array(jc->c->arena, count, sizeof(*items));
	for (size_t i = 0; i < count; i++)
		any(jc, json_array_get(j, i), &items[i]);
	*out = (struct gql_value){.kind = GQL_LIST, .list = {.items = items, .count = count}};
	return true;
}

static bool any_object(struct json_coercion *jc, const json_t *j, struct gql_value *out)
{
	struct gql_member *members = arena_array(jc->c->arena, json_object_size(j), sizeof(*members));
	size_t count = 0;
	const char *key = NULL;
	json_t *value = NULL;
	json_object_foreach((json_t *)j, key, value)
	{
		members[count].name = str_c(key);
		any(jc, value, &members[count++].value);
	}
	*out = (struct gql_value){.kind = GQL_OBJECT, .object = {.members = members, .count = count}};
	return true;
}

/* A custom scalar takes anything. */
static bool any(struct json_coercion *jc, const json_t *j, struct gql_value *out)
{
	if (json_is_array(j))
		return any_list(jc, j, out);
	if (json_is_object(j))
		return any_object(jc, j, out);
	if (json_is_string(j))
		*out = from_string(GQL_STRING, j);
	else if (json_is_integer(j))
		*out = (struct gql_value){.kind = GQL_INT, .i = json_integer_value(j)};
	else if (json_is_real(j))
		*out = (struct gql_value){.kind = GQL_FLOAT, .f = json_real_value(j)};
	else if (json_is_boolean(j))
		*out = (struct gql_value){.kind = GQL_BOOL, .b = json_is_true(j)};
	else
		*out = (struct gql_value){.kind = GQL_NULL};
	return true;
}

static bool integer(const json_t *j, struct gql_value *out)
{
	double real = json_real_value(j);
	if (json_is_integer(j))
		*out = (struct gql_value){.kind = GQL_INT, .i = json_integer_value(j)};
	else if (json_is_real(j) && real == floor(real) && fabs(real) <= INT32_MAX)
		*out = (struct gql_value){.kind = GQL_INT, .i = (int64_t)real};
	else
		return false;
	return int_in_range(out->i);
}

static bool scalar(struct json_coercion *jc, enum scalar scalar, const json_t *j, struct gql_value *out)
{
	switch (scalar) {
	case SCALAR_CUSTOM:
		return any(jc, j, out);
	case SCALAR_INT:
		return integer(j, out);
	case SCALAR_FLOAT:
		*out = (struct gql_value){.kind = GQL_FLOAT, .f = json_number_value(j)};
		return json_is_number(j);
	case SCALAR_STRING:
		*out = from_string(GQL_STRING, j);
		return json_is_string(j);
	case SCALAR_BOOLEAN:
		*out = (struct gql_value){.kind = GQL_BOOL, .b = json_is_true(j)};
		return json_is_boolean(j);
	case SCALAR_ID:
		*out = from_string(GQL_STRING, j);
		if (json_is_integer(j))
			out->s = str_c(
				arena_printf(jc->c->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(j)));
		return json_is_string(j) || json_is_integer(j);
	}
	return false;
}

static bool value(struct json_coercion *jc, const struct type_ref *r, const json_t *j, const struct place *up,
	struct gql_value *out);

static bool list(struct json_coercion *jc, const struct type_ref *r, const json_t *j, const struct place *up,
	struct gql_value *out)
{
	bool is_list = json_is_array(j);
	size_t count = is_list ? json_array_size(j) : 1;
	struct gql_value *items = arena_array(jc->c->arena, count, sizeof(*items));
	for (size_t i = 0; i < count; i++) {
		struct place here = {.up = up, .index = i};
		const json_t *item = is_list ? json_array_get(j, i) : j;
		if (!value(jc, r->of, item, is_list ? &here : up, &items[i]))
			return false;
	}
	*out = (struct gql_value){.kind = GQL_LIST, .list = {.items = items, .count = count}};
	return true;
}

static bool known_members(
	struct json_coercion *jc, const struct gql_type *t, const json_t *j, const struct place *up)
{
	const char *key = NULL;
	json_t *unused = NULL;
	json_object_foreach((json_t *)j, key, unused)
	{
		if (input_find(t->inputs, t->input_count, str_c(key)))
			continue;
		if (up) {
			buf_adds(jc->why, "at \"");
			place_print(up, jc->why);
			buf_adds(jc->why, "\": ");
		}
		buf_addf(jc->why, "Field \"%.*s\" is not defined by type \"%s\".", SHOWN_MAX, key,
			t->name.ptr);
		return false;
	}
	return true;
}

static bool object(struct json_coercion *jc, const struct type_ref *r, const json_t *j,
	const struct place *up, struct gql_value *out)
{
	const struct gql_type *t = r->type;
	if (!json_is_object(j))
		return misfit(jc, r, j, up);
	if (!known_members(jc, t, j, up))
		return false;
	struct gql_member *members = arena_array(jc->c->arena, t->input_count, sizeof(*members));
	size_t count = 0;
	for (size_t i = 0; i < t->input_count; i++) {
		const struct input_value *d = &t->inputs[i];
		struct place here = {.up = up, .key = d->name.ptr};
		const json_t *given = json_object_get(j, d->name.ptr);
		if (!given && !d->literal && d->type->kind != REF_NON_NULL)
			continue;
		if (!given && d->literal)
			members[count].value = d->fallback;
		else if (!value(jc, d->type, given, &here, &members[count].value))
			return false;
		members[count++].name = d->name;
	}
	*out = (struct gql_value){.kind = GQL_OBJECT, .object = {.members = members, .count = count}};
	return true;
}

static bool value(struct json_coercion *jc, const struct type_ref *r, const json_t *j, const struct place *up,
	struct gql_value *out)
{
	if (!j || json_is_null(j)) {
		*out = (struct gql_value){.kind = GQL_NULL};
		return (j && r->kind != REF_NON_NULL) || misfit(jc, r, j, up);
	}
	const struct type_ref *inner = ref_nullable(r);
	if (inner->kind == REF_LIST)
		return list(jc, inner, j, up, out);
	const struct gql_type *t = inner->type;
	if (t->kind == TYPE_INPUT)
		return object(jc, inner, j, up, out);
	bool fits = false;
	if (t->kind == TYPE_ENUM) {
		*out = from_string(GQL_ENUM, j);
		fits = json_is_string(j) && enum_find(t, out->s);
	} else {
		fits = scalar(jc, t->scalar, j, out);
	}
	return fits || misfit(jc, inner, j, up);
}

/* JSON for a variable. False after adding to why what is wrong, and where below the variable. */
static bool coerce_json(const struct coercion *c, const struct type_ref *r, const json_t *j,
	struct gql_value *out, struct buf *why)
{
	struct json_coercion jc = {.c = c, .why = why};
	return value(&jc, r, j, NULL, out);
}

static bool coerce_given(const struct coercion *c, struct map *into, const struct ast_variable *v,
	const json_t *given, struct problems *problems)
{
	struct gql_value *out = arena_new_of(c->arena, struct gql_value);
	struct buf why AUTO_BUF = {0};
	if (coerce_json(c, v->type, given, out, &why)) {
		map_set(into, v->name, out);
		return true;
	}
	problem_add(problems, v->at, "Variable \"$%.*s\" got an invalid value: %s", SHOW_ARG(v->name),
		buf_cstr(&why));
	return false;
}

static bool coerce_missing(
	const struct coercion *c, struct map *into, const struct ast_variable *v, struct problems *problems)
{
	if (v->fallback) {
		struct gql_value *out = arena_new_of(c->arena, struct gql_value);
		if (coerce_literal(c, v->type, v->fallback, out) == COERCED)
			map_set(into, v->name, out);
		return true;
	}
	if (v->type->kind != REF_NON_NULL)
		return true;
	struct buf type AUTO_BUF = {0};
	ref_print(v->type, &type);
	problem_add(problems, v->at, "Variable \"$%.*s\" of required type \"%s\" was not provided.",
		SHOW_ARG(v->name), buf_cstr(&type));
	return false;
}

bool coerce_variables(const struct coercion *c, struct map *into, const struct ast_definition *operation,
	const json_t *given, struct problems *problems)
{
	bool good = true;
	for (const struct ast_variable *v = operation->variables; v; v = v->next) {
		const json_t *j = json_object_getn(given, v->name.ptr, v->name.len);
		bool fits = j ? coerce_given(c, into, v, j, problems) : coerce_missing(c, into, v, problems);
		good = good && fits;
	}
	return good;
}
