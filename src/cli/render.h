/* SPDX-License-Identifier: Apache-2.0 */
/* Showing a build's events: on a terminal, as plain lines, as NDJSON; and keeping its whole log below the
 * store. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "cli/command.h"

#include <stdio.h>

struct display;

/*
 * progress: "auto" (tty when err is a foreground terminal, else plain), "tty", "plain", "json", "quiet".
 * log_dir: where the whole log is kept as plain text (made when the first step runs); NULL: nowhere. Caller
 * frees.
 */
MUST_USE struct err *display_new(FILE *err, const char *progress, const char *log_dir, struct display **out);
/* ERR_USAGE for a progress that there is not. */
MUST_USE struct err *display_check_progress(const char *progress);
struct event_stream *display_events(struct display *d); /* borrowed */
/* Show the events of another stream, too; before its first one. d must outlive it. */
void display_listen(struct display *d, struct event_stream *events);
/* What display_failure says of where the whole log is. */
void display_set_log_hint(struct display *d, const char *text);
/* What failed, for people: the failing step's whole output (where it was not shown yet), its source lines,
 * the command and status. file_text may be NULL. To be called once the build is over. */
void display_failure(struct display *d, const struct err *e, const char *file_text);
/* Ends drawing; before anything else is printed. */
void display_end(struct display *d);
void display_free(struct display *d);
void display_freep(struct display **d);
