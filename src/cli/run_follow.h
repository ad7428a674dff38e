/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of runs on their way to the user. */
#pragma once

#include "cli/command.h"
#include "release/run_source.h"

struct follow {
	struct cli *c;
	const struct run_source *source;
	FILE *out; /* gets the log */
	bool live; /* until the jobs have ended */
};
/* One job's log. When nobody reads out any more, success. */
MUST_USE struct err *follow_job(const struct follow *f, int64_t number, uint32_t index);
/* All jobs' logs, one after another; what a job that has none lacks is said. */
MUST_USE struct err *follow_run(const struct follow *f, int64_t number);
