/* SPDX-License-Identifier: Apache-2.0 */
/* The streaming pipelines: their digests, their errors, and that no thread is left behind. */
#include "archive_test.h"

#include "base/mem.h"

#include <fcntl.h>
#include <unistd.h>

static const struct tar_read_options as_layer = {.layer = true};

static void fill_tree(int fd, size_t big)
{
	AUTO_BUF struct buf b = {0};
	buf_reserve(&b, big);
	for (size_t i = 0; i < big; i++)
		b.ptr[i] = (char)(i * i >> 7);
	put_file(fd, "big", b.ptr, big, 0644, 5);
	assert_int_equal(mkdirat(fd, "d", 0755), 0);
	char name[32];
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		put_file(fd, name, name, strlen(name), 0644, i);
	}
	put_time(fd, "d", 7);
}

static void test_all_ways_agree(void **state)
{
	static const size_t sizes[] = {0, 100000, 1 << 20, 9 << 20};
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		char name[16];
		snprintf(name, sizeof(name), "a%zu", s);
		AUTO_FD int a = scratch_dir(*state, name);
		fill_tree(a, sizes[s]);
		AUTO_BUF struct buf tar = {0};
		struct digest want, got;
		uint64_t size = 0;
		tar_of(a, NULL, &tar);
		digest_of(tar.ptr, tar.len, &want);
		assert_ok(layer_diff_id(a, NULL, &got, &size));
		assert_true(digest_eq(&want, &got));
		assert_int_equal(size, tar.len);
		for (enum codec c = CODEC_NONE; c <= CODEC_ZSTD; c++) {
			AUTO_BUF struct buf blob = {0};
			assert_ok(layer_pack(a, NULL, c, buf_sink, &blob, &got, &size));
			assert_true(digest_eq(&want, &got));
			assert_int_equal(size, tar.len);
			struct mem_source src = {.bytes = buf_str(&blob)};
			assert_ok(layer_blob_diff_id(mem_source_read, &src, 0, &got, &size));
			assert_true(digest_eq(&want, &got));
			assert_int_equal(size, tar.len);
			snprintf(name, sizeof(name), "u%zu-%d", s, c);
			AUTO_FD int u = scratch_dir(*state, name);
			src = (struct mem_source){.bytes = buf_str(&blob), .step = 70001};
			struct tar_read_result r;
			assert_ok(layer_unpack(mem_source_read, &src, u, &as_layer, &got, &r));
			assert_true(digest_eq(&want, &got));
			assert_int_equal(r.entries, 302);
			digest_of_tree(u, &got);
			assert_true(digest_eq(&want, &got));
		}
	}
}

