/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema about itself. What gql_out_object carries: of __Schema nothing, of __Type a struct type_ref, of
 * the others the definition.
 */
#include "base/vec.h"
#include "gql/schema_internal.h"

typedef void answer_fn(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out);

static void out_text(struct gql_out *out, struct str s)
{
	if (s.ptr)
		gql_out_string(out, s);
}

static void out_type(struct gql_out *out, const struct type_ref *r)
{
	if (r->kind == REF_NAMED)
		r = &r->type->self;
	gql_out_object(out, "__Type", (void *)r);
}

/* The first argument of the fields that have includeDeprecated. */
static bool with_deprecated(const struct gql_call *call)
{
	return call->arg_count > 0 && call->args[0].kind == GQL_BOOL && call->args[0].b;
}

/* Pointers to definitions as a list of objects. */
static void out_list(struct gql_out *out, const struct vec *pointers, const char *type)
{
	struct gql_out *items = gql_out_list(out, pointers->len);
	for (size_t i = 0; i < pointers->len; i++)
		gql_out_object(&items[i], type, *(void **)vec_at(pointers, i));
}

static void add_pointer(struct vec *v, const void *p)
{
	vec_push_copy(v, &p);
}

static void out_inputs(
	const struct gql_call *call, const struct input_value *list, size_t count, struct gql_out *out)
{
	struct vec found AUTO(vec_fini) = VEC_OF(void *);
	for (size_t i = 0; i < count; i++)
		if (!list[i].deprecation.deprecated || with_deprecated(call))
			add_pointer(&found, &list[i]);
	out_list(out, &found, "__InputValue");
}

static void out_refs(const struct type_ref *list, size_t count, struct gql_out *out)
{
	struct gql_out *items = gql_out_list(out, count);
	for (size_t i = 0; i < count; i++)
		out_type(&items[i], &list[i]);
}

static void schema_description(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)call;
	out_text(out, s->description);
}

static void schema_types(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)call;
	struct vec found AUTO(vec_fini) = VEC_OF(void *);
	struct str name;
	void *value = NULL;
	for (size_t i = 0; map_next(s->types, &i, &name, &value);) {
		const struct gql_type *t = value;
		if (!t->hidden)
			add_pointer(&found, &t->self);
	}
	out_list(out, &found, "__Type");
}

static void out_root(const struct gql_schema *s, enum ast_operation o, struct gql_out *out)
{
	if (s->roots[o].type)
		out_type(out, &s->roots[o]);
}

static void schema_query(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)call;
	out_root(s, OPERATION_QUERY, out);
}

static void schema_mutation(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)call;
	out_root(s, OPERATION_MUTATION, out);
}

static void schema_subscription(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)call;
	out_root(s, OPERATION_SUBSCRIPTION, out);
}

static void schema_directives(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)call;
	struct vec found AUTO(vec_fini) = VEC_OF(void *);
	struct str name;
	void *value = NULL;
	for (size_t i = 0; map_next(s->directives, &i, &name, &value);)
		add_pointer(&found, value);
	out_list(out, &found, "__Directive");
}

/* The named type a __Type stands for; NULL for a wrapper. */
static const struct gql_type *named(const struct gql_call *call)
{
	const struct type_ref *r = call->parent;
	return r->kind == REF_NAMED ? r->type : NULL;
}

static void type_kind(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	static const char *const kinds[] = {[TYPE_SCALAR] = "SCALAR",
		[TYPE_OBJECT] = "OBJECT",
		[TYPE_INTERFACE] = "INTERFACE",
		[TYPE_UNION] = "UNION",
		[TYPE_ENUM] = "ENUM",
		[TYPE_INPUT] = "INPUT_OBJECT"};
	const struct type_ref *r = call->parent;
	if (r->kind == REF_NAMED)
		gql_out_enum(out, kinds[r->type->kind]);
	else
		gql_out_enum(out, r->kind == REF_LIST ? "LIST" : "NON_NULL");
}

static void type_name(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	if (named(call))
		out_text(out, named(call)->name);
}

static void type_description(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	if (named(call))
		out_text(out, named(call)->description);
}

static void type_specified(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	if (named(call))
		out_text(out, named(call)->specified_by);
}

static void type_fields(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct gql_type *t = named(call);
	if (!t || (t->kind != TYPE_OBJECT && t->kind != TYPE_INTERFACE))
		return;
	struct vec found AUTO(vec_fini) = VEC_OF(void *);
	for (size_t i = 0; i < t->field_count; i++)
		if (!t->fields[i].deprecation.deprecated || with_deprecated(call))
			add_pointer(&found, &t->fields[i]);
	out_list(out, &found, "__Field");
}

static void type_interfaces(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct gql_type *t = named(call);
	if (t && (t->kind == TYPE_OBJECT || t->kind == TYPE_INTERFACE))
		out_refs(t->interfaces, t->interface_count, out);
}

static void type_possible(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct gql_type *t = named(call);
	if (t && (t->kind == TYPE_UNION || t->kind == TYPE_INTERFACE))
		out_refs(t->possible, t->possible_count, out);
}

static void type_values(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct gql_type *t = named(call);
	if (!t || t->kind != TYPE_ENUM)
		return;
	struct vec found AUTO(vec_fini) = VEC_OF(void *);
	for (size_t i = 0; i < t->value_count; i++)
		if (!t->values[i].deprecation.deprecated || with_deprecated(call))
			add_pointer(&found, &t->values[i]);
	out_list(out, &found, "__EnumValue");
}

static void type_inputs(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct gql_type *t = named(call);
	if (t && t->kind == TYPE_INPUT)
		out_inputs(call, t->inputs, t->input_count, out);
}

static void type_of(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct type_ref *r = call->parent;
	if (r->kind != REF_NAMED)
		out_type(out, r->of);
}

