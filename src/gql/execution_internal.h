/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request being resolved. The results form a tree of outs: each object holds one for each field that is
 * asked of it. Resolving a field makes the outs below and tasks to resolve them; no task waits for another,
 * so neither depth nor width of a request is on any C stack. When no task is left one thread walks the tree,
 * twice: for errors and the nulls they cause, then to write it.
 */
#pragma once

#include "base/vec.h"
#include "gql/coerce_internal.h"
#include "gql/execute.h"
#include "gql/schema_internal.h"
#include "gql/select_internal.h"

#include <pthread.h>

enum out_kind {
	OUT_NULL, /* also: not set */
	OUT_INT,
	OUT_FLOAT,
	OUT_STRING,
	OUT_TAKEN, /* a string that was moved in */
	OUT_BOOL,
	OUT_ENUM,
	OUT_LIST,
	OUT_PENDING, /* an object as the resolver gave it */
	OUT_OBJECT,  /* one with its fields */
	OUT_ERROR,
};

struct gql_taken {
	struct buf text;
	struct gql_taken *next;
};

struct plan;

/* A field to be resolved on objects of one type: all selections that share a key. */
struct plan_field {
	struct key_group group;
	const struct gql_field *field;
	const struct gql_value *args; /* NULL until coerced */
	struct plan *plans;           /* what is selected below, a plan for each type met */
};

struct plan {
	const struct gql_type *type;
	struct plan_field *fields;
	size_t count;
	struct plan *next;
};

struct gql_object {
	struct plan *plan;
	void *ptr;
	struct gql_out fields[]; /* as many as the plan has */
};

struct task {
	struct gql_object *object;
	size_t index; /* of the field */
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* tasks were added, all is done, or stop */
	struct vec tasks;       /* taken from the end */
	size_t busy;            /* threads that hold a task */
	size_t idle;            /* threads that wait for one; not the caller's */
	pthread_t *threads;
	size_t thread_count, thread_max;
	bool stop;
};

struct gql_execution {
	const struct gql_schema *schema;
	const struct gql_hooks *hooks;
	struct problems *problems;
	struct coercion coercion; /* with the arena */
	struct map *variables;
	size_t max_values;
	struct pool pool;
	pthread_mutex_t lock; /* for what follows, and arena, plans and coerced arguments */
	uint64_t walks;
	size_t values;   /* outs made */
	bool too_many;   /* more than max_values: nothing is resolved any more */
	bool canceled;   /* likewise */
	struct vec errs; /* struct err *, owned */
	struct gql_taken *taken;
};

void execution_init(struct gql_execution *ex);
void execution_fini(struct gql_execution *ex);
/* Resolve everything below an object: root fields at once or, serial, one after the other. */
void execution_run(struct gql_execution *ex, struct gql_object *root, bool serial);
/* Ownership of e passes to ex. */
void out_set_error(struct gql_out *o, struct err *e);
/* The object of type t that has a task for each field below. NULL when there are too many values. */
struct gql_object *gql_object_new(struct gql_execution *ex, struct plan *plan, void *ptr);

/* What a type's objects are asked for below a field, or at the root of an operation. Under ex->lock. */
struct plan *plan_find(struct gql_execution *ex, struct plan_field *field, const struct gql_type *t);
struct plan *plan_root(struct gql_execution *ex, struct ast_selection *set, const struct gql_type *t);

/* Threads' own lists of tasks found while one runs. */
struct found_tasks {
	struct vec local;  /* answered by the engine itself: this thread does them */
	struct vec others; /* for any thread */
};
/* Resolve one field; adds what is to be done below. */
void resolve_task(struct gql_execution *ex, const struct task *t, struct found_tasks *found);
void found_add(struct found_tasks *found, struct gql_object *object);

/* Tell of errors, and put null where they and missing values need it. True: the whole answer is null. */
bool finish_results(struct gql_execution *ex, struct gql_object *root);
void write_results(struct gql_object *root, struct buf *response);
