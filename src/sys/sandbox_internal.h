/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/vec.h"
#include "sys/sandbox.h"
#include "sys/syscall_filter.h"

struct sandbox_plan {
	struct arena *arena;
	struct vec ops; /* struct sandbox_op */
	bool started;
};

/* What the child is given; all of it made before it starts, since it may only make system calls. */
struct sandbox_child {
	const struct sandbox_op *ops;
	size_t op_count;
	const struct syscall_filter *filter;
	const struct sandbox_start *how;
	/*
	 * A file system of mount points, one for each stage and one for the root. Not one on top of the
	 * other: a path that leads up to a stage's root would come out in what is mounted on it.
	 */
	int base_fd;
	/* its own state */
	int root_fd;
	int stage_fds[SANDBOX_STAGES];
	int mask_fd; /* an empty directory's mount, cloned for the next one */
	/* what it tells back */
	size_t failed_op; /* index; op_count: before or after all of them */
	int sysno;        /* 0: all went well */
	const char *doing;
};

int sandbox_child_main(void *arg);
const char *sandbox_op_name(enum sandbox_op_kind k);
