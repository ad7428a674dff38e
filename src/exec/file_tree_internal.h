/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by file_tree.c (finding), file_list.c (listing) and file_digest.c (selecting and hashing). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "exec/file_tree.h"

#include <pthread.h>
#include <sys/stat.h>

struct file_tree {
	int rootfd;
	struct file_tree_options opt; /* cache is ours; the lists are not kept */
	struct ignore *exclude, *include;
	char *what;
	pthread_mutex_t lock; /* listing, and the arena */
	pthread_mutex_t
		hashing; /* content digests of entries: one caller hashes, others find the work done */
	struct arena *arena;
	struct file_entry *root;
};

void entry_from_stat(const struct file_tree *t, struct file_entry *e, const struct stat *st);
void entry_append_path(struct buf *b, const struct file_entry *e);
/* path is e's (the caller has it already); a link at its end is not followed. */
MUST_USE struct err *entry_open(
	struct file_tree *t, const struct file_entry *e, int flags, const char *path, int *out);
/* A directory's attributes are its content; *any: it has some. */
MUST_USE struct err *dir_xattrs_digest(int fd, uint8_t content[32], bool *any);
/* List dir and all below it on two threads. What fails is left for who needs it to find out. */
void file_tree_prefetch(struct file_tree *t, struct file_entry *dir);
