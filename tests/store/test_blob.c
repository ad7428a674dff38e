/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_and_read(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest d = put_text(s, "hello");
	char text[DIGEST_TEXT_MAX];
	assert_string_equal(digest_text(&d, text),
		"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	AUTO_BUF struct buf b = {0};
	assert_ok(store_blob_read(s, &d, 100, &b));
	assert_string_equal(buf_cstr(&b), "hello");
	assert_err(store_blob_read(s, &d, 4, &b), ERR_INVALID);
	struct digest none;
	digest_of("other", 5, &none);
	int64_t size = 0;
	assert_ok(store_blob_stat(s, &none, &size));
	assert_int_equal(size, -1);
	int fd = -1;
	uint64_t n;
	assert_err(store_blob_open(s, &none, &fd, &n), ERR_NOT_FOUND);
	struct digest empty = put_text(s, "");
	assert_true(has_blob(s, &empty));
}

static void large_and_dedup(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	AUTO_FREE uint8_t *data = mem_alloc(20 << 20);
	for (size_t i = 0; i < 20 << 20; i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13);
	struct digest want, got;
	digest_of(data, 20 << 20, &want);
	for (int round = 0; round < 2; round++) {
		struct store_blob_writer *w = NULL;
		assert_ok(store_blob_begin(s, &w));
		for (size_t at = 0; at < 20 << 20;) {
			size_t n = 1 + (at * 7919) % 300000;
			if (n > (20 << 20) - at)
				n = (20 << 20) - at;
			assert_ok(store_blob_write(w, data + at, n));
			at += n;
		}
		assert_int_equal(store_blob_written(w), 20 << 20);
		assert_ok(store_blob_commit(w, &want, &got));
		assert_true(digest_eq(&want, &got));
	}
	AUTO_FD int fd = -1;
	uint64_t size = 0;
	assert_ok(store_blob_open(s, &got, &fd, &size));
	assert_int_equal(size, 20 << 20);
	AUTO_FREE uint8_t *back = mem_alloc(20 << 20);
	assert_int_equal(pread(fd, back, 20 << 20, 0), 20 << 20);
	assert_memory_equal(data, back, 20 << 20);
	assert_int_equal(write(fd, "x", 1), -1);
	/* Nothing is left but the session's own directory. */
	AUTO_FREE char *tmp = mem_printf("tmp/%s", s->session);
	assert_int_equal(count_names(*state, tmp), 0);
}

static void wrong_digest(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest want, out;
	digest_of("right", 5, &want);
	struct store_blob_writer *w = NULL;
	assert_ok(store_blob_begin(s, &w));
	assert_ok(store_blob_write(w, "wrong", 5));
	assert_err(store_blob_commit(w, &want, &out), ERR_CORRUPT);
	assert_false(has_blob(s, &want));
	struct digest wrong;
	digest_of("wrong", 5, &wrong);
	assert_false(has_blob(s, &wrong));
}

static void sha512(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct hasher *h AUTO(hasher_freep) = hasher_new(DIGEST_SHA512);
	hasher_add(h, "abc", 3);
	struct digest want, out;
	hasher_finish(h, &want);
	struct store_blob_writer *w = NULL;
	assert_ok(store_blob_begin(s, &w));
	assert_ok(store_blob_write(w, "abc", 3));
	assert_ok(store_blob_commit(w, &want, &out));
	assert_true(digest_eq(&want, &out));
	AUTO_BUF struct buf b = {0};
	assert_ok(store_blob_read(s, &want, 10, &b));
	assert_string_equal(buf_cstr(&b), "abc");
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

static void damage(const char *home, const struct digest *d, const char *bytes)
{
	AUTO_FREE char *path = blob_file(home, d);
	assert_int_equal(chmod(path, 0600), 0);
	AUTO_FD int fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
}

static void corrupt_is_detected(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest d = put_text(s, "precious");
	damage(*state, &d, "pRecious");
	AUTO_BUF struct buf b = {0};
	assert_err(store_blob_read(s, &d, 100, &b), ERR_CORRUPT);
	assert_int_equal(b.len, 0);
	damage(*state, &d, "prec");
	int fd = -1;
	uint64_t size;
	assert_err(store_blob_open(s, &d, &fd, &size), ERR_CORRUPT);
	/* Writing a truncated or lost one again heals it. */
	put_text(s, "precious");
	assert_ok(store_blob_read(s, &d, 100, &b));
	assert_string_equal(buf_cstr(&b), "precious");
	AUTO_FREE char *path = blob_file(*state, &d);
	assert_int_equal(unlink(path), 0);
	assert_err(store_blob_read(s, &d, 100, &b), ERR_NOT_FOUND);
	put_text(s, "precious");
	buf_clear(&b);
	assert_ok(store_blob_read(s, &d, 100, &b));
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

static void partials(void **state)
{
	struct digest want, out;
	digest_of("one two three", 13, &want);
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		struct store_partial *p = NULL, *again = NULL;
		assert_err(store_partial_open(s, "none", false, &p), ERR_NOT_FOUND);
		assert_err(store_partial_open(s, "../x", true, &p), ERR_INVALID);
		assert_err(store_partial_open(s, "..", true, &p), ERR_INVALID);
		assert_ok(store_partial_open(s, "up:1", true, &p));
		assert_ok(store_partial_append(p, "one ", 4));
		assert_err(store_partial_open(s, "up:1", true, &again), ERR_UNAVAILABLE);
		assert_ok(store_partial_append(p, "two XX", 6));
		assert_ok(store_partial_truncate(p, 8));
		store_partial_close(p);
	}
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_ok(store_sweep(s));
	struct store_partial *p = NULL;
	struct digest other_digest;
	assert_ok(store_partial_open(s, "up:1", false, &p));
	assert_int_equal(store_partial_size(p), 8);
	assert_ok(store_partial_append(p, "three", 5));
	assert_ok(store_partial_commit(p, &want, &out));
	assert_true(has_blob(s, &want));
	assert_int_equal(count_names(*state, "partial"), 0);
	/* Wrong bytes: dropped. */
	/* With a pause between the pieces; and with one in which another process goes on. */
	struct store *other = NULL;
	assert_ok(store_open(*state, NULL, &other));
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		assert_ok(store_partial_open(s, "up:3", true, &p));
		assert_ok(store_partial_append(p, "one ", 4));
		store_partial_pause(p);
		assert_ok(store_partial_open(elsewhere ? other : s, "up:3", false, &p));
		assert_ok(store_partial_append(p, "two ", 4));
		store_partial_pause(p);
		assert_ok(store_partial_open(s, "up:3", false, &p));
		assert_int_equal(store_partial_size(p), 8);
		assert_ok(store_partial_append(p, elsewhere ? "3" : "three", elsewhere ? 1 : 5));
		digest_of(elsewhere ? "one two 3" : "one two three", elsewhere ? 9 : 13, &other_digest);
		assert_ok(store_partial_commit(p, &other_digest, &out));
	}
	store_close(other);
	assert_ok(store_partial_open(s, "up:2", true, &p));
	assert_ok(store_partial_append(p, "bad", 3));
	assert_err(store_partial_commit(p, &want, &out), ERR_CORRUPT);
	assert_int_equal(count_names(*state, "partial"), 0);
	/* Known already, and named by what it is. */
	assert_ok(store_partial_open(s, "up:3", true, &p));
	assert_ok(store_partial_append(p, "one two three", 13));
	assert_ok(store_partial_commit(p, NULL, &out));
	assert_true(digest_eq(&out, &want));
	assert_ok(store_partial_open(s, "up:4", true, &p));
	assert_ok(store_partial_delete(p));
	assert_int_equal(count_names(*state, "partial"), 0);
}

static void transactions(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_ok(store_begin(s));
	assert_err(store_begin(s), ERR_BUG);
	store_rollback(s);
	assert_ok(store_begin(s));
	put_record(s, "image", "a", "1", NULL);
	struct digest d = put_text(s, "inside");
	store_rollback(s);
	assert_false(has_record(s, "image", "a"));
	assert_false(has_blob(s, &d));
	/* The file was left behind; the same bytes are taken again. */
	d = put_text(s, "inside");
	assert_true(has_blob(s, &d));
	assert_ok(store_begin(s));
	put_record(s, "image", "a", "1", NULL);
	put_record(s, "image", "b", "2", NULL);
	assert_ok(store_commit(s));
	assert_true(has_record(s, "image", "a") && has_record(s, "image", "b"));
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(put_and_read, make_home, drop_home),
		cmocka_unit_test_setup_teardown(large_and_dedup, make_home, drop_home),
		cmocka_unit_test_setup_teardown(wrong_digest, make_home, drop_home),
		cmocka_unit_test_setup_teardown(sha512, make_home, drop_home),
		cmocka_unit_test_setup_teardown(corrupt_is_detected, make_home, drop_home),
		cmocka_unit_test_setup_teardown(partials, make_home, drop_home),
		cmocka_unit_test_setup_teardown(transactions, make_home, drop_home),
	};
	return cmocka_run_group_tests_name("store blobs", tests, NULL, NULL);
}
