/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/compress.h"

#include "archive/compress_internal.h"
#include "base/mem.h"

#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define ZSTD_LEVEL 3
/* More do not help: the tar is made and hashed by one. */
#define THREADS_MAX 16

struct compressor {
	enum codec codec;
	byte_sink *sink;
	void *ctx;
	uint8_t *chunk; /* being filled; of gzip it belongs to the pool */
	size_t chunk_len;
	bool finished;
	struct gzip_pool *gzip;
	ZSTD_CCtx *zstd;
	uint8_t *out; /* zstd */
	size_t out_cap;
};

const char *codec_name(enum codec c)
{
	static const char *const names[] = {[CODEC_NONE] = "none",
		[CODEC_GZIP] = "gzip",
		[CODEC_ZSTD] = "zstd",
		[CODEC_XZ] = "xz",
		[CODEC_BZIP2] = "bzip2"};
	return (unsigned)c < ARRAY_LEN(names) ? names[c] : "unknown";
}

static unsigned threads_here(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

static struct err *zstd_start(struct compressor *z)
{
	z->zstd = ZSTD_createCCtx();
	if (!z->zstd)
		return err_new(ERR_IO, "zstd: out of memory");
	ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(z->zstd, ZSTD_c_checksumFlag, 1);
	/* No workers of its own: they give other bytes than none, and Debian's static libzstd has none. */
	z->out_cap = ZSTD_CStreamOutSize();
	z->out = mem_alloc(z->out_cap);
	z->chunk = mem_alloc(GZIP_CHUNK);
	return NULL;
}

struct err *compressor_new_threads(
	enum codec c, unsigned threads, byte_sink *sink, void *ctx, struct compressor **out)
{
	if (c != CODEC_NONE && c != CODEC_GZIP && c != CODEC_ZSTD)
		return err_new(ERR_UNSUPPORTED, "writing %s is not supported", codec_name(c));
	AUTO(compressor_freep) struct compressor *z = mem_new(struct compressor);
	*z = (struct compressor){.codec = c, .sink = sink, .ctx = ctx};
	if (c == CODEC_ZSTD)
		TRY(zstd_start(z));
	if (c == CODEC_GZIP) {
		z->gzip = gzip_pool_new(threads, sink, ctx);
		TRY(gzip_pool_chunk(z->gzip, &z->chunk));
	}
	*out = steal(&z);
	return NULL;
}

struct err *compressor_new(enum codec c, byte_sink *sink, void *ctx, struct compressor **out)
{
	return compressor_new_threads(c, threads_here(), sink, ctx, out);
}

static struct err *zstd_chunk(struct compressor *z, const void *p, size_t len, bool last)
{
	ZSTD_inBuffer in = {p, len, 0};
	for (bool more = true; more;) {
		ZSTD_outBuffer out = {z->out, z->out_cap, 0};
		size_t left = ZSTD_compressStream2(z->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return err_new(ERR_BUG, "zstd: %s", ZSTD_getErrorName(left));
		if (out.pos > 0)
			TRY(z->sink(z->ctx, z->out, out.pos));
		more = last ? left != 0 : in.pos < in.size;
	}
	return NULL;
}

static struct err *put_chunk(struct compressor *z, bool last)
{
	size_t len = z->chunk_len;
	z->chunk_len = 0;
	if (z->codec == CODEC_ZSTD)
		return zstd_chunk(z, z->chunk, len, last);
	TRY(gzip_pool_put(z->gzip, len, last));
	return last ? NULL : gzip_pool_chunk(z->gzip, &z->chunk);
}

struct err *compressor_write(struct compressor *z, const void *p, size_t len)
{
	if (z->codec == CODEC_NONE)
		return len ? z->sink(z->ctx, p, len) : NULL;
	for (const uint8_t *from = p; len > 0;) {
		/* A full chunk waits for one more byte: only then is it known not to be the last. */
		if (z->chunk_len == GZIP_CHUNK)
			TRY(put_chunk(z, false));
		size_t n = GZIP_CHUNK - z->chunk_len < len ? GZIP_CHUNK - z->chunk_len : len;
		memcpy(z->chunk + z->chunk_len, from, n);
		z->chunk_len += n;
		from += n;
		len -= n;
	}
	return NULL;
}

struct err *compressor_finish(struct compressor *z)
{
	if (z->finished)
		return err_new(ERR_BUG, "a compressed stream was finished twice");
	z->finished = true;
	return z->codec == CODEC_NONE ? NULL : put_chunk(z, true);
}

void compressor_free(struct compressor *z)
{
	if (!z)
		return;
	if (z->codec == CODEC_ZSTD)
		mem_freep(&z->chunk);
	gzip_pool_freep(&z->gzip);
	ZSTD_freeCCtx(z->zstd);
	mem_freep(&z->out);
	mem_freep(&z);
}

void compressor_freep(struct compressor **z)
{
	compressor_free(*z);
	*z = NULL;
}
