/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of one tar_read_tree. Every path goes through openat2 below rootfd; the last component is never
 * followed. tar_unpack.c walks the archive and finds places, unpack_entry.c makes things there.
 */
#pragma once

#include "archive/tar.h"
#include "archive/tar_reader_internal.h"
#include "base/map.h"
#include "base/vec.h"

#include <sys/types.h>
#include <time.h>

struct unpack {
	int rootfd;
	const struct tar_read_options *opt;
	struct tar_reader *reader;
	struct tar_read_result result;
	/* The directory the last entry went to: most entries share it with the one before. */
	char *parent_path; /* NULL: none */
	int parent_fd;
	struct vec dirs;     /* struct dir_note: dressed at the end, when nothing more is put into them */
	struct map *devices; /* path -> struct device_note */
};

struct dir_note {
	char *path;
	size_t seq;
	dev_t dev;
	ino_t ino;
	mode_t mode;
	bool set_mode;
	struct timespec mtime;
};

struct device_note {
	mode_t type;
	dev_t rdev;
};

/* What an entry asks for, checked. Strings are borrowed from the reader or the caller. */
struct wanted {
	struct archive_entry *entry; /* NULL: a directory nobody described */
	char text[TAR_NAME_TEXT_MAX];
	const char *path; /* clean, relative to the root; "" is the root */
	mode_t type;      /* S_IF...; 0 for hard links */
	mode_t mode;
	uint32_t uid, gid;
	uint64_t size;
	struct timespec mtime;
	dev_t rdev;
	int dirfd; /* where name is made */
	const char *name;
};

void unpack_forget_parent(struct unpack *u);

MUST_USE struct err *unpack_dir(struct unpack *u, const struct wanted *w);
MUST_USE struct err *unpack_root(struct unpack *u, const struct wanted *w);
MUST_USE struct err *unpack_file(struct unpack *u, const struct wanted *w);
MUST_USE struct err *unpack_symlink(struct unpack *u, const struct wanted *w, const char *target);
MUST_USE struct err *unpack_node(struct unpack *u, const struct wanted *w);
MUST_USE struct err *unpack_whiteout(struct unpack *u, const struct wanted *w, const char *deleted);
MUST_USE struct err *unpack_opaque(const struct wanted *w);
/* Link the name to what name2 in dirfd2 is. */
MUST_USE struct err *unpack_hardlink(
	struct unpack *u, const struct wanted *w, const char *target, int dirfd2, const char *name2);
