/* SPDX-License-Identifier: Apache-2.0 */
/* A type that implements an interface has its fields, with arguments and results that fit. */
#include "gql/schema_internal.h"

/* May a field of type sub stand where the interface says super? */
static bool is_covariant(const struct type_ref *sub, const struct type_ref *super)
{
	for (;;) {
		if (sub->kind == REF_NON_NULL && super->kind != REF_NON_NULL)
			sub = sub->of;
		if (sub->kind != super->kind)
			return false;
		if (sub->kind == REF_NAMED)
			return type_may_be(super->type, sub->type);
		sub = sub->of;
		super = super->of;
	}
}

static void check_field_arguments(
	const struct gql_field *own, const struct gql_field *wanted, struct problems *problems)
{
	for (size_t i = 0; i < wanted->arg_count; i++) {
		const struct input_value *w = &wanted->args[i];
		const struct input_value *o = input_find(own->args, own->arg_count, w->name);
		if (!o || !ref_equal(o->type, w->type))
			problem_add(problems, own->at,
				"Argument \"%s\" of interface field \"%s.%s\" is missing or of another type "
				"in \"%s\".",
				w->name.ptr, wanted->owner->name.ptr, wanted->name.ptr, own->owner->name.ptr);
	}
	for (size_t i = 0; i < own->arg_count; i++) {
		const struct input_value *o = &own->args[i];
		bool required = o->type->kind == REF_NON_NULL && !o->literal;
		if (required && !input_find(wanted->args, wanted->arg_count, o->name))
			problem_add(problems, o->at,
				"Argument \"%s\" of \"%s.%s\" must not be required: interface \"%s\" has "
				"none.",
				o->name.ptr, own->owner->name.ptr, own->name.ptr, wanted->owner->name.ptr);
	}
}

static void check_implements(
	const struct gql_type *t, const struct gql_type *iface, struct problems *problems)
{
	for (size_t i = 0; i < iface->field_count; i++) {
		const struct gql_field *wanted = &iface->fields[i];
		const struct gql_field *own = map_get(t->field_by_name, wanted->name);
		if (!own) {
			problem_add(problems, t->at,
				"Interface field \"%s.%s\" expected but \"%s\" does not provide it.",
				iface->name.ptr, wanted->name.ptr, t->name.ptr);
			continue;
		}
		if (!is_covariant(own->type, wanted->type))
			problem_add(problems, own->at,
				"Type of \"%s.%s\" does not fit that of interface field \"%s.%s\".",
				t->name.ptr, own->name.ptr, iface->name.ptr, wanted->name.ptr);
		check_field_arguments(own, wanted, problems);
	}
	for (size_t i = 0; i < iface->interface_count; i++)
		if (!type_may_be(iface->interfaces[i].type, t))
			problem_add(problems, t->at, "Type \"%s\" must implement \"%s\" because \"%s\" does.",
				t->name.ptr, iface->interfaces[i].type->name.ptr, iface->name.ptr);
}

void schema_check_interfaces(const struct gql_schema *s, struct problems *problems)
{
	struct str name;
	void *value = NULL;
	for (size_t i = 0; map_next(s->types, &i, &name, &value);) {
		const struct gql_type *t = value;
		for (size_t k = 0; k < t->interface_count; k++)
			check_implements(t, t->interfaces[k].type, problems);
	}
}
