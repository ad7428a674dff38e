/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, stores that cannot be written, and full disks. Mounting needs root; without it those are skipped.
 */
#include "helper.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool run(const char *fmt, ...) PRINTF(1, 2);

static bool run(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	AUTO_FREE char *command = mem_vprintf(fmt, ap);
	va_end(ap);
	return system(command) == 0;
}

static int drop_mounts(void **state)
{
	run("umount -l %s/mnt 2>/dev/null", (char *)*state);
	return drop_home(state);
}

/* A file system of this size at <state>/mnt. */
static char *mount_small(const char *home, const char *options)
{
	char *mnt = mem_printf("%s/mnt", home);
	assert_int_equal(mkdir(mnt, 0755), 0);
	if (geteuid() != 0 || !run("mount -t tmpfs -o %s cooper-test %s 2>/dev/null", options, mnt)) {
		free(mnt);
		skip();
	}
	return mnt;
}

static void missing_and_relative(void **state)
{
	struct store *s = NULL;
	struct store_options no_create = {.no_create = true}, read_only = {.read_only = true};
	AUTO_FREE char *deep = mem_printf("%s/a/b", (char *)*state);
	assert_err(store_open(deep, &no_create, &s), ERR_NOT_FOUND);
	assert_err(store_open(deep, &read_only, &s), ERR_NOT_FOUND);
	assert_err(store_open(*state, &no_create, &s), ERR_NOT_FOUND);
	assert_err(store_open("relative", NULL, &s), ERR_INVALID);
	assert_ok(store_open(deep, NULL, &s));
	assert_string_equal(store_home(s), deep);
	struct stat st;
	assert_int_equal(fstat(store_dirfd(s), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	store_close(s);
	assert_ok(store_open(deep, &no_create, &s));
	store_close(s);
	store_close(NULL);
}

static void newer_format(void **state)
{
	struct store *s = open_store(*state);
	assert_ok(store_db_exec(s, "PRAGMA user_version = 99"));
	store_close(s);
	assert_err(store_open(*state, NULL, &s), ERR_UNSUPPORTED);
}

static void assert_readable_only(struct store *s, const struct digest *d, const struct layer *l)
{
	AUTO_BUF struct buf b = {0};
	struct layer got;
	struct store_lock *lock = NULL;
	bool found = false;
	assert_ok(store_blob_read(s, d, 100, &b));
	assert_string_equal(buf_cstr(&b), "kept");
	assert_true(has_record(s, "tag", "x"));
	assert_ok(store_layer_get(s, l->id, &got, &found));
	assert_true(found);
	assert_string_equal(got.tree, l->tree);
	assert_int_equal(verify_problems(s, false, NULL), 0);
	struct store_usage u;
	assert_ok(store_usage(s, &u));
	assert_int_equal(u.blob_count, 1);
	struct store_record r = {.space = "tag", .key = "y"};
	assert_err(store_record_put(s, &r), ERR_DENIED);
	assert_err(store_blob_put(s, "x", 1, NULL), ERR_DENIED);
	assert_err(store_lock(s, "x", false, NULL, NULL, &lock), ERR_DENIED);
	assert_err(store_sweep(s), ERR_DENIED);
	assert_err(store_verify(s, true, NULL, NULL, NULL, &(struct store_verify_result){0}), ERR_DENIED);
}

static void fill(const char *home, struct digest *d, struct layer *l)
{
	struct store *s AUTO(store_closep) = open_store(home);
	*d = put_text(s, "kept");
	put_blob_record(s, "tag", "x", d);
	*l = make_layer(s, "tree");
}

static void read_only_option(void **state)
{
	struct digest d;
	struct layer l;
	fill(*state, &d, &l);
	struct store *s AUTO(store_closep) = NULL;
	struct store_options opt = {.read_only = true};
	assert_ok(store_open(*state, &opt, &s));
	assert_readable_only(s, &d, &l);
	/* What another process writes meanwhile is seen. */
	struct store *writer AUTO(store_closep) = open_store(*state);
	put_record(writer, "tag", "later", "", NULL);
	assert_true(has_record(s, "tag", "later"));
}

static void read_only_file_system(void **state)
{
	AUTO_FREE char *mnt = mount_small(*state, "size=4m");
	struct digest d;
	struct layer l;
	fill(mnt, &d, &l);
	assert_true(run("mount -o remount,ro %s", mnt));
	struct store *s = NULL;
	struct err *e = store_open(mnt, NULL, &s);
	assert_int_equal(err_kind(e), ERR_DENIED);
	assert_non_null(err_hint_text(e));
	err_free(e);
	struct store_options opt = {.read_only = true};
	assert_ok(store_open(mnt, &opt, &s));
	assert_readable_only(s, &d, &l);
	store_close(s);
	/* Also without the shared memory file that a writer left. */
	assert_true(run(
		"mount -o remount,rw %s && rm -f %s/cooper.db-shm %s/cooper.db-wal && mount -o remount,ro %s",
		mnt, mnt, mnt, mnt));
	assert_ok(store_open(mnt, &opt, &s));
	assert_readable_only(s, &d, &l);
	store_close(s);
}

/* As another user who may read but not write. */
static void no_permission(void **state)
{
	if (geteuid() != 0)
		skip();
	struct digest d;
	struct layer l;
	fill(*state, &d, &l);
	assert_int_equal(chmod(*state, 0755), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct store *s = NULL;
		struct store_options opt = {.read_only = true};
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		assert_err(store_open(*state, NULL, &s), ERR_DENIED);
		assert_ok(store_open(*state, &opt, &s));
		assert_true(has_record(s, "tag", "x"));
		AUTO_BUF struct buf b = {0};
		assert_ok(store_blob_read(s, &d, 100, &b));
		store_close(s);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static struct err *write_much(struct store *s, struct digest *d)
{
	enum { SIZE = 1 << 20 };
	static uint8_t data[SIZE];
	random_bytes(data, SIZE);
	struct store_blob_writer *w = NULL;
	TRY(store_blob_begin(s, &w));
	for (int i = 0; i < 24; i++) {
		struct err *e = store_blob_write(w, data, SIZE);
		if (e) {
			store_blob_abandon(w);
			return e;
		}
	}
	return store_blob_commit(w, NULL, d);
}

static void full_disk(void **state)
{
	AUTO_FREE char *mnt = mount_small(*state, "size=24m");
	struct digest d, kept;
	struct layer l;
	fill(mnt, &kept, &l);
	struct store *s = open_store(mnt);
	struct err *e = write_much(s, &d);
	assert_int_equal(err_kind(e), ERR_NO_SPACE);
	assert_non_null(strstr(err_hint_text(e), "cooper store gc"));
	err_free(e);
	/* Nothing half-written stays, so small things still fit. */
	put_text(s, "small");
	struct store_partial *p = NULL;
	static const char zeros[1 << 20];
	assert_ok(store_partial_open(s, "big", true, &p));
	for (e = NULL; !e;)
		e = store_partial_append(p, zeros, sizeof(zeros));
	assert_int_equal(err_kind(e), ERR_NO_SPACE);
	err_free(e);
	assert_int_equal(store_partial_size(p) % sizeof(zeros), 0);
	e = NULL;
	assert_ok(store_partial_delete(p));
	/* Rows until there is no room for one more. */
	for (int i = 0; !e && i < 5000; i++) {
		AUTO_FREE char *key = mem_printf("%d", i);
		struct store_record r = {.space = "cache", .key = key, .value = str_n(zeros, 20000)};
		e = store_record_put(s, &r);
	}
	assert_int_equal(err_kind(e), ERR_NO_SPACE);
	err_free(e);
	assert_true(has_blob(s, &kept));
	assert_int_equal(verify_problems(s, false, NULL), 0);
	store_close(s);
	/* It can still be cleaned up by its own means. */
	s = open_store(mnt);
	assert_true(has_blob(s, &kept));
	assert_true(gc_all(s).records > 10);
	assert_true(has_record(s, "tag", "x"));
	assert_int_equal(verify_problems(s, false, NULL), 0);
	put_text(s, "again");
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(missing_and_relative, make_home, drop_home),
		cmocka_unit_test_setup_teardown(newer_format, make_home, drop_home),
		cmocka_unit_test_setup_teardown(read_only_option, make_home, drop_home),
		cmocka_unit_test_setup_teardown(read_only_file_system, make_home, drop_mounts),
		cmocka_unit_test_setup_teardown(no_permission, make_home, drop_home),
		cmocka_unit_test_setup_teardown(full_disk, make_home, drop_mounts),
	};
	return cmocka_run_group_tests_name("store opening", tests, NULL, NULL);
}
