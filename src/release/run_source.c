/* SPDX-License-Identifier: Apache-2.0 */
#include "release/run_source.h"

#include "base/clock.h"
#include "base/mem.h"

#define PIECE (64u << 10)

void run_source_close(struct run_source *s)
{
	if (s->close)
		s->close(s->ctx);
	*s = (struct run_source){0};
}

static struct err *local_list(void *ctx, int64_t before, size_t limit, struct vec *out)
{
	return runs_list(ctx, before, limit, out);
}

static struct err *local_get(void *ctx, int64_t number, struct run *out)
{
	return runs_get(ctx, number, out);
}

static struct err *local_cancel(void *ctx, int64_t number)
{
	return runs_cancel(ctx, number);
}

static void local_close(void *ctx)
{
	runs_close(ctx);
}

/* A job that has not begun is waited for; one that never will has no log. */
static struct err *begun(struct runs *r, const struct run_log_request *rq, struct job *out)
{
	for (;;) {
		AUTO(job_fini) struct job j = {0};
		uint64_t seen = runs_seen(r);
		TRY(runs_get_job(r, rq->number, rq->index, &j));
		if (j.started || j.log_size) {
			*out = j;
			j = (struct job){0};
			return NULL;
		}
		if (job_status_is_final(j.status))
			return err_new(ERR_NOT_FOUND, "run %lld, job %u never began, so it has no log: %s",
				(long long)rq->number, rq->index,
				j.error ? j.error : job_status_name(j.status));
		if (!rq->follow)
			return err_hint(
				err_new(ERR_NOT_FOUND, "run %lld, job %u has not begun: there is no log yet",
					(long long)rq->number, rq->index),
				"-f waits for it");
		TRY(cancel_check(rq->cancel));
		runs_wait(r, seen, CLOCK_SECOND, rq->cancel);
	}
}

static struct err *local_log(void *ctx, const struct run_log_request *rq)
{
	AUTO(job_fini) struct job j = {0};
	AUTO_FREE char *piece = mem_alloc(PIECE);
	uint64_t at = 0;

	TRY(begun(ctx, rq, &j));
	for (;;) {
		size_t len = PIECE;
		bool finished = false;
		uint64_t seen = runs_seen(ctx);
		TRY(cancel_check(rq->cancel));
		TRY(runs_log_read(ctx, j.id, at, piece, &len, &finished));
		if (len)
			TRY(rq->sink(rq->ctx, str_n(piece, len)));
		else if (finished || !rq->follow)
			return NULL;
		else
			runs_wait(ctx, seen, CLOCK_SECOND, rq->cancel);
		at += len;
	}
}

struct err *run_source_local(struct engine *e, struct run_source *out)
{
	struct runs *r = NULL;

	TRY(runs_open(engine_home(e), &r));
	*out = (struct run_source){
		.ctx = r,
		.list = local_list,
		.get = local_get,
		.cancel = local_cancel,
		.log = local_log,
		.close = local_close,
	};
	return NULL;
}
