/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression: gzip written by ISA-L (one member, no name, no time), zstd by libzstd; gzip, zstd, xz, bzip2
 * and plain are read, told apart by their first bytes (RFC 1952, RFC 8878, xz-file-format 1.1).
 *
 * Output is deterministic: equal input and codec give equal bytes, whatever the number of threads or block
 * sizes offered, given the same libraries and, for gzip, an x86-64 processor with SSE 4.2 (on others ISA-L
 * finds other matches).
 *
 * Threads: an object belongs to one thread; gzip starts some of its own for more than 1 MiB.
 * Errors: ERR_CORRUPT for a broken or truncated stream.
 */
#pragma once

#include "archive/tar.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_ZSTD, CODEC_XZ, CODEC_BZIP2 };

const char *codec_name(enum codec c);
/* By magic bytes; CODEC_NONE when none fits. Needs up to 6 bytes. */
enum codec codec_detect(const void *p, size_t len);

struct compressor;
/* Bytes given to compressor_write come out compressed at sink. CODEC_NONE passes through. XZ, BZIP2:
 * ERR_UNSUPPORTED. */
MUST_USE struct err *compressor_new(enum codec c, byte_sink *sink, void *ctx, struct compressor **out);
MUST_USE struct err *compressor_write(struct compressor *z, const void *p, size_t len);
MUST_USE struct err *compressor_finish(struct compressor *z); /* flushes; does not free */
void compressor_free(struct compressor *z);
void compressor_freep(struct compressor **z);

struct decompressor;
/* Pull interface: reads compressed bytes from source and gives plain ones. Detects the codec itself; *codec
 * (may be NULL) says which. max_output (0: none) bounds what comes out: more is ERR_INVALID (a bomb).
 * Many-member gzip and many-frame zstd are read through. */
MUST_USE struct err *decompressor_new(
	byte_source *source, void *ctx, uint64_t max_output, enum codec *codec, struct decompressor **out);
MUST_USE struct err *decompressor_read(
	struct decompressor *z, void *p, size_t *len);                   /* as byte_source; ctx is z */
MUST_USE struct err *decompressor_source(void *z, void *p, size_t *len); /* the same as a byte_source */
void decompressor_free(struct decompressor *z);
void decompressor_freep(struct decompressor **z);

/* byte_source over a descriptor (ctx: struct fd_source). */
struct fd_source {
	int fd;
	const char *what;
};
MUST_USE struct err *fd_source_read(void *ctx, void *p, size_t *len);
