/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parser makes of a document. Lives in an arena; texts point into the document or the arena. Lists
 * are linked by next, in the order of the text. "at" is a byte offset into the document.
 */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gql_type;
struct gql_field;
struct gql_value;

/* The first eight as enum gql_kind. */
enum ast_kind {
	AST_NULL,
	AST_INT,
	AST_FLOAT,
	AST_STRING,
	AST_BOOL,
	AST_ENUM,
	AST_LIST,
	AST_OBJECT,
	AST_VARIABLE,
};

/* A literal or variable; an argument or member of an object when it has a name. */
struct ast_value {
	enum ast_kind kind;
	uint32_t at, name_at;
	struct str name;
	union {
		struct str text; /* numbers as written; of a variable: its name; strings decoded */
		bool b;
		struct {
			struct ast_value *first;
			size_t count;
		} list; /* LIST and OBJECT */
	};
	struct ast_value *next;
};

enum ref_kind { REF_NAMED, REF_LIST, REF_NON_NULL };

struct type_ref {
	enum ref_kind kind;
	uint32_t at;
	struct str name;             /* NAMED */
	const struct gql_type *type; /* NAMED; NULL until resolved or if unknown */
	const struct type_ref *of;   /* LIST, NON_NULL */
};

struct ast_directive {
	struct str name;
	uint32_t at;
	struct ast_value *args;
	struct ast_directive *next;
};

enum ast_selection_kind { SELECT_FIELD, SELECT_SPREAD, SELECT_INLINE };

struct ast_definition;

struct ast_selection {
	enum ast_selection_kind kind;
	uint32_t at;
	struct str name; /* of the field or fragment; type condition of an inline fragment, empty if none */
	struct str key;  /* FIELD: alias or name */
	struct ast_value *args;
	struct ast_directive *directives;
	struct ast_selection *children;
	struct ast_selection *next;
	/* Found by validation: */
	const struct gql_type *parent; /* FIELD: the type it is selected on; INLINE: its condition or NULL */
	union {
		const struct gql_field *field;
		struct ast_definition *fragment; /* SPREAD */
	};
	/* FIELD: arguments as coerced for the definition args_of, kept by execution. */
	const struct gql_field *args_of;
	const struct gql_value *coerced;
};

struct ast_variable {
	struct str name;
	uint32_t at;
	struct type_ref *type;
	struct ast_value *fallback; /* default value or NULL */
	struct ast_directive *directives;
	struct ast_variable *next;
	bool used;
};

enum ast_operation { OPERATION_QUERY, OPERATION_MUTATION, OPERATION_SUBSCRIPTION };

/* A place where a definition spreads a fragment. */
struct ast_spread {
	struct ast_definition *fragment;
	size_t depth; /* of the selection set it stands in */
	uint32_t at;
	struct ast_spread *next;
};

/* A place where a definition uses a variable. */
struct ast_usage {
	const struct ast_value *variable;
	const struct type_ref *type; /* expected there */
	bool has_default;            /* the place has a default value of its own */
	struct ast_usage *next;
};

/* An operation or a fragment. */
struct ast_definition {
	bool is_fragment;
	enum ast_operation operation;
	struct str name;
	uint32_t at;
	struct str condition; /* fragment: its type */
	uint32_t condition_at;
	struct ast_variable *variables;
	struct ast_directive *directives;
	struct ast_selection *selections;
	struct ast_definition *next;
	/* Found by validation: */
	const struct gql_type *type; /* what its selections are made on */
	struct ast_spread *spreads, **spreads_end;
	struct ast_usage *usages, **usages_end;
	size_t depth, fields; /* first its own, then with all fragments spread */
	unsigned colour;      /* of the walk over fragments: 0 new, 1 begun, 2 done */
	uint64_t mark;        /* number of the last walk that saw it */
};

struct document {
	struct ast_definition *operations;
	struct ast_definition *fragments;
	struct map *by_name; /* fragments */
};

void document_fini(struct document *d);
