/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts that are attached nowhere yet, as descriptors: they can be looked into, and a sandbox attaches them
 * in its own namespace. Closing the last descriptor of one that was never attached ends it. Threads: any, no
 * shared state. Errors: ERR_DENIED when this process may not mount.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mount_flag {
	MOUNT_READONLY = 1,
	MOUNT_NOSUID = 2,
	MOUNT_NODEV = 4,
	MOUNT_NOEXEC = 8,
};

struct mount_option {
	const char *key;
	const char *value; /* NULL: a flag */
	bool optional;     /* go on without it where the kernel does not know it */
};

/* A new instance of a file system ("tmpfs", "ramfs", "devpts", ...). flags of enum mount_flag. Caller closes
 * *fd. */
MUST_USE struct err *mount_new(
	const char *type, const struct mount_option *opts, size_t count, unsigned flags, int *fd);

struct overlay_request {
	const char *const *lowers; /* absolute paths, bottom first */
	size_t lower_count;
	const char *upper; /* absolute; NULL: read-only */
	const char *work;  /* empty directory beside upper */
	bool legacy;       /* by mount(2), as on kernels before 6.5 */
};

/*
 * Layers merged. Overlay's marks are user.overlay.* attributes for root and rootless alike; nothing is synced
 * to disk by what runs on it. ERR_UNSUPPORTED when the disk below cannot hold an overlay. Caller closes *fd.
 */
MUST_USE struct err *mount_overlay(const struct overlay_request *rq, int *fd);

/* Another view of what is mounted at path, with everything below it. Caller closes *fd. */
MUST_USE struct err *mount_clone(int dirfd, const char *path, unsigned flags, int *fd);

/* Linux's MOUNT_ATTR_* bits for flags. */
uint64_t mount_attr_bits(unsigned flags);
