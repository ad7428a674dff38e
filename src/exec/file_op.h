/* SPDX-License-Identifier: Apache-2.0 */
/* One FILE operation in progress: writing into a directory tree by descriptors, every path resolved inside
 * it. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "exec/copy_source.h"
#include "exec/executor_internal.h"
#include "exec/mode_spec.h"

/* What is made gets this look. */
struct dressing {
	uint32_t uid, gid;
	bool keep_owner; /* the source's instead */
	bool has_mode;
	struct mode_spec mode;
	bool keep_mtime; /* the source's; else the epoch */
};

struct file_target {
	int rootfd; /* merged files; borrowed */
	int64_t epoch;
	const struct cancel *cancel;
	uint64_t files;
	bool replace; /* also a directory where a file goes, and the other way */
};

/* Copy one match (its picks made) to the action's destination. */
MUST_USE struct err *file_put_match(struct file_target *ft, struct file_tree *t, const struct file_action *a,
	const struct dressing *how, const struct copy_match *m);
/* All picks of a match below the directory dirfd (picks[0], the top, is left out). */
MUST_USE struct err *file_put_picks(struct file_target *ft, struct file_tree *t, const struct dressing *how,
	const struct vec *picks, int dirfd);
/* If the match is an archive: extract it into the destination directory, and *done. */
MUST_USE struct err *file_unpack_match(struct file_target *ft, struct file_tree *t,
	const struct file_action *a, const struct dressing *how, const struct copy_match *m, bool *done);

/* Names that mean something else in a layer are ERR_INVALID. dest for the message. */
MUST_USE struct err *file_check_name(const char *name, const char *dest);
/* Make way for a new name: files and links go, a directory is ERR_INVALID. dest for the message. */
MUST_USE struct err *file_clear_way(int dirfd, const char *name, const char *dest);
/* Owner, mode and times of a file just made, open for writing. */
MUST_USE struct err *file_dress(
	int fd, uint32_t uid, uint32_t gid, uint32_t mode, int64_t mtime, const char *dest);
/* mkdir -p for a destination's parents: 0755 or how's octal mode, owned as how says, times epoch. */
MUST_USE struct err *file_make_parents(
	struct file_target *ft, const struct dressing *how, const char *path, int *fd);
