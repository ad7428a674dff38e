/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "sys/file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void commit_and_scratch(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct store_tree_writer *w = NULL;
	assert_ok(store_tree_begin(s, &w));
	assert_true(cstr_starts(store_tree_path(w), *state));
	struct stat st;
	assert_int_equal(fstat(store_tree_fd(w), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	AUTO_FREE char *work = mem_printf("%s/work", store_tree_path(w));
	assert_int_equal(mkdir(work, 0000), 0);
	assert_int_equal(mkdirat(store_tree_fd(w), "dir", 02775), 0);
	assert_int_equal(fchmodat(store_tree_fd(w), "dir", 02775, 0), 0);
	bool root = geteuid() == 0;
	if (root) {
		assert_int_equal(mknodat(store_tree_fd(w), "gone", S_IFCHR, makedev(0, 0)), 0);
		assert_int_equal(fchownat(store_tree_fd(w), "dir", 1234, 4321, 0), 0);
	}
	bool xattrs = fsetxattr(store_tree_fd(w), "user.overlay.opaque", "y", 1, 0) == 0;
	char id[TREE_ID_MAX];
	assert_ok(store_tree_commit(w, 1, id));
	AUTO_FREE char *dir = store_tree_dir(s, id);
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	assert_int_equal(fstatat(fd, "dir", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0775);
	if (root) {
		assert_int_equal(st.st_uid, 1234);
		assert_int_equal(fstatat(fd, "gone", &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	}
	char value[8];
	if (xattrs)
		assert_int_equal(fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)), 1);
	assert_int_equal(fstatat(fd, "../work", &st, 0), -1);
}

static void abandoned(void **state)
{
	AUTO_FREE char *scratch = NULL;
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		struct store_tree_writer *w = NULL;
		assert_ok(store_tree_begin(s, &w));
		for (int i = 0; i < 50; i++) {
			AUTO_FREE char *name = mem_printf("d%d", i);
			assert_int_equal(mkdirat(store_tree_fd(w), name, 0755), 0);
		}
		store_tree_abandon(w);
		assert_ok(store_scratch(s, &scratch));
		assert_int_equal(access(scratch, F_OK), 0);
	}
	struct store *s AUTO(store_closep) = open_store(*state);
	assert_ok(store_sweep(s));
	assert_int_equal(access(scratch, F_OK), -1);
	assert_int_equal(count_names(*state, "tmp"), 0);
	assert_int_equal(count_names(*state, "trees"), 0);
	assert_int_equal(count_names(*state, "locks"), 0);
}

/* What a killed process left goes away while others work, without a sweep. */
static void left_by_the_dead(void **state)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct store *s = open_store(*state);
		struct store_tree_writer *w = NULL;
		assert_ok(store_tree_begin(s, &w));
		for (int i = 0; i < 20; i++) {
			AUTO_FREE char *name = mem_printf("d%d", i);
			assert_int_equal(mkdirat(store_tree_fd(w), name, 0755), 0);
		}
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(count_names(*state, "tmp"), 1);
	struct store *s AUTO(store_closep) = open_store(*state);
	int tmp = -1;
	assert_ok(store_tmp(s, &tmp));
	AUTO_FREE char *own = mem_printf("tmp/%s", s->session);
	assert_int_equal(count_names(*state, "tmp"), 1);
	for (int i = 0; i < 200 && count_names(*state, own) > 0; i++)
		poll(NULL, 0, 20);
	assert_int_equal(count_names(*state, own), 0);
}

