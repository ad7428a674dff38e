/* SPDX-License-Identifier: Apache-2.0 */
/* Which mount points a root lacks, and where they really are: directories only, no rights needed. */
#include "exec/step_internal.h"

#include "base/mem.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/stubs-XXXXXX";
static char extra[] = "/tmp/stubs-extra-XXXXXX";
static int root = -1;

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_non_null(mkdtemp(extra));
	assert_null(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &root));
	static const char *const dirs[] = {"etc", "var", "var/lib", "usr"};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		assert_int_equal(mkdirat(root, dirs[i], 0750), 0);
	assert_null(file_replace(root, "etc/hosts", "h", 1, 0644, false));
	static const char *const links[][2] = {
		{"../run/resolve/stub.conf", "etc/resolv.conf"},
		{"/run", "var/run"},
		{"../../../../../../../../tmp/out", "out"},
		{"loop", "loop"},
		{"../etc/hosts", "usr/hosts"},
	};
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		assert_int_equal(symlinkat(links[i][0], root, links[i][1]), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_closep(&root);
	err_ignore(tree_remove(AT_FDCWD, dir), "a test's leftovers");
	err_ignore(tree_remove(AT_FDCWD, extra), "a test's leftovers");
	return 0;
}

/* The one point's real place, "" when it is there, or "error: ...". Caller frees. */
static char *missing(const char *point)
{
	AUTO_STRVEC struct strvec got = {0};
	const char *const points[] = {point, NULL};
	struct err *e = stubs_missing(root, points, &got);
	if (e) {
		AUTO_FREE char *text = err_text(e);
		err_free(e);
		return mem_printf("error: %s", text);
	}
	return mem_strdup(got.len ? got.ptr[0] : "");
}

static void test_missing(void **state)
{
	(void)state;
	static const struct {
		const char *point, *want;
	} cases[] = {
		{"/etc/hosts", ""},
		{"/etc/", ""},
		{"/usr/hosts", ""},
		{"/proc/", "proc/"},
		{"/var/lib/a/b", "var/lib/a/b"},
		{"/etc/resolv.conf", "run/resolve/stub.conf"},
		{"/var/run/x/", "run/x/"},
		{"/out/secret", "tmp/out/secret"},
		{"/etc/hosts/", "error: finding mount point /etc/hosts/: a directory is to be mounted on "
				"/etc/hosts, which is a file in "
				"this image"},
		{"/etc", "error: finding mount point /etc: a file is to be mounted on /etc, which is a "
			 "directory in this image"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *got = missing(cases[i].point);
		assert_string_equal(got, cases[i].want);
	}
	static const char *const bad[] = {"/loop/x", "/etc/hosts/below"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *got = missing(bad[i]);
		assert_int_equal(strncmp(got, "error: ", 7), 0);
	}
}

static void test_make_like(void **state)
{
	(void)state;
	const char *const points[] = {"var/lib/a/", "etc/new", NULL};
	const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 6}};
	assert_int_equal(utimensat(root, "var/lib", times, 0), 0);
	assert_null(stubs_make_like(extra, root, points, 9 * INT64_C(1000000000)));
	static const struct {
		const char *path;
		unsigned mode;
		time_t mtime; /* 0: any */
	} cases[] = {{"var", S_IFDIR | 0750, 0}, {"var/lib", S_IFDIR | 0750, 6},
		{"var/lib/a", S_IFDIR | 0755, 9}, {"etc", S_IFDIR | 0750, 0}, {"etc/new", S_IFREG | 0644, 9}};
	AUTO_FD int fd = -1;
	assert_null(file_open(AT_FDCWD, extra, O_RDONLY | O_DIRECTORY, 0, &fd));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stat st, like;
		assert_int_equal(fstatat(fd, cases[i].path, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_mode, cases[i].mode);
		if (cases[i].mtime)
			assert_int_equal(st.st_mtim.tv_sec, cases[i].mtime);
		else if (fstatat(root, cases[i].path, &like, 0) == 0)
			assert_int_equal(st.st_mtim.tv_sec, like.st_mtim.tv_sec);
	}
	const char *const both[] = {"x", "x/", NULL};
	struct err *e = stubs_make_like(extra, root, both, 0);
	assert_int_equal(err_kind(e), ERR_INVALID);
	err_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_make_like),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
