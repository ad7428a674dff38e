/* SPDX-License-Identifier: Apache-2.0 */
/* The background process of "release --detach". */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "release/runs.h"

#include <stdbool.h>

struct detach_options {
	const char *home, *config; /* config NULL: the usual ones */
	bool force;
	const struct strvec *allow;   /* values of --allow */
	const struct strvec *numbers; /* of runs that were added through r */
};
/* Start it; it holds the runs, and r is of no use but to be closed. */
MUST_USE struct err *release_detach(struct runs *r, const struct detach_options *opt);
