/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as copies see it: listed when first asked for, filtered by ignore patterns, links resolved
 * by its own rules inside its root, content digests on demand. What a build digests and what it copies come
 * from one listing, so they agree, and a file that changed in between is noticed when it is opened.
 * Ownership: entries live as long as their tree. Threads: a tree may be shared.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/ignore.h"
#include "base/vec.h"
#include "exec/stat_cache.h"

#include <stdbool.h>
#include <stdint.h>

struct file_entry {
	const char *name;
	struct file_entry *parent; /* NULL: the root */
	uint32_t mode;             /* with the type bits */
	uint32_t uid, gid, nlink;
	uint64_t rdev;
	struct stat_key key;
	const char *link;    /* target of a symlink */
	uint8_t content[32]; /* digest of a file's data and attributes; valid once has_content */
	bool has_content;
	/* private to file_tree.c */
	bool shown; /* not filtered out itself; a directory may only be here for what is in it */
	bool listed;
	struct file_entry **children; /* sorted bytewise */
	size_t child_count;
	const uint8_t *exclude_state, *include_state;
};

struct file_tree_options {
	const char *const *exclude; /* ignore-file syntax; what matches is not there */
	const char *const *include; /* NULL: everything */
	bool git_modes;             /* modes become 0644, 0755 (files by their owner's x bit) */
	bool live;        /* others may change it meanwhile: opening checks that the file is the listed one */
	bool owners;      /* owners count in digests */
	const char *what; /* for messages: "build context ." */
	struct stat_cache *cache; /* may be NULL; taken */
};

struct file_tree;
/* Takes rootfd. Caller frees *out. */
MUST_USE struct err *file_tree_new(int rootfd, const struct file_tree_options *opt, struct file_tree **out);
void file_tree_free(struct file_tree *t);
void file_tree_freep(struct file_tree **t);

bool file_tree_is_live(const struct file_tree *t);
const char *file_tree_what(const struct file_tree *t); /* borrowed */
struct file_entry *file_tree_root(struct file_tree *t);
/* The entries of a directory, listing it if need be. */
MUST_USE struct err *file_tree_children(
	struct file_tree *t, struct file_entry *dir, struct file_entry *const **children, size_t *count);
/* Relative to the root, "" for it. Caller frees. */
char *file_entry_path(const struct file_entry *e);
/*
 * Where path leads, links before its last component (and it too if follow) resolved inside the root and ".."
 * clipped there. *out is NULL with success when there is nothing.
 */
MUST_USE struct err *file_tree_find(
	struct file_tree *t, const char *path, bool follow, struct file_entry **out);
/* For a message about path not being there: the deepest part of it that is, and the pattern that hides it if
 * one does. Caller frees both. */
MUST_USE struct err *file_tree_explain(struct file_tree *t, const char *path, char **nearest, char **rule);
/* Open a regular file for reading, or a directory. ERR_UNAVAILABLE when it is not what was listed any more.
 */
MUST_USE struct err *file_tree_open(struct file_tree *t, const struct file_entry *e, int *fd);
/* After reading fd of a live tree: was it left alone? */
MUST_USE struct err *file_tree_still_same(struct file_tree *t, const struct file_entry *e, int fd);

/* One of a selection: a flat list, parents first, siblings sorted. */
struct picked {
	struct file_entry *entry;
	const char *rel; /* path below the selection's top; "" is the top itself. Lives as long as the tree */
	size_t hardlink; /* 1 + index of the earlier one it is a hard link of; 0: none */
};

/* What is at and below top, less what the patterns (relative to top; NULL: none) take out; appended to out
 * (of struct picked). */
MUST_USE struct err *file_tree_pick(struct file_tree *t, struct file_entry *top, const struct ignore *exclude,
	const struct ignore *include, struct vec *out);
/* Digest the data of all regular files in picks that is not known yet, on two threads. */
MUST_USE struct err *file_tree_hash(
	struct file_tree *t, const struct vec *picks, const struct cancel *cancel);
/* Of picks (hashed) as one: names, types, modes, data, links, attributes; owners if the tree's options say
 * so; never times. */
void picks_digest(const struct file_tree *t, const struct vec *picks, struct hasher *h);
/* Keep what was learned for the next build. */
MUST_USE struct err *file_tree_save(struct file_tree *t);
