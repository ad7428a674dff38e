/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of JSON for each request, written by a thread of its own: requests only queue it. When the disk is
 * too slow or full lines are dropped, counted, and a line says so. Threads: any.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct access_log;

/* path: a file to append to, made 0600; "-": the standard output. Caller closes *out. */
MUST_USE struct err *access_log_open(const char *path, struct access_log **out);
/* Writes what is queued. NULL is fine. */
void access_log_close(struct access_log *log);

/* One request; texts are borrowed, NULL: null. */
struct access_entry {
	int64_t time;     /* when it ended */
	int64_t duration; /* ns */
	const char *peer, *method, *path, *agent, *token;
	int status; /* 0: no answer */
	uint64_t received, sent;
	bool cut;
};
void access_log_add(struct access_log *log, const struct access_entry *e);
/* Open the file again, after the next line: it was moved away. */
void access_log_reopen(struct access_log *log);
uint64_t access_log_dropped(struct access_log *log);
