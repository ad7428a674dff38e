/* SPDX-License-Identifier: Apache-2.0 */
/* The type system in memory. Immutable once parsed, but for the data bound to fields. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "gql/ast_internal.h"
#include "gql/execute.h"
#include "gql/problems_internal.h"
#include "gql/schema.h"
#include "gql/value.h"

/* So that sets of arguments, members and directives fit a fixed array. */
#define INPUTS_MAX 256
#define DIRECTIVES_MAX 64

enum type_kind { TYPE_SCALAR, TYPE_OBJECT, TYPE_INTERFACE, TYPE_UNION, TYPE_ENUM, TYPE_INPUT };
enum scalar { SCALAR_CUSTOM, SCALAR_INT, SCALAR_FLOAT, SCALAR_STRING, SCALAR_BOOLEAN, SCALAR_ID };

/* Texts: NUL-terminated in the schema's arena; an absent description has a NULL ptr. */
struct deprecation {
	bool deprecated;
	struct str reason;
};

/* An argument or a field of an input object. */
struct input_value {
	struct str name;
	struct str description;
	uint32_t at;
	const struct type_ref *type;
	const struct ast_value *literal; /* default as written, or NULL */
	struct gql_value fallback;       /* the same coerced; meaningless without literal */
	struct ast_directive *directives;
	struct deprecation deprecation;
};

struct gql_field {
	struct str name;
	struct str description;
	uint32_t at;
	const struct gql_type *owner;
	const struct type_ref *type;
	struct input_value *args;
	size_t arg_count;
	struct ast_directive *directives;
	struct deprecation deprecation;
	const void *data;
	/* Introspection: answers by itself. */
	void (*local)(const struct gql_schema *s, const struct gql_call *call, struct gql_out *out);
};

struct enum_value {
	struct str name;
	struct str description;
	uint32_t at;
	struct ast_directive *directives;
	struct deprecation deprecation;
};

struct gql_type {
	enum type_kind kind;
	enum scalar scalar;
	bool builtin, hidden;
	struct str name;
	struct str description;
	struct str specified_by;
	uint32_t at;
	struct type_ref self; /* a reference to this type */
	struct ast_directive *directives;
	struct gql_field *fields; /* OBJECT, INTERFACE */
	size_t field_count;
	struct map *field_by_name;
	struct type_ref *interfaces; /* OBJECT, INTERFACE */
	size_t interface_count;
	struct type_ref *possible; /* UNION: as written; INTERFACE: objects that implement it */
	size_t possible_count;
	struct enum_value *values; /* ENUM */
	size_t value_count;
	struct map *value_by_name;
	struct input_value *inputs; /* INPUT */
	size_t input_count;
};

enum directive_place {
	ON_QUERY,
	ON_MUTATION,
	ON_SUBSCRIPTION,
	ON_FIELD,
	ON_FRAGMENT_DEFINITION,
	ON_FRAGMENT_SPREAD,
	ON_INLINE_FRAGMENT,
	ON_VARIABLE_DEFINITION,
	ON_SCHEMA,
	ON_SCALAR,
	ON_OBJECT,
	ON_FIELD_DEFINITION,
	ON_ARGUMENT_DEFINITION,
	ON_INTERFACE,
	ON_UNION,
	ON_ENUM,
	ON_ENUM_VALUE,
	ON_INPUT_OBJECT,
	ON_INPUT_FIELD_DEFINITION,
	PLACE_COUNT,
};

extern const char *const directive_place_names[PLACE_COUNT];

struct directive_definition {
	struct str name;
	struct str description;
	uint32_t at;
	unsigned number;
	bool repeatable, builtin;
	uint32_t places; /* bits of enum directive_place */
	struct input_value *args;
	size_t arg_count;
};

struct gql_schema {
	struct arena *arena;
	struct map *types; /* name: struct gql_type */
	struct map *directives;
	struct str description;
	struct ast_directive *uses; /* of directives, on "schema" */
	struct type_ref roots[3];   /* by enum ast_operation; name empty if there is none */
	const struct gql_type *string, *boolean;
	/* __typename on everything, __schema and __type on the query root. */
	const struct gql_field *meta_typename, *meta_schema, *meta_type;
};

/* The SDL of the built-in scalars and directives and of introspection. */
extern const char *const prelude_sdl;

/* Add the definitions of a text. builtin: they are the prelude's. */
bool schema_read(struct gql_schema *s, struct problems *problems, struct str sdl, bool builtin);
/* Resolve all references and check the rules of a type system; false after a problem. */
bool schema_check(struct gql_schema *s, struct problems *problems);
/* Fields of types against the interfaces they implement. */
void schema_check_interfaces(const struct gql_schema *s, struct problems *problems);
/* Make the introspection fields answer. */
void introspection_bind(struct gql_schema *s);

const struct gql_type *schema_type(const struct gql_schema *s, struct str name);
const struct gql_type *schema_root(const struct gql_schema *s, enum ast_operation o);
/* A field by name, with the meta fields; NULL if there is none. */
const struct gql_field *schema_find_field(
	const struct gql_schema *s, const struct gql_type *t, struct str name);
const struct input_value *input_find(const struct input_value *list, size_t count, struct str name);
const struct enum_value *enum_find(const struct gql_type *t, struct str name);

bool type_is_composite(const struct gql_type *t); /* has fields to select */
bool type_is_input(const struct gql_type *t);
bool type_is_output(const struct gql_type *t);
/* May a value of the abstract type t be the object? An object is itself only. */
bool type_may_be(const struct gql_type *t, const struct gql_type *object);
/* Is there an object that is both? */
bool types_overlap(const struct gql_type *a, const struct gql_type *b);

const struct gql_type *ref_named(const struct type_ref *r); /* without lists and bangs */
const struct type_ref *ref_nullable(const struct type_ref *r);
bool ref_equal(const struct type_ref *a, const struct type_ref *b);
void ref_print(const struct type_ref *r, struct buf *out);
/* A value as GraphQL text; at most about limit bytes, then "...". */
void value_print(const struct ast_value *v, size_t limit, struct buf *out);
/* Fill in the type of each name; false if it is unknown. */
bool ref_resolve(const struct gql_schema *s, struct type_ref *r);
