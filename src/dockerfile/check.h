/* SPDX-License-Identifier: Apache-2.0 */
/* The check directive: "skip=A,B;error=true;experimental=C". */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>

struct check_options {
	struct strvec skip;         /* rule names; "all" */
	struct strvec experimental; /* likewise */
	bool error;                 /* warnings fail the build */
};
void check_options_fini(struct check_options *c);
/* ERR_INVALID says what is wrong, not where. */
MUST_USE struct err *check_options_parse(const char *text, struct check_options *out);
