/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of promote share. */
#pragma once

#include "release/evaluate.h"
#include "release/promote.h"
#include "release/release_internal.h"

/* promote_decide.c: fill in p, whose pins are known. Only ERR_CANCELED is returned. */
MUST_USE struct err *promote_decide(
	const struct promote_request *rq, struct promote_report *r, struct promotion *p);

/* promote_release.c: build it from main and publish; p->digest. */
MUST_USE struct err *promote_release(
	const struct promote_request *rq, struct promote_report *r, struct promotion *p);

/* promote_commit.c: commit what was changed; r->commit. */
MUST_USE struct err *promote_commit(const struct promote_request *rq, struct promote_report *r);
/* Files of pins that are to be changed and have changes of their own, which the commit would take along. */
MUST_USE struct err *promote_check_files(const struct promote_request *rq, const struct promote_report *r);

/* Is any of its pins to be changed? */
bool promotion_stands(const struct promotion *p);
/* With what the user can do about it. Caller frees. */
char *promote_error_text(const struct err *e);