static void type_one_of(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct gql_type *t = named(call);
	if (t && t->kind == TYPE_INPUT)
		gql_out_bool(out, false);
}

static void field_args(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct gql_field *f = call->parent;
	out_inputs(call, f->args, f->arg_count, out);
}

static void field_type(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	out_type(out, ((const struct gql_field *)call->parent)->type);
}

static void input_type(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	out_type(out, ((const struct input_value *)call->parent)->type);
}

static void input_default(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct input_value *v = call->parent;
	struct buf text AUTO_BUF = {0};
	if (!v->literal)
		return;
	value_print(v->literal, SIZE_MAX / 2, &text);
	gql_out_string(out, buf_str(&text));
}

static void directive_repeatable(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	gql_out_bool(out, ((const struct directive_definition *)call->parent)->repeatable);
}

static void directive_locations(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct directive_definition *d = call->parent;
	struct gql_out *items = gql_out_list(out, (size_t)__builtin_popcount(d->places));
	for (unsigned i = 0, n = 0; i < PLACE_COUNT; i++)
		if (d->places & UINT32_C(1) << i)
			gql_out_enum(&items[n++], directive_place_names[i]);
}

static void directive_args(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)s;
	const struct directive_definition *d = call->parent;
	out_inputs(call, d->args, d->arg_count, out);
}

/* Name, description and deprecation, which four kinds of definitions have alike. */
#define DEFINITION_ANSWERS(prefix, definition)                                                \
	static void prefix##_name(                                                            \
		const struct gql_schema *s, const struct gql_call *call, struct gql_out *out) \
	{                                                                                     \
		(void)s;                                                                      \
		gql_out_string(out, ((const definition *)call->parent)->name);                \
	}                                                                                     \
	static void prefix##_description(                                                     \
		const struct gql_schema *s, const struct gql_call *call, struct gql_out *out) \
	{                                                                                     \
		(void)s;                                                                      \
		out_text(out, ((const definition *)call->parent)->description);               \
	}

#define DEPRECATION_ANSWERS(prefix, definition)                                                \
	static void prefix##_deprecated(                                                       \
		const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)  \
	{                                                                                      \
		(void)s;                                                                       \
		gql_out_bool(out, ((const definition *)call->parent)->deprecation.deprecated); \
	}                                                                                      \
	static void prefix##_reason(                                                           \
		const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)  \
	{                                                                                      \
		(void)s;                                                                       \
		out_text(out, ((const definition *)call->parent)->deprecation.reason);         \
	}

DEFINITION_ANSWERS(field, struct gql_field)
DEFINITION_ANSWERS(input, struct input_value)
DEFINITION_ANSWERS(value, struct enum_value)
DEFINITION_ANSWERS(directive, struct directive_definition)
DEPRECATION_ANSWERS(field, struct gql_field)
DEPRECATION_ANSWERS(input, struct input_value)
DEPRECATION_ANSWERS(value, struct enum_value)

static void meta_typename(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	/* The resolver's caller knows the object's type and answers itself: being here makes it local. */
	(void)s;
	(void)call;
	(void)out;
}

static void meta_schema(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	(void)call;
	gql_out_object(out, "__Schema", (void *)s);
}

static void meta_type(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out)
{
	const struct gql_type *t = schema_type(s, call->args[0].s);
	if (t && !t->hidden)
		gql_out_object(out, "__Type", (void *)&t->self);
}

static const struct {
	const char *type, *field;
	answer_fn *answer;
} answers[] = {
	{"__Meta", "__typename", meta_typename},
	{"__Meta", "__schema", meta_schema},
	{"__Meta", "__type", meta_type},
	{"__Schema", "description", schema_description},
	{"__Schema", "types", schema_types},
	{"__Schema", "queryType", schema_query},
	{"__Schema", "mutationType", schema_mutation},
	{"__Schema", "subscriptionType", schema_subscription},
	{"__Schema", "directives", schema_directives},
	{"__Type", "kind", type_kind},
	{"__Type", "name", type_name},
	{"__Type", "description", type_description},
	{"__Type", "specifiedByURL", type_specified},
	{"__Type", "fields", type_fields},
	{"__Type", "interfaces", type_interfaces},
	{"__Type", "possibleTypes", type_possible},
	{"__Type", "enumValues", type_values},
	{"__Type", "inputFields", type_inputs},
	{"__Type", "ofType", type_of},
	{"__Type", "isOneOf", type_one_of},
	{"__Field", "name", field_name},
	{"__Field", "description", field_description},
	{"__Field", "args", field_args},
	{"__Field", "type", field_type},
	{"__Field", "isDeprecated", field_deprecated},
	{"__Field", "deprecationReason", field_reason},
	{"__InputValue", "name", input_name},
	{"__InputValue", "description", input_description},
	{"__InputValue", "type", input_type},
	{"__InputValue", "defaultValue", input_default},
	{"__InputValue", "isDeprecated", input_deprecated},
	{"__InputValue", "deprecationReason", input_reason},
	{"__EnumValue", "name", value_name},
	{"__EnumValue", "description", value_description},
	{"__EnumValue", "isDeprecated", value_deprecated},
	{"__EnumValue", "deprecationReason", value_reason},
	{"__Directive", "name", directive_name},
	{"__Directive", "description", directive_description},
	{"__Directive", "isRepeatable", directive_repeatable},
	{"__Directive", "locations", directive_locations},
	{"__Directive", "args", directive_args},
};

void introspection_bind(struct gql_schema *s)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		const struct gql_type *t = map_get_c(s->types, answers[i].type);
		struct gql_field *f = map_get_c(t->field_by_name, answers[i].field);
		f->local = answers[i].answer;
	}
}
