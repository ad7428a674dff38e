/* SPDX-License-Identifier: Apache-2.0 */
/* Where runs are read from: the queue of this machine's store, or a server. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/engine.h"
#include "release/runs.h"

struct run_log_request {
	int64_t number;
	uint32_t index;
	bool follow; /* until the job has ended; else what there is */
	/* Gets the bytes in order. Its error ends the call and is returned. */
	struct err *(*sink)(void *ctx, struct str bytes);
	void *ctx;
	const struct cancel *cancel; /* ERR_CANCELED */
};

struct run_source {
	void *ctx;
	/* As runs_list, runs_get and runs_cancel. */
	struct err *(*list)(void *ctx, int64_t before, size_t limit, struct vec *out);
	struct err *(*get)(void *ctx, int64_t number, struct run *out);
	struct err *(*cancel)(void *ctx, int64_t number);
	/* ERR_NOT_FOUND says whether there is no such job, no log yet, never will be one, or none any more.
	 */
	struct err *(*log)(void *ctx, const struct run_log_request *rq);
	void (*close)(void *ctx);
};
void run_source_close(struct run_source *s); /* for AUTO; zeroed is fine */

MUST_USE struct err *run_source_local(struct engine *e, struct run_source *out);
/* server: URL. */
MUST_USE struct err *run_source_server(struct engine *e, const char *server, struct run_source *out);
