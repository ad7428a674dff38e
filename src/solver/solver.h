/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Solving a graph: which nodes need to run, in what order, at most so many at once, each equal one once (also
 * across processes).
 *
 * Keys. A source's key is the digest of its pin. Another node's definition key is H(op digest, keys of its
 * inputs), where an input that is a local directory counts with the content digest of the parts read. A
 * record "cache/<key>" names the resulting layers. On a miss, the op digest's earlier results ("op/<digest>")
 * are compared by the content of what was read: equal content, equal result (early cutoff). Threads: one
 * solve at a time per struct solver; several solvers may share a store and an executor.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "graph/node.h"
#include "solver/executor.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct solve_options {
	unsigned jobs;    /* steps at once; 0: number of CPUs */
	bool no_cache;    /* ignore results of EXEC and FILE nodes (sources stay cached); new results are
			     recorded */
	bool isolated;    /* neither look up nor record any result: for --twice */
	bool evaluate;    /* pin sources and compute keys only: no result is looked up, nothing is fetched or
			     run, no step is told of. The result has keys and pins, and no snapshots */
	const char *salt; /* mixed into every key but a source's: for settings that change what all steps
			     make; NULL: none */
	struct event_stream *events; /* may be NULL */
	const struct cancel *cancel; /* may be NULL */
	/* Told when a node's result is known, on a worker thread, so that layers bound for export can be
	 * packed at once. May be NULL. */
	void (*on_result)(void *ctx, const struct node *n, const struct snapshot *s);
	void *on_result_ctx;
	/* Pins to use instead of asking the executor (--locked): "definition digest text" -> struct
	 * source_pin *. May be NULL. */
	const struct map *locked;
};

struct solved_node {
	const struct node *node;
	struct snapshot snapshot;
	struct digest key;     /* the definition key with sources pinned */
	bool cached;           /* no program ran for it in this solve */
	struct source_pin pin; /* of a source; else empty */
};

struct solve_result;
/* Solve the targets (and whatever they need). The first failure cancels the rest and is returned. Caller
 * frees *out. */
MUST_USE struct err *solve(struct store *store, struct executor *ex, struct node *const *targets,
	size_t target_count, const struct solve_options *opt, struct solve_result **out);
void solve_result_free(struct solve_result *r);
void solve_result_freep(struct solve_result **r);
/* Of a target or any node that was needed; NULL if it was not. Borrowed. */
const struct solved_node *solve_result_node(const struct solve_result *r, const struct node *n);
/* All nodes that were considered, in the graph's order: for i = 0.. until NULL. Borrowed. */
const struct solved_node *solve_result_at(const struct solve_result *r, size_t i);
