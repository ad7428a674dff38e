/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/compress.h"

#include "base/mem.h"

#include <bzlib.h>
#include <errno.h>
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define IN_SIZE (256u * 1024u)
/* xz -9 wants 65 MiB, zstd --ultra --long=27 128 MiB: a stream that wants more is not worth it. */
#define XZ_MEMORY_MAX (UINT64_C(256) << 20)
#define ZSTD_WINDOW_LOG_MAX 27
#define DETECT_LEN 6

struct decompressor {
	enum codec codec;
	byte_source *source;
	void *ctx;
	uint64_t max_output, total;
	uint8_t *in;
	size_t in_pos, in_len;
	bool source_ended;
	bool between; /* no member or frame is open: here the stream may end */
	bool ended;
	struct inflate_state *inflate;
	ZSTD_DCtx *zstd;
	lzma_stream xz;
	bz_stream bz;
	bool bz_open;
};

enum codec codec_detect(const void *p, size_t len)
{
	static const struct {
		enum codec codec;
		size_t len;
		uint8_t magic[DETECT_LEN];
	} known[] = {
		{CODEC_GZIP, 3, {0x1f, 0x8b, 8}},
		{CODEC_ZSTD, 4, {0x28, 0xb5, 0x2f, 0xfd}},
		{CODEC_XZ, 6, {0xfd, '7', 'z', 'X', 'Z', 0}},
		{CODEC_BZIP2, 3, {'B', 'Z', 'h'}},
	};
	const uint8_t *b = p;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (len >= known[i].len && memcmp(p, known[i].magic, known[i].len) == 0)
			return known[i].codec;
	/* A zstd stream may begin with a skippable frame. */
	if (len >= 4 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18)
		return CODEC_ZSTD;
	return CODEC_NONE;
}

static struct err *fill(struct decompressor *z)
{
	if (z->source_ended || z->in_pos < z->in_len)
		return NULL;
	size_t n = IN_SIZE;
	TRY(z->source(z->ctx, z->in, &n));
	z->in_pos = 0;
	z->in_len = n;
	z->source_ended = n == 0;
	return NULL;
}

static struct err *fill_for_detection(struct decompressor *z)
{
	while (z->in_len < DETECT_LEN && !z->source_ended) {
		size_t n = IN_SIZE - z->in_len;
		TRY(z->source(z->ctx, z->in + z->in_len, &n));
		z->in_len += n;
		z->source_ended = n == 0;
	}
	return NULL;
}

static struct err *corrupt(const struct decompressor *z, const char *why)
{
	return err_new(ERR_CORRUPT, "%s stream: %s (after %" PRIu64 " bytes of content)",
		codec_name(z->codec), why, z->total);
}

static struct err *bz_start(struct decompressor *z)
{
	z->bz = (bz_stream){0};
	if (BZ2_bzDecompressInit(&z->bz, 0, 0) != BZ_OK)
		return err_new(ERR_IO, "bzip2: out of memory");
	z->bz_open = true;
	return NULL;
}

static struct err *codec_start(struct decompressor *z)
{
	switch (z->codec) {
	case CODEC_NONE:
		break;
	case CODEC_GZIP:
		z->inflate = mem_new(struct inflate_state);
		isal_inflate_init(z->inflate);
		z->inflate->crc_flag = ISAL_GZIP;
		break;
	case CODEC_ZSTD:
		z->zstd = ZSTD_createDCtx();
		if (!z->zstd)
			return err_new(ERR_IO, "zstd: out of memory");
		ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
		break;
	case CODEC_XZ:
		z->xz = (lzma_stream)LZMA_STREAM_INIT;
		if (lzma_stream_decoder(&z->xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) != LZMA_OK)
			return err_new(ERR_IO, "xz: out of memory");
		break;
	case CODEC_BZIP2:
		return bz_start(z);
	}
	return NULL;
}

