/* SPDX-License-Identifier: Apache-2.0 */
/* From literals and JSON to the values that resolvers see. */
#pragma once

#include "gql/schema_internal.h"

#include <jansson.h>

struct coercion {
	const struct gql_schema *schema;
	struct arena *arena;
	const struct map *variables; /* name: struct gql_value; a variable that was not given is not in it */
};

enum coerced { COERCED, COERCED_ABSENT, COERCED_BAD };

/*
 * A literal that validation let pass, for a place of type r. ABSENT: it is a variable without value. BAD: a
 * variable put null where the type forbids it.
 */
enum coerced coerce_literal(
	const struct coercion *c, const struct type_ref *r, const struct ast_value *v, struct gql_value *out);
/*
 * All arguments of a field or directive, in the order of declaration. False: *bad is the one that has no
 * legal value.
 */
bool coerce_arguments(const struct coercion *c, const struct input_value *declared, size_t count,
	const struct ast_value *given, struct gql_value *out, const struct input_value **bad);
/* Variables of an operation; reports what does not fit. Fills in c->variables' map. */
bool coerce_variables(const struct coercion *c, struct map *into, const struct ast_definition *operation,
	const json_t *given, struct problems *problems);

/* May an Int be written so? 32 bits. */
bool int_in_range(int64_t i);
/* A number's text: false if it does not fit (an Int in 64 bits, a Float finitely). */
bool text_to_int(struct str text, int64_t *out);
bool text_to_float(struct str text, double *out);
