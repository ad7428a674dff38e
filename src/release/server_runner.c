/* SPDX-License-Identifier: Apache-2.0 */
/* What a runner says to the server. */
#include "base/mem.h"
#include "release/run_json.h"
#include "release/server_client_internal.h"

#include <stdlib.h>

struct err *server_claim(struct server_client *c, const struct server_claim *claim, struct claimed_job *out,
	int64_t *lease_time, bool *found)
{
	AUTO_JSON json_t *o = json_object(), *answer = NULL;
	json_set_text(o, "runner", claim->runner);
	json_set_text(o, "repository", claim->repository);
	json_object_set_new(o, "labels", json_from_strings(claim->labels));
	json_object_set_new(o, "wait_seconds", json_integer(claim->wait_s));
	AUTO_FREE char *body = json_dump(o, false);
	const struct server_call call = {
		.method = "POST", .path = "/jobs/claim", .body = str_c(body), .patient = true};
	int status = 0;
	TRY(server_ask(c, &call, &status, &answer));
	*found = status == 200;
	return *found ? claimed_from_json(answer, c->base, out, lease_time) : NULL;
}

static char *job_path(const struct claimed_job *job, const char *verb)
{
	return mem_printf("/jobs/%lld/%s", (long long)job->job.id, verb);
}

struct err *server_heartbeat(struct server_client *c, const struct claimed_job *job, bool *cancel_asked)
{
	AUTO_JSON json_t *answer = NULL;
	AUTO_FREE char *path = job_path(job, "heartbeat");
	const struct server_call call = {.method = "POST", .path = path, .lease = job->lease};
	TRY(server_ask(c, &call, NULL, &answer));
	bool asked = false;
	TRY(json_get_bool(answer, "cancel", c->base, &asked));
	*cancel_asked = asked;
	return NULL;
}

struct err *server_append_log(struct server_client *c, const struct claimed_job *job, uint64_t offset,
	struct str bytes, uint64_t *size)
{
	AUTO_JSON json_t *answer = NULL;
	AUTO_FREE char *path =
		mem_printf("/jobs/%lld/log?offset=%llu", (long long)job->job.id, (unsigned long long)offset);
	const struct server_call call = {.method = "POST",
		.path = path,
		.lease = job->lease,
		.body = bytes,
		.plain = true,
		.also = 416};
	int64_t now = -1;
	TRY(server_ask(c, &call, NULL, &answer));
	TRY(json_get_int(answer, "size", c->base, &now));
	if (now < 0 || (uint64_t)now > offset + bytes.len)
		return err_new(ERR_INVALID, "server %s: it does not say how much of the log it has", c->base);
	*size = (uint64_t)now;
	return NULL;
}

struct err *server_finish(
	struct server_client *c, const struct claimed_job *job, const struct job_result *result)
{
	AUTO_JSON json_t *o = json_object();
	AUTO_FREE char *path = job_path(job, "result");
	json_set_text(o, "status", job_status_name(result->status));
	json_set_text(o, "digest", result->digest);
	json_set_text(o, "inputs", result->inputs);
	json_set_text(o, "error", result->error);
	json_object_set_new(o, "already", json_boolean(result->already));
	AUTO_FREE char *body = json_dump(o, false);
	const struct server_call call = {
		.method = "POST", .path = path, .lease = job->lease, .body = str_c(body)};
	return server_ask(c, &call, NULL, NULL);
}

struct err *server_give_back(struct server_client *c, const struct claimed_job *job)
{
	AUTO_FREE char *path = job_path(job, "return");
	const struct server_call call = {.method = "POST", .path = path, .lease = job->lease};
	return server_ask(c, &call, NULL, NULL);
}
