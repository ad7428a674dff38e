/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building what a container.py describes: its build() runs in a Python process of its own, against a session
 * of this process. Threads: any.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "engine/evaluate.h"

struct pipeline_request {
	/* The repository: its work tree, or a commit of it. */
	const char *root;    /* absolute work tree; or */
	const char *git_dir; /* repository ... */
	const char *commit;  /* ... at this commit, 40 hex */
	const char *file;    /* container.py, relative to the repository's root */
	const char *const
		*helpers; /* folders for the import path, relative to the root; those that are there count */
	const char *platform;      /* NULL: this machine's */
	const char *const *labels; /* "K=V" */
	const char *const *annotations;
	int64_t created; /* ns */
	bool no_cache;
	unsigned jobs;
	enum pull_policy pull;
	enum codec codec;
	struct evaluation *evaluated; /* as in build_request */
	struct event_stream *events;
	/* What build() prints, and the traceback of an error in it, become lines of events; else they go to
	 * our standard output and error. */
	bool print_events;
	const struct cancel *cancel;
};

/* As engine_build. */
MUST_USE struct err *pipeline_build(
	struct engine *e, const struct pipeline_request *rq, struct build_result *out);

/* What that would be made from; the platform, labels and annotations count. build() runs, and of the steps
 * those that it waits for (an output, a file's contents). */
MUST_USE struct err *pipeline_evaluate(
	struct engine *e, const struct pipeline_request *rq, struct evaluation *out);

/* A fresh token for a session. Caller frees. */
MUST_USE struct err *session_token(char **out);
/* Our environment with the session's port and token, appended. */
void session_environment(unsigned port, const char *token, struct strvec *out);
