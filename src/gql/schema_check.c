/* SPDX-License-Identifier: Apache-2.0 */
/* Names resolved, and the rules a type system has to keep. */
#include "base/vec.h"
#include "gql/check_internal.h"
#include "gql/coerce_internal.h"
#include "gql/schema_internal.h"

struct schema_checker {
	struct gql_schema *s;
	struct checker c;
};

static struct type_ref *own_ref(const struct type_ref *r)
{
	return (struct type_ref *)r; /* made by the parser; const for everyone after */
}

static bool resolve(struct schema_checker *sc, const struct type_ref *r, bool input, const char *what)
{
	const struct type_ref *named = r;
	while (named->kind != REF_NAMED)
		named = named->of;
	if (!ref_resolve(sc->s, own_ref(r))) {
		problem_add(sc->c.problems, r->at, "Unknown type \"%.*s\".", SHOW_ARG(named->name));
		return false;
	}
	if (input ? type_is_input(named->type) : type_is_output(named->type))
		return true;
	problem_add(sc->c.problems, r->at, "%s: type \"%s\" is no %s type.", what, named->type->name.ptr,
		input ? "input" : "output");
	return false;
}

static bool resolve_inputs(struct schema_checker *sc, const struct input_value *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!resolve(sc, list[i].type, true, list[i].name.ptr))
			return false;
		for (size_t k = 0; k < i; k++) {
			if (!str_eq(list[k].name, list[i].name))
				continue;
			problem_add(sc->c.problems, list[i].at,
				"There can be only one argument or input field named \"%s\".",
				list[i].name.ptr);
			return false;
		}
	}
	return true;
}

static bool resolve_interfaces(struct schema_checker *sc, struct gql_type *t)
{
	for (size_t i = 0; i < t->interface_count; i++) {
		struct type_ref *r = &t->interfaces[i];
		if (!ref_resolve(sc->s, r) || r->type->kind != TYPE_INTERFACE) {
			problem_add(sc->c.problems, r->at,
				"Type \"%s\" can only implement interfaces, not \"%.*s\".", t->name.ptr,
				SHOW_ARG(r->name));
			return false;
		}
	}
	return true;
}

static bool resolve_union(struct schema_checker *sc, struct gql_type *t)
{
	for (size_t i = 0; i < t->possible_count; i++) {
		struct type_ref *r = &t->possible[i];
		if (!ref_resolve(sc->s, r) || r->type->kind != TYPE_OBJECT) {
			problem_add(sc->c.problems, r->at,
				"Union \"%s\" can only include object types, not \"%.*s\".", t->name.ptr,
				SHOW_ARG(r->name));
			return false;
		}
	}
	return true;
}

static bool resolve_type(struct schema_checker *sc, struct gql_type *t)
{
	for (size_t i = 0; i < t->field_count; i++) {
		const struct gql_field *f = &t->fields[i];
		if (!resolve(sc, f->type, false, f->name.ptr) || !resolve_inputs(sc, f->args, f->arg_count))
			return false;
	}
	if (t->kind == TYPE_UNION && !resolve_union(sc, t))
		return false;
	return resolve_interfaces(sc, t) && resolve_inputs(sc, t->inputs, t->input_count);
}

static bool resolve_roots(struct schema_checker *sc)
{
	static const char *const usual[] = {"Query", "Mutation", "Subscription"};
	struct gql_schema *s = sc->s;
	bool written = false;
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		written = written || s->roots[i].name.len > 0;
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		struct type_ref *r = &s->roots[i];
		if (!written && map_get_c(s->types, usual[i]))
			r->name = str_c(usual[i]);
		if (r->name.len == 0)
			continue;
		if (!ref_resolve(s, r) || r->type->kind != TYPE_OBJECT) {
			problem_add(sc->c.problems, r->at, "The root \"%.*s\" is no object type.",
				SHOW_ARG(r->name));
			return false;
		}
	}
	if (s->roots[OPERATION_QUERY].type)
		return true;
	problem_add(sc->c.problems, 0, "Query root type must be provided.");
	return false;
}

static bool resolve_all(struct schema_checker *sc)
{
	struct str name;
	void *value = NULL;
	for (size_t i = 0; map_next(sc->s->types, &i, &name, &value);)
		if (!resolve_type(sc, value))
			return false;
	for (size_t i = 0; map_next(sc->s->directives, &i, &name, &value);) {
		const struct directive_definition *d = value;
		if (!resolve_inputs(sc, d->args, d->arg_count))
			return false;
	}
	return resolve_roots(sc);
}

static void find_implementers(struct gql_schema *s)
{
	struct str name, other;
	void *value = NULL, *object = NULL;
	for (size_t i = 0; map_next(s->types, &i, &name, &value);) {
		struct gql_type *t = value;
		if (t->kind != TYPE_INTERFACE)
			continue;
		struct vec found AUTO(vec_fini) = VEC_OF(struct type_ref);
		for (size_t k = 0; map_next(s->types, &k, &other, &object);) {
			const struct gql_type *o = object;
			if (o->kind == TYPE_OBJECT && type_may_be(t, o))
				vec_push_copy(&found, &o->self);
		}
		t->possible_count = found.len;
		t->possible = found.len ? arena_dup(s->arena, found.ptr, found.len * found.size) : NULL;
	}
}

