/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cooper server as its clients see it: runs, logs, and what runners say (docs/openapi.json).
 * Threads: a client may be shared; calls block.
 * Errors: name the server. ERR_DENIED (token), ERR_NOT_FOUND, ERR_EXISTS ("lost" where a lease is shown),
 * ERR_INVALID; ERR_UNAVAILABLE and ERR_TIMEOUT are worth a retry, which only server_log makes by itself.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "release/run_source.h"
#include "release/runs.h"

#include <stdbool.h>
#include <stdint.h>

struct server_client;

/*
 * url: "https://cooper.example". The token is $COOPER_TOKEN, else what "cooper login" keeps for the host;
 * none is fine where the server is open. CA and the like are those that the machine's settings have for the
 * host. cancel (may be NULL) ends all calls. Nothing is sent yet.
 */
MUST_USE struct err *server_client_new(
	struct engine *e, const char *url, const struct cancel *cancel, struct server_client **out);
void server_client_free(struct server_client *c);
void server_client_freep(struct server_client **c);
/* Borrowed. "host[:port]" as in references; the token, NULL if there is none. */
const char *server_client_host(const struct server_client *c);
const char *server_client_token(const struct server_client *c);

/* ---- clients ---- */

/* spec as for runs_add. */
MUST_USE struct err *server_add_run(struct server_client *c, const struct run *spec, int64_t *number);
MUST_USE struct err *server_list_runs(struct server_client *c, int64_t before, size_t limit, struct vec *out);
MUST_USE struct err *server_get_run(struct server_client *c, int64_t number, struct run *out);
MUST_USE struct err *server_cancel_run(struct server_client *c, int64_t number);

/* A job's log. To follow it takes any number of connections: a server that does not answer is asked again for
 * ten minutes. */
MUST_USE struct err *server_log(struct server_client *c, const struct run_log_request *rq);

/* ---- runners ---- */

struct server_claim {
	const char *runner, *repository; /* repository NULL: any */
	const char *const *labels;
	unsigned wait_s; /* the server waits so long for a job */
};
/* *lease_time is the server's; ns. */
MUST_USE struct err *server_claim(struct server_client *c, const struct server_claim *claim,
	struct claimed_job *out, int64_t *lease_time, bool *found);
MUST_USE struct err *server_heartbeat(
	struct server_client *c, const struct claimed_job *job, bool *cancel_asked);
/* offset and *size are of this holder's log; *size is also set when bytes before offset are missing
 * (success).
 */
MUST_USE struct err *server_append_log(struct server_client *c, const struct claimed_job *job,
	uint64_t offset, struct str bytes, uint64_t *size);
MUST_USE struct err *server_finish(
	struct server_client *c, const struct claimed_job *job, const struct job_result *result);
MUST_USE struct err *server_give_back(struct server_client *c, const struct claimed_job *job);
