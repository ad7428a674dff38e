/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of images_import: opening a source, taking a layer in, and the three forms of archive. */
#pragma once

#include "archive/compress.h"
#include "archive/tar.h"
#include "base/buf.h"
#include "base/map.h"
#include "oci/images.h"

/* Decompressed bytes of an import are bounded: a bomb ends here. */
#define IMPORT_BYTES_MAX (UINT64_C(256) << 30)

/* A source file being read as plain bytes. */
struct import_file {
	int fd;
	const char *path;
	const struct cancel *cancel;
	struct fd_source raw;
	struct decompressor *plain;
	enum codec codec;
};
MUST_USE struct err *import_file_rewind(struct import_file *f);
MUST_USE struct err *import_file_read(void *file, void *p, size_t *len); /* byte_source */

/* A layer that was taken in. */
struct import_layer {
	struct descriptor blob; /* OCI layer media types */
	struct digest diff_id;
	uint64_t tar_size;
};
/*
 * Store a layer from its bytes, plain or compressed. gzip and zstd are kept as they are unless recompress is
 * set; all else becomes gzip. check: walk the tar too, so that a truncated or climbing one is refused (costs
 * a little).
 */
struct import_layer_options {
	bool recompress;
	bool check;
	/* The diff id that a plain layer is said to have, NULL if nothing is said: when the store remembers
	 * the gzip form that was made of that one, its bytes are only hashed. ERR_CORRUPT if it then is
	 * another. */
	const struct digest *claimed;
	const struct cancel *cancel;
};
MUST_USE struct err *import_layer_store(struct store *s, byte_source *source, void *ctx,
	const struct import_layer_options *opt, struct import_layer *out);
/* Register a layer by its diff id, with its blob. */
MUST_USE struct err *import_layer_register(struct store *s, const struct import_layer *l);

/* What a first walk over an archive tells. */
struct import_scan {
	bool rootfs; /* a root file system was recognised; the walk ended there */
	bool oci_layout;
	struct buf index;    /* index.json */
	struct buf manifest; /* manifest.json */
	struct map *links;   /* rooted path -> rooted target (char *) of symbolic and hard links */
	uint64_t entries;
};

/* No image archive has such members (rooted path), every root file system has some. */
bool import_is_rootfs_member(const char *path);
/* manifest.json of a docker-archive, and not some file of that name in a root file system? */
bool import_is_docker_manifest(struct str text);
/* Keep the target of a symbolic or hard link, as struct import_scan does; path is rooted. */
MUST_USE struct err *import_keep_link(struct map *links, const char *path, const struct tar_entry *e);
/* The data of the entry at hand; ctx is the struct tar_reader. */
MUST_USE struct err *import_entry_source(void *ctx, void *p, size_t *len);
/* All of a source, in place of what out held; more than max bytes is ERR_INVALID. */
MUST_USE struct err *import_read_document(byte_source *source, void *ctx, size_t max, struct buf *out);

/* A name to set once everything is in. */
struct import_name {
	struct reference ref;
	struct descriptor target;
};
MUST_USE struct err *import_rootfs(
	struct store *s, const struct image_import *im, struct import_file *f, struct vec *names);
MUST_USE struct err *import_docker(struct store *s, const struct image_import *im, struct import_file *f,
	const struct import_scan *scan, struct vec *names);
MUST_USE struct err *import_oci_archive(struct store *s, const struct image_import *im, struct import_file *f,
	const struct import_scan *scan, struct vec *names);
MUST_USE struct err *import_oci_dir(
	struct store *s, const struct image_import *im, int dirfd, struct vec *names);

void import_add_name(struct vec *names, const struct reference *ref, const struct descriptor *target);
