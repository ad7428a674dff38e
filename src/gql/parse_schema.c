/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of a schema document, with names not yet resolved. */
#include "base/vec.h"
#include "gql/parse_internal.h"
#include "gql/schema_internal.h"

#include <string.h>

struct reader {
	struct parser p;
	struct gql_schema *s;
	bool builtin;
};

const char *const directive_place_names[PLACE_COUNT] = {
	[ON_QUERY] = "QUERY",
	[ON_MUTATION] = "MUTATION",
	[ON_SUBSCRIPTION] = "SUBSCRIPTION",
	[ON_FIELD] = "FIELD",
	[ON_FRAGMENT_DEFINITION] = "FRAGMENT_DEFINITION",
	[ON_FRAGMENT_SPREAD] = "FRAGMENT_SPREAD",
	[ON_INLINE_FRAGMENT] = "INLINE_FRAGMENT",
	[ON_VARIABLE_DEFINITION] = "VARIABLE_DEFINITION",
	[ON_SCHEMA] = "SCHEMA",
	[ON_SCALAR] = "SCALAR",
	[ON_OBJECT] = "OBJECT",
	[ON_FIELD_DEFINITION] = "FIELD_DEFINITION",
	[ON_ARGUMENT_DEFINITION] = "ARGUMENT_DEFINITION",
	[ON_INTERFACE] = "INTERFACE",
	[ON_UNION] = "UNION",
	[ON_ENUM] = "ENUM",
	[ON_ENUM_VALUE] = "ENUM_VALUE",
	[ON_INPUT_OBJECT] = "INPUT_OBJECT",
	[ON_INPUT_FIELD_DEFINITION] = "INPUT_FIELD_DEFINITION",
};

/* A name being defined: kept NUL-terminated, "__" is for the prelude. */
static bool read_name(struct reader *r, struct str *out)
{
	uint32_t at = r->p.now.at;
	struct str name = {0};
	if (!parse_name(&r->p, &name))
		return false;
	*out = str_n(arena_str(r->p.arena, name), name.len);
	if (r->builtin || !str_starts(name, "__"))
		return true;
	problem_add(r->p.problems, at,
		"Name \"%.*s\" must not begin with \"__\", which is reserved by GraphQL introspection.",
		SHOW_ARG(name));
	return false;
}

static bool read_description(struct reader *r, struct str *out)
{
	if (!parse_is(&r->p, TOKEN_STRING))
		return true;
	*out = r->p.now.text;
	return parse_advance(&r->p);
}

static bool read_input(struct reader *r, struct input_value *v)
{
	bool equals = false;
	struct type_ref *type = NULL;
	struct ast_value *literal = NULL;
	if (!read_description(r, &v->description))
		return false;
	v->at = r->p.now.at;
	if (!read_name(r, &v->name) || !parse_expect(&r->p, ':') || !parse_type(&r->p, &type) ||
		!parse_accept(&r->p, '=', &equals))
		return false;
	if (equals && !parse_value(&r->p, true, 0, &literal))
		return false;
	v->type = type;
	v->literal = literal;
	return parse_directives(&r->p, true, &v->directives);
}

static void *keep_array(struct reader *r, const struct vec *v)
{
	return v->len > 0 ? arena_dup(r->p.arena, v->ptr, v->len * v->size) : NULL;
}

/* What stands between open and close: arguments or the fields of an input object. */
static bool read_inputs_into(struct reader *r, int open, int close, struct vec *list)
{
	bool found = false;
	if (!parse_accept(&r->p, open, &found))
		return false;
	for (bool end = !found; !end;) {
		if (!read_input(r, vec_push(list)) || !parse_accept(&r->p, close, &end))
			return false;
		if (list->len > INPUTS_MAX) {
			problem_add(r->p.problems, r->p.now.at, "More than %d arguments.", INPUTS_MAX);
			return false;
		}
	}
	return true;
}

static bool read_inputs(struct reader *r, int open, int close, struct input_value **out, size_t *count)
{
	struct vec list AUTO(vec_fini) = VEC_OF(struct input_value);
	if (!read_inputs_into(r, open, close, &list))
		return false;
	*out = keep_array(r, &list);
	*count = list.len;
	return true;
}

static bool read_field(struct reader *r, const struct gql_type *owner, struct gql_field *f)
{
	struct type_ref *type = NULL;
	if (!read_description(r, &f->description))
		return false;
	f->owner = owner;
	f->at = r->p.now.at;
	if (!read_name(r, &f->name) || !read_inputs(r, '(', ')', &f->args, &f->arg_count) ||
		!parse_expect(&r->p, ':') || !parse_type(&r->p, &type))
		return false;
	f->type = type;
	return parse_directives(&r->p, true, &f->directives);
}

