/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "cooper runner": takes jobs from a server, builds them from a clean checkout of the configured git remote,
 * and pushes. docs/server.md says how it behaves when things break.
 *
 * A bare mirror of the remote is kept in $COOPER_HOME/mirrors/<sha256 of its address>.git; checkouts are
 * scratch of the store.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "release/server_client.h"
#include "release/work.h"

#include <stdbool.h>
#include <stdint.h>

struct runner_options {
	struct engine *engine;
	const char *server; /* its address */
	const char *name;
	const char *const *labels; /* NULL-terminated, one at least */
	const char *git;           /* address of the remote, as git takes it */
	const char *repository; /* what the server calls it; NULL: as git's address is shown to everybody */
	bool once;              /* take one job, then end */
	unsigned jobs;          /* at once; 0: 1 */
	int64_t grace;          /* ns a job may go on after cancel was set; then it is given back */
	bool allow_insecure;    /* as in build_request */
	const struct job_text *text;
	/* A line for the operator, from one thread at a time. */
	void (*say)(void *ctx, const char *line);
	void *say_ctx;
	const struct cancel *cancel;
};
/*
 * Works until cancel is set (success), or the server refuses the token (ERR_DENIED). once: an error when the
 * job did not succeed, with its text. $COOPER_TOKEN is taken out of the environment.
 */
MUST_USE struct err *runner_run(const struct runner_options *opt);
