/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one typed stream of what happens, written once and rendered many times (terminal, plain lines,
 * NDJSON, stored log, server-sent events).
 *
 * Ownership: an event and its strings are borrowed for the duration of the sink call.
 * Threads: event_emit may be called from any thread; the sink is called under the stream's lock, one event at
 * a time, in order, and must not emit.
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

#include <stdint.h>

enum event_type {
	EVENT_PLAN,     /* total: how many steps the build may take */
	EVENT_STARTED,  /* step began to run */
	EVENT_CACHED,   /* step needs no run: its result was known */
	EVENT_OUTPUT,   /* text: bytes a step's program wrote; stream 1 or 2 */
	EVENT_PROGRESS, /* done/total bytes or items of a transfer */
	EVENT_DONE,     /* step ended well */
	EVENT_FAILED,   /* step failed: text is the error */
	EVENT_CANCELED, /* step was stopped because another failed or the user asked */
	EVENT_WARNING,  /* text, with where it comes from */
	EVENT_INFO,     /* text worth a line */
};

/* Where a step came from; file may be NULL. Lines from 1. */
struct source_range {
	const char *file;
	uint32_t line;
	uint32_t end_line;
};

struct event {
	enum event_type type;
	int64_t time;       /* ns since the epoch; event_emit fills it when 0 */
	uint32_t step;      /* number of the step from 1; 0: the build as a whole */
	const char *name;   /* "[build 3/7] RUN make"; set on STARTED and CACHED at least */
	const char *digest; /* definition digest of the step as text, or NULL */
	struct source_range where;
	int stream;
	struct str text;
	uint64_t done;
	uint64_t total;   /* 0: unknown */
	const char *unit; /* "bytes" or "files" with PROGRESS */
	int64_t duration; /* ns, with DONE, FAILED */
	int exit_code;    /* with FAILED; -1 if none */
};

const char *event_type_name(enum event_type t);

struct event_stream;
typedef void event_sink(void *ctx, const struct event *e);

struct event_stream *event_stream_new(void);
void event_stream_free(struct event_stream *s);
/* Sinks are called in the order they were added; add them before the first event. */
void event_stream_add(struct event_stream *s, event_sink *sink, void *ctx);
/* s may be NULL: nothing happens. */
void event_emit(struct event_stream *s, struct event e);
void event_warn(struct event_stream *s, struct source_range where, const char *fmt, ...) PRINTF(3, 4);
void event_info(struct event_stream *s, const char *fmt, ...) PRINTF(2, 3);
/* One line of JSON without the newline. Caller frees. */
char *event_json(const struct event *e);