/* Reports a name that is defined twice. */
static bool new_name(struct reader *r, struct map *names, struct str name, uint32_t at, const char *what)
{
	if (!map_has(names, name))
		return true;
	problem_add(r->p.problems, at, "There can be only one %s named \"%.*s\".", what, SHOW_ARG(name));
	return false;
}

static bool read_fields(struct reader *r, struct gql_type *t)
{
	struct vec list AUTO(vec_fini) = VEC_OF(struct gql_field);
	if (!parse_expect(&r->p, '{'))
		return false;
	for (bool end = false; !end;) {
		if (!read_field(r, t, vec_push(&list)) || !parse_accept(&r->p, '}', &end))
			return false;
	}
	t->fields = keep_array(r, &list);
	t->field_count = list.len;
	t->field_by_name = map_new(NULL);
	for (size_t i = 0; i < t->field_count; i++) {
		struct gql_field *f = &t->fields[i];
		if (!new_name(r, t->field_by_name, f->name, f->at, "field"))
			return false;
		map_set(t->field_by_name, f->name, f);
	}
	return true;
}

/* Names of types separated by a sign, which may also stand before the first. */
static bool read_type_names(struct reader *r, int sign, struct type_ref **out, size_t *count)
{
	struct vec list AUTO(vec_fini) = VEC_OF(struct type_ref);
	bool more = false;
	if (!parse_accept(&r->p, sign, &more))
		return false;
	do {
		struct type_ref *ref = vec_push(&list);
		ref->at = r->p.now.at;
		if (!parse_name(&r->p, &ref->name) || !parse_accept(&r->p, sign, &more))
			return false;
	} while (more);
	*out = keep_array(r, &list);
	*count = list.len;
	return true;
}

static bool read_composite(struct reader *r, struct gql_type *t)
{
	if (parse_is_word(&r->p, "implements")) {
		if (!parse_advance(&r->p) || !read_type_names(r, '&', &t->interfaces, &t->interface_count))
			return false;
	}
	return parse_directives(&r->p, true, &t->directives) && read_fields(r, t);
}

static bool read_union(struct reader *r, struct gql_type *t)
{
	return parse_directives(&r->p, true, &t->directives) && parse_expect(&r->p, '=') &&
	       read_type_names(r, '|', &t->possible, &t->possible_count);
}

static bool read_enum_value(struct reader *r, struct enum_value *v)
{
	if (!read_description(r, &v->description))
		return false;
	v->at = r->p.now.at;
	if (parse_is_word(&r->p, "true") || parse_is_word(&r->p, "false") || parse_is_word(&r->p, "null"))
		return parse_unexpected(&r->p);
	return read_name(r, &v->name) && parse_directives(&r->p, true, &v->directives);
}

static bool read_enum(struct reader *r, struct gql_type *t)
{
	struct vec list AUTO(vec_fini) = VEC_OF(struct enum_value);
	if (!parse_directives(&r->p, true, &t->directives) || !parse_expect(&r->p, '{'))
		return false;
	for (bool end = false; !end;) {
		if (!read_enum_value(r, vec_push(&list)) || !parse_accept(&r->p, '}', &end))
			return false;
	}
	t->values = keep_array(r, &list);
	t->value_count = list.len;
	t->value_by_name = map_new(NULL);
	for (size_t i = 0; i < t->value_count; i++) {
		struct enum_value *v = &t->values[i];
		if (!new_name(r, t->value_by_name, v->name, v->at, "enum value"))
			return false;
		map_set(t->value_by_name, v->name, v);
	}
	return true;
}

static bool read_input_object(struct reader *r, struct gql_type *t)
{
	if (!parse_directives(&r->p, true, &t->directives))
		return false;
	return parse_is(&r->p, '{') ? read_inputs(r, '{', '}', &t->inputs, &t->input_count)
				    : parse_expect(&r->p, '{');
}

static enum scalar scalar_of(struct str name)
{
	static const char *const names[] = {[SCALAR_INT] = "Int",
		[SCALAR_FLOAT] = "Float",
		[SCALAR_STRING] = "String",
		[SCALAR_BOOLEAN] = "Boolean",
		[SCALAR_ID] = "ID"};
	for (size_t i = SCALAR_INT; i < ARRAY_LEN(names); i++)
		if (str_eq_c(name, names[i]))
			return (enum scalar)i;
	return SCALAR_CUSTOM;
}

static bool read_type_body(struct reader *r, struct gql_type *t)
{
	switch (t->kind) {
	case TYPE_SCALAR:
		t->scalar = scalar_of(t->name);
		return parse_directives(&r->p, true, &t->directives);
	case TYPE_OBJECT:
	case TYPE_INTERFACE:
		return read_composite(r, t);
	case TYPE_UNION:
		return read_union(r, t);
	case TYPE_ENUM:
		return read_enum(r, t);
	case TYPE_INPUT:
		return read_input_object(r, t);
	}
	return false;
}

