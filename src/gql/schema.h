/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GraphQL type system read from its schema language (specification of October 2021). Scalars other than the
 * five built-in ones accept and give any value. Type extensions ("extend ...") are refused.
 * Threads: parse and bind in one thread; then immutable, to be shared by any number.
 * Errors: ERR_INVALID with "name:line:column: what is wrong".
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct gql_schema;
struct gql_field; /* a field of an object or interface type; lives as long as its schema */

/* sdl is not needed afterwards. Caller frees *out. */
MUST_USE struct err *gql_schema_parse(struct str sdl, const char *name, struct gql_schema **out);
void gql_schema_free(struct gql_schema *s);
void gql_schema_freep(struct gql_schema **s);

/* Attach data, which is handed to the resolver with each call of the field; not freed. ERR_NOT_FOUND. */
MUST_USE struct err *gql_schema_bind(
	struct gql_schema *s, const char *type, const char *field, const void *data);
/* NULL if there is no such type or field. */
const struct gql_field *gql_schema_field(const struct gql_schema *s, const char *type, const char *field);

const char *gql_field_name(const struct gql_field *f);
const char *gql_field_type_name(const struct gql_field *f); /* the object it belongs to */
bool gql_field_has_directive(const struct gql_field *f, const char *name);
size_t gql_field_arg_count(const struct gql_field *f);
const char *gql_field_arg_name(const struct gql_field *f, size_t i);
