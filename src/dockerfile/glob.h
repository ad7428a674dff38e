/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shell patterns of ${v#p}, ${v%p} and ${v/p/r}: '*' and '?' only; a backslash may stand before * ? \ } and
 * /. Work is bounded by the caller: ERR_INVALID when pattern and value together need more steps.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

struct glob_job {
	struct str pattern, value;
	size_t *work; /* steps left; they are taken from it */
};

/* Value without the shortest or longest prefix that matches. */
MUST_USE struct err *glob_cut_prefix(const struct glob_job *job, bool longest, struct buf *out);
MUST_USE struct err *glob_cut_suffix(const struct glob_job *job, bool longest, struct buf *out);
/* The first match, or all, replaced; a match is as long as possible. */
MUST_USE struct err *glob_replace(const struct glob_job *job, struct str by, bool all, struct buf *out);
