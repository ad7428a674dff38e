/* SPDX-License-Identifier: Apache-2.0 */
/* Between the two forms of a layer, by streaming: tree -> tar -> digest (-> codec -> blob), and blob -> tar
 * -> tree. */
#pragma once

#include "archive/compress.h"
#include "archive/tar.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"

#include <stdint.h>

/* sha256 of the canonical tar of the tree at rootfd, and its size. Nothing is written. */
MUST_USE struct err *layer_diff_id(
	int rootfd, const struct tar_write_options *opt, struct digest *diff_id, uint64_t *tar_size);

/*
 * The tree as a compressed tar at sink, with the digest of the plain tar. The tar is made and hashed on this
 * thread while others compress; the sink is called by one thread at a time, but not always by this one.
 */
MUST_USE struct err *layer_pack(int rootfd, const struct tar_write_options *opt, enum codec codec,
	byte_sink *sink, void *ctx, struct digest *diff_id, uint64_t *tar_size);

/*
 * Unpack a (compressed) layer from source into rootfd; *diff_id is of the plain bytes as read to their end.
 * Decompression, hashing and writing overlap. More plain bytes than opt->declared_size, if that is set, are
 * ERR_INVALID. diff_id and out may be NULL.
 */
MUST_USE struct err *layer_unpack(byte_source *source, void *ctx, int rootfd,
	const struct tar_read_options *opt, struct digest *diff_id, struct tar_read_result *out);

/* Digest and size of the plain bytes of a compressed layer, without unpacking. */
MUST_USE struct err *layer_blob_diff_id(
	byte_source *source, void *ctx, uint64_t max_output, struct digest *diff_id, uint64_t *tar_size);
