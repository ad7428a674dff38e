/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that documents and schemas share: literals, arguments, directives. All mistakes are reported. */
#pragma once

#include "gql/schema_internal.h"

struct checker {
	const struct gql_schema *schema;
	struct arena *arena;
	struct problems *problems;
	struct ast_definition *definition; /* variables are noted there; NULL: there can be none */
};

/* has_default: the place has one, which a variable that may be null can rely on. */
bool check_literal(struct checker *c, const struct type_ref *r, const struct ast_value *v, bool has_default);
/* what: how messages call the owner, "Field \"a\"" or "Directive \"@a\"". */
bool check_arguments(struct checker *c, const struct input_value *declared, size_t count,
	const struct ast_value *given, const char *what, uint32_t at);
bool check_directives(struct checker *c, const struct ast_directive *list, enum directive_place place);
