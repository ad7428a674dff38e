/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program and what became of it: shared by process*.c. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <sys/types.h>

struct spawn_request {
	const char *const *argv;
	const char *const *env, *const *unset; /* as in process.h */
	const char *dir;
	int in, out, err;   /* become 0, 1, 2; out -1: ours. Stay the caller's */
	int death_signal;   /* when the thread that started it ends */
	bool as_outer_user; /* as in process_stream.h */
};

/* In a process group of its own. */
struct spawned {
	char *program; /* argv[0] as found in PATH */
	struct strvec env;
	pid_t pid;
	int pidfd; /* -1: the kernel has none */
	bool reaped;
	int status; /* of waitpid(2), once reaped */
};
#define NOT_SPAWNED ((struct spawned){.pidfd = -1})

MUST_USE struct err *spawn(const struct spawn_request *rq, struct spawned *out);
/* Kills what still runs; the group with it. */
void spawned_fini(struct spawned *s);
/* To the whole group. */
void spawned_signal(const struct spawned *s, int sig);
bool spawned_is_gone(const struct spawned *s);
void spawned_reap(struct spawned *s);
/* NULL for status 0. errout: what it complained about, of which the last lines are quoted. */
MUST_USE struct err *spawned_error(const struct spawned *s, const char *const *argv, struct str errout);

MUST_USE struct err *process_pipe(int *read_end, int *write_end);