struct err *decompressor_new(
	byte_source *source, void *ctx, uint64_t max_output, enum codec *codec, struct decompressor **out)
{
	AUTO(decompressor_freep) struct decompressor *z = mem_new(struct decompressor);
	z->source = source;
	z->ctx = ctx;
	z->max_output = max_output;
	z->in = mem_alloc(IN_SIZE);
	TRY(fill_for_detection(z));
	z->codec = codec_detect(z->in, z->in_len);
	TRY(codec_start(z));
	if (codec)
		*codec = z->codec;
	*out = steal(&z);
	return NULL;
}

/* One step of a codec: consumes input, gives up to room bytes into p. Called with input, or without any at
 * its end. */

static struct err *step_none(struct decompressor *z, uint8_t *p, size_t room, size_t *got)
{
	size_t n = z->in_len - z->in_pos < room ? z->in_len - z->in_pos : room;
	memcpy(p, z->in + z->in_pos, n);
	z->in_pos += n;
	z->between = true;
	*got = n;
	return NULL;
}

/* Zero bytes after the last member are padding of block devices; gzip(1) takes them too. */
static struct err *gzip_between(struct decompressor *z)
{
	while (z->in_pos < z->in_len && z->in[z->in_pos] == 0)
		z->in_pos++;
	if (z->in_pos == z->in_len)
		return NULL;
	if (z->in[z->in_pos] != 0x1f)
		return corrupt(z, "garbage after its end");
	isal_inflate_reset(z->inflate);
	z->inflate->crc_flag = ISAL_GZIP;
	z->between = false;
	return NULL;
}

static const char *inflate_text(int rc)
{
	switch (rc) {
	case ISAL_INVALID_BLOCK:
		return "invalid block";
	case ISAL_INVALID_SYMBOL:
		return "invalid symbol";
	case ISAL_INVALID_LOOKBACK:
		return "invalid distance";
	case ISAL_INVALID_WRAPPER:
		return "invalid header";
	case ISAL_UNSUPPORTED_METHOD:
		return "unsupported method";
	case ISAL_INCORRECT_CHECKSUM:
		return "wrong checksum";
	default:
		return "invalid data";
	}
}

static struct err *step_gzip(struct decompressor *z, uint8_t *p, size_t room, size_t *got)
{
	*got = 0;
	if (z->between)
		TRY(gzip_between(z));
	if (z->between)
		return NULL;
	struct inflate_state *s = z->inflate;
	s->next_in = z->in + z->in_pos;
	s->avail_in = (uint32_t)(z->in_len - z->in_pos);
	s->next_out = p;
	s->avail_out = room > UINT32_MAX ? UINT32_MAX : (uint32_t)room;
	int rc = isal_inflate(s);
	if (rc < 0 || rc == ISAL_NEED_DICT)
		return corrupt(z, inflate_text(rc));
	z->in_pos = z->in_len - s->avail_in;
	*got = (size_t)(s->next_out - p);
	z->between = s->block_state == ISAL_BLOCK_FINISH;
	return NULL;
}

static struct err *step_zstd(struct decompressor *z, uint8_t *p, size_t room, size_t *got)
{
	ZSTD_inBuffer in = {z->in, z->in_len, z->in_pos};
	ZSTD_outBuffer out = {p, room, 0};
	bool idle = in.pos == in.size && z->between;
	size_t left = idle ? 0 : ZSTD_decompressStream(z->zstd, &out, &in);
	if (ZSTD_isError(left))
		return corrupt(z, ZSTD_getErrorName(left));
	z->in_pos = in.pos;
	z->between = left == 0;
	*got = out.pos;
	return NULL;
}

