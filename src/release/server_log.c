/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a job's log from the server, and going on where a connection was cut. */
#include "base/clock.h"
#include "base/mem.h"
#include "release/server_client_internal.h"

#include <poll.h>

#define GIVE_UP_AFTER (600 * CLOCK_SECOND)
#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 5000

struct reading {
	struct server_client *client;
	const struct run_log_request *rq;
	uint64_t offset;
	bool heard;          /* since the last connection was made */
	struct err *failure; /* of the sink: not to be tried again */
};

static struct err *pass_on(void *ctx, const void *p, size_t len)
{
	struct reading *r = ctx;
	r->failure = r->rq->sink(r->rq->ctx, str_n(p, len));
	if (r->failure)
		return err_new(ERR_CANCELED, "the reader stopped");
	r->offset += len;
	r->heard = true;
	return NULL;
}

static struct err *read_once(struct reading *r)
{
	AUTO(http_response_fini) struct http_response answer = {0};
	AUTO_FREE char *path = mem_printf("/runs/%lld/jobs/%u/log?offset=%llu%s", (long long)r->rq->number,
		r->rq->index, (unsigned long long)r->offset, r->rq->follow ? "&follow=1" : "");
	const struct server_call call = {.method = "GET",
		.path = path,
		.patient = true,
		.cancel = r->rq->cancel,
		.write_body = pass_on,
		.write_ctx = r};
	struct err *e = server_send(r->client, &call, &answer);
	if (r->failure) {
		err_free(e);
		return steal(&r->failure);
	}
	TRY(e);
	return answer.status == 200 ? NULL : server_answer_error(r->client, &answer);
}

static struct err *get_job(struct reading *r, struct job *out)
{
	AUTO(run_fini) struct run run = {0};
	TRY(server_get_run(r->client, r->rq->number, &run));
	if (r->rq->index >= run.jobs.len)
		return err_new(ERR_NOT_FOUND, "run %lld has %zu job%s, from 0 on: there is no job %u",
			(long long)r->rq->number, run.jobs.len, plural(run.jobs.len), r->rq->index);
	struct job *j = vec_at(&run.jobs, r->rq->index);
	*out = *j;
	*j = (struct job){0};
	return NULL;
}

static struct err *never_began(const struct reading *r, const struct job *j)
{
	return err_new(ERR_NOT_FOUND, "run %lld, job %u never began, so it has no log: %s",
		(long long)r->rq->number, r->rq->index, j->error ? j->error : job_status_name(j->status));
}

/* A job that has not begun has no log. */
static struct err *check_begun(struct reading *r)
{
	AUTO(job_fini) struct job j = {0};
	TRY(get_job(r, &j));
	if (j.started || j.log_size)
		return NULL;
	if (job_status_is_final(j.status))
		return never_began(r, &j);
	if (r->rq->follow)
		return NULL;
	return err_hint(err_new(ERR_NOT_FOUND, "run %lld, job %u has not begun: there is no log yet",
				(long long)r->rq->number, r->rq->index),
		"-f waits for it");
}

/* Something between the server and here may end an answer as if it were whole. */
static struct err *is_all(struct reading *r, bool *out)
{
	AUTO(job_fini) struct job j = {0};
	TRY(get_job(r, &j));
	*out = job_status_is_final(j.status) && r->offset >= j.log_size;
	return *out && !j.log_size && !j.started ? never_began(r, &j) : NULL;
}

static bool may_pass(const struct err *e)
{
	return err_kind(e) == ERR_UNAVAILABLE || err_kind(e) == ERR_TIMEOUT;
}

static void pause_for(const struct cancel *cancel, int ms)
{
	struct pollfd p = {.fd = cancel_fd(cancel), .events = POLLIN};
	(void)poll(&p, 1, ms);
}

static struct err *follow(struct reading *r)
{
	int64_t good = clock_monotonic();
	int wait = RETRY_FIRST_MS;
	bool all = false;
	while (!all) {
		TRY(cancel_check(r->rq->cancel));
		r->heard = false;
		struct err *e = read_once(r);
		if (!e)
			e = is_all(r, &all);
		if (!e || r->heard) {
			good = clock_monotonic();
			wait = RETRY_FIRST_MS;
		}
		if (!e)
			continue;
		if (!may_pass(e) || clock_monotonic() - good > GIVE_UP_AFTER)
			return e;
		err_ignore(e, "the server is asked again from there on");
		pause_for(r->rq->cancel, wait);
		wait = wait * 2 < RETRY_MAX_MS ? wait * 2 : RETRY_MAX_MS;
	}
	return NULL;
}

struct err *server_log(struct server_client *c, const struct run_log_request *rq)
{
	struct reading r = {.client = c, .rq = rq};
	TRY(check_begun(&r));
	return rq->follow ? follow(&r) : read_once(&r);
}
