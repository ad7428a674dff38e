/* SPDX-License-Identifier: Apache-2.0 */
/* What an export consists of, gathered first: then each format is only a way to write it. */
#pragma once

#include "archive/tar.h"
#include "base/buf.h"
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
	struct vec blobs; /* of struct export_blob: everything reachable, each once, sorted by digest */
	struct descriptor image;    /* what was asked for */
	struct buf index;           /* index.json of a layout */
	struct buf docker_manifest; /* manifest.json of a docker-archive */
};
void export_set_fini(struct export_set *set);
/* ERR_NOT_FOUND names a blob that is not in the store. */
MUST_USE struct err *export_gather_oci(
	struct export_set *set, const struct descriptor *image, const struct reference *name);
MUST_USE struct err *export_gather_docker(
	struct export_set *set, const struct descriptor *image, const struct reference *name);

MUST_USE struct err *export_oci_dir(struct export_set *set, const char *path);
MUST_USE struct err *export_oci_tar(struct export_set *set, byte_sink *sink, void *ctx);
MUST_USE struct err *export_docker_tar(struct export_set *set, byte_sink *sink, void *ctx);
