/* SPDX-License-Identifier: Apache-2.0 */
/* Doing one claimed job: plan again at its commit, build, publish. The same for the process that was asked, a
 * process in the background, and a runner on another machine. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "engine/engine.h"
#include "release/release.h"
#include "release/runs.h"
#include "repo/repo.h"

#include <stdio.h>

/* What turns a job's events into the text of its log; who prints implements it. */
struct job_text {
	/* *events: what the job emits into; lines go to log, which stays open until close. *state is the
	 * implementation's. job is borrowed until close. */
	struct err *(*open)(void *ctx, const struct claimed_job *job, FILE *log, struct event_stream **events,
		void **state);
	/* e: why it failed, borrowed; NULL if it did not. file_text: of the Dockerfile, may be NULL. */
	void (*close)(void *ctx, void *state, const struct err *e, const char *file_text);
	void *ctx;
};

struct job_work {
	struct repo *repo; /* holds the commit */
	const struct claimed_job *job;
	/* What it was planned as, when that is known: the only way for a changed work tree. NULL: planned
	 * again at the commit, which then counts as pushed unless force is set (as in release_request). */
	const struct release_plan *plan;
	bool force, allow_insecure;
	int64_t begun; /* clock_monotonic of its begin; 0: now */
	/* "host:port": where images of the default registry are pushed to; NULL: this process's store. */
	const char *own_registry;
	FILE *log; /* gets the whole log, failure included */
	const struct job_text *text;
	/* Asked right before anything is published; an error stops it. May be NULL. */
	struct err *(*may_publish)(void *ctx);
	void *may_publish_ctx;
	const struct cancel *cancel;
};
/*
 * *out says how it ended, also when the job failed: then the error is in out->error and in the log. An error
 * is returned only when the job could not be judged at all. What is built must have the very reference that
 * the job names: else it fails. Caller calls job_result_fini.
 */
MUST_USE struct err *job_execute(struct engine *e, const struct job_work *w, struct job_result *out);
