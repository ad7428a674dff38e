/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/render.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/render_internal.h"
#include "dockerfile/frontend.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define TAIL_BYTES 16384

struct shown_step *display_step(struct display *d, uint32_t number)
{
	while (d->steps.len <= number)
		vec_push(&d->steps);
	return vec_at(&d->steps, number);
}

/* Nothing is kept for a build in which nothing ran. */
static void open_log(struct display *d)
{
	char when[CLOCK_TEXT_MAX], id[9];

	if (d->log || !d->log_dir)
		return;
	clock_rfc3339(clock_now(), when);
	random_hex(id, 4);
	d->log_path = mem_printf("%s/%s-%s.log", d->log_dir, when, id);
	err_ignore(dir_make_all(AT_FDCWD, d->log_dir, 0700), "without a log the build goes on");
	d->log = fopen(d->log_path, "we");
	if (d->log)
		return;
	mem_freep(&d->log_path);
	mem_freep(&d->log_dir);
}

static void keep_output(struct display *d, struct shown_step *s, struct str text)
{
	buf_addstr(&s->tail, text);
	if (s->tail.len > 2 * TAIL_BYTES)
		buf_consume(&s->tail, s->tail.len - TAIL_BYTES);
	if (d->mode != DISPLAY_TTY)
		return;
	if (!s->spool)
		s->spool = tmpfile();
	if (s->spool)
		fwrite(text.ptr, 1, text.len, s->spool);
}

static struct shown_transfer *find_transfer(struct display *d, const char *name)
{
	for (size_t i = d->transfers.len; i > 0; i--) {
		struct shown_transfer *t = vec_at(&d->transfers, i - 1);
		if (cstr_eq(t->name, name))
			return t;
	}
	return NULL;
}

static void note_progress(struct display *d, const struct event *e)
{
	struct shown_transfer *t = e->name ? find_transfer(d, e->name) : NULL;

	if (!e->name || (t && t->finished))
		return;
	if (!t) {
		t = vec_push(&d->transfers);
		t->name = mem_strdup(e->name);
		t->started = clock_monotonic();
	}
	t->done = e->done;
	t->total = e->total;
}

const struct shown_transfer *display_finished(struct display *d, const struct event *e)
{
	struct shown_transfer *t = e->type == EVENT_PROGRESS && e->name ? find_transfer(d, e->name) : NULL;

	if (!t || t->finished || !t->total || t->done < t->total)
		return NULL;
	t->finished = true;
	return t;
}

static void note_event(struct display *d, const struct event *e)
{
	struct shown_step *s = display_step(d, e->step);

	if (e->type == EVENT_PROGRESS) {
		note_progress(d, e);
		return;
	}
	if (e->name && !s->name) {
		s->name = mem_strdup(e->name);
		s->file = mem_strdup(e->where.file);
		s->where = e->where;
		s->where.file = s->file;
	}
	switch (e->type) {
	case EVENT_PLAN:
		d->total = e->total;
		break;
	case EVENT_STARTED:
		s->state = SHOWN_RUNNING;
		s->started = clock_monotonic();
		break;
	case EVENT_CACHED:
		s->state = SHOWN_CACHED;
		break;
	case EVENT_OUTPUT:
		keep_output(d, s, e->text);
		break;
	case EVENT_DONE:
		s->state = SHOWN_DONE;
		s->duration = e->duration;
		break;
	case EVENT_FAILED:
		s->state = SHOWN_FAILED;
		s->duration = e->duration;
		if (!d->failed)
			d->failed = e->step;
		break;
	case EVENT_CANCELED:
		s->state = SHOWN_CANCELED;
		break;
	case EVENT_PROGRESS:
	case EVENT_WARNING:
	case EVENT_INFO:
		break;
	}
}

void warning_text(const struct event *e, struct buf *out)
{
	buf_adds(out, "warning: ");
	if (e->where.file)
		buf_adds(out, e->where.file);
	if (e->where.file && e->where.line)
		buf_addf(out, ":%u", e->where.line);
	buf_addf(out, "%s" STR_FMT "\n", e->where.file ? ": " : "", STR_ARG(e->text));
}

static bool worth_a_log(const struct event *e)
{
	return e->type == EVENT_STARTED || e->type == EVENT_OUTPUT || e->type == EVENT_FAILED;
}

static void on_event(void *ctx, const struct event *e)
{
	struct display *d = ctx;

	pthread_mutex_lock(&d->lock);
	note_event(d, e);
	if (worth_a_log(e))
		open_log(d);
	if (d->log && e->type != EVENT_PROGRESS)
		plain_event(d->log, d, e);
	if (d->mode == DISPLAY_PLAIN) {
		plain_event(d->err, d, e);
		fflush(d->err);
	} else if (d->mode == DISPLAY_JSON) {
		AUTO_FREE char *line = event_json(e);
		fprintf(d->err, "%s\n", line);
		fflush(d->err);
	} else if (d->mode == DISPLAY_TTY) {
		tty_event(d, e);
	}
	if (e->type == EVENT_OUTPUT && e->text.len)
		display_step(d, e->step)->line_open = e->text.ptr[e->text.len - 1] != '\n';
	pthread_mutex_unlock(&d->lock);
}