static void layers(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct layer l = make_layer(s, "content"), got = {0};
	bool found = false;
	assert_ok(store_layer_get(s, l.id, &got, &found));
	assert_true(found);
	assert_string_equal(got.tree, l.tree);
	assert_false(digest_is_set(&got.blob));
	assert_ok(store_layer_get(s, "none", &got, &found));
	assert_false(found);
	assert_ok(store_layer_get(s, "../x", &got, &found));
	assert_false(found);
	assert_err(store_layer_add(s, &l), ERR_EXISTS);

	struct layer more = {.blob = put_text(s, "blob"), .blob_size = 4, .media_type = "m/t", .tar_size = 7};
	memcpy(more.id, l.id, sizeof(l.id));
	assert_ok(store_layer_update(s, &more));
	assert_ok(store_layer_by_diff_id(s, &l.diff_id, &got, &found));
	assert_true(found);
	assert_string_equal(got.tree, l.tree);
	assert_true(digest_eq(&got.blob, &more.blob));
	assert_string_equal(got.media_type, "m/t");
	assert_int_equal(got.blob_size, 4);
	assert_int_equal(got.tar_size, 7);

	/* What is there is not replaced. */
	struct layer other = make_layer(s, "other");
	struct layer again = {.blob = put_text(s, "another blob"), .blob_size = 12, .media_type = "x"};
	memcpy(again.id, l.id, sizeof(l.id));
	memcpy(again.tree, other.tree, sizeof(other.tree));
	assert_ok(store_layer_update(s, &again));
	assert_ok(store_layer_get(s, l.id, &got, &found));
	assert_string_equal(got.tree, l.tree);
	assert_true(digest_eq(&got.blob, &more.blob));
	assert_int_equal(got.blob_size, 4);

	struct layer bad = {.tree = "0123"};
	assert_err(store_layer_add(s, &bad), ERR_INVALID);
	/* A blob may be remote still. */
	struct layer lazy = {0};
	digest_of("nothing", 7, &lazy.blob);
	assert_ok(store_layer_add(s, &lazy));
	assert_ok(store_layer_get(s, lazy.id, &got, &found));
	assert_true(found && digest_eq(&got.blob, &lazy.blob));
	struct layer none = {.id = "abc"};
	assert_err(store_layer_update(s, &none), ERR_NOT_FOUND);
}

static void vanished_tree(void **state)
{
	struct store *s AUTO(store_closep) = open_store(*state);
	struct layer l = make_layer(s, "content"), got = {0};
	AUTO_FREE char *dir = store_tree_dir(s, l.tree);
	assert_ok(tree_remove(AT_FDCWD, dir));
	bool found = false;
	assert_ok(store_layer_get(s, l.id, &got, &found));
	assert_true(found);
	assert_string_equal(got.tree, "");
	/* It can be given one again. */
	struct layer fresh = make_layer(s, "content 2");
	memcpy(got.tree, fresh.tree, sizeof(fresh.tree));
	assert_ok(store_layer_update(s, &got));
	assert_ok(store_layer_get(s, l.id, &got, &found));
	assert_string_equal(got.tree, fresh.tree);
}

static void boots(void **state)
{
	struct layer synced, lost, got;
	bool found = false;
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		store_set_boot(s, "first");
		synced = make_layer(s, "synced");
		assert_ok(store_sync_trees(s));
		lost = make_layer(s, "lost");
		assert_ok(store_layer_get(s, lost.id, &got, &found));
		assert_string_equal(got.tree, lost.tree);
	}
	{
		struct store *s AUTO(store_closep) = open_store(*state);
		store_set_boot(s, "second");
		assert_ok(store_layer_get(s, synced.id, &got, &found));
		assert_string_equal(got.tree, synced.tree);
		assert_ok(store_layer_get(s, lost.id, &got, &found));
		assert_true(found);
		assert_string_equal(got.tree, "");
		assert_ok(store_layer_by_diff_id(s, &lost.diff_id, &got, &found));
		assert_true(found);
		assert_string_equal(got.tree, "");
		lost = make_layer(s, "lost 2");
	}
	/* A sweep of a later boot takes it, asked for or not. */
	struct store *s AUTO(store_closep) = open_store(*state);
	store_set_boot(s, "third");
	assert_ok(store_sweep(s));
	assert_int_equal(count_names(*state, "trees"), 1);
	assert_ok(store_layer_get(s, lost.id, &got, &found));
	assert_true(found);
	assert_string_equal(got.tree, "");
	assert_int_equal(verify_problems(s, false, NULL), 0);
}

static void tree_without_layer_is_held(void **state)
{
	struct store *s = open_store(*state);
	struct store_tree_writer *w = NULL;
	char id[TREE_ID_MAX];
	assert_ok(store_tree_begin(s, &w));
	assert_ok(store_tree_commit(w, 1, id));
	struct store *other AUTO(store_closep) = open_store(*state);
	assert_ok(store_sweep(other));
	assert_int_equal(count_names(*state, "trees"), 1);
	store_close(s);
	assert_ok(store_sweep(other));
	assert_int_equal(count_names(*state, "trees"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commit_and_scratch, make_home, drop_home),
		cmocka_unit_test_setup_teardown(abandoned, make_home, drop_home),
		cmocka_unit_test_setup_teardown(left_by_the_dead, make_home, drop_home),
		cmocka_unit_test_setup_teardown(layers, make_home, drop_home),
		cmocka_unit_test_setup_teardown(vanished_tree, make_home, drop_home),
		cmocka_unit_test_setup_teardown(boots, make_home, drop_home),
		cmocka_unit_test_setup_teardown(tree_without_layer_is_held, make_home, drop_home),
	};
	return cmocka_run_group_tests_name("store trees and layers", tests, NULL, NULL);
}
