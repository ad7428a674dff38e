/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that a GraphQL document or its variables give to an argument, after coercion. Borrowed by whoever
 * reads them: those of a call live until gql_execute returns, defaults as long as their schema. Immutable.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gql_kind { GQL_NULL, GQL_INT, GQL_FLOAT, GQL_STRING, GQL_BOOL, GQL_ENUM, GQL_LIST, GQL_OBJECT };

struct gql_member;

struct gql_value {
	enum gql_kind kind;
	union {
		int64_t i;
		double f;
		bool b;
		struct str s; /* STRING, ENUM; an ID is a STRING, also when it was written as a number */
		struct {
			const struct gql_value *items;
			size_t count;
		} list;
		struct {
			const struct gql_member *members; /* of an input object: in the order of its type */
			size_t count;
		} object;
	};
};

struct gql_member {
	struct str name;
	struct gql_value value;
};

/* NULL if absent or if object is no object. A member without default that was not given is absent. */
const struct gql_value *gql_member(const struct gql_value *object, const char *name);
