/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running other programs (git, credential helpers, newuidmap): argv, no shell. Children die with us.
 * Threads: any. Blocking calls watch the cancel token and kill the child's group when it is set.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <sys/types.h>

struct process_request {
	const char *const *argv;     /* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env;      /* NULL: ours */
	const char *const *unset;    /* names taken out of our environment when env is NULL; may be NULL */
	const char *dir;             /* NULL: ours */
	struct str input;            /* written to its stdin; empty: /dev/null */
	size_t max_output;           /* of each stream, 0: 64 MiB; more is ERR_INVALID */
	int64_t timeout;             /* ns; 0: none */
	const struct cancel *cancel; /* may be NULL */
};

/*
 * Run to the end. out and errout (either may be NULL: inherited for out, discarded for errout) receive the
 * output. A status other than 0 is ERR_EXITED with err_exit_code, the command and the last lines of its
 * stderr in the message. A missing program is ERR_NOT_FOUND naming it.
 */
MUST_USE struct err *process_run(const struct process_request *rq, struct buf *out, struct buf *errout);

/* The absolute path of a program in the folders of path (as $PATH; NULL: the usual ones). ERR_NOT_FOUND names
 * it. Caller frees. */
MUST_USE struct err *process_find(const char *name, const char *path, char **out);