/* A schema may repeat what is built in ("scalar ID"): the built-in one stays. */
static bool is_built_in_scalar(const struct gql_schema *s, const struct gql_type *t)
{
	const struct gql_type *known = map_get(s->types, t->name);
	return known && known->builtin && known->kind == TYPE_SCALAR && t->kind == TYPE_SCALAR;
}

static bool read_type(struct reader *r, enum type_kind kind, struct str description)
{
	struct gql_type *t = arena_new_of(r->p.arena, struct gql_type);
	t->kind = kind;
	t->description = description;
	t->builtin = r->builtin;
	if (!parse_advance(&r->p))
		return false;
	t->at = r->p.now.at;
	if (!read_name(r, &t->name))
		return false;
	t->self = (struct type_ref){.kind = REF_NAMED, .at = t->at, .name = t->name, .type = t};
	if (!is_built_in_scalar(r->s, t)) {
		if (!new_name(r, r->s->types, t->name, t->at, "type"))
			return false;
		map_set(r->s->types, t->name, t);
	}
	return read_type_body(r, t);
}

static bool read_place(struct reader *r, uint32_t *places)
{
	for (unsigned i = 0; i < PLACE_COUNT; i++) {
		if (!parse_is_word(&r->p, directive_place_names[i]))
			continue;
		*places |= UINT32_C(1) << i;
		return parse_advance(&r->p);
	}
	return parse_unexpected(&r->p);
}

static bool read_places(struct reader *r, uint32_t *places)
{
	bool more = false;
	if (!parse_is_word(&r->p, "on"))
		return parse_unexpected(&r->p);
	if (!parse_advance(&r->p) || !parse_accept(&r->p, '|', &more))
		return false;
	do {
		if (!read_place(r, places) || !parse_accept(&r->p, '|', &more))
			return false;
	} while (more);
	return true;
}

static bool read_directive_definition(struct reader *r, struct str description)
{
	struct directive_definition *d = arena_new_of(r->p.arena, struct directive_definition);
	d->description = description;
	if (!parse_advance(&r->p) || !parse_expect(&r->p, '@'))
		return false;
	d->at = r->p.now.at;
	if (!read_name(r, &d->name) || !read_inputs(r, '(', ')', &d->args, &d->arg_count))
		return false;
	d->repeatable = parse_is_word(&r->p, "repeatable");
	if ((d->repeatable && !parse_advance(&r->p)) || !read_places(r, &d->places))
		return false;
	const struct directive_definition *known = map_get(r->s->directives, d->name);
	if (known && known->builtin)
		return true; /* repeated: the built-in one stays */
	d->builtin = r->builtin;
	d->number = (unsigned)map_len(r->s->directives);
	if (d->number >= DIRECTIVES_MAX) {
		problem_add(r->p.problems, d->at, "More than %d directives.", DIRECTIVES_MAX);
		return false;
	}
	if (!new_name(r, r->s->directives, d->name, d->at, "directive"))
		return false;
	map_set(r->s->directives, d->name, d);
	return true;
}

static bool read_root(struct reader *r)
{
	static const char *const names[] = {"query", "mutation", "subscription"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!parse_is_word(&r->p, names[i]))
			continue;
		struct type_ref *root = &r->s->roots[i];
		if (!parse_advance(&r->p) || !parse_expect(&r->p, ':'))
			return false;
		root->at = r->p.now.at;
		return parse_name(&r->p, &root->name);
	}
	return parse_unexpected(&r->p);
}

static bool read_schema_definition(struct reader *r, struct str description)
{
	r->s->description = description;
	if (!parse_advance(&r->p) || !parse_directives(&r->p, true, &r->s->uses) || !parse_expect(&r->p, '{'))
		return false;
	for (bool end = false; !end;) {
		if (!read_root(r) || !parse_accept(&r->p, '}', &end))
			return false;
	}
	return true;
}

static bool read_definition(struct reader *r)
{
	static const char *const kinds[] = {[TYPE_SCALAR] = "scalar",
		[TYPE_OBJECT] = "type",
		[TYPE_INTERFACE] = "interface",
		[TYPE_UNION] = "union",
		[TYPE_ENUM] = "enum",
		[TYPE_INPUT] = "input"};
	struct str description = {0};
	if (!read_description(r, &description))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (parse_is_word(&r->p, kinds[i]))
			return read_type(r, (enum type_kind)i, description);
	if (parse_is_word(&r->p, "directive"))
		return read_directive_definition(r, description);
	if (parse_is_word(&r->p, "schema"))
		return read_schema_definition(r, description);
	return parse_unexpected(&r->p);
}

bool schema_read(struct gql_schema *s, struct problems *problems, struct str sdl, bool builtin)
{
	struct reader r = {.s = s, .builtin = builtin};
	if (!parser_init(&r.p, s->arena, problems, sdl, SIZE_MAX))
		return false;
	do {
		if (!read_definition(&r))
			return false;
	} while (!parse_is(&r.p, TOKEN_END));
	return true;
}
