/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a job's log from the server, and going on where a connection was cut. */
#include "base/clock.h"
#include "base/mem.h"
#include "release/server_client_internal.h"

#include <poll.h>
#include <stdio.h>

#define GIVE_UP_AFTER (600 * CLOCK_SECOND)
#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 5000

struct reading {
	const struct log_sink *sink;
	uint64_t offset;
	bool heard;          /* since the last connection was made */
	struct err *failure; /* of the sink: not to be tried again */
};

static struct err *pass_on(void *ctx, const void *p, size_t len)
{
	struct reading *r = ctx;
	r->failure = r->sink->write(r->sink->ctx, str_n(p, len));
	if (r->failure)
		return err_new(ERR_CANCELED, "the reader stopped");
	r->offset += len;
	r->heard = true;
	return NULL;
}

static struct err *read_once(
	struct server_client *c, int64_t number, uint32_t index, bool follow, struct reading *r)
{
	AUTO(http_response_fini) struct http_response answer = {0};
	AUTO_FREE char *path = mem_printf("/runs/%lld/jobs/%u/log?offset=%llu%s", (long long)number, index,
		(unsigned long long)r->offset, follow ? "&follow=1" : "");
	const struct server_call call = {
		.method = "GET", .path = path, .patient = true, .write_body = pass_on, .write_ctx = r};
	struct err *e = server_send(c, &call, &answer);
	if (r->failure) {
		err_free(e);
		return steal(&r->failure);
	}
	TRY(e);
	return answer.status == 200 ? NULL : server_answer_error(c, &answer);
}

struct err *server_read_log(
	struct server_client *c, int64_t number, uint32_t index, const struct log_sink *sink)
{
	struct reading r = {.sink = sink};
	return read_once(c, number, index, false, &r);
}

/* Something between the server and here may end an answer as if it were whole. */
static struct err *is_all(struct server_client *c, int64_t number, uint32_t index, uint64_t offset, bool *out)
{
	AUTO(run_fini) struct run run = {0};
	TRY(server_get_run(c, number, &run));
	if (index >= run.jobs.len)
		return err_new(ERR_NOT_FOUND, "run %lld has no job %u", (long long)number, index);
	const struct job *j = vec_at(&run.jobs, index);
	*out = job_status_is_final(j->status) && offset >= j->log_size;
	return NULL;
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

struct err *server_follow_log(struct server_client *c, int64_t number, uint32_t index,
	const struct log_sink *sink, struct event_stream *events)
{
	struct reading r = {.sink = sink};
	int64_t good = clock_monotonic();
	int wait = RETRY_FIRST_MS;
	bool told = false, all = false;
	while (!all) {
		TRY(cancel_check(c->cancel));
		r.heard = false;
		struct err *e = read_once(c, number, index, true, &r);
		if (!e)
			e = is_all(c, number, index, r.offset, &all);
		if (!e || r.heard) {
			good = clock_monotonic();
			wait = RETRY_FIRST_MS;
			told = false;
		}
		if (!e)
			continue;
		if (!may_pass(e) || clock_monotonic() - good > GIVE_UP_AFTER)
			return e;
		AUTO_FREE char *text = err_text(e);
		err_free(e);
		/* A server that is restarted cuts all its answers: one try may fail without a word. */
		if (!told && wait > RETRY_FIRST_MS) {
			event_warn(events, (struct source_range){0}, "%s; trying again", text);
			told = true;
		}
		pause_for(c->cancel, wait);
		wait = wait * 2 < RETRY_MAX_MS ? wait * 2 : RETRY_MAX_MS;
	}
	return NULL;
}
