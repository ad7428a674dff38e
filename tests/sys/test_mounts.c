/* SPDX-License-Identifier: Apache-2.0 */
/* Detached mounts, looked into by descriptor. Needs the right to mount (77: skipped). */
#include "sys/mounts.h"

#include "base/mem.h"
#include "base/vec.h"
#include "sys/caps.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <errno.h>
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

static char dir[] = "/tmp/mounts-XXXXXX";

static void must(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	err_free(e);
	fail_msg("%s", text);
}

static char *make(const char *name)
{
	char *path = mem_printf("%s/%s", dir, name);
	must(dir_make_all(AT_FDCWD, path, 0755));
	return path;
}

static void put(int at, const char *path, const char *text)
{
	must(file_replace(at, path, text, strlen(text), 0644, false));
}

static char *names(int fd)
{
	AUTO_STRVEC struct strvec list = {0};
	must(dir_list(fd, ".", &list));
	AUTO_BUF struct buf b = {0};
	for (size_t i = 0; i < list.len; i++)
		buf_addf(&b, "%s ", list.ptr[i]);
	return b.len ? buf_steal(&b) : mem_strdup("");
}

static void overlay(bool legacy)
{
	const char *tag = legacy ? "old" : "new";
	AUTO_FREE char *a_name = mem_printf("%s/a", tag);
	AUTO_FREE char *b_name = mem_printf("%s/b", tag);
	AUTO_FREE char *u_name = mem_printf("%s/upper", tag);
	AUTO_FREE char *w_name = mem_printf("%s/work", tag);
	AUTO_FREE char *a = make(a_name);
	AUTO_FREE char *b = make(b_name);
	AUTO_FREE char *upper = make(u_name);
	AUTO_FREE char *work = make(w_name);
	AUTO_FD int fa = -1;
	AUTO_FD int fb = -1;
	must(file_open(AT_FDCWD, a, O_RDONLY | O_DIRECTORY, 0, &fa));
	must(file_open(AT_FDCWD, b, O_RDONLY | O_DIRECTORY, 0, &fb));
	put(fa, "both", "from a");
	put(fa, "only-a", "a");
	put(fb, "both", "from b");
	const char *const lowers[] = {a, b};
	struct overlay_request rq = {.lowers = lowers, .lower_count = 2, .legacy = legacy};
	AUTO_FD int view = -1;
	must(mount_overlay(&rq, &view));
	AUTO_BUF struct buf text = {0};
	must(file_read(view, "both", 100, &text));
	assert_string_equal(buf_cstr(&text), "from b");
	assert_int_equal(openat(view, "x", O_CREAT | O_WRONLY, 0644), -1);
	assert_int_equal(errno, EROFS);
	fd_closep(&view);
	rq.upper = upper;
	rq.work = work;
	must(mount_overlay(&rq, &view));
	put(view, "made", "x");
	assert_int_equal(unlinkat(view, "only-a", 0), 0);
	AUTO_FREE char *merged = names(view);
	assert_string_equal(merged, "both made ");
	fd_closep(&view);
	struct stat st;
	AUTO_FREE char *whiteout = mem_printf("%s/only-a", upper);
	assert_int_equal(lstat(whiteout, &st), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	AUTO_FREE char *kept = names(fa);
	assert_string_equal(kept, "both only-a ");
}

static void test_overlay(void **state)
{
	(void)state;
	overlay(false);
}

static void test_overlay_as_before_6_5(void **state)
{
	(void)state;
	overlay(true);
}

static void test_many_layers(void **state)
{
	(void)state;
	AUTO_STRVEC struct strvec lowers = {0};
	for (int i = 0; i < 150; i++) {
		AUTO_FREE char *name = mem_printf("many/tree-0123456789abcdef0123456789-%d", i);
		strvec_push_take(&lowers, make(name));
	}
	AUTO_FD int last = -1;
	must(file_open(AT_FDCWD, lowers.ptr[0], O_RDONLY | O_DIRECTORY, 0, &last));
	put(last, "bottom", "b");
	struct overlay_request rq = {.lowers = strvec_list(&lowers), .lower_count = lowers.len};
	AUTO_FD int view = -1;
	must(mount_overlay(&rq, &view));
	AUTO_FREE char *merged = names(view);
	assert_string_equal(merged, "bottom ");
	rq.legacy = true;
	AUTO_FD int none = -1;
	struct err *e = mount_overlay(&rq, &none);
	assert_int_equal(err_kind(e), ERR_UNSUPPORTED);
	err_free(e);
	while (lowers.len <= 500)
		strvec_push(&lowers, lowers.ptr[0]);
	struct overlay_request more = {.lowers = strvec_list(&lowers), .lower_count = lowers.len};
	e = mount_overlay(&more, &none);
	assert_int_equal(err_kind(e), ERR_UNSUPPORTED);
	err_free(e);
}

static void test_odd_paths(void **state)
{
	(void)state;
	AUTO_BUF struct buf name = {0};
	buf_adds(&name, "odd/co:lon, comma \\ and ");
	for (int i = 0; i < 200; i++)
		buf_addc(&name, 'n');
	buf_adds(&name, "/and/more/so/that/no/option/holds/it/in/its/two/hundred/fifty/six/bytes");
	AUTO_FREE char *a = make(buf_cstr(&name));
	AUTO_FREE char *b = make("odd/plain");
	assert_true(strlen(a) > 256);
	AUTO_FD int fa = -1;
	must(file_open(AT_FDCWD, a, O_RDONLY | O_DIRECTORY, 0, &fa));
	put(fa, "here", "h");
	const char *const lowers[] = {a, b};
	struct overlay_request rq = {.lowers = lowers, .lower_count = 2};
	AUTO_FD int view = -1;
	must(mount_overlay(&rq, &view));
	AUTO_FREE char *merged = names(view);
	assert_string_equal(merged, "here ");
	rq.legacy = true;
	AUTO_FD int none = -1;
	struct err *e = mount_overlay(&rq, &none);
	assert_int_equal(err_kind(e), ERR_INVALID);
	err_free(e);
}

static void test_errors(void **state)
{
	(void)state;
	AUTO_FD int fd = -1;
	struct err *e = mount_new("nosuchfs", NULL, 0, 0, &fd);
	assert_non_null(e);
	assert_non_null(strstr(err_hint_text(e), "modprobe"));
	err_free(e);
	const struct mount_option bad[] = {{"nosuchoption", "1", false}};
	e = mount_new("tmpfs", bad, 1, 0, &fd);
	assert_non_null(e);
	AUTO_FREE char *text = err_text(e);
	assert_non_null(strstr(text, "nosuchoption"));
	err_free(e);
	const struct mount_option fine[] = {{"nosuchoption", "1", true}};
	must(mount_new("tmpfs", fine, 1, MOUNT_NOSUID, &fd));
	const char *const lowers[] = {"/nonexistent/a", "/nonexistent/b"};
	struct overlay_request rq = {.lowers = lowers, .lower_count = 2};
	AUTO_FD int none = -1;
	e = mount_overlay(&rq, &none);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	err_free(e);
}

static void test_clone(void **state)
{
	(void)state;
	AUTO_FREE char *path = make("clone");
	AUTO_FD int fd = -1;
	must(mount_clone(AT_FDCWD, path, MOUNT_READONLY, &fd));
	assert_int_equal(openat(fd, "x", O_CREAT | O_WRONLY, 0644), -1);
	assert_int_equal(errno, EROFS);
}

static int teardown(void **state)
{
	(void)state;
	err_ignore(tree_remove(AT_FDCWD, dir), "a test's leftovers");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_overlay_as_before_6_5),
		cmocka_unit_test(test_many_layers),
		cmocka_unit_test(test_odd_paths),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_clone),
	};
	err_ignore(userns_enter(), "then the next line says so");
	if (!caps_may_mount() || !mkdtemp(dir))
		return 77;
	return cmocka_run_group_tests(tests, NULL, teardown);
}
