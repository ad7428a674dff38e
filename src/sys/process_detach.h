/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that outlive us: in a session of their own, without a terminal, their input and output nowhere. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <sys/types.h>

struct detach_request {
	const char *program;     /* path */
	const char *const *argv; /* NULL-terminated */
	int keep_fd;             /* above 2: inherited, alone, under its number; -1: none */
};
/* In our directory, with our environment. Returns once it runs; it is nobody's child any more. *pid (may be
 * NULL) is its id. */
MUST_USE struct err *process_detach(const struct detach_request *rq, pid_t *pid);
