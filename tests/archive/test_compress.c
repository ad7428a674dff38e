/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs: round trips, telling them apart, broken and hostile streams, output that depends on the input only.
 */
#include "archive_test.h"

#include "archive/compress_internal.h"
#include "base/mem.h"

#include <bzlib.h>
#include <lzma.h>
#include <sys/mman.h>

#define GZIP_STABLE "sha256:1fcf0eb0f26dff875576cfd316e78628d1f1ac641e0f7e28f7008388ed99038f"

static void random_bytes_of(struct buf *b, size_t len, uint32_t seed)
{
	buf_reserve(b, len);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		/* compressible in parts */
		buf_addc(b, (i >> 12) & 1 ? (char)(seed >> 24) : (char)('a' + (seed >> 30)));
	}
}

static void compress_threads(
	enum codec c, unsigned threads, const struct buf *in, size_t step, struct buf *out)
{
	AUTO(compressor_freep) struct compressor *z = NULL;
	assert_ok(threads ? compressor_new_threads(c, threads, buf_sink, out, &z)
			  : compressor_new(c, buf_sink, out, &z));
	for (size_t at = 0; at < in->len; at += step)
		assert_ok(compressor_write(z, in->ptr + at, in->len - at < step ? in->len - at : step));
	assert_ok(compressor_finish(z));
}

static void compress_steps(enum codec c, const struct buf *in, size_t step, struct buf *out)
{
	compress_threads(c, 0, in, step, out);
}

static struct err *decompress(
	const struct buf *in, size_t in_step, size_t out_step, uint64_t max, enum codec *c, struct buf *out)
{
	struct mem_source s = {.bytes = buf_str(in), .step = in_step};
	AUTO(decompressor_freep) struct decompressor *z = NULL;
	TRY(decompressor_new(mem_source_read, &s, max, c, &z));
	AUTO_FREE char *p = mem_alloc(out_step);
	for (;;) {
		size_t n = out_step;
		TRY(decompressor_read(z, p, &n));
		if (n == 0)
			return NULL;
		buf_add(out, p, n);
	}
}

static void xz_of(const struct buf *in, struct buf *out)
{
	size_t n = lzma_stream_buffer_bound(in->len), at = 0;
	buf_reserve(out, n);
	assert_int_equal(lzma_easy_buffer_encode(3, LZMA_CHECK_CRC64, NULL, (uint8_t *)in->ptr, in->len,
				 (uint8_t *)out->ptr + out->len, &at, n),
		LZMA_OK);
	out->len += at;
}

static void bzip2_of(const struct buf *in, struct buf *out)
{
	unsigned n = (unsigned)(in->len + in->len / 50 + 600);
	buf_reserve(out, n);
	assert_int_equal(BZ2_bzBuffToBuffCompress(out->ptr + out->len, &n, in->ptr ? in->ptr : (char *)"",
				 (unsigned)in->len, 9, 0, 0),
		BZ_OK);
	out->len += n;
}

static void encode(enum codec c, const struct buf *in, struct buf *out)
{
	if (c == CODEC_XZ)
		xz_of(in, out);
	else if (c == CODEC_BZIP2)
		bzip2_of(in, out);
	else
		compress_steps(c, in, 100000, out);
}

static const enum codec all[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZSTD, CODEC_XZ, CODEC_BZIP2};
static const size_t sizes[] = {0, 1, 5, 6, 511, 65536, 1048575, 1048576, 1048577, 3 * 1048576, 2500001};

static void test_round_trip(void **state)
{
	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		AUTO_BUF struct buf in = {0};
		random_bytes_of(&in, sizes[s], (uint32_t)s + 1);
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			static const size_t steps[][2] = {{0, 1 << 20}, {4099, 777}, {1, 1 << 16}, {0, 1}};
			AUTO_BUF struct buf z = {0};
			encode(all[i], &in, &z);
			for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
				if (k > 1 && sizes[s] > 70000)
					continue;
				AUTO_BUF struct buf back = {0};
				enum codec seen = CODEC_NONE;
				assert_ok(decompress(&z, steps[k][0], steps[k][1], 0, &seen, &back));
				assert_int_equal(seen, all[i]);
				assert_int_equal(back.len, in.len);
				if (in.len)
					assert_memory_equal(back.ptr, in.ptr, in.len);
			}
		}
	}
}

