/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache volumes: directories of the store that steps keep things in between builds. volumes/<name>/ is one;
 * its use time is that of volumes/<name>.used. While a step has one it holds the store's lock
 * "volume:<name>": shared, or alone where the step asked for that.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "exec/run_step.h"
#include "graph/node.h"

struct volume_set;

/*
 * Lock and, if new, make the volumes of op's cache mounts, waiting for those that others hold alone. A volume
 * that is made anew starts with the files of the mount's input. Caller frees *out, which gives the locks
 * back.
 */
MUST_USE struct err *volumes_open(struct run_context *rc, const struct op_exec *op,
	const struct snapshot *const *inputs, const struct step_io *io, struct volume_set **out);
void volumes_close(struct volume_set *v);
void volumes_closep(struct volume_set **v);
/* The directory of op's mount i; borrowed. */
const char *volumes_path(const struct volume_set *v, size_t mount);
