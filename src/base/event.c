/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>

struct subscriber {
	event_sink *sink;
	void *ctx;
};

struct event_stream {
	pthread_mutex_t lock; /* held while sinks run: that is what keeps events in order */
	struct vec sinks;     /* of struct subscriber */
};

static const char *const type_names[] = {
	[EVENT_PLAN] = "plan",
	[EVENT_STARTED] = "started",
	[EVENT_CACHED] = "cached",
	[EVENT_OUTPUT] = "output",
	[EVENT_PROGRESS] = "progress",
	[EVENT_DONE] = "done",
	[EVENT_FAILED] = "failed",
	[EVENT_CANCELED] = "canceled",
	[EVENT_WARNING] = "warning",
	[EVENT_INFO] = "info",
};

const char *event_type_name(enum event_type t)
{
	return (size_t)t < ARRAY_LEN(type_names) ? type_names[t] : "unknown";
}

struct event_stream *event_stream_new(void)
{
	struct event_stream *s = mem_new(struct event_stream);
	pthread_mutex_init(&s->lock, NULL);
	s->sinks = VEC_OF(struct subscriber);
	return s;
}

void event_stream_free(struct event_stream *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	vec_fini(&s->sinks);
	free(s);
}

void event_stream_add(struct event_stream *s, event_sink *sink, void *ctx)
{
	pthread_mutex_lock(&s->lock);
	vec_push_copy(&s->sinks, &(struct subscriber){sink, ctx});
	pthread_mutex_unlock(&s->lock);
}

void event_emit(struct event_stream *s, struct event e)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	/* Under the lock, so that times never go backwards in the stream. */
	if (e.time == 0)
		e.time = clock_now();
	for (size_t i = 0; i < s->sinks.len; i++) {
		const struct subscriber *to = vec_at(&s->sinks, i);
		to->sink(to->ctx, &e);
	}
	pthread_mutex_unlock(&s->lock);
}

static void PRINTF(4, 0) emit_text(
	struct event_stream *s, enum event_type type, struct source_range where, const char *fmt, va_list ap)
{
	if (!s)
		return;
	AUTO_BUF struct buf text = {0};
	buf_vaddf(&text, fmt, ap);
	event_emit(s, (struct event){.type = type, .where = where, .text = buf_str(&text), .exit_code = -1});
}

void event_warn(struct event_stream *s, struct source_range where, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	emit_text(s, EVENT_WARNING, where, fmt, ap);
	va_end(ap);
}

void event_info(struct event_stream *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	emit_text(s, EVENT_INFO, (struct source_range){0}, fmt, ap);
	va_end(ap);
}

/* key is one of ours and needs no escaping. */
static void add_text(struct buf *b, const char *key, struct str value)
{
	if (!value.ptr)
		return;
	buf_addf(b, ",\"%s\":", key);
	buf_add_json(b, value);
}

static void add_number(struct buf *b, const char *key, uint64_t value)
{
	if (value > 0)
		buf_addf(b, ",\"%s\":%llu", key, (unsigned long long)value);
}

/* Nanoseconds as seconds, without passing through floating point. */
static void add_seconds(struct buf *b, const char *key, int64_t ns)
{
	if (ns <= 0)
		return;
	long long seconds = (long long)(ns / CLOCK_SECOND);
	buf_addf(b, ",\"%s\":%lld.%09lld", key, seconds, (long long)(ns % CLOCK_SECOND));
	while (b->ptr[b->len - 1] == '0')
		buf_truncate(b, b->len - 1);
	if (b->ptr[b->len - 1] == '.')
		buf_truncate(b, b->len - 1);
}

char *event_json(const struct event *e)
{
	struct buf b = {0};
	char time[CLOCK_TEXT_MAX];
	buf_addf(&b, "{\"type\":\"%s\"", event_type_name(e->type));
	if (e->time != 0)
		add_text(&b, "time", str_c(clock_rfc3339(e->time, time)));
	add_number(&b, "step", e->step);
	add_text(&b, "name", str_c(e->name));
	add_text(&b, "digest", str_c(e->digest));
	add_text(&b, "file", str_c(e->where.file));
	add_number(&b, "line", e->where.line);
	add_number(&b, "end_line", e->where.end_line);
	if (e->stream > 0)
		add_number(&b, "stream", (uint64_t)e->stream);
	add_text(&b, "text", e->text);
	if (e->type == EVENT_PROGRESS)
		buf_addf(&b, ",\"done\":%llu", (unsigned long long)e->done);
	else
		add_number(&b, "done", e->done);
	add_number(&b, "total", e->total);
	add_text(&b, "unit", str_c(e->unit));
	add_seconds(&b, "duration", e->duration);
	if (e->type == EVENT_FAILED && e->exit_code >= 0)
		buf_addf(&b, ",\"exit_code\":%d", e->exit_code);
	buf_addc(&b, '}');
	return buf_steal(&b);
}
