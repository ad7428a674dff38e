/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories by descriptor. Everything takes a dirfd and a path relative to it (AT_FDCWD works).
 * The root_* calls treat the directory as the root of a hostile tree: paths, absolute links and ".." stay
 * inside it (openat2(2), RESOLVE_IN_ROOT), also while others rename in it.
 * Units: sizes in bytes, times in nanoseconds since the epoch. Threads: any, no shared state.
 * Errors: name the path as given.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

void fd_closep(int *fd); /* for AUTO: closes when >= 0, sets -1, keeps errno */
#define AUTO_FD AUTO(fd_closep)
int steal_fd(int *fd);

MUST_USE struct err *file_open(
	int dirfd, const char *path, int flags, mode_t mode, int *out); /* O_CLOEXEC added */
/* Whole file; more than max bytes is ERR_INVALID. Appends to out. */
MUST_USE struct err *file_read(int dirfd, const char *path, size_t max, struct buf *out);
MUST_USE struct err *fd_read_all(int fd, size_t max, const char *what, struct buf *out);
MUST_USE struct err *fd_write_all(int fd, const void *p, size_t len, const char *what);
/* A new file beside path, synced if durable, renamed over it. */
MUST_USE struct err *file_replace(
	int dirfd, const char *path, const void *p, size_t len, mode_t mode, bool durable);
/* The first half of that: *tmp (caller frees) is the new file's name in dirfd, to be renamed or unlinked. */
MUST_USE struct err *file_write_beside(
	int dirfd, const char *path, const void *p, size_t len, mode_t mode, bool durable, char **tmp);
MUST_USE struct err *file_sync_dir(int dirfd, const char *path);
/* Waits until no other process has the directory locked; closing dirfd lets it go. Where the file system
 * locks no directories, as some of networks, nothing happens. */
void dir_lock(int dirfd);
/* Does not wait: true when it is locked now, false when another has it locked or nothing can be. */
bool dir_try_lock(int dirfd);
/* False with success when absent. */
MUST_USE struct err *file_exists(int dirfd, const char *path, bool *out);
/* mkdir -p; existing directories are left alone. */
MUST_USE struct err *dir_make_all(int dirfd, const char *path, mode_t mode);
/* rm -rf by descriptors, never following links or crossing into mounts it did not see. Absent is success. */
MUST_USE struct err *tree_remove(int dirfd, const char *path);
/* Sorted names of a directory (bytewise), without "." and "..". */
struct strvec;
MUST_USE struct err *dir_list(int dirfd, const char *path, struct strvec *out);
/* Copy data between open files: reflink, copy_file_range, sendfile or read/write; holes stay holes. */
MUST_USE struct err *fd_copy(int in, int out, uint64_t size, const char *what);
/* Bytes free for us on the file system of fd. */
MUST_USE struct err *fd_free_space(int fd, uint64_t *out);

/* Open below root. flags as open(2); O_CLOEXEC added. */
MUST_USE struct err *root_open(int rootfd, const char *path, int flags, mode_t mode, int *out);
/* A whole regular file below root, appended; *found false when absent. More than max bytes is ERR_INVALID. */
MUST_USE struct err *root_read(int rootfd, const char *path, size_t max, struct buf *out, bool *found);
/* ERR_NOT_FOUND when absent. follow: of the last component, inside the root. */
MUST_USE struct err *root_stat(int rootfd, const char *path, bool follow, struct stat *out);
/*
 * The directory that holds path's last component, links before it resolved inside the root. *name (caller
 * frees) is that component, never "", "." or ".."; ERR_INVALID if path is the root itself.
 */
MUST_USE struct err *root_open_parent(int rootfd, const char *path, int *dirfd, char **name);

/* How directories made on the way are to look; uid or gid (uint32_t)-1: leave to the process. */
struct made_dir {
	mode_t mode;
	uint32_t uid, gid;
	int64_t mtime; /* set on the made ones; INT64_MIN: leave */
};
/* mkdir -p inside the root following links; *out (may be NULL) an O_PATH|O_DIRECTORY descriptor of it. */
MUST_USE struct err *root_make_dirs(int rootfd, const char *path, const struct made_dir *how, int *out);
/* Where path really is: clean, relative to the root, links of all components resolved. Caller frees. */
MUST_USE struct err *root_real_path(int rootfd, const char *path, char **out);

/* Extended attributes of what fd (may be O_PATH) names; NUL-separated names appended to names. */
MUST_USE struct err *xattr_list(int fd, struct buf *names);
MUST_USE struct err *xattr_get(int fd, const char *name, struct buf *value);
MUST_USE struct err *xattr_set(int fd, const char *name, const void *p, size_t len);

int64_t stat_mtime_ns(const struct stat *st);
int64_t stat_ctime_ns(const struct stat *st);
struct timespec timespec_of_ns(int64_t ns);
