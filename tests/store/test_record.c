/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void put_get_delete(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	put_record(s, "image", "x:1", "one", NULL);
	put_record(s, "image", "x:1", "two", NULL);
	AUTO_BUF struct buf b = {0};
	bool found = false, deleted = false;
	assert_ok(store_record_get(s, "image", "x:1", &b, &found));
	assert_true(found);
	assert_string_equal(buf_cstr(&b), "two");
	assert_false(has_record(s, "tag", "x:1"));
	assert_ok(store_record_delete(s, "image", "x:1", &deleted));
	assert_true(deleted);
	assert_ok(store_record_delete(s, "image", "x:1", &deleted));
	assert_false(deleted);
	assert_false(has_record(s, "image", "x:1"));
}

static void binary_values(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_record r = {.space = "local", .key = "k/\xc3\x28/z", .value = str_n("a\0b\xff", 4)};
	assert_ok(store_record_put(s, &r));
	AUTO_BUF struct buf b = {0};
	bool found = false;
	assert_ok(store_record_get(s, "local", r.key, &b, &found));
	assert_true(found);
	assert_true(str_eq(buf_str(&b), r.value));
	r.value = str_n(NULL, 0);
	assert_ok(store_record_put(s, &r));
	buf_clear(&b);
	assert_ok(store_record_get(s, "local", r.key, &b, &found));
	assert_true(found && b.len == 0);
}

static void refused(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_record r = {.space = "Bad space", .key = "k"};
	assert_err(store_record_put(s, &r), ERR_INVALID);
	r = (struct store_record){.space = "tag", .key = ""};
	assert_err(store_record_put(s, &r), ERR_INVALID);
	struct store_ref ref = {STORE_REF_BLOB, "sha256:xyz"};
	r = (struct store_record){.space = "tag", .key = "k", .refs = &ref, .ref_count = 1};
	assert_err(store_record_put(s, &r), ERR_INVALID);
	ref = (struct store_ref){STORE_REF_LAYER, "../../etc"};
	assert_err(store_record_put(s, &r), ERR_INVALID);
	ref = (struct store_ref){STORE_REF_RECORD, "noslash"};
	assert_err(store_record_put(s, &r), ERR_INVALID);
}

static void swapping(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_record r = {.space = "tag", .key = "v1", .value = STR("a")};
	struct str a = STR("a"), z = STR("z");
	bool swapped = true;
	assert_ok(store_record_swap(s, &r, &a, &swapped));
	assert_false(swapped);
	assert_ok(store_record_swap(s, &r, NULL, &swapped));
	assert_true(swapped);
	r.value = STR("b");
	assert_ok(store_record_swap(s, &r, NULL, &swapped));
	assert_false(swapped);
	assert_ok(store_record_swap(s, &r, &z, &swapped));
	assert_false(swapped);
	assert_ok(store_record_swap(s, &r, &a, &swapped));
	assert_true(swapped);
	AUTO_BUF struct buf b = {0};
	bool found = false;
	assert_ok(store_record_get(s, "tag", "v1", &b, &found));
	assert_string_equal(buf_cstr(&b), "b");
}

static struct err *collect(void *ctx, const struct store_record_row *row)
{
	buf_addf(ctx, "%s=" STR_FMT " ", row->key, STR_ARG(row->value));
	return NULL;
}

static struct err *stop_at_b(void *ctx, const struct store_record_row *row)
{
	(void)ctx;
	return cstr_eq(row->key, "b") ? err_new(ERR_VIOLATION, "stop") : NULL;
}

