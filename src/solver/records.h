/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the solver remembers in the store.
 *   cache/<key>             {"layers":[id...]}                              a definition key's result
 *   op/<op digest>/<key>    {"inputs":[{"layers":[...]}|{"digest":"..."}],"layers":[...]}  the same by
 * operation, for early cutoff Both spaces are evictable. Threads: any.
 */
#pragma once

#include "solver/executor.h"
#include "store/store.h"

/* What one input of a recorded run was: a snapshot, or the digest of what was read of a local directory. */
struct recorded_input {
	struct snapshot snapshot;
	struct digest digest; /* set for local inputs */
};

struct recorded_run {
	struct snapshot result;
	struct vec inputs; /* of struct recorded_input */
};
void recorded_run_fini(struct recorded_run *r);

/* *found false when absent or unreadable (an older form is a miss, not an error). */
MUST_USE struct err *record_get(struct store *s, const struct digest *key, struct snapshot *out, bool *found);
/* Both records in one transaction. op names the operation (salted, where a solve is). */
MUST_USE struct err *record_put(
	struct store *s, const struct digest *op, const struct digest *key, const struct recorded_run *run);
/* Earlier runs of the operation, at most max; vec of struct recorded_run. */
MUST_USE struct err *record_candidates(struct store *s, const struct digest *op, size_t max, struct vec *out);
