/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules for executable documents. Besides reporting, validation notes in the document what each name
 * means. Nothing here recurses with the document's depth, and what could take more than linear time is
 * counted against WORK_MAX.
 */
#pragma once

#include "base/vec.h"
#include "gql/check_internal.h"

#define WORK_MAX 10000000

struct validation {
	const struct gql_schema *schema;
	struct document *document;
	struct arena *arena;
	struct problems *problems;
	struct gql_limits limits; /* all set */
	size_t work;
	uint64_t walks; /* number of the last walk over fragments */
};

/* False after a problem. */
bool validate_document(struct validation *v);

/* The parts of it. Each: false after a problem. */
bool validate_names(struct validation *v); /* operations and fragments are told apart by name */
bool validate_selections(struct validation *v, struct ast_definition *d);
bool validate_fragments(struct validation *v); /* cycles, use, depth and size when spread */
bool validate_variables(struct validation *v);
bool validate_overlap(struct validation *v, struct ast_definition *operation);

/* Counts work; false, reported, when it is too much. */
bool validation_spend(struct validation *v, size_t work);
/*
 * The definitions that d spreads, directly or through others, and d itself first; each once. out: vec of
 * struct ast_definition *.
 */
bool validation_reach(struct validation *v, struct ast_definition *d, struct vec *out);
