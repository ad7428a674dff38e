/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers as tars (OCI image-spec layer.md) and as trees (overlay lower directories).
 *
 * Trees use overlayfs's own marks: a deleted name is a character device 0:0, an opaque directory has the
 * xattr user.overlay.opaque=y (mounts use "userxattr", so that root and rootless stores look the same). Tars
 * use ".wh.<name>" and ".wh..wh..opq".
 *
 * Canonical tar: a directory before what is in it, names of one directory sorted bytewise (the mark of a
 * deleted name stands where the name would, that of an opaque directory first), numeric owners and no names,
 * ustar with pax headers only where needed (long or non-ASCII names, big numbers, xattrs), times floored to
 * whole seconds, xattrs sorted, sparse files in full, hard links to the first path of the inode, sockets left
 * out, marks 0600 0:0 at time 0, two zero blocks at the end. Names are bytes; hdrcharset=BINARY stands beside
 * those that are not UTF-8. Attributes that stay behind: user.overlay.*, trusted.*, security.selinux. A name
 * in the tree that begins with ".wh." is ERR_INVALID.
 *
 * Limits on what is read are bounds on hostile input. Threads: any, no shared state.
 * Errors: ERR_INVALID/ERR_CORRUPT name the entry.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Where bytes go. Returns an error to stop. */
typedef struct err *byte_sink(void *ctx, const void *p, size_t len);
/* Where bytes come from: *len in: room, out: bytes given, 0 at the end. */
typedef struct err *byte_source(void *ctx, void *p, size_t *len);

struct tar_write_options {
	int64_t times_from; /* mtimes >= this (ns) were made by the build itself ... */
	int64_t epoch;      /* ... and become this. times_from 0: none are changed */
	const struct cancel *cancel;
};

/* The tree at rootfd (its root itself is not an entry) as one canonical layer tar. opt may be NULL. */
MUST_USE struct err *tar_write_tree(
	int rootfd, const struct tar_write_options *opt, byte_sink *sink, void *ctx);

struct tar_limits {
	uint64_t max_bytes;   /* of all file data; 0: 256 GiB */
	uint64_t max_entries; /* 0: 10 million */
	uint64_t max_path;    /* 0: 4096 */
};

struct tar_read_options {
	bool layer;          /* understand whiteouts and write overlay marks; else they are plain names */
	bool rootless;       /* leave out (and count) devices that cannot be made; else ERR_DENIED */
	bool squash_owners;  /* all becomes ours, what cannot be made or set is left out; else ERR_DENIED */
	const uint32_t *uid; /* override owners (ADD --chown); NULL: as in the tar */
	const uint32_t *gid;
	int strip; /* leading components to drop */
	struct tar_limits limits;
	uint64_t declared_size; /* of the whole plain stream, 0: not known; entries may not claim more */
	const struct cancel *cancel;
};
struct tar_read_result {
	uint64_t entries;
	uint64_t bytes;
	uint64_t devices_left_out;
};

/*
 * Unpack an uncompressed tar stream into rootfd, every path resolved inside it; opt may be NULL. Parents
 * missing in the archive are made 0755 0:0 (or as overridden) at time 0. An entry replaces what is at its
 * path and is never written through a link; a directory keeps what is in it. "./" of a layer dresses the root
 * itself, of other archives it is passed over. The stream is read to its end. Long runs of zeros become
 * holes. Refused with the entry's name: paths that climb out, hard links to what is not in the archive or
 * leads outside, the same device named twice, entries over the limits, truncated archives (but a layer may
 * lack its end marker: its digest tells).
 */
MUST_USE struct err *tar_read_tree(int rootfd, const struct tar_read_options *opt, byte_source *source,
	void *ctx, struct tar_read_result *out);

/* One entry of a tar being listed; strings borrowed in the call. */
struct tar_entry {
	const char *path; /* as stored */
	const char *link; /* target of a symbolic or hard link, else NULL */
	bool hardlink;
	uint32_t mode; /* with the file type bits */
	uint32_t uid, gid;
	uint64_t size;
	int64_t mtime; /* ns */
	uint32_t rdev_major, rdev_minor;
};
/* Read data of the entry at hand, as byte_source. Holes of sparse files, which archives of this kind need not
 * have, are read as zeros, up to 8 MiB of them in all. */
struct tar_reader;
MUST_USE struct err *tar_entry_read(struct tar_reader *r, void *p, size_t *len);
/* Walk a tar: fn for each entry, in order; it may read the data. */
MUST_USE struct err *tar_each(byte_source *source, void *ctx, const struct tar_limits *limits,
	struct err *(*fn)(void *fn_ctx, struct tar_reader *r, const struct tar_entry *e), void *fn_ctx);

/* Plain tar writer for archives that are not layers (docker-archive, oci-archive): regular files and
 * directories, mode 0644/0755, owner 0:0, the given mtime. */
struct tar_writer;
MUST_USE struct err *tar_writer_new(byte_sink *sink, void *ctx, struct tar_writer **out);
MUST_USE struct err *tar_writer_file(struct tar_writer *w, const char *path, uint64_t size, int64_t mtime);
MUST_USE struct err *tar_writer_data(struct tar_writer *w, const void *p, size_t len);
MUST_USE struct err *tar_writer_dir(struct tar_writer *w, const char *path, int64_t mtime);
MUST_USE struct err *tar_writer_close(struct tar_writer *w); /* consumes w */
void tar_writer_freep(struct tar_writer **w);                /* abandons */

/* Do these first bytes (512 at least, once decompressed) begin a tar? */
bool tar_looks_like(const void *p, size_t len);
