/* SPDX-License-Identifier: Apache-2.0 */
/* Gzip by many threads with the bytes of one, and the entry by which tests choose how many. */
#pragma once

#include "archive/compress.h"

#include <isa-l/igzip_lib.h>
#include <stdbool.h>

/*
 * What goes to a codec at once, whatever the caller's writes were. It is part of the format: the deflate
 * blocks of a chunk refer to that chunk only, so that chunks can be compressed apart and output depends on
 * the input alone.
 */
#define GZIP_CHUNK (1024u * 1024u)

MUST_USE struct err *compressor_new_threads(
	enum codec c, unsigned threads, byte_sink *sink, void *ctx, struct compressor **out);

/* What a chunk's deflate blocks take at most: stored blocks cost 5 bytes for each 64 KiB, a flush ends with
 * an empty one. */
#define GZIP_CHUNK_OUT (GZIP_CHUNK + GZIP_CHUNK / 65535 * 5 + 1024)

struct gzip_chunk {
	uint8_t *in; /* GZIP_CHUNK bytes, len of them filled */
	size_t len;
	bool last;    /* of the stream */
	uint8_t *out; /* GZIP_CHUNK_OUT bytes */
	size_t out_len;
};

/*
 * Deflate one chunk on its own; s and level_buf (ISAL_DEF_LVL1_DEFAULT bytes) may hold anything. The bytes
 * depend on the chunk alone. COMP_OK, or the library's error.
 */
MUST_USE int gzip_deflate_chunk(struct isal_zstream *s, uint8_t *level_buf, struct gzip_chunk *c);

struct gzip_pool;
/* Threads start when there is more than one chunk. */
struct gzip_pool *gzip_pool_new(unsigned threads, byte_sink *sink, void *ctx);
void gzip_pool_freep(struct gzip_pool **g);
/* The next chunk to fill, GZIP_CHUNK bytes; waits for room, writing finished chunks to the sink. */
MUST_USE struct err *gzip_pool_chunk(struct gzip_pool *g, uint8_t **out);
/* Hand in the chunk with its first len bytes; the last one (which may be empty) also drains everything. */
MUST_USE struct err *gzip_pool_put(struct gzip_pool *g, size_t len, bool last);