static void test_deterministic(void **state)
{
	(void)state;
	static const enum codec codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZSTD};
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		AUTO_BUF struct buf in = {0};
		random_bytes_of(&in, sizes[s], 99);
		for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
			AUTO_BUF struct buf want = {0};
			compress_steps(codecs[i], &in, in.len + 1, &want);
			static const size_t steps[] = {777, 65536, 1048576, 1048577, 2500000};
			for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
				AUTO_BUF struct buf got = {0};
				compress_steps(codecs[i], &in, steps[k], &got);
				assert_int_equal(got.len, want.len);
				if (want.len)
					assert_memory_equal(got.ptr, want.ptr, want.len);
			}
		}
	}
}

static void test_threads(void **state)
{
	(void)state;
	static const enum codec codecs[] = {CODEC_GZIP, CODEC_ZSTD};
	static const size_t lengths[] = {0, 1, 300000, 1048576, 1048577, 2097152, 9000000};
	for (size_t s = 0; s < ARRAY_LEN(lengths); s++) {
		AUTO_BUF struct buf in = {0};
		random_bytes_of(&in, lengths[s], 17);
		for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
			AUTO_BUF struct buf want = {0};
			compress_threads(codecs[i], 1, &in, 1000003, &want);
			for (unsigned n = 2; n <= 7; n += 5) {
				AUTO_BUF struct buf got = {0};
				compress_threads(codecs[i], n, &in, 70001, &got);
				assert_int_equal(got.len, want.len);
				assert_memory_equal(got.ptr, want.ptr, want.len);
			}
		}
	}
}

/* Where the codec's state lies in memory must not show: one place in a thousand did, in the first hundred
 * bytes of a chunk. */
static void test_address(void **state)
{
	(void)state;
	enum { PLACES = 20000, LEN = 4096 };
	const size_t span = (size_t)1 << 34;
	uint8_t *map =
		mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	AUTO_FREE uint8_t *in = mem_alloc(LEN), *out = mem_alloc(GZIP_CHUNK_OUT),
			  *want = mem_alloc(GZIP_CHUNK_OUT);
	AUTO_FREE uint8_t *level_buf = mem_alloc(ISAL_DEF_LVL1_DEFAULT);
	size_t want_len = 0;
	uint64_t seed = 1;
	for (int i = 0; i < PLACES; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		if (i % 100 == 0)
			for (size_t k = 0; k < LEN; k++) {
				seed = seed * 6364136223846793005u + 1442695040888963407u;
				in[k] = (uint8_t)('a' + (seed >> 62));
			}
		uint8_t *place =
			map + ((seed >> 20) % (span - 2 * sizeof(struct isal_zstream)) & ~(size_t)15);
		struct gzip_chunk c = {.in = in, .len = LEN, .out = i % 100 ? out : want};
		assert_int_equal(gzip_deflate_chunk((struct isal_zstream *)place, level_buf, &c), COMP_OK);
		if (i % 100 == 0)
			want_len = c.out_len;
		assert_int_equal(c.out_len, want_len);
		assert_memory_equal(c.out, want, want_len);
		uint8_t *page = map + ((size_t)(place - map) & ~(size_t)4095);
		madvise(page, sizeof(struct isal_zstream) + 8192 - sizeof(struct isal_zstream) % 4096,
			MADV_DONTNEED);
	}
	munmap(map, span);
}

/* A compressor given up half-way: threads must end. */
static void test_abandoned(void **state)
{
	(void)state;
	AUTO_BUF struct buf in = {0}, out = {0};
	random_bytes_of(&in, 5000000, 17);
	AUTO(compressor_freep) struct compressor *z = NULL;
	assert_ok(compressor_new_threads(CODEC_GZIP, 3, buf_sink, &out, &z));
	assert_ok(compressor_write(z, in.ptr, in.len));
}

