/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/vec.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char top_path[64];
static int top = -1;

#define OK(call)                                            \
	do {                                                \
		struct err *_e = (call);                    \
		if (_e) {                                   \
			AUTO_FREE char *_t = err_trace(_e); \
			err_free(_e);                       \
			fail_msg("%s", _t);                 \
		}                                           \
	} while (0)

static void fails(struct err *e, enum err_kind kind, const char *part)
{
	assert_non_null(e);
	AUTO_FREE char *text = err_text(e);
	assert_int_equal(err_kind(e), kind);
	if (!strstr(text, part))
		fail_msg("\"%s\" lacks \"%s\"", text, part);
	err_free(e);
}

static int setup(void **state)
{
	(void)state;
	snprintf(top_path, sizeof(top_path), "/tmp/test-file-XXXXXX");
	assert_non_null(mkdtemp(top_path));
	top = open(top_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top < 0;
}

static int teardown(void **state)
{
	(void)state;
	close(top);
	struct err *e = tree_remove(AT_FDCWD, top_path);
	bool bad = e;
	err_free(e);
	return bad || access(top_path, F_OK) == 0;
}

static void put(const char *path, const char *text)
{
	OK(file_replace(top, path, text, strlen(text), 0644, false));
}

static void test_read_and_replace(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = {0};
	put("a", "hello");
	OK(file_read(top, "a", 5, &b));
	assert_string_equal(buf_cstr(&b), "hello");
	fails(file_read(top, "a", 4, &b), ERR_INVALID, "a is larger than 4 bytes");
	assert_int_equal(b.len, 5);
	OK(file_replace(top, "a", "x", 1, 0600, true));
	buf_clear(&b);
	OK(file_read(top, "a", SIZE_MAX, &b));
	assert_string_equal(buf_cstr(&b), "x");
	struct stat st;
	assert_int_equal(fstatat(top, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fails(file_replace(top, "none/a", "x", 1, 0600, true), ERR_NOT_FOUND, "none/a");
	AUTO_STRVEC struct strvec names = {0};
	OK(dir_list(top, ".", &names));
	assert_int_equal(names.len, 1);
	bool there = true;
	OK(file_exists(top, "b", &there));
	assert_false(there);
	OK(file_exists(top, "a/b", &there));
	assert_false(there);
	OK(file_exists(top, "a", &there));
	assert_true(there);
}

static void test_dir_make_all(void **state)
{
	(void)state;
	OK(dir_make_all(top, "a/b//c/", 0755));
	OK(dir_make_all(top, "a/b/c", 0755));
	put("a/f", "");
	fails(dir_make_all(top, "a/f", 0755), ERR_INVALID, "a/f");
	fails(dir_make_all(top, "a/f/g", 0755), ERR_INVALID, "a/f");
}

static void test_tree_remove(void **state)
{
	(void)state;
	OK(dir_make_all(top, "keep", 0755));
	put("keep/f", "1");
	OK(dir_make_all(top, "t/x", 0755));
	assert_int_equal(symlinkat("../../keep", top, "t/x/link"), 0);
	assert_int_equal(symlinkat("keep", top, "top-link"), 0);
	put("t/x/f", "1");
	assert_int_equal(fchmodat(top, "t/x", 0, 0), 0);
	assert_int_equal(fchmodat(top, "t", 0555, 0), 0);
	OK(tree_remove(top, "t"));
	OK(tree_remove(top, "t"));
	OK(tree_remove(top, "top-link"));
	AUTO_STRVEC struct strvec names = {0};
	OK(dir_list(top, ".", &names));
	assert_int_equal(names.len, 1);
	AUTO_BUF struct buf b = {0};
	OK(file_read(top, "keep/f", 10, &b));
	OK(tree_remove(top, "keep/f"));
}

static void test_tree_remove_deep(void **state)
{
	(void)state;
	AUTO_FD int at = dup(top);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(at, "ddddddddd", 0755), 0);
		int f = openat(at, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(f >= 0);
		close(f);
		int next = openat(at, "ddddddddd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	OK(tree_remove(top, "ddddddddd"));
	assert_int_equal(faccessat(top, "ddddddddd", F_OK, 0), -1);
}

static void copy_and_compare(const char *from, uint64_t size)
{
	AUTO_FD int in = openat(top, from, O_RDONLY | O_CLOEXEC);
	AUTO_FD int out = openat(top, "out", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	OK(fd_copy(in, out, size, from));
	struct stat a, b;
	fstat(in, &a);
	fstat(out, &b);
	assert_int_equal(b.st_size, size);
	char x[8192], y[8192];
	for (off_t at = 0; (uint64_t)at < size; at += (off_t)sizeof(x)) {
		ssize_t n = pread(in, x, sizeof(x), at);
		assert_int_equal(pread(out, y, sizeof(y), at), n);
		assert_memory_equal(x, y, (size_t)n);
	}
	if (a.st_blocks * 512 < a.st_size)
		assert_true(b.st_blocks * 512 < b.st_size);
}

static void test_fd_copy(void **state)
{
	(void)state;
	put("small", "some bytes");
	copy_and_compare("small", 10);
	AUTO_FD int big = openat(top, "big", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(write(big, &i, sizeof(i)), sizeof(i));
	copy_and_compare("big", 12000);
	assert_int_equal(ftruncate(big, 5 << 20), 0);
	assert_int_equal(pwrite(big, "mid", 3, 3 << 20), 3);
	copy_and_compare("big", 5 << 20);
	for (int i = 0; i < 64; i++) {
		char block[8192];
		memset(block, i, sizeof(block));
		assert_int_equal(pwrite(big, block, sizeof(block), (off_t)i * 8192), 8192);
	}
	assert_int_equal(ftruncate(big, 64 * 8192), 0);
	copy_and_compare("big", 64 * 8192);
	AUTO_FD int out = openat(top, "out", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	AUTO_FD int in = openat(top, "small", O_RDONLY | O_CLOEXEC);
	fails(fd_copy(in, out, 11, "small"), ERR_UNAVAILABLE, "small became shorter");
	AUTO_FD int dev = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	OK(fd_copy(dev, out, 100000, "/dev/zero"));
}

static void test_root_paths(void **state)
{
	(void)state;
	OK(dir_make_all(top, "r/etc/deep", 0755));
	OK(dir_make_all(top, "outside", 0755));
	put("outside/secret", "no");
	put("r/etc/passwd", "in");
	put("secret", "no");
	assert_int_equal(symlinkat("/etc/passwd", top, "r/abs"), 0);
	assert_int_equal(symlinkat("../../../../secret", top, "r/etc/up"), 0);
	assert_int_equal(symlinkat("loop", top, "r/loop"), 0);
	assert_int_equal(symlinkat("/etc/deep/../../etc", top, "r/e"), 0);
	AUTO_FD int root = openat(top, "r", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int fd = -1;
	OK(root_open(root, "/abs", O_RDONLY, 0, &fd));
	AUTO_BUF struct buf b = {0};
	OK(fd_read_all(fd, 10, "abs", &b));
	assert_string_equal(buf_cstr(&b), "in");
	int none = -1;
	fails(root_open(root, "etc/up", O_RDONLY, 0, &none), ERR_NOT_FOUND, "etc/up");
	fails(root_open(root, "../outside/secret", O_RDONLY, 0, &none), ERR_NOT_FOUND, "../outside/secret");
	struct err *e = root_open(root, "loop", O_RDONLY, 0, &none);
	assert_int_equal(err_sysno(e), ELOOP);
	err_free(e);
	struct stat st;
	OK(root_stat(root, "abs", false, &st));
	assert_true(S_ISLNK(st.st_mode));
	OK(root_stat(root, "abs", true, &st));
	assert_true(S_ISREG(st.st_mode));
	OK(root_stat(root, "", true, &st));
	assert_true(S_ISDIR(st.st_mode));

	static const char *const real[][2] = {
		{"abs", "etc/passwd"},
		{"e/passwd", "etc/passwd"},
		{"/e/../e/./deep/", "etc/deep"},
		{"..", ""},
		{"", ""},
		{"/", ""},
		{"../../etc", "etc"},
	};
	for (size_t i = 0; i < ARRAY_LEN(real); i++) {
		AUTO_FREE char *got = NULL;
		OK(root_real_path(root, real[i][0], &got));
		assert_string_equal(got, real[i][1]);
	}
	AUTO_FREE char *got = NULL;
	e = root_real_path(root, "loop", &got);
	assert_int_equal(err_sysno(e), ELOOP);
	err_free(e);
	fails(root_real_path(root, "etc/up", &got), ERR_NOT_FOUND, "secret");
}

static void test_root_parent(void **state)
{
	(void)state;
	OK(dir_make_all(top, "a/b", 0755));
	assert_int_equal(symlinkat("/a", top, "l"), 0);
	static const char *const good[][2] = {{"a", "a"}, {"/a/b/", "b"}, {"l/new", "new"}, {"a/b/.", "b"},
		{"a/b/..", "a"}, {"l/b/../b/./", "b"}};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		AUTO_FD int dir = -1;
		AUTO_FREE char *name = NULL;
		OK(root_open_parent(top, good[i][0], &dir, &name));
		assert_string_equal(name, good[i][1]);
	}
	static const char *const bad[] = {"", "/", ".", "..", "a/..", "//./"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int dir = -1;
		char *name = NULL;
		fails(root_open_parent(top, bad[i], &dir, &name), ERR_INVALID, "is the root");
	}
}

static void test_root_make_dirs(void **state)
{
	(void)state;
	OK(dir_make_all(top, "r/have", 0700));
	put("r/file", "");
	assert_int_equal(symlinkat("/made/by/link", top, "r/dangling"), 0);
	assert_int_equal(symlinkat("../../../../up", top, "r/have/rel"), 0);
	assert_int_equal(symlinkat("self/x", top, "r/self"), 0);
	AUTO_FD int root = openat(top, "r", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct made_dir how = {
		.mode = 0755, .uid = UINT32_MAX, .gid = UINT32_MAX, .mtime = 42 * INT64_C(1000000000)};
	AUTO_FD int out = -1;
	umask(077);
	OK(root_make_dirs(root, "/x/y/z", &how, &out));
	OK(root_make_dirs(root, "have/../q", &how, NULL));
	OK(root_make_dirs(root, "dangling/sub", &how, NULL));
	OK(root_make_dirs(root, "have/rel/sub", &how, NULL));
	OK(root_make_dirs(root, "/", &how, NULL));
	OK(root_make_dirs(root, "x/y/../w/v", &how, NULL));
	umask(022);
	static const char *const made[] = {"x", "x/y", "x/y/z", "q", "made/by/link/sub", "up/sub", "x/w/v"};
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		struct stat st;
		if (fstatat(root, made[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			fail_msg("%s was not made", made[i]);
		assert_int_equal(st.st_mode & 07777, 0755);
		if (strcmp(made[i], "x") != 0) /* it got "w" later */
			assert_int_equal(st.st_mtime, 42);
	}
	struct stat st;
	assert_int_equal(fstatat(root, "have", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(faccessat(top, "up", F_OK, 0), -1);
	fails(root_make_dirs(root, "file/x", &how, NULL), ERR_INVALID, "file");
	struct err *e = root_make_dirs(root, "self", &how, NULL);
	assert_int_equal(err_sysno(e), ELOOP);
	err_free(e);
}

static atomic_bool stop_swapping;

static void *swap(void *arg)
{
	(void)arg;
	while (!stop_swapping) {
		if (renameat(top, "r/dir", top, "r/old") == 0 && renameat(top, "r/link", top, "r/dir") == 0) {
			renameat(top, "r/dir", top, "r/link");
			renameat(top, "r/old", top, "r/dir");
		}
	}
	return NULL;
}

static void test_root_race(void **state)
{
	(void)state;
	OK(dir_make_all(top, "r/dir", 0755));
	OK(dir_make_all(top, "outside", 0755));
	assert_int_equal(symlinkat("../outside", top, "r/link"), 0);
	AUTO_FD int root = openat(top, "r", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stop_swapping = false;
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, swap, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		char path[32];
		snprintf(path, sizeof(path), "dir/../dir/f%d", i % 10);
		int fd = -1;
		struct err *e = root_open(root, path, O_CREAT | O_WRONLY, 0600, &fd);
		err_free(e);
		fd_closep(&fd);
	}
	stop_swapping = true;
	pthread_join(t, NULL);
	AUTO_STRVEC struct strvec names = {0};
	OK(dir_list(top, "outside", &names));
	assert_int_equal(names.len, 0);
}

static void test_xattrs(void **state)
{
	(void)state;
	put("f", "x");
	assert_int_equal(symlinkat("f", top, "l"), 0);
	AUTO_FD int fd = openat(top, "f", O_RDONLY | O_CLOEXEC);
	struct err *e = xattr_set(fd, "user.k", "v\0w", 3);
	if (e) {
		err_free(e);
		skip();
	}
	AUTO_FD int path = openat(top, "f", O_PATH | O_CLOEXEC);
	OK(xattr_set(path, "user.big", "", 0));
	char big[3000];
	memset(big, 'b', sizeof(big));
	OK(xattr_set(path, "user.big", big, sizeof(big)));
	AUTO_BUF struct buf names = {0};
	AUTO_BUF struct buf value = {0};
	OK(xattr_list(path, &names));
	assert_true(names.len >= sizeof("user.k") + sizeof("user.big"));
	OK(xattr_get(path, "user.k", &value));
	assert_int_equal(value.len, 3);
	OK(xattr_get(fd, "user.big", &value));
	assert_int_equal(value.len, 3003);
	fails(xattr_get(path, "user.none", &value), ERR_NOT_FOUND, "user.none");
	AUTO_FD int link = openat(top, "l", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	buf_clear(&names);
	OK(xattr_list(link, &names));
	assert_null(memmem(buf_cstr(&names), names.len, "user.", 5));
}

static void test_times(void **state)
{
	(void)state;
	static const int64_t all[] = {0, 1, -1, 1500000000123456789, -1500000000, INT64_MIN + 1, INT64_MAX};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct stat st = {.st_mtim = timespec_of_ns(all[i])};
		assert_true(st.st_mtim.tv_nsec >= 0);
		assert_int_equal(stat_mtime_ns(&st), all[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read_and_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dir_make_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tree_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tree_remove_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fd_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_make_dirs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_xattrs, setup, teardown),
		cmocka_unit_test(test_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
