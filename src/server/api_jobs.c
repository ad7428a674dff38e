/* SPDX-License-Identifier: Apache-2.0 */
/* What runners say: claim, heartbeat, log, result. Who holds a job shows its lease in a header of its own, so
 * that no address or log of a proxy holds it. */
#include "base/clock.h"
#include "release/run_json.h"
#include "server/api_body.h"
#include "server/api_internal.h"

#include <poll.h>
#include <string.h>

#define LEASE_HEADER "Cooper-Lease"
/* Leases that end, and peers that go away, announce nothing. */
#define LOOK_EVERY (2 * CLOCK_SECOND)

bool api_peer_gone(const struct http_exchange *x)
{
	struct pollfd p = {.fd = http_socket(x), .events = POLLRDHUP};
	return p.fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static struct err *get_lease(const struct api_call *c, const char **lease)
{
	const char *text = http_header(c->x, LEASE_HEADER);
	if (!text || !*text || strlen(text) >= RUN_LEASE_MAX)
		return err_new(ERR_INVALID, "the header " LEASE_HEADER " with the job's lease is missing");
	*lease = text;
	return NULL;
}

/* Found or not within the time; nothing when the server stops, when nobody would get it, or when who asks may
 * no longer. */
static struct err *wait_for_job(struct api_call *c, const struct claim_request *rq, struct claimed_job *job,
	bool *found, bool *permitted)
{
	struct runs *runs = c->api->runs;
	const struct cancel *stopping = c->api->stopping;
	const struct run_claim claim = {
		.runner = rq->runner,
		.via = RUN_VIA_SERVER,
		.repository = rq->repository,
		.labels = strvec_list(&rq->labels),
		.lease_time = c->api->lease_time,
	};
	int64_t end = clock_monotonic() + rq->wait;
	*found = false;
	while (!cancel_is_set(stopping) && !api_peer_gone(c->x)) {
		uint64_t seen = runs_seen(runs);
		TRY(api_still_may(c->api, c->x, c->route->scopes, permitted));
		if (!*permitted)
			break;
		TRY(runs_claim(runs, &claim, job, found));
		int64_t left = end - clock_monotonic();
		if (*found || left <= 0)
			break;
		runs_wait(runs, seen, left < LOOK_EVERY ? left : LOOK_EVERY, stopping);
	}
	return NULL;
}

struct err *api_job_claim(struct api_call *c)
{
	AUTO(claim_request_fini) struct claim_request rq = {0};
	AUTO(claimed_job_fini) struct claimed_job job = {0};
	bool found = false, permitted = true;
	TRY(body_claim(c->json, &rq));
	TRY(wait_for_job(c, &rq, &job, &found, &permitted));
	if (!permitted) {
		api_error(c->x, 401, NULL, "the token is not valid any more");
		return NULL;
	}
	if (!found) {
		api_reply_empty(c->x, 204);
		return NULL;
	}
	AUTO_JSON json_t *o = json_object();
	json_object_set_new(o, "job", job_to_json(&job.job));
	json_object_set_new(o, "run", run_to_json(&job.run));
	json_set_text(o, "lease", job.lease);
	json_object_set_new(o, "lease_seconds", json_integer(c->api->lease_time / CLOCK_SECOND));
	json_object_set_new(o, "log_base", json_integer((json_int_t)job.log_base));
	api_reply(c->x, 200, o);
	return NULL;
}

struct err *api_job_heartbeat(struct api_call *c)
{
	const char *lease = NULL;
	bool cancel_asked = false;
	TRY(get_lease(c, &lease));
	TRY(runs_heartbeat(c->api->runs, c->path.job, lease, c->api->lease_time, &cancel_asked));
	AUTO_JSON json_t *o = json_object();
	json_object_set_new(o, "cancel", json_boolean(cancel_asked));
	api_reply(c->x, 200, o);
	return NULL;
}

static void reply_size(struct api_call *c, uint64_t size, struct err *gap)
{
	AUTO_JSON json_t *o = json_object();
	json_object_set_new(o, "size", json_integer((json_int_t)size));
	if (gap) {
		json_t *error = json_object();
		json_set_text(error, "message", err_message(gap));
		json_object_set_new(o, "error", error);
	}
	api_reply(c->x, gap ? 416 : 200, o);
	err_free(gap);
}

struct err *api_job_log(struct api_call *c)
{
	const char *lease = NULL;
	uint64_t offset = UINT64_MAX, size = 0;
	TRY(get_lease(c, &lease));
	TRY(api_query_number(c->x, "offset", 0, RUN_LOG_MAX, &offset));
	if (offset == UINT64_MAX)
		return err_new(ERR_INVALID, "the query parameter offset is missing");
	struct err *e = runs_log_append(c->api->runs, c->path.job, lease, offset, buf_str(&c->body), &size);
	if (e && err_kind(e) != ERR_INVALID)
		return e;
	reply_size(c, size, e);
	return NULL;
}

struct err *api_job_result(struct api_call *c)
{
	AUTO(job_result_fini) struct job_result result = {0};
	const char *lease = NULL;
	TRY(get_lease(c, &lease));
	TRY(body_result(c->json, &result));
	TRY(runs_finish(c->api->runs, c->path.job, lease, &result));
	api_reply_empty(c->x, 204);
	return NULL;
}

struct err *api_job_return(struct api_call *c)
{
	const char *lease = NULL;
	TRY(get_lease(c, &lease));
	TRY(runs_give_back(c->api->runs, c->path.job, lease));
	api_reply_empty(c->x, 204);
	return NULL;
}
