/* SPDX-License-Identifier: Apache-2.0 */
/* Several calls of a remote at once. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "remote/remote.h"

#include <stddef.h>

/* fn(ctx, i, io) for all i < n on up to limit threads; the first error stops the others. fn gets an io of its
 * own, which is cancelled with the caller's. */
MUST_USE struct err *parallel_run(size_t n, unsigned limit, const struct transfer_io *io,
	struct err *(*fn)(void *ctx, size_t i, const struct transfer_io *io), void *ctx);
