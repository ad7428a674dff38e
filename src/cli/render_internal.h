/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by render*.c. */
#pragma once

#include "base/buf.h"
#include "base/vec.h"
#include "cli/render.h"

#include <pthread.h>
#include <stdbool.h>

enum display_mode { DISPLAY_TTY, DISPLAY_PLAIN, DISPLAY_JSON, DISPLAY_QUIET };
enum shown_state { SHOWN_NONE, SHOWN_RUNNING, SHOWN_CACHED, SHOWN_DONE, SHOWN_FAILED, SHOWN_CANCELED };

#define TAIL_LINES 6

struct shown_step {
	char *name;
	char *file;
	struct source_range where; /* file is this struct's own */
	enum shown_state state;
	int64_t started; /* monotonic ns */
	int64_t duration;
	FILE *spool;     /* whole output; only on a terminal, where it is not all shown */
	struct buf tail; /* the last lines, for the terminal and the failure block */
	bool line_open;  /* plain: the last chunk did not end a line */
};

/* A blob on its way; may belong to a step or to none (image copy, push). */
struct shown_transfer {
	char *name; /* "pulling sha256:0123456789ab" */
	uint64_t done, total;
	int64_t started;
	bool finished;
};

struct display {
	FILE *err;
	enum display_mode mode;
	struct event_stream *events;
	pthread_mutex_t lock;
	struct vec steps;     /* of struct shown_step; [number] */
	struct vec transfers; /* of struct shown_transfer, in order of their start */
	char *log_dir, *log_path;
	char *log_hint; /* instead of log_path */
	FILE *log;
	uint32_t failed; /* number of the step that failed first */
	int64_t start;
	/* tty */
	pthread_t ticker;
	bool ticking, stop;
	unsigned drawn; /* lines of the live region on the screen */
	uint64_t total;
};

/* The transfer that e (EVENT_PROGRESS) just brought to its end; NULL if it did not. */
const struct shown_transfer *display_finished(struct display *d, const struct event *e);
struct shown_step *display_step(struct display *d, uint32_t number);
/* The line of an EVENT_WARNING, with the place it tells of. */
void warning_text(const struct event *e, struct buf *out);
/* Lines of output since the beginning of a line, prefixed; keeps partial lines open. */
void plain_event(FILE *out, struct display *d, const struct event *e);
void tty_event(struct display *d, const struct event *e);
void tty_end(struct display *d);
