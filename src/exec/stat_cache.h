/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remembered content digests of the files below one directory, by (device, inode, size, mtime, ctime).
 *
 * On disk: $COOPER_HOME/contexts/<sha256 of the directory's path>.idx, replaced atomically, host byte order:
 * "cooper-idx-1\n\0\0\0", u64 count, count entries of 72 bytes (u64 dev, ino, size; i64 mtime, ctime in ns;
 * 32 bytes of digest) sorted by dev and ino, sha256 of all before. A file that is missing, damaged or of
 * another form counts as empty.
 *
 * A digest is only kept when the file's ctime lay safely before the moment its bytes were read: a later
 * change of equal size within the file system's clock tick would not show in the times (git calls such
 * entries racily clean). Threads: look-ups and additions from any thread.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct stat_key {
	uint64_t dev, ino, size;
	int64_t mtime, ctime; /* ns */
};

struct stat_cache;
/* dir is the absolute, resolved path that names the index. */
struct stat_cache *stat_cache_open(struct store *s, const char *dir);
void stat_cache_free(struct stat_cache *c);

bool stat_cache_find(const struct stat_cache *c, const struct stat_key *k, uint8_t digest[32]);
/* The real time now, in ns: take it before the file's bytes are read. */
int64_t stat_cache_clock(void);
void stat_cache_add(
	struct stat_cache *c, const struct stat_key *k, const uint8_t digest[32], int64_t read_at);
/* Write what was added, if anything was. A store that cannot be written to is no error: the next build hashes
 * again. */
MUST_USE struct err *stat_cache_save(struct stat_cache *c);
