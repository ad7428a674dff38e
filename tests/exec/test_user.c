/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/user.h"

#include "base/buf.h"
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

static char dir[] = "/tmp/user-XXXXXX";
static int root = -1;

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# a comment\n"
			     "\n"
			     "app:x:100:200:An App:/srv/app:/bin/false\n"
			     "nohome:x:101:201\n"
			     "12:x:300:301::/twelve:\n"
			     "broken:x:abc:1::/:\n"
			     "twelve:x:12:13::/other:\n"
			     "big:x:4294967295:1::/:\n"
			     "last:x:102:202::/last:/bin/sh";
static const char group[] = "root:x:0:\n"
			    "app:x:200:\n"
			    "audio:x:29:app,other\n"
			    "wheel:x:10: other , app \n"
			    "bad:x:xx:app\n"
			    "again:x:29:app\n"
			    "77:x:78:\n";

static void put(const char *path, const char *text)
{
	struct err *e = file_replace(root, path, text, strlen(text), 0644, false);
	assert_null(e);
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_null(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &root));
	assert_int_equal(mkdirat(root, "etc", 0755), 0);
	put("etc/passwd", passwd);
	put("etc/group", group);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_closep(&root);
	err_ignore(tree_remove(AT_FDCWD, dir), "a test's leftovers");
	return 0;
}

/* "uid:gid groups home", or "error: text". Caller frees. */
static char *looked_up(const char *spec)
{
	AUTO(image_user_fini) struct image_user u = {0};
	struct err *e = image_user_lookup(root, spec, &u);
	if (e) {
		AUTO_FREE char *text = err_text(e);
		err_free(e);
		return mem_printf("error: %s", text);
	}
	AUTO_BUF struct buf b = {0};
	buf_addf(&b, "%u:%u ", u.uid, u.gid);
	for (size_t i = 0; i < u.group_count; i++)
		buf_addf(&b, "%s%u", i ? "," : "", u.groups[i]);
	buf_addf(&b, " %s", u.home);
	return buf_steal(&b);
}

static void test_table(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *want;
	} cases[] = {
		{NULL, "0:0 0 /root"},
		{"", "0:0 0 /root"},
		{"root", "0:0 0 /root"},
		{"app", "100:200 200,29,10 /srv/app"},
		{"100", "100:200 200,29,10 /srv/app"},
		{"app:audio", "100:29 29 /srv/app"},
		{"app:0", "100:0 0 /srv/app"},
		{"nohome", "101:201 201 /"},
		{"last", "102:202 202 /last"},
		/* A name that looks like a number is a name first. */
		{"12", "300:301 301 /twelve"},
		{"5000", "5000:0 0 /"},
		{"5000:6000", "5000:6000 6000 /"},
		{"app:77", "100:78 78 /srv/app"},
		{":app", "error: user  is not in the image's /etc/passwd"},
		{"ghost", "error: user ghost is not in the image's /etc/passwd"},
		{"broken", "error: user broken is not in the image's /etc/passwd"},
		{"app:ghosts", "error: group ghosts is not in the image's /etc/group"},
		{"4294967295", "error: user 4294967295 is not in the image's /etc/passwd"},
		{"-1", "error: user -1 is not in the image's /etc/passwd"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *got = looked_up(cases[i].spec);
		assert_string_equal(got, cases[i].want);
	}
}

/* Whom files are given to. */
static void test_owners(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *want;
	} cases[] = {
		{"app", "100:200"},
		{"app:=", "100:100"},
		{"app:audio", "100:29"},
		{"5000", "5000:5000"},
		{"5000:audio", "5000:29"},
		{"ghost:=", "error: user ghost is not in the image's /etc/passwd"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t uid = 0, gid = 0;
		struct err *e = image_owner_lookup(root, cases[i].spec, &uid, &gid);
		AUTO_FREE char *got =
			e ? mem_printf("error: %s", err_message(e)) : mem_printf("%u:%u", uid, gid);
		assert_string_equal(got, cases[i].want);
		err_free(e);
	}
}

static void test_image_files_only(void **state)
{
	(void)state;
	assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
	AUTO_FREE char *none = looked_up("root");
	assert_string_equal(none, "error: user root is not in the image's /etc/passwd");
	AUTO_FREE char *number = looked_up("0");
	assert_string_equal(number, "0:0 0 /");
	/* Out of the image this would be the machine's. */
	assert_int_equal(symlinkat("../../../../../../../../etc/passwd", root, "etc/passwd"), 0);
	AUTO_FREE char *loop = looked_up("root");
	assert_int_equal(strncmp(loop, "error: ", 7), 0);
	assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
	assert_int_equal(mkfifoat(root, "etc/passwd", 0644), 0);
	AUTO_FREE char *fifo = looked_up("0");
	assert_string_equal(fifo, "0:0 0 /");
	assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
	put("etc/passwd", passwd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_image_files_only),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
