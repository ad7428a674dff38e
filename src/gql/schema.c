/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/schema.h"

#include "base/mem.h"
#include "gql/schema_internal.h"

#include <stdlib.h>

void gql_schema_free(struct gql_schema *s)
{
	if (!s)
		return;
	struct str name;
	void *value = NULL;
	for (size_t i = 0; s->types && map_next(s->types, &i, &name, &value);) {
		struct gql_type *t = value;
		map_free(t->field_by_name);
		map_free(t->value_by_name);
	}
	map_free(s->types);
	map_free(s->directives);
	arena_free(s->arena);
	free(s);
}

void gql_schema_freep(struct gql_schema **s)
{
	gql_schema_free(*s);
	*s = NULL;
}

static bool build(struct gql_schema *s, struct problems *problems, struct str sdl)
{
	if (!schema_read(s, problems, str_c(prelude_sdl), true))
		return false;
	struct gql_type *meta = map_get_c(s->types, "__Meta");
	meta->hidden = true;
	problems->text = sdl;
	if (!schema_read(s, problems, sdl, false) || !schema_check(s, problems))
		return false;
	s->string = map_get_c(s->types, "String");
	s->boolean = map_get_c(s->types, "Boolean");
	s->meta_typename = map_get_c(meta->field_by_name, "__typename");
	s->meta_schema = map_get_c(meta->field_by_name, "__schema");
	s->meta_type = map_get_c(meta->field_by_name, "__type");
	introspection_bind(s);
	return true;
}

static void problems_finip(struct problems *p)
{
	problems_fini(p);
}

struct err *gql_schema_parse(struct str sdl, const char *name, struct gql_schema **out)
{
	if (sdl.len >= NO_PLACE)
		return err_new(ERR_INVALID, "%s: larger than 4 GiB", name);
	struct gql_schema *s AUTO(gql_schema_freep) = mem_new(struct gql_schema);
	s->arena = arena_new();
	s->types = map_new(NULL);
	s->directives = map_new(NULL);
	struct problems problems AUTO(problems_finip);
	problems_init(&problems, (struct str){0}, 1);
	/* Descriptions and defaults point into the text: it has to stay. */
	struct str kept = str_n(arena_str(s->arena, sdl), sdl.len);
	if (!build(s, &problems, kept))
		return err_new(ERR_INVALID, "%s:%u:%u: %s", name, problems.first_line, problems.first_column,
			buf_cstr(&problems.first));
	*out = steal(&s);
	return NULL;
}

struct err *gql_schema_bind(struct gql_schema *s, const char *type, const char *field, const void *data)
{
	const struct gql_type *t = map_get_c(s->types, type);
	if (!t)
		return err_new(ERR_NOT_FOUND, "the schema has no type \"%s\"", type);
	struct gql_field *f = t->field_by_name ? map_get_c(t->field_by_name, field) : NULL;
	if (!f)
		return err_new(ERR_NOT_FOUND, "type \"%s\" of the schema has no field \"%s\"", type, field);
	f->data = data;
	return NULL;
}

const struct gql_field *gql_schema_field(const struct gql_schema *s, const char *type, const char *field)
{
	const struct gql_type *t = map_get_c(s->types, type);
	return t && t->field_by_name ? map_get_c(t->field_by_name, field) : NULL;
}

const char *gql_field_name(const struct gql_field *f)
{
	return f->name.ptr;
}

const char *gql_field_type_name(const struct gql_field *f)
{
	return f->owner->name.ptr;
}

bool gql_field_has_directive(const struct gql_field *f, const char *name)
{
	for (const struct ast_directive *d = f->directives; d; d = d->next)
		if (str_eq_c(d->name, name))
			return true;
	return false;
}

size_t gql_field_arg_count(const struct gql_field *f)
{
	return f->arg_count;
}

const char *gql_field_arg_name(const struct gql_field *f, size_t i)
{
	return i < f->arg_count ? f->args[i].name.ptr : NULL;
}

const struct gql_type *schema_type(const struct gql_schema *s, struct str name)
{
	return map_get(s->types, name);
}

const struct gql_type *schema_root(const struct gql_schema *s, enum ast_operation o)
{
	return s->roots[o].type;
}

const struct gql_field *schema_find_field(
	const struct gql_schema *s, const struct gql_type *t, struct str name)
{
	const struct gql_field *f = t->field_by_name ? map_get(t->field_by_name, name) : NULL;
	if (f || !str_starts(name, "__"))
		return f;
	if (str_eq(name, s->meta_typename->name))
		return s->meta_typename;
	if (t != s->roots[OPERATION_QUERY].type)
		return NULL;
	if (str_eq(name, s->meta_schema->name))
		return s->meta_schema;
	return str_eq(name, s->meta_type->name) ? s->meta_type : NULL;
}

const struct input_value *input_find(const struct input_value *list, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(list[i].name, name))
			return &list[i];
	return NULL;
}

const struct enum_value *enum_find(const struct gql_type *t, struct str name)
{
	return t->value_by_name ? map_get(t->value_by_name, name) : NULL;
}
