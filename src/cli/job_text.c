/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/job_text.h"

#include "base/mem.h"
#include "cli/render.h"

struct open_text {
	const struct claimed_job *job;
	FILE *file;
	struct display *log, *shown; /* shown NULL: nowhere */
};

static void open_text_free(struct open_text *t)
{
	display_free(t->log);
	display_free(t->shown);
	mem_freep(&t);
}

static void put_error(FILE *out, const char *before, const char *text, const struct err *e)
{
	const char *hint = err_hint_text(e);

	fprintf(out, "%s%s\n", before, text);
	if (hint)
		fprintf(out, "  %s\n", hint);
	fflush(out);
}

static struct err *open_log(
	const struct claimed_job *job, FILE *log, struct event_stream **events, struct open_text **out)
{
	struct open_text *t = mem_new(struct open_text);
	struct err *e = display_new(log, "plain", NULL, &t->log);

	t->job = job;
	t->file = log;
	if (e) {
		open_text_free(t);
		return e;
	}
	*events = display_events(t->log);
	*out = t;
	return NULL;
}

static void close_log(struct open_text *t, const struct err *e, const char *file_text)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_text(e);
	display_end(t->log);
	display_failure(t->log, e, file_text);
	put_error(t->file, "error: ", text, e);
}

static struct err *log_open(
	void *ctx, const struct claimed_job *job, FILE *log, struct event_stream **events, void **state)
{
	struct open_text *t = NULL;

	(void)ctx;
	TRY(open_log(job, log, events, &t));
	*state = t;
	return NULL;
}

static void log_close(void *ctx, void *state, const struct err *e, const char *file_text)
{
	(void)ctx;
	close_log(state, e, file_text);
	open_text_free(state);
}

struct job_text job_text_log(void)
{
	return (struct job_text){.open = log_open, .close = log_close};
}

static struct err *shown_open(
	void *ctx, const struct claimed_job *job, FILE *log, struct event_stream **events, void **state)
{
	const struct job_text_shown *s = ctx;
	struct open_text *t = NULL;

	TRY(open_log(job, log, events, &t));
	struct err *e = display_new(s->c->err, s->progress, NULL, &t->shown);
	if (e) {
		open_text_free(t);
		return e;
	}
	AUTO_FREE char *hint =
		via_command(s->via, "cooper logs %lld -j %u", (long long)job->job.run, job->job.index);
	display_set_log_hint(t->shown, hint);
	/* First what must not be lost. */
	display_listen(t->shown, *events);
	*state = t;
	return NULL;
}

static void shown_close(void *ctx, void *state, const struct err *e, const char *file_text)
{
	const struct job_text_shown *s = ctx;
	struct open_text *t = state;

	close_log(t, e, file_text);
	display_end(t->shown);
	if (e) {
		AUTO_FREE char *before = mem_printf("cooper: releasing %s: ", t->job->job.reference);
		AUTO_FREE char *text = s->c->verbose ? err_trace(e) : err_text(e);
		display_failure(t->shown, e, file_text);
		put_error(s->c->err, before, text, e);
	}
	open_text_free(t);
}

struct job_text job_text_shown(struct job_text_shown *ctx)
{
	return (struct job_text){.open = shown_open, .close = shown_close, .ctx = ctx};
}
