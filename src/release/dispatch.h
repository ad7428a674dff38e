/* SPDX-License-Identifier: Apache-2.0 */
/* Queueing runs at a server (cooper.yaml, "server"), where runners take their jobs. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "release/runs.h"

struct dispatch_request {
	const char *server;     /* URL */
	const struct run *spec; /* as release_plan_run makes it */
	const struct cancel *cancel;
};
/* *number is the run's at the server; *url (caller frees) where people find it, NULL when it does not say. */
MUST_USE struct err *dispatch_server(
	struct engine *e, const struct dispatch_request *rq, int64_t *number, char **url);