/* A program in a background job that draws on the terminal is stopped by SIGTTOU. */
static bool foreground_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && tcgetpgrp(fd) == getpgrp() && term && strcmp(term, "dumb") != 0;
}

static struct err *choose_mode(FILE *err, const char *progress, enum display_mode *out)
{
	static const char *const names[] = {"tty", "plain", "json", "quiet", "auto", "rawjson", NULL};

	if (!progress || cstr_eq(progress, "auto"))
		*out = foreground_terminal(fileno(err)) ? DISPLAY_TTY : DISPLAY_PLAIN;
	else if (cstr_eq(progress, "tty"))
		*out = DISPLAY_TTY;
	else if (cstr_eq(progress, "plain"))
		*out = DISPLAY_PLAIN;
	else if (cstr_eq(progress, "json") || cstr_eq(progress, "rawjson"))
		*out = DISPLAY_JSON;
	else if (cstr_eq(progress, "quiet") || cstr_eq(progress, "none"))
		*out = DISPLAY_QUIET;
	else {
		const char *near = str_suggest(progress, names);
		struct err *e = err_new(
			ERR_USAGE, "--progress is auto, tty, plain, json or quiet, not \"%s\"", progress);
		return near ? err_hint(e, "did you mean %s?", near) : e;
	}
	return NULL;
}

struct err *display_check_progress(const char *progress)
{
	enum display_mode mode;

	return choose_mode(stderr, progress, &mode);
}

struct err *display_new(FILE *err, const char *progress, const char *log_dir, struct display **out)
{
	enum display_mode mode = DISPLAY_PLAIN;

	TRY(choose_mode(err, progress, &mode));
	struct display *d = mem_new(struct display);
	d->err = err;
	d->mode = mode;
	d->log_dir = mem_strdup(log_dir);
	d->steps = VEC_OF(struct shown_step);
	d->transfers = VEC_OF(struct shown_transfer);
	d->start = clock_monotonic();
	pthread_mutex_init(&d->lock, NULL);
	d->events = event_stream_new();
	event_stream_add(d->events, on_event, d);
	*out = d;
	return NULL;
}

struct event_stream *display_events(struct display *d)
{
	return d->events;
}

void display_listen(struct display *d, struct event_stream *events)
{
	event_stream_add(events, on_event, d);
}

void display_set_log_hint(struct display *d, const char *text)
{
	mem_freep(&d->log_hint);
	d->log_hint = mem_strdup(text);
}

void display_end(struct display *d)
{
	if (d->mode == DISPLAY_TTY)
		tty_end(d);
	if (d->log)
		fflush(d->log);
}

static void copy_spool(FILE *spool, FILE *out)
{
	char block[16384];
	size_t n;

	rewind(spool);
	while ((n = fread(block, 1, sizeof(block), spool)) > 0)
		fwrite(block, 1, n, out);
}

/* On a terminal only the last lines were seen: now all of it. As plain lines it all stands above: its last
 * lines are repeated. */
static void failure_output(struct display *d, struct shown_step *s)
{
	struct str tail = buf_str(&s->tail);

	if (!tail.len)
		return;
	fprintf(d->err, "------\n > %s:\n", s->name ? s->name : "step");
	if (s->spool) {
		copy_spool(s->spool, d->err);
	} else {
		size_t lines = 0, at = tail.len;
		while (at > 0 && lines <= 20)
			lines += tail.ptr[--at] == '\n';
		fwrite(tail.ptr + at + (at > 0), 1, tail.len - at - (at > 0), d->err);
	}
	if (tail.ptr[tail.len - 1] != '\n')
		fputc('\n', d->err);
	fprintf(d->err, "------\n");
}

void display_failure(struct display *d, const struct err *e, const char *file_text)
{
	AUTO_BUF struct buf excerpt = {0};

	if (!d->failed || d->mode == DISPLAY_JSON || err_kind(e) == ERR_CANCELED)
		return;
	struct shown_step *s = display_step(d, d->failed);
	failure_output(d, s);
	if (s->where.file && file_text) {
		dockerfile_excerpt(str_c(file_text), s->where, &excerpt);
		fputs(buf_cstr(&excerpt), d->err);
	}
	if (d->log_hint || d->log_path)
		fprintf(d->err, "whole log: %s\n", d->log_hint ? d->log_hint : d->log_path);
}

void display_free(struct display *d)
{
	if (!d)
		return;
	display_end(d);
	event_stream_free(d->events);
	for (size_t i = 0; i < d->steps.len; i++) {
		struct shown_step *s = vec_at(&d->steps, i);
		mem_freep(&s->name);
		mem_freep(&s->file);
		buf_fini(&s->tail);
		if (s->spool)
			fclose(s->spool);
	}
	vec_fini(&d->steps);
	for (size_t i = 0; i < d->transfers.len; i++)
		mem_freep(&((struct shown_transfer *)vec_at(&d->transfers, i))->name);
	vec_fini(&d->transfers);
	if (d->log)
		fclose(d->log);
	mem_freep(&d->log_dir);
	mem_freep(&d->log_path);
	mem_freep(&d->log_hint);
	pthread_mutex_destroy(&d->lock);
	mem_freep(&d);
}

void display_freep(struct display **d)
{
	display_free(*d);
	*d = NULL;
}