static void test_empty_tree(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	struct digest d;
	char text[DIGEST_TEXT_MAX];
	uint64_t size;
	assert_ok(layer_diff_id(a, NULL, &d, &size));
	assert_int_equal(size, 1024);
	/* the well-known digest of the empty layer */
	assert_string_equal(digest_text(&d, text),
		"sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
}

struct limited {
	size_t room;
};

static struct err *limited_sink(void *ctx, const void *p, size_t len)
{
	struct limited *l = ctx;
	(void)p;
	if (len > l->room)
		return err_new(ERR_NO_SPACE, "the disk is full");
	l->room -= len;
	return NULL;
}

static void test_sink_fails(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	fill_tree(a, 20 << 20);
	static const size_t rooms[] = {0, 5, 100000, 5 << 20};
	struct digest d;
	for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
		for (enum codec c = CODEC_NONE; c <= CODEC_ZSTD; c++) {
			struct limited l = {rooms[i]};
			struct err *e = layer_pack(a, NULL, c, limited_sink, &l, &d, NULL);
			if (!e) /* what the codec made of it had room */
				continue;
			assert_err(e, ERR_NO_SPACE, "disk is full");
		}
}

static void test_tree_fails(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	fill_tree(a, 5 << 20);
	put_file(a, "z.wh", "", 0, 0644, 1);
	assert_int_equal(renameat(a, "z.wh", a, ".wh.z"), 0);
	AUTO_BUF struct buf out = {0};
	struct digest d;
	assert_err(layer_pack(a, NULL, CODEC_GZIP, buf_sink, &out, &d, NULL), ERR_INVALID, "'.wh.z'");
	assert_err(layer_diff_id(a, NULL, &d, NULL), ERR_INVALID, "'.wh.z'");
}

static void test_corrupt_blob(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	fill_tree(a, 9 << 20);
	AUTO_BUF struct buf blob = {0};
	struct digest d;
	assert_ok(layer_pack(a, NULL, CODEC_GZIP, buf_sink, &blob, &d, NULL));
	char name[16];
	int n = 0;
	for (size_t cut = 0; cut < blob.len; cut += blob.len / 7 + 1) {
		AUTO_BUF struct buf part = {0};
		buf_add(&part, blob.ptr, cut);
		snprintf(name, sizeof(name), "c%d", n++);
		AUTO_FD int u = scratch_dir(*state, name);
		struct mem_source src = {.bytes = buf_str(&part)};
		struct tar_read_options opt = {.declared_size = 0};
		struct err *e = layer_unpack(mem_source_read, &src, u, &opt, &d, NULL);
		assert_int_equal(err_kind(e), ERR_CORRUPT);
		err_free(e);
		src.bytes = buf_str(&part);
		e = layer_blob_diff_id(mem_source_read, &src, 0, &d, NULL);
		assert_int_equal(err_kind(e), cut == 0 ? ERR_NONE : ERR_CORRUPT);
		err_free(e);
	}
	struct mem_source src = {.bytes = buf_str(&blob)};
	assert_err(layer_blob_diff_id(mem_source_read, &src, 1 << 20, &d, NULL), ERR_INVALID, "1048576");
	AUTO_FD int u = scratch_dir(*state, "bomb");
	src.bytes = buf_str(&blob);
	struct tar_read_options opt = {.layer = true, .declared_size = 1 << 20};
	struct err *e = layer_unpack(mem_source_read, &src, u, &opt, &d, NULL);
	assert_int_equal(err_kind(e), ERR_INVALID);
	err_free(e);
}

/* An entry is refused early in a large archive: the other threads must not wait for ever. */
static void test_refused_early(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf tar = {0};
	add_file(&tar, "../evil", "x");
	buf_reserve(&tar, 20 << 20);
	memset(tar.ptr + tar.len, 1, 20 << 20);
	tar.len += 20 << 20;
	struct digest d;
	for (int i = 0; i < 20; i++) {
		struct mem_source src = {.bytes = buf_str(&tar)};
		assert_err(layer_unpack(mem_source_read, &src, a, &as_layer, &d, NULL), ERR_INVALID,
			"'../evil'");
	}
}

static void test_cancel(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	fill_tree(a, 9 << 20);
	AUTO(cancel_freep) struct cancel *c = cancel_new();
	AUTO_BUF struct buf blob = {0};
	struct digest d;
	assert_ok(layer_pack(a, NULL, CODEC_GZIP, buf_sink, &blob, &d, NULL));
	cancel_set(c);
	struct tar_write_options w = {.cancel = c};
	assert_err(layer_pack(a, &w, CODEC_ZSTD, buf_sink, &blob, &d, NULL), ERR_CANCELED, "");
	struct mem_source src = {.bytes = buf_str(&blob)};
	struct tar_read_options r = {.layer = true, .cancel = c};
	assert_err(layer_unpack(mem_source_read, &src, a, &r, &d, NULL), ERR_CANCELED, "");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_all_ways_agree), T(test_empty_tree), T(test_sink_fails),
		T(test_tree_fails), T(test_corrupt_blob), T(test_refused_early), T(test_cancel)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
