/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of tar headers we write: ustar (POSIX.1-1988), preceded by a pax extended header (POSIX.1-2001)
 * only if ustar cannot say it. Pure functions of their arguments.
 *
 * A pax header holds records "<length> <key>=<value>\n" sorted bytewise by key: SCHILY.xattr.<name>, gid,
 * hdrcharset (BINARY, if the path or the link is not UTF-8), linkpath, mtime, path, size, uid.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK 512u
/* What other readers (Go's archive/tar, libarchive) take of one extended header. */
#define TAR_PAX_MAX (1024u * 1024u)

enum tar_type {
	TAR_FILE = '0',
	TAR_HARDLINK = '1',
	TAR_SYMLINK = '2',
	TAR_CHAR = '3',
	TAR_BLOCK_DEV = '4',
	TAR_DIR = '5',
	TAR_FIFO = '6',
};

struct tar_xattr {
	const char *name;
	struct str value;
};

struct tar_header {
	enum tar_type type;
	const char *path; /* directories: with the trailing slash */
	const char *link; /* NULL: none */
	uint32_t mode;    /* permission bits only */
	uint32_t uid, gid;
	uint64_t size;
	int64_t mtime; /* seconds */
	uint32_t dev_major, dev_minor;
	const struct tar_xattr *xattrs; /* sorted by name */
	size_t n_xattrs;
};

/* Appends whole blocks. ERR_INVALID if the extended header would exceed TAR_PAX_MAX; out is unchanged then.
 */
MUST_USE struct err *tar_header_add(struct buf *out, const struct tar_header *h);

/* Is this block a header with a right checksum? */
bool tar_header_checksum_ok(const uint8_t block[TAR_BLOCK]);
