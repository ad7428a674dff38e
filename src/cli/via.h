/* SPDX-License-Identifier: Apache-2.0 */
/* Where runs are queued, and read from. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "release/run_source.h"
#include "release/runs.h"

struct via {
	enum run_via via;
	const char *server; /* URL, borrowed; NULL via local */
	const char *
		need; /* --via's value, borrowed, where it is not what a command here does without; or NULL */
};

#define VIA_HELP                                                                                     \
	"local (this machine), server ($COOPER_SERVER, else that of cooper.yaml) or a server's URL " \
	"(default: the server "                                                                      \
	"if there is one)"

/* text: of --via, NULL if it was not given. configured: cooper.yaml's server, NULL if it has none. Both must
 * outlive *out. */
MUST_USE struct err *via_choose(const char *text, const char *configured, struct via *out);
/* For commands that need no repository: the cooper.yaml that counts is that of the work tree around here, if
 * there is one. */
MUST_USE struct err *via_source(struct engine *e, const char *text, struct run_source *out);
/* A command to be told to the user, with --via where it needs one. Caller frees. */
char *via_command(const struct via *v, const char *fmt, ...) PRINTF(2, 3);
/* "12", as people name a run: ERR_USAGE. */
MUST_USE struct err *via_run_number(const char *text, int64_t *out);