static void listing(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	static const char *const keys[] = {
		"b", "a/2", "a/10", "a/1", "a", "a/\xff\xff", "a0", "A", "\xff", "\xff\xffz"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		put_record(s, "tag", keys[i], "v", NULL);
	put_record(s, "image", "a/3", "v", NULL);
	AUTO_BUF struct buf b = {0};
	assert_ok(store_record_each(s, "tag", "a/", NULL, 0, collect, &b));
	assert_string_equal(buf_cstr(&b), "a/1=v a/10=v a/2=v a/\xff\xff=v ");
	buf_clear(&b);
	assert_ok(store_record_each(s, "tag", "a/", "a/10", 1, collect, &b));
	assert_string_equal(buf_cstr(&b), "a/2=v ");
	buf_clear(&b);
	assert_ok(store_record_each(s, "tag", "", "a0", 0, collect, &b));
	assert_string_equal(buf_cstr(&b), "b=v \xff=v \xff\xffz=v ");
	buf_clear(&b);
	assert_ok(store_record_each(s, "tag", "\xff", NULL, 0, collect, &b));
	assert_string_equal(buf_cstr(&b), "\xff=v \xff\xffz=v ");
	buf_clear(&b);
	/* After the end of the prefix, and before its start. */
	assert_ok(store_record_each(s, "tag", "a/", "b", 0, collect, &b));
	assert_int_equal(b.len, 0);
	assert_ok(store_record_each(s, "tag", "a/", "A", 1, collect, &b));
	assert_string_equal(buf_cstr(&b), "a/1=v ");
	assert_err(store_record_each(s, "tag", "", NULL, 0, stop_at_b, NULL), ERR_VIOLATION);
}

static struct err *check_order(void *ctx, const struct store_record_row *row)
{
	char *last = ctx;
	assert_true(strcmp(last, row->key) < 0);
	snprintf(last, 20, "%s", row->key);
	return NULL;
}

static void long_listing(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_ok(store_begin(s));
	for (int i = 0; i < 1000; i++) {
		char key[20];
		snprintf(key, sizeof(key), "k%03d", (i * 617) % 1000);
		put_record(s, "op", key, "", NULL);
	}
	assert_ok(store_commit(s));
	char last[20] = "";
	assert_ok(store_record_each(s, "op", "k", NULL, 0, check_order, last));
	assert_string_equal(last, "k999");
	last[0] = '\0';
	assert_ok(store_record_each(s, "op", "k", NULL, 300, check_order, last));
	assert_string_equal(last, "k299");
}

enum { WORKERS = 4, ROUNDS = 50 };

static void *count_up(void *ctx)
{
	struct store *s = ctx;
	for (int i = 0; i < ROUNDS;) {
		AUTO_BUF struct buf b = {0};
		bool found = false, swapped = false;
		assert_ok(store_record_get(s, "source", "counter", &b, &found));
		char next[20];
		snprintf(next, sizeof(next), "%d", found ? atoi(buf_cstr(&b)) + 1 : 1);
		struct store_record r = {.space = "source", .key = "counter", .value = str_c(next)};
		struct str before = buf_str(&b);
		assert_ok(store_record_swap(s, &r, found ? &before : NULL, &swapped));
		i += swapped;
	}
	return NULL;
}

static void assert_count(struct store *s, int want)
{
	AUTO_BUF struct buf b = {0};
	bool found = false;
	assert_ok(store_record_get(s, "source", "counter", &b, &found));
	assert_int_equal(atoi(buf_cstr(&b)), want);
}

static void threads_count(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	pthread_t t[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count_up, s), 0);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	assert_count(s, WORKERS * ROUNDS);
}

/* Each process also opens, and so perhaps creates, the store. */
static void processes_count(void **state)
{
	pid_t pids[WORKERS];
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct store *s = NULL;
			struct err *e = store_open(*state, NULL, &s);
			if (e) {
				AUTO_FREE char *text = err_text(e);
				fprintf(stderr, "%s\n", text);
				_exit(1);
			}
			count_up(s);
			store_close(s);
			_exit(0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_count(s, WORKERS * ROUNDS);
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

static void known_put_writes_nothing(void **state)
{
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		struct digest d = put_text(s, "x");
		put_blob_record(s, "image", "x", &d);
		int before = sqlite3_total_changes(s->db);
		put_blob_record(s, "image", "x", &d);
		assert_true(has_blob(s, &d));
		assert_true(has_record(s, "image", "x"));
		assert_int_equal(sqlite3_total_changes(s->db), before);
	}
	/* Hours later its use is noted, once. */
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		assert_ok(store_db_exec(s, "UPDATE records SET used = 5"));
		assert_true(has_record(s, "image", "x"));
		assert_true(has_record(s, "image", "x"));
		assert_int_equal(map_len(s->touches), 1);
	}
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_true(has_record(s, "image", "x"));
	assert_int_equal(map_len(s->touches), 0);
}

static void naming(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct digest x = put_text(s, "x"), y = put_text(s, "y");
	char text[DIGEST_TEXT_MAX];
	struct store_ref ref = {STORE_REF_BLOB, digest_text(&x, text)};
	AUTO_STRVEC struct strvec keys = {0};
	put_blob_record(s, "tag", "a:1", &x);
	put_blob_record(s, "tag", "a:2", &x);
	put_blob_record(s, "tag", "a:3", &y);
	put_blob_record(s, "tag", "a/b:1", &x);
	put_blob_record(s, "image", "a:4", &x);
	assert_ok(store_record_naming(s, "tag", "a:", &ref, &keys));
	assert_int_equal(keys.len, 2);
	assert_true(strvec_has(&keys, "a:1") && strvec_has(&keys, "a:2"));
	put_blob_record(s, "tag", "a:2", &y);
	strvec_clear(&keys);
	assert_ok(store_record_naming(s, "tag", "a:", &ref, &keys));
	assert_int_equal(keys.len, 1);
	strvec_clear(&keys);
	assert_ok(store_record_naming(s, "tag", "", &ref, &keys));
	assert_int_equal(keys.len, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(put_get_delete, make_home, drop_home),
		cmocka_unit_test_setup_teardown(binary_values, make_home, drop_home),
		cmocka_unit_test_setup_teardown(refused, make_home, drop_home),
		cmocka_unit_test_setup_teardown(swapping, make_home, drop_home),
		cmocka_unit_test_setup_teardown(listing, make_home, drop_home),
		cmocka_unit_test_setup_teardown(naming, make_home, drop_home),
		cmocka_unit_test_setup_teardown(long_listing, make_home, drop_home),
		cmocka_unit_test_setup_teardown(threads_count, make_home, drop_home),
		cmocka_unit_test_setup_teardown(processes_count, make_home, drop_home),
		cmocka_unit_test_setup_teardown(known_put_writes_nothing, make_home, drop_home),
	};
	return cmocka_run_group_tests_name("store records", tests, NULL, NULL);
}