static struct err *step_xz(struct decompressor *z, uint8_t *p, size_t room, size_t *got)
{
	z->xz.next_in = z->in + z->in_pos;
	z->xz.avail_in = z->in_len - z->in_pos;
	z->xz.next_out = p;
	z->xz.avail_out = room;
	lzma_ret rc = lzma_code(&z->xz, z->source_ended ? LZMA_FINISH : LZMA_RUN);
	z->in_pos = z->in_len - z->xz.avail_in;
	*got = room - z->xz.avail_out;
	z->between = rc == LZMA_STREAM_END;
	switch (rc) {
	case LZMA_OK:
	case LZMA_STREAM_END:
	case LZMA_BUF_ERROR: /* needs input; at the end that is found out by the caller */
		return NULL;
	case LZMA_MEMLIMIT_ERROR:
		return err_new(ERR_INVALID,
			"xz stream: needs more than %" PRIu64 " MiB of memory to decompress",
			XZ_MEMORY_MAX >> 20);
	default:
		return corrupt(z, rc == LZMA_OPTIONS_ERROR ? "unsupported options" : "invalid data");
	}
}

static struct err *step_bzip2(struct decompressor *z, uint8_t *p, size_t room, size_t *got)
{
	*got = 0;
	if (z->between) {
		if (z->in_pos == z->in_len)
			return NULL;
		BZ2_bzDecompressEnd(&z->bz);
		z->bz_open = false;
		TRY(bz_start(z));
		z->between = false;
	}
	z->bz.next_in = (char *)z->in + z->in_pos;
	z->bz.avail_in = (unsigned)(z->in_len - z->in_pos);
	z->bz.next_out = (char *)p;
	z->bz.avail_out = room > UINT32_MAX ? UINT32_MAX : (unsigned)room;
	int rc = BZ2_bzDecompress(&z->bz);
	if (rc != BZ_OK && rc != BZ_STREAM_END)
		return corrupt(z, rc == BZ_DATA_ERROR_MAGIC ? "garbage after its end" : "invalid data");
	z->in_pos = z->in_len - z->bz.avail_in;
	*got = (size_t)((uint8_t *)z->bz.next_out - p);
	z->between = rc == BZ_STREAM_END;
	return NULL;
}

static struct err *step(struct decompressor *z, uint8_t *p, size_t room, size_t *got)
{
	switch (z->codec) {
	case CODEC_GZIP:
		return step_gzip(z, p, room, got);
	case CODEC_ZSTD:
		return step_zstd(z, p, room, got);
	case CODEC_XZ:
		return step_xz(z, p, room, got);
	case CODEC_BZIP2:
		return step_bzip2(z, p, room, got);
	case CODEC_NONE:
		break;
	}
	return step_none(z, p, room, got);
}

struct err *decompressor_read(struct decompressor *z, void *p, size_t *len)
{
	size_t room = *len, got = 0;
	while (got == 0 && room > 0 && !z->ended) {
		TRY(fill(z));
		size_t before = z->in_pos;
		TRY(step(z, p, room, &got));
		bool stuck = got == 0 && z->in_pos == before;
		if (stuck && z->source_ended) {
			if (!z->between && z->codec != CODEC_NONE)
				return corrupt(z, "it is truncated");
			z->ended = true;
		} else if (stuck && z->in_pos < z->in_len) {
			return corrupt(z, "invalid data");
		}
	}
	z->total += got;
	if (z->max_output && z->total > z->max_output)
		return err_new(ERR_INVALID, "%s stream: unpacks to more than the %" PRIu64 " bytes it may",
			codec_name(z->codec), z->max_output);
	*len = got;
	return NULL;
}

struct err *decompressor_source(void *z, void *p, size_t *len)
{
	return decompressor_read(z, p, len);
}

void decompressor_free(struct decompressor *z)
{
	if (!z)
		return;
	mem_freep(&z->inflate);
	ZSTD_freeDCtx(z->zstd);
	if (z->codec == CODEC_XZ)
		lzma_end(&z->xz);
	if (z->bz_open)
		BZ2_bzDecompressEnd(&z->bz);
	mem_freep(&z->in);
	mem_freep(&z);
}

void decompressor_freep(struct decompressor **z)
{
	decompressor_free(*z);
	*z = NULL;
}

struct err *fd_source_read(void *ctx, void *p, size_t *len)
{
	const struct fd_source *s = ctx;
	ssize_t n;
	do
		n = read(s->fd, p, *len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(errno, "reading %s", s->what);
	*len = (size_t)n;
	return NULL;
}