/* The text argument of a directive, or what the directive's definition has as default. */
static struct str directive_text(const struct gql_schema *s, const struct ast_directive *d)
{
	if (d->args && d->args->kind == AST_STRING)
		return d->args->text;
	const struct directive_definition *known = map_get(s->directives, d->name);
	const struct ast_value *fallback = known->arg_count > 0 ? known->args[0].literal : NULL;
	return fallback && fallback->kind == AST_STRING ? fallback->text : STR("");
}

static const struct ast_directive *find_use(const struct ast_directive *list, const char *name)
{
	while (list && !str_eq_c(list->name, name))
		list = list->next;
	return list;
}

static bool check_uses(struct schema_checker *sc, const struct ast_directive *list,
	enum directive_place place, struct deprecation *out)
{
	if (!check_directives(&sc->c, list, place))
		return false;
	const struct ast_directive *d = out ? find_use(list, "deprecated") : NULL;
	if (d)
		*out = (struct deprecation){.deprecated = true, .reason = directive_text(sc->s, d)};
	return true;
}

static bool check_inputs(
	struct schema_checker *sc, struct input_value *list, size_t count, enum directive_place place)
{
	struct coercion coercion = {.schema = sc->s, .arena = sc->s->arena};
	for (size_t i = 0; i < count; i++) {
		struct input_value *v = &list[i];
		if (!check_uses(sc, v->directives, place, &v->deprecation))
			return false;
		if (!v->literal)
			continue;
		if (!check_literal(&sc->c, v->type, v->literal, false))
			return false;
		if (coerce_literal(&coercion, v->type, v->literal, &v->fallback) != COERCED) {
			problem_add(sc->c.problems, v->at, "The default of \"%s\" does not fit its type.",
				v->name.ptr);
			return false;
		}
	}
	return true;
}

static bool check_type(struct schema_checker *sc, struct gql_type *t)
{
	static const enum directive_place places[] = {[TYPE_SCALAR] = ON_SCALAR,
		[TYPE_OBJECT] = ON_OBJECT,
		[TYPE_INTERFACE] = ON_INTERFACE,
		[TYPE_UNION] = ON_UNION,
		[TYPE_ENUM] = ON_ENUM,
		[TYPE_INPUT] = ON_INPUT_OBJECT};
	if (!check_uses(sc, t->directives, places[t->kind], NULL))
		return false;
	const struct ast_directive *specified = find_use(t->directives, "specifiedBy");
	if (specified)
		t->specified_by = directive_text(sc->s, specified);
	for (size_t i = 0; i < t->field_count; i++) {
		struct gql_field *f = &t->fields[i];
		if (!check_uses(sc, f->directives, ON_FIELD_DEFINITION, &f->deprecation) ||
			!check_inputs(sc, f->args, f->arg_count, ON_ARGUMENT_DEFINITION))
			return false;
	}
	for (size_t i = 0; i < t->value_count; i++) {
		struct enum_value *v = &t->values[i];
		if (!check_uses(sc, v->directives, ON_ENUM_VALUE, &v->deprecation))
			return false;
	}
	return check_inputs(sc, t->inputs, t->input_count, ON_INPUT_FIELD_DEFINITION);
}

/* An input object that needs itself can never be written. */
static bool check_input_cycles(struct schema_checker *sc, const struct gql_type *t, size_t depth)
{
	if (depth > map_len(sc->s->types)) {
		problem_add(sc->c.problems, t->at,
			"Input object \"%s\" requires itself through non-null fields.", t->name.ptr);
		return false;
	}
	for (size_t i = 0; i < t->input_count; i++) {
		const struct type_ref *r = t->inputs[i].type;
		if (r->kind != REF_NON_NULL || r->of->kind != REF_NAMED || r->of->type->kind != TYPE_INPUT)
			continue;
		if (!check_input_cycles(sc, r->of->type, depth + 1))
			return false;
	}
	return true;
}

static bool check_types(struct schema_checker *sc, bool inputs)
{
	struct str name;
	void *value = NULL;
	for (size_t i = 0; map_next(sc->s->types, &i, &name, &value);) {
		struct gql_type *t = value;
		bool wanted = (t->kind == TYPE_INPUT) == inputs;
		if (wanted && (!check_input_cycles(sc, t, 0) || !check_type(sc, t)))
			return false;
	}
	return true;
}

static bool check_all(struct schema_checker *sc)
{
	struct str name;
	void *value = NULL;
	for (size_t i = 0; map_next(sc->s->directives, &i, &name, &value);) {
		struct directive_definition *d = value;
		if (!check_inputs(sc, d->args, d->arg_count, ON_ARGUMENT_DEFINITION))
			return false;
	}
	/* A default contains the defaults of the members it leaves out: so many rounds as they can nest. */
	size_t rounds = 1;
	for (size_t i = 0; map_next(sc->s->types, &i, &name, &value);)
		rounds += ((struct gql_type *)value)->kind == TYPE_INPUT;
	for (size_t round = 0; round < rounds; round++)
		if (!check_types(sc, true))
			return false;
	if (!check_types(sc, false))
		return false;
	return check_directives(&sc->c, sc->s->uses, ON_SCHEMA);
}

bool schema_check(struct gql_schema *s, struct problems *problems)
{
	struct schema_checker sc = {.s = s, .c = {.schema = s, .arena = s->arena, .problems = problems}};
	if (!resolve_all(&sc))
		return false;
	find_implementers(s);
	if (!check_all(&sc))
		return false;
	schema_check_interfaces(s, problems);
	return problems->count == 0;
}
