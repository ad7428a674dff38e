/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a job's log: a part of what there is, or all from an offset on until the job has ended. */
#include "base/clock.h"
#include "base/mem.h"
#include "http/range.h"
#include "server/api_internal.h"

#include <stdio.h>

#define LOOK_EVERY (2 * CLOCK_SECOND)

/* An answer on its way. */
struct log_stream {
	const struct api *api;
	const struct http_exchange *x; /* for its peer and token */
	unsigned scopes;
	int64_t job;
	uint64_t offset, end;
	bool follow;
};

static void stream_done(void *ctx)
{
	mem_freep(&ctx);
}

/* *len 0 at the end. An error cuts the answer: so a follower knows that this is not the log's end. */
static struct err *stream_next(void *ctx, void *p, size_t *len)
{
	struct log_stream *s = ctx;
	size_t room = *len;
	for (;;) {
		uint64_t seen = runs_seen(s->api->runs), left = s->end - s->offset;
		bool finished = false, permitted = true;
		*len = left < room ? left : room;
		if (!*len)
			return NULL;
		TRY(runs_log_read(s->api->runs, s->job, s->offset, p, len, &finished));
		s->offset += *len;
		if (*len || finished || !s->follow)
			return NULL;
		if (cancel_is_set(s->api->stopping))
			return err_new(ERR_CANCELED, "the server stops");
		if (api_peer_gone(s->x))
			return err_new(ERR_CANCELED, "the reader went away");
		TRY(api_still_may(s->api, s->x, s->scopes, &permitted));
		if (!permitted)
			return err_new(ERR_CANCELED, "the reader's token is not valid any more");
		runs_wait(s->api->runs, seen, LOOK_EVERY, s->api->stopping);
	}
}

static struct err *get_flag(const struct http_exchange *x, const char *name, bool *out)
{
	uint64_t n = 0;
	TRY(api_query_number(x, name, 0, 1, &n));
	*out = n == 1;
	return NULL;
}

static void set_content_range(struct http_exchange *x, uint64_t from, uint64_t length, uint64_t size)
{
	AUTO_FREE char *text = mem_printf("bytes %llu-%llu/%llu", (unsigned long long)from,
		(unsigned long long)(from + length - 1), (unsigned long long)size);
	http_set_header(x, "Content-Range", text);
}

static void refuse_range(struct http_exchange *x, uint64_t size)
{
	AUTO_FREE char *text = mem_printf("bytes */%llu", (unsigned long long)size);
	http_set_header(x, "Content-Range", text);
	api_error(x, 416, NULL, "the log has %llu bytes", (unsigned long long)size);
}

static void send_log(struct api_call *c, int status, const struct log_stream *how)
{
	struct http_exchange *x = c->x;
	http_set_header(x, "Content-Type", "text/plain; charset=utf-8");
	http_set_header(x, "Cache-Control", "no-store");
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	/* Proxies that collect an answer first would make a live log anything but. */
	if (how->follow)
		http_set_header(x, "X-Accel-Buffering", "no");
	if (cstr_eq(http_method(x), "HEAD")) {
		http_answer_head(x, status, how->follow ? 0 : how->end - how->offset);
		return;
	}
	struct log_stream *s = mem_new(struct log_stream);
	*s = *how;
	http_answer_stream(x, status, stream_next, stream_done, s);
}

struct err *api_log_read(struct api_call *c)
{
	AUTO(job_fini) struct job job = {0};
	struct log_stream s = {.api = c->api, .x = c->x, .scopes = c->route->scopes};
	uint64_t length = 0;
	int status = 200;
	TRY(get_flag(c->x, "follow", &s.follow));
	TRY(api_query_number(c->x, "offset", 0, INT64_MAX, &s.offset));
	TRY(runs_get_job(c->api->runs, c->path.run, c->path.index, &job));
	if (job.log_gone)
		return err_new(ERR_NOT_FOUND, "the log of run %lld, job %u is not kept any more",
			(long long)job.run, job.index);
	s.job = job.id;
	s.end = s.follow ? UINT64_MAX : job.log_size;
	if (s.offset > job.log_size) {
		refuse_range(c->x, job.log_size);
		return NULL;
	}
	if (!s.follow && !http_query(c->x, "offset")) {
		enum range_result r =
			range_parse(http_header(c->x, "Range"), job.log_size, &s.offset, &length);
		if (r == RANGE_UNSATISFIABLE) {
			refuse_range(c->x, job.log_size);
			return NULL;
		}
		if (r == RANGE_PART) {
			s.end = s.offset + length;
			set_content_range(c->x, s.offset, length, job.log_size);
			status = 206;
		}
	}
	http_set_header(c->x, "Accept-Ranges", "bytes");
	send_log(c, status, &s);
	return NULL;
}
