/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the runner. */
#pragma once

#include "base/clock.h"
#include "release/runner.h"

#include <pthread.h>

struct runner {
	const struct runner_options *opt;
	struct server_client *claims; /* its calls end when cancel is set */
	struct server_client *server; /* all other calls: a job in its grace still speaks */
	char *repository;
	pthread_mutex_t lock; /* of what follows, and of saying */
	struct err *fatal;    /* why the runner cannot go on; the first */
	bool unreachable;     /* that was said */
};
void runner_say(struct runner *r, const char *fmt, ...) PRINTF(2, 3);
/* Sleep, or less when cancel is set. */
void runner_pause(const struct cancel *cancel, int64_t ns);

/* So long a runner whose own trouble (a full disk) failed a job leaves the next ones to others. */
#define BROKEN_PAUSE (30 * CLOCK_SECOND)

/* Do the job and tell the server. *result (caller calls job_result_fini) says how it ended here; *told false:
 * the server does not have it from us, because the job was lost or given back. */
MUST_USE struct err *runner_do_job(struct runner *r, const struct claimed_job *job, int64_t lease_time,
	struct job_result *result, bool *told);

/* The commit in a clean work tree below scratch, in a folder called as the repository. *dir: it; caller
 * frees. */
MUST_USE struct err *runner_checkout(
	struct runner *r, const char *commit, const char *scratch, const struct cancel *cancel, char **dir);
/* "https://host/me/lab.git/" -> "lab". Caller frees. */
char *runner_folder_name(const char *git_url);
/* Without a user and password. Caller frees. */
char *runner_clean_url(const char *git_url);
