/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running one GraphQL request: parse, validate, resolve, answer (specification of October 2021; queries and
 * mutations, no subscriptions).
 *
 * Threads: gql_execute may run in many threads over one schema. Fields of one selection set, and items of a
 * list, are resolved at the same time on threads that live as long as the call; a chain of single fields
 * stays in the caller's thread. Root fields of a mutation run one after the other. Results: an Int may exceed
 * 32 bits (sizes of files do); arguments may not.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "gql/schema.h"
#include "gql/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a resolver is asked. All borrowed until gql_execute returns. */
struct gql_call {
	const struct gql_field *field; /* of the concrete object type, never of an interface */
	const void *data;              /* bound to the field; NULL if nothing is */
	void *parent;                  /* what gql_out_object was given; NULL at the root */
	const struct gql_value *args;  /* in the order of declaration, coerced, defaults applied */
	size_t arg_count;              /* of the declaration; absent or null is GQL_NULL */
};

/*
 * Where a resolver puts its result: exactly one setter, once; none is the same as null. What does not fit the
 * field's type is an error of the field.
 */
struct gql_out;
void gql_out_null(struct gql_out *o);
void gql_out_string(struct gql_out *o, struct str s); /* copies; for String, ID, other scalars */
/* Moves the text out of b, which is empty after: for huge ones. */
void gql_out_take_string(struct gql_out *o, struct buf *b);
void gql_out_int(struct gql_out *o, int64_t i);
void gql_out_float(struct gql_out *o, double f);
void gql_out_bool(struct gql_out *o, bool b);
void gql_out_enum(struct gql_out *o, const char *name); /* copies */
/* type: name of an object type, needed until the resolver returns. ptr must live until gql_execute returns.
 */
void gql_out_object(struct gql_out *o, const char *type, void *ptr);
/* Makes a list of count items, all null, to be set through what is returned: &items[i]. */
struct gql_out *gql_out_list(struct gql_out *o, size_t count);

/* Bounds on a request; zero means the default. */
struct gql_limits {
	size_t document_bytes; /* 256 MiB */
	size_t tokens;         /* 2,000,000; a string counts as one */
	size_t depth;          /* 20,000: nested selection sets, fragments spread */
	size_t fields;         /* 1,000,000: fields with all fragments spread */
	size_t values;         /* 2,000,000: fields and objects in the answer */
	size_t errors;         /* 100: reported at most */
};

struct gql_hooks {
	/* Called for each field but introspection's; from several threads at once. */
	struct err *(*resolve)(void *ctx, const struct gql_call *call, struct gql_out *out);
	/*
	 * The error object of e: adds the message, may set *extensions to a new JSON object, owned by gql
	 * then. Called in the thread of gql_execute. NULL: err_text, no extensions.
	 */
	void (*explain)(void *ctx, const struct err *e, struct buf *message, json_t **extensions);
	void *ctx;
	const struct cancel *cancel;     /* may be NULL; checked before each field */
	unsigned parallel;               /* most fields resolved at once; 0: 64 */
	const struct gql_limits *limits; /* NULL: defaults */
};

struct gql_request {
	struct str query;
	struct str operation_name; /* empty: the document's only operation */
	const json_t *variables;   /* object or NULL */
};

/*
 * Appends the JSON body {"data":..,"errors":[..]} to response. Errors of the request (syntax, validation,
 * variables, limits) are a body with only "errors", not an err. ERR_CANCELED, with response as it was, when
 * the token was set before all was resolved.
 */
MUST_USE struct err *gql_execute(const struct gql_schema *s, const struct gql_request *rq,
	const struct gql_hooks *h, struct buf *response);

/* Private: open so that items of a list can be addressed. */
struct gql_execution;
struct gql_object;
struct gql_taken;
struct gql_out {
	struct gql_execution *execution;
	unsigned kind;
	union {
		int64_t i;
		double f;
		bool b;
		struct str s;
		struct gql_taken *taken;
		struct {
			struct gql_out *items;
			size_t count;
		} list;
		struct {
			const char *type;
			void *ptr;
		} pending; /* an object whose fields are not yet known */
		struct gql_object *object;
		struct err *error;
	};
};
