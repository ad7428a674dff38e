/* SPDX-License-Identifier: Apache-2.0 */
/* What an export consists of, gathered first: then each format is only a way to write it. */
#pragma once

#include "archive/tar.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/vec.h"
#include "oci/images.h"

struct export_blob {
	struct digest digest;
	uint64_t size;
};

struct export_set {
	struct store *s;
	const struct cancel *cancel;
	const struct vec *attached; /* of struct attached; NULL: none. Of OCI forms */
	const char *ref_name;       /* what the image is called in index.json; NULL: as name says */
	struct map
		*gathered; /* digests of manifests that are in blobs with all they name; made when needed */
	struct vec blobs;  /* of struct export_blob: everything reachable, each once, sorted by digest */
	struct descriptor image;    /* what was asked for */
	struct vec entries;         /* of struct descriptor, owned: of index.json of a layout */
	struct buf index;           /* that index.json when nothing else is in it */
	struct buf docker_manifest; /* manifest.json of a docker-archive */
};
void export_set_fini(struct export_set *set);
/* ERR_NOT_FOUND names a blob that is not in the store. */
MUST_USE struct err *export_gather_oci(
	struct export_set *set, const struct descriptor *image, const struct reference *name);
MUST_USE struct err *export_gather_docker(
	struct export_set *set, const struct descriptor *image, const struct reference *name);

#define EXPORT_SET(store, cancelled)                                                      \
	{                                                                                 \
		.s = (store), .cancel = (cancelled), .blobs = VEC_OF(struct export_blob), \
		.entries = VEC_OF(struct descriptor)                                      \
	}

#define OCI_LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

/*
 * The bytes of a blob from fd to sink, hashed on the way: what leaves the store under a digest has it. The
 * error comes after the bytes, so the caller must be able to drop what it wrote.
 */
MUST_USE struct err *export_send_blob(
	struct export_set *set, const struct digest *d, int fd, uint64_t size, byte_sink *sink, void *ctx);

MUST_USE struct err *export_oci_dir(struct export_set *set, const char *path);
MUST_USE struct err *export_oci_tar(struct export_set *set, byte_sink *sink, void *ctx);
MUST_USE struct err *export_docker_tar(struct export_set *set, byte_sink *sink, void *ctx);
