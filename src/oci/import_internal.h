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
MUST_USE struct err *import_file_open(const struct image_import *im, struct import_file *out);
void import_file_close(struct import_file *f);
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
void import_scan_fini(struct import_scan *scan);

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