/* Blob digests are promised to stay: a change of the codec, its level or the chunking shows here. */
static void test_stable_gzip(void **state)
{
	(void)state;
	AUTO_BUF struct buf in = {0}, z = {0};
	random_bytes_of(&in, 2500000, 5);
	compress_steps(CODEC_GZIP, &in, 100000, &z);
	struct digest d;
	char text[DIGEST_TEXT_MAX];
	digest_of(z.ptr, z.len, &d);
	assert_string_equal(digest_text(&d, text), GZIP_STABLE);
}

static void test_gzip_header(void **state)
{
	(void)state;
	AUTO_BUF struct buf in = {0}, z = {0};
	buf_adds(&in, "x");
	compress_steps(CODEC_GZIP, &in, 1, &z);
	assert_memory_equal(z.ptr, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
}

static void test_detect(void **state)
{
	(void)state;
	assert_int_equal(codec_detect("\x1f\x8b\x08", 3), CODEC_GZIP);
	assert_int_equal(codec_detect("\x1f\x8b", 2), CODEC_NONE);
	assert_int_equal(codec_detect("\x28\xb5\x2f\xfd", 4), CODEC_ZSTD);
	assert_int_equal(codec_detect("\x5e\x2a\x4d\x18", 4), CODEC_ZSTD);
	assert_int_equal(codec_detect("\xfd"
				      "7zXZ\0",
				 6),
		CODEC_XZ);
	assert_int_equal(codec_detect("BZh9", 4), CODEC_BZIP2);
	assert_int_equal(codec_detect("", 0), CODEC_NONE);
	assert_string_equal(codec_name(CODEC_ZSTD), "zstd");
}

static void test_many_members(void **state)
{
	(void)state;
	AUTO_BUF struct buf one = {0}, two = {0};
	random_bytes_of(&one, 70000, 3);
	random_bytes_of(&two, 50000, 4);
	for (size_t i = 1; i < ARRAY_LEN(all); i++) {
		AUTO_BUF struct buf z = {0}, back = {0}, tiny = {0};
		encode(all[i], &one, &z);
		encode(all[i], &two, &z);
		if (all[i] == CODEC_GZIP)
			buf_add(&z, "\0\0\0\0\0", 5);
		assert_ok(decompress(&z, 0, 1 << 16, 0, NULL, &back));
		assert_ok(decompress(&z, 1, 1 << 16, 0, NULL, &tiny));
		assert_int_equal(back.len, one.len + two.len);
		assert_int_equal(tiny.len, back.len);
		assert_memory_equal(back.ptr, one.ptr, one.len);
		assert_memory_equal(back.ptr + one.len, two.ptr, two.len);
	}
}

static void test_truncated(void **state)
{
	(void)state;
	AUTO_BUF struct buf in = {0};
	random_bytes_of(&in, 200000, 3);
	for (size_t i = 1; i < ARRAY_LEN(all); i++) {
		AUTO_BUF struct buf z = {0};
		encode(all[i], &in, &z);
		static const size_t cuts[] = {1, 4, 8, 9, 1000, 50000};
		for (size_t k = 0; k < ARRAY_LEN(cuts); k++) {
			AUTO_BUF struct buf part = {0}, back = {0};
			buf_add(&part, z.ptr, z.len - cuts[k]);
			assert_err(decompress(&part, 0, 1 << 16, 0, NULL, &back), ERR_CORRUPT,
				codec_name(all[i]));
		}
		AUTO_BUF struct buf head = {0}, back = {0};
		buf_add(&head, z.ptr, 6);
		assert_err(decompress(&head, 0, 1 << 16, 0, NULL, &back), ERR_CORRUPT, "truncated");
	}
}

static void test_damaged(void **state)
{
	(void)state;
	AUTO_BUF struct buf in = {0};
	random_bytes_of(&in, 200000, 3);
	for (size_t i = 1; i < ARRAY_LEN(all); i++) {
		AUTO_BUF struct buf z = {0};
		encode(all[i], &in, &z);
		for (size_t at = 20; at < z.len; at += z.len / 40) {
			AUTO_BUF struct buf bad = {0}, back = {0};
			buf_add(&bad, z.ptr, z.len);
			bad.ptr[at] ^= 0x55;
			assert_err(decompress(&bad, 0, 1 << 16, 0, NULL, &back), ERR_CORRUPT,
				codec_name(all[i]));
		}
		AUTO_BUF struct buf tail = {0}, back = {0};
		buf_add(&tail, z.ptr, z.len);
		buf_adds(&tail, "garbage!garbage!");
		assert_err(decompress(&tail, 0, 1 << 16, 0, NULL, &back), ERR_CORRUPT, codec_name(all[i]));
	}
}

static void test_bomb(void **state)
{
	(void)state;
	AUTO_BUF struct buf in = {0};
	buf_reserve(&in, 30 << 20);
	memset(in.ptr, 0, 30 << 20);
	in.len = 30 << 20;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		AUTO_BUF struct buf z = {0}, back = {0}, whole = {0};
		encode(all[i], &in, &z);
		assert_err(decompress(&z, 0, 1 << 16, 1 << 20, NULL, &back), ERR_INVALID, "1048576");
		assert_true(back.len <= 1 << 20);
		assert_ok(decompress(&z, 0, 1 << 16, in.len, NULL, &whole));
	}
}

