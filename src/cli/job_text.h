/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a job's log, and the same events on the terminal. */
#pragma once

#include "cli/command.h"
#include "cli/via.h"
#include "release/work.h"

/* The log alone. */
struct job_text job_text_log(void);

/* Also shown to the user of c as progress says (display_new), and a failure reported. ctx must outlive the
 * job_text. */
struct job_text_shown {
	struct cli *c;
	const char *progress;
	const struct via *via; /* where the run is; for hints */
};
struct job_text job_text_shown(struct job_text_shown *ctx);
