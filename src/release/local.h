/* SPDX-License-Identifier: Apache-2.0 */
/* Runs via local: making one of a plan, and working it off in the process that holds it. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "release/release.h"
#include "release/runs.h"
#include "release/work.h"

/* The plan as what is queued, here or at a server; ref as the user said it (NULL: HEAD). Caller calls
 * run_fini. */
void release_plan_run(const struct release_plan *p, const char *ref, enum run_via via, struct run *out);

struct local_work {
	struct runs *runs;
	int64_t number; /* a run that this process added or took over */
	struct repo *repo;
	const struct release_plan *plan; /* as in job_work */
	bool force, allow_insecure;      /* likewise */
	const struct job_text *text;
	/* Another run is publishing what comes next; may be NULL. */
	void (*on_wait)(void *ctx, const struct job *j);
	void *ctx;
	const struct cancel *cancel; /* its jobs end as cancelled */
};
/* Returns when all jobs of the run have ended, in whatever way: runs_get tells. An error is one of the queue.
 */
MUST_USE struct err *local_work_off(struct engine *e, const struct local_work *w);

/* For who cannot begin: the run's jobs that wait fail for why, and their logs say so. */
MUST_USE struct err *local_give_up(struct runs *r, int64_t number, const struct err *why);

/* A job's log as a stream: what is written is in the queue's log at the latest when it is flushed. */
struct run_log;
MUST_USE struct err *run_log_open(
	struct runs *r, const struct claimed_job *job, struct run_log **out, FILE **stream);
/* Closes the stream; the first error of a write. */
MUST_USE struct err *run_log_close(struct run_log *l);
