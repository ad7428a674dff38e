/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that have our terminal, input and output: what a user asked us to run. Unlike process.h's they are
 * in our process group, so that ^C reaches them, too. When the thread that started one ends, also by a kill,
 * the program gets SIGTERM (prctl(2), PR_SET_PDEATHSIG): start it from the thread that waits for it. Threads:
 * any.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"

#include <sys/types.h>

/* The number of pass_fd in the program. */
#define FOREGROUND_FD 3

struct foreground_request {
	const char *const *argv; /* argv[0] is looked up in PATH */
	const char *const *env;
	const char *dir; /* NULL: ours */
	int pass_fd;     /* becomes FOREGROUND_FD; -1: none */
	int output_fd;   /* becomes its standard output and error; 0: ours */
};
struct foreground {
	pid_t pid;
	int pidfd;
};
/* ERR_NOT_FOUND when there is no such program. */
MUST_USE struct err *foreground_start(const struct foreground_request *rq, struct foreground *out);
/* Until it ends; when cancel is set it is asked to (SIGTERM), then made to. *status: 128 + signal if killed.
 */
MUST_USE struct err *foreground_wait(struct foreground *f, const struct cancel *cancel, int *status);