static void test_unsupported(void **state)
{
	(void)state;
	struct compressor *z = NULL;
	assert_err(compressor_new(CODEC_XZ, buf_sink, NULL, &z), ERR_UNSUPPORTED, "xz");
	assert_err(compressor_new(CODEC_BZIP2, buf_sink, NULL, &z), ERR_UNSUPPORTED, "bzip2");
}

static struct err *bad_sink(void *ctx, const void *p, size_t len)
{
	(void)ctx, (void)p, (void)len;
	return err_new(ERR_NO_SPACE, "the sink is full");
}

static struct err *bad_source(void *ctx, void *p, size_t *len)
{
	(void)ctx, (void)p, (void)len;
	return err_new(ERR_UNAVAILABLE, "the source is gone");
}

static void test_errors_pass(void **state)
{
	(void)state;
	AUTO(compressor_freep) struct compressor *z = NULL;
	assert_ok(compressor_new(CODEC_GZIP, bad_sink, NULL, &z));
	assert_ok(compressor_write(z, "x", 1));
	assert_err(compressor_finish(z), ERR_NO_SPACE, "full");
	struct decompressor *d = NULL;
	assert_err(decompressor_new(bad_source, NULL, 0, NULL, &d), ERR_UNAVAILABLE, "gone");
}

static void test_foreign_readers(void **state)
{
	struct scratch *s = *state;
	AUTO_BUF struct buf in = {0}, gz = {0}, zst = {0}, out = {0};
	random_bytes_of(&in, 3000000, 8);
	compress_steps(CODEC_GZIP, &in, 12345, &gz);
	compress_steps(CODEC_ZSTD, &in, 12345, &zst);
	put_file(s->fd, "in", in.ptr, in.len, 0644, 1);
	put_file(s->fd, "a.gz", gz.ptr, gz.len, 0644, 1);
	put_file(s->fd, "a.zst", zst.ptr, zst.len, 0644, 1);
	assert_true(shell(s->path, "gzip -dc a.gz | cmp - in", &out));
	if (have_program("zstd"))
		assert_true(shell(s->path, "zstd -dcq a.zst | cmp - in", &out));
	if (have_program("python3"))
		assert_true(shell(s->path,
			"python3 -c 'import zlib; d = zlib.decompressobj(31); o = "
			"d.decompress(open(\"a.gz\", \"rb\").read());"
			" assert d.eof and not d.unused_data and o == open(\"in\", \"rb\").read()'",
			&out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_deterministic), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_address), cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_stable_gzip), cmocka_unit_test(test_gzip_header),
		cmocka_unit_test(test_detect), cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_truncated), cmocka_unit_test(test_damaged), cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_unsupported), cmocka_unit_test(test_errors_pass),
		cmocka_unit_test_setup_teardown(test_foreign_readers, scratch_setup, scratch_teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
