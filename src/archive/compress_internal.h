/* SPDX-License-Identifier: Apache-2.0 */
/* Gzip by many threads with the bytes of one, and the entry by which tests choose how many. */
#pragma once

#include "archive/compress.h"

#include <stdbool.h>

/*
 * What goes to a codec at once, whatever the caller's writes were. It is part of the format: the deflate
 * blocks of a chunk refer to that chunk only, so that chunks can be compressed apart and output depends on
 * the input alone.
 */
#define GZIP_CHUNK (1024u * 1024u)

MUST_USE struct err *compressor_new_threads(
	enum codec c, unsigned threads, byte_sink *sink, void *ctx, struct compressor **out);

struct gzip_pool;
/* Threads start when there is more than one chunk. */
struct gzip_pool *gzip_pool_new(unsigned threads, byte_sink *sink, void *ctx);
void gzip_pool_freep(struct gzip_pool **g);
/* The next chunk to fill, GZIP_CHUNK bytes; waits for room, writing finished chunks to the sink. */
MUST_USE struct err *gzip_pool_chunk(struct gzip_pool *g, uint8_t **out);
/* Hand in the chunk with its first len bytes; the last one (which may be empty) also drains everything. */
MUST_USE struct err *gzip_pool_put(struct gzip_pool *g, size_t len, bool last);
