/* SPDX-License-Identifier: Apache-2.0 */
/* Doing one claimed job: plan again at its commit, build, publish. The same for the process that was asked, a
 * process in the background, and a runner on another machine. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "engine/engine.h"
#include "release/runs.h"
#include "repo/repo.h"

#include <stdio.h>

/* What turns a job's events into the text of its log; who prints implements it. */
struct job_text {
	/* *events: what the job emits into; lines go to log, which stays open until close. *state is the
	 * implementation's. */
	struct err *(*open)(void *ctx, FILE *log, struct event_stream **events, void **state);
	/* e: why it failed, borrowed; NULL if it did not. file_text: of the Dockerfile, may be NULL. */
	void (*close)(void *ctx, void *state, const struct err *e, const char *file_text);
	void *ctx;
};

struct job_work {
	struct repo *repo; /* holds the commit */
	const struct claimed_job *job;
	bool no_cache, allow_insecure;
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
