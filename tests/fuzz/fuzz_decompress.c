/* SPDX-License-Identifier: Apache-2.0 */
/* Decompresses the input whatever it is, never more than the bound; then compresses and compares. */
#include "archive/compress.h"
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_OUTPUT (1u << 20)

struct bytes {
	const uint8_t *p;
	size_t len;
	size_t step;
};

static struct err *give(void *ctx, void *p, size_t *len)
{
	struct bytes *b = ctx;
	size_t n = *len < b->len ? *len : b->len;
	if (b->step && n > b->step)
		n = b->step;
	if (n > 0)
		memcpy(p, b->p, n);
	b->p += n;
	b->len -= n;
	*len = n;
	return NULL;
}

static struct err *add(void *ctx, const void *p, size_t len)
{
	buf_add(ctx, p, len);
	return NULL;
}

static struct err *all(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
	struct bytes in = {data, size, step};
	AUTO(decompressor_freep) struct decompressor *z = NULL;
	TRY(decompressor_new(give, &in, MAX_OUTPUT, NULL, &z));
	for (;;) {
		char part[5000];
		size_t n = sizeof(part);
		TRY(decompressor_read(z, part, &n));
		if (n == 0)
			return NULL;
		buf_add(out, part, n);
		if (out->len > MAX_OUTPUT)
			abort();
	}
}

static void expect_same(const struct buf *a, const struct buf *b)
{
	if (a->len != b->len || (a->len && memcmp(a->ptr, b->ptr, a->len) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF struct buf whole = {0}, pieces = {0}, z = {0}, back = {0};
	struct err *e = all(data, size, 0, &whole);
	struct err *f = all(data, size, 7, &pieces);
	if ((e == NULL) != (f == NULL))
		abort();
	err_free(f);
	if (e) {
		err_free(e);
		return 0;
	}
	expect_same(&whole, &pieces);
	AUTO(compressor_freep) struct compressor *c = NULL;
	if (compressor_new(size & 1 ? CODEC_GZIP : CODEC_ZSTD, add, &z, &c) ||
		compressor_write(c, whole.ptr, whole.len) || compressor_finish(c) ||
		all((const uint8_t *)z.ptr, z.len, 0, &back))
		abort();
	expect_same(&whole, &back);
	return 0;
}
