/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose output is read while it runs; it has no input. As process.h's it is in a process group of
 * its own. When the thread that started it ends, also by a kill, it gets SIGTERM: read it from the thread
 * that starts it. Threads: a stream belongs to one.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct process_stream_request {
	const char *const *argv;  /* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env;   /* NULL: ours */
	const char *const *unset; /* names taken out of ours; may be NULL */
	const char *dir;          /* NULL: ours */
	/* Run as the user that started us, also where we are root of a user namespace of ours: for programs
	 * that do other things as root. */
	bool as_outer_user;
	/* What it writes to its standard error, as it comes; called by process_stream_read. May be NULL. */
	void (*on_errout)(void *ctx, struct str text);
	void *ctx;
	const struct cancel *cancel; /* may be NULL */
};

struct process_stream;
/* ERR_NOT_FOUND names a missing program. */
MUST_USE struct err *process_stream_start(
	const struct process_stream_request *rq, struct process_stream **out);
/*
 * The next bytes of its standard output, as a byte source: *len in: room, out: bytes given, 0 once it has
 * ended well. Another status than 0 is ERR_EXITED, as of process_run; ERR_CANCELED when cancel is set.
 */
MUST_USE struct err *process_stream_read(void *stream, void *p, size_t *len);
/* Ends it: asked to (SIGTERM), and after five seconds made to, with its process group. */
void process_stream_free(struct process_stream *s);
void process_stream_freep(struct process_stream **s);
