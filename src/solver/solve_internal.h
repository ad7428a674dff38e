/* SPDX-License-Identifier: Apache-2.0 */
/* One solve in progress: shared by plan.c (what must run) and schedule.c (running it). */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "solver/records.h"
#include "solver/solver.h"

#include <pthread.h>

enum task_state {
	TASK_UNVISITED, /* nothing above it asked for it yet */
	TASK_IMPLIED,   /* below a cached result: its own result is not needed */
	TASK_WAITING,   /* inputs are not ready */
	TASK_READY,
	TASK_RUNNING,
	TASK_FINISHED,
};

struct task {
	struct solved_node out; /* first: solve_result hands out pointers to it */
	enum task_state state;
	bool tainted; /* it or something below it ignores the cache: records by definition do not count */
	bool has_key;
	bool probed;      /* "cache/<key>" was looked up and missed */
	size_t missing;   /* inputs not finished */
	struct vec users; /* of struct task *: who waits for it */
};

struct solve_result {
	struct task *tasks;
	size_t count;
	struct map *index; /* pointer bytes of a node -> struct task * */
};

struct solve {
	struct store *store;
	struct executor *ex;
	const struct solve_options *opt;
	struct solve_result *result;
	struct cancel *cancel; /* set by the first failure or the caller's token */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	size_t ready, running, waiting; /* tasks in those states */
	struct err *failure;            /* the first */
};

struct task *solve_task(const struct solve_result *r, const struct node *n);
bool task_is_source(const struct task *t);
/* A FILE node's local input is read in place, never fetched. */
bool input_is_read_in_place(const struct node *n, size_t i);

/* plan.c: pin sources, compute keys, look results up from the targets down, mark what must run. */
MUST_USE struct err *solve_plan(struct solve *s, struct node *const *targets, size_t count);
/* Is the result for the task's key known and usable? */
MUST_USE struct err *task_lookup(struct solve *s, struct task *t, bool *hit);
bool task_may_use_cache(const struct solve *s, const struct task *t);

/* schedule.c: run what is marked. */
MUST_USE struct err *solve_schedule(struct solve *s);

/* run_task.c: one task, inputs finished: early cutoff or run, then record. */
MUST_USE struct err *task_run(struct solve *s, struct task *t);

void task_emit(const struct solve *s, const struct task *t, struct event e);
/* Tell that t failed (or was stopped); returns e, with t's place around it. */
MUST_USE struct err *task_failed(const struct solve *s, const struct task *t, struct err *e, int64_t took);
struct step_io task_io(const struct solve *s, const struct task *t);
