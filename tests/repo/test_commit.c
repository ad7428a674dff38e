/* SPDX-License-Identifier: Apache-2.0 */
/* Commits of some files of the work tree, made by git. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "git_fixture.h"

static void make_lab(void)
{
	sh("git init -q lab; cd lab; mkdir d; echo 1 > d/a; echo 1 > d/b; echo 1 > '*'; git add .; git "
	   "commit -qm "
	   "one");
}

static struct err *commit(const char *const *files, const char *message, struct commit *out)
{
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO_STRVEC struct strvec list = {0};
	strvec_push_all(&list, files);
	return repo_commit_files(r, &list, message, NULL, out);
}

static void expect_output(const char *command, const char *want)
{
	AUTO_FREE char *got = output(command);
	assert_string_equal(got, want);
}

static void test_only_these_files(void **state)
{
	(void)state;
	make_lab();
	sh("cd lab; echo 2 > d/a; echo 2 > d/b; echo staged > c; git add c; echo 2 > '*'");
	AUTO(commit_fini) struct commit c = {0};
	assert_null(commit((const char *[]){"d/a", "*", NULL}, "two\n\n# body\nlines\n", &c));
	assert_string_equal(c.subject, "two");
	expect_output("git -C lab rev-parse HEAD", c.id);
	expect_output("git -C lab show --format= --name-only HEAD | tr '\\n' ' '", "* d/a ");
	expect_output("git -C lab status --porcelain | sort | tr '\\n' ','", " M d/b,A  c,");
	expect_output("git -C lab log -1 --format=%an,%b | tr '\\n' '|'", "t,# body|lines||");
}

static void test_hooks_apply(void **state)
{
	(void)state;
	make_lab();
	sh("cd lab; printf '#!/bin/sh\\necho hooked >> \"$1\"\\n' > .git/hooks/commit-msg; chmod +x "
	   ".git/hooks/commit-msg; echo 2 > d/a");
	AUTO(commit_fini) struct commit c = {0};
	assert_null(commit((const char *[]){"d/a", NULL}, "two", &c));
	expect_output("git -C lab log -1 --format=%B | tr '\\n' '|'", "two|hooked||");
	sh("cd lab; printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; "
	   "echo 3 "
	   "> d/a; echo x > n; git add n");
	struct err *e = commit((const char *[]){"d/a", NULL}, "three", &c);
	expect(e, ERR_EXITED, "the files are changed, but not committed: git commit ended with status 1");
	expect_output("git -C lab status --porcelain | tr '\\n' ','", " M d/a,A  n,");
}

static void test_inside_a_hook(void **state)
{
	(void)state;
	make_lab();
	sh("git init -q other; cd lab; echo 2 > d/a");
	AUTO_FREE char *dir = path_join(tmp, "other/.git"), *index = path_join(tmp, "other/.git/index");
	setenv("GIT_DIR", dir, 1);
	setenv("GIT_INDEX_FILE", index, 1);
	AUTO(commit_fini) struct commit c = {0};
	struct err *e = commit((const char *[]){"d/a", NULL}, "two", &c);
	unsetenv("GIT_DIR");
	unsetenv("GIT_INDEX_FILE");
	assert_null(e);
	expect_output("git -C lab show --format= --name-only HEAD", "d/a");
}

static void test_what_is_not_committed(void **state)
{
	(void)state;
	make_lab();
	sh("cd lab; echo 2 > d/a; echo new > d/new; echo 2 > '*'; git add '*'");
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO_STRVEC struct strvec files = {0};
	strvec_push(&files, "d/b");
	assert_null(repo_check_committed(r, &files));
	strvec_push(&files, "d/a");
	strvec_push(&files, "d/new");
	strvec_push(&files, "*");
	expect(repo_check_committed(r, &files), ERR_INVALID,
		"would go into the commit: d/a, d/new, * / commit or stash");
}

#define GIT_TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop_tmp)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GIT_TEST(test_only_these_files),
		GIT_TEST(test_hooks_apply),
		GIT_TEST(test_inside_a_hook),
		GIT_TEST(test_what_is_not_committed),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
