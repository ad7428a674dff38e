/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's merged files, as a mount that is visible nowhere but through a descriptor (closing it ends the
 * mount). Threads: any.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "exec/run_step.h"
#include "solver/executor.h"

/*
 * *fd: a directory descriptor (the caller's) of the read-only merged view of s (NULL: empty). Good for the
 * root_* calls of sys/file.h. Lazy layers are unpacked first. ERR_DENIED when this process may not mount.
 */
MUST_USE struct err *rootfs_view(
	struct run_context *rc, const struct snapshot *s, const struct step_io *io, int *fd);

/*
 * What an overlay of s (NULL: empty) is made of: absolute paths of its layers' trees, bottom first, each
 * once, appended. Unpacks as rootfs_view does.
 */
MUST_USE struct err *rootfs_lowers(
	struct run_context *rc, const struct snapshot *s, const struct step_io *io, struct strvec *out);

/* Give the empty directory upper, which is about to lie on the tree top, the mode and owner of it. */
MUST_USE struct err *rootfs_upper_look(const char *top, const char *upper);
