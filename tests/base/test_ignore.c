/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ignore.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ignore *compile(const char *lines)
{
	AUTO_STRVEC struct strvec patterns = {0};
	struct ignore *ig = NULL;
	assert_null(ignore_parse(str_c(lines), &patterns));
	assert_null(ignore_new(strvec_list(&patterns), &ig));
	return ig;
}

/* What a walk that keeps states would say. */
static bool walk_match(const struct ignore *ig, const char *path)
{
	size_t n = ignore_state_size(ig);
	AUTO_FREE uint8_t *state = mem_zalloc(n + 1);
	AUTO_FREE uint8_t *next = mem_zalloc(n + 1);
	AUTO_FREE char *part = mem_strdup(path);
	for (char *p = part; (p = strchr(p, '/')); p++) {
		*p = '\0';
		ignore_step(ig, state, part, next);
		memcpy(state, next, n);
		*p = '/';
	}
	bool with = ignore_step(ig, state, path, next);
	assert_int_equal(with, ignore_step(ig, state, path, NULL));
	return with;
}

static const struct {
	const char *patterns, *path;
	bool match;
} table[] = {
	{"foo", "foo", true},
	{"foo", "foo/bar", true},
	{"foo", "bar/foo", false},
	{"foo", "foobar", false},
	{"/foo/", "foo/x", true},
	{"./foo/../bar", "bar", true},
	{"*", "a", true},
	{"*", "a/b", true},
	{"*.go", "a.go", true},
	{"*.go", "x/a.go", false},
	{"**/*.go", "a.go", true},
	{"**/*.go", "x/y/a.go", true},
	{"**/*.go", "x/y/a.gox", false},
	{"a/**/b", "a/b", true},
	{"a/**/b", "a/x/y/b", true},
	{"a/**/b", "a/xb", false},
	{"a/**/b", "a/x/b/c", true},
	{"a/**", "a", false},
	{"a/**", "a/x", true},
	{"**", "a/b", true},
	{"**/foo", "xfoo", false},
	{"**/foo", "x/foo", true},
	{"foo**", "foo/bar", true},
	{"foo**", "foobar", true},
	{"a?c", "abc", true},
	{"a?c", "a/c", false},
	{"a[b-d]c", "acc", true},
	{"a[^b-d]c", "acc", false},
	{"a[^b-d]c", "axc", true},
	{"a[^b]c", "a/c", false},
	{"a\\*c", "a*c", true},
	{"a\\*c", "abc", false},
	{"a[\\]]c", "a]c", true},
	{"# comment\nfoo", "# comment", false},
	{" foo ", "foo", true},
	{" #x", "#x", true},
	{"\xef\xbb\xbf"
	 "foo",
		"foo", true},
	{"foo\r\nbar\r\n", "bar", true},
	{"*\n!a", "a", false},
	{"*\n!a", "a/b", false},
	{"*\n!a/b", "a", true},
	{"*\n!a/b", "a/b", false},
	{"*\n!a/b", "a/b/c", false},
	{"*\n!a/b\na/b/c", "a/b/c", true},
	{"!a\na", "a", true},
	{"a\n! a", "a", false},
	{"dir\n!dir/keep\n", "dir/drop", true},
	{"**/node_modules\n!web/node_modules", "web/node_modules/x", false},
	{"**/node_modules\n!web/node_modules", "api/node_modules/x", true},
	{"*.md\n!README*.md\nREADME-secret.md", "README.md", false},
	{"*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true},
	{"foo", "", false},
	{"\xc3\xa9*", "\xc3\xa9t\xc3\xa9", true},
	{".", "a", false},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct ignore *ig = compile(table[i].patterns);
		if (ignore_match(ig, table[i].path, NULL) != table[i].match)
			fail_msg("\"%s\" on %s is not %d", table[i].patterns, table[i].path, table[i].match);
		if (walk_match(ig, table[i].path) != table[i].match)
			fail_msg("walking: \"%s\" on %s is not %d", table[i].patterns, table[i].path,
				table[i].match);
		ignore_free(ig);
	}
}

static void test_rule(void **state)
{
	(void)state;
	AUTO(ignore_freep) struct ignore *ig = compile("*.log\n!keep.log\nbuild/");
	const char *rule = NULL;
	assert_true(ignore_match(ig, "build/x/y", &rule));
	assert_string_equal(rule, "build/");
	assert_false(ignore_match(ig, "keep.log", &rule));
	assert_string_equal(rule, "!keep.log");
	assert_false(ignore_match(ig, "src", &rule));
	assert_null(rule);
	assert_false(ignore_match(NULL, "x", NULL));
}

static void test_below(void **state)
{
	(void)state;
	AUTO(ignore_freep) struct ignore *ig = compile("*\n!a/b/c\n!d*/e\n!lit");
	assert_true(ignore_may_match_below(ig, "", false));
	assert_true(ignore_may_match_below(ig, "a", false));
	assert_true(ignore_may_match_below(ig, "a/b", false));
	assert_false(ignore_may_match_below(ig, "a/x", false));
	assert_false(ignore_may_match_below(ig, "ab", false));
	assert_true(ignore_may_match_below(ig, "dd", false));
	assert_true(ignore_may_match_below(ig, "d", false));
	assert_false(ignore_may_match_below(ig, "x", false));
	assert_false(ignore_may_match_below(ig, "lit", false));
	assert_true(ignore_may_match_below(ig, "x", true));
}

static void test_reject(void **state)
{
	(void)state;
	static const char *const bad[][2] = {{"!", "lone \"!\""}, {"!  ", "lone"}, {"a[b", "without its"},
		{"a\\", "nothing follows"}, {"[z-a]", "backwards"}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct ignore *ig = NULL;
		struct err *e = ignore_new((const char *const[]){bad[i][0], NULL}, &ig);
		assert_int_equal(err_kind(e), ERR_INVALID);
		assert_non_null(strstr(err_message(e), bad[i][1]));
		err_free(e);
	}
	AUTO_STRVEC struct strvec patterns = {0};
	struct err *e = ignore_parse(STR("a\0b"), &patterns);
	assert_int_equal(err_kind(e), ERR_INVALID);
	err_free(e);
}

/* Would take for ever with a backtracking matcher. */
static void test_hostile(void **state)
{
	(void)state;
	AUTO(ignore_freep)
	struct ignore *ig = compile("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a**a**a**a**/a/**/a/**/b*c");
	char path[4000];
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 2] = 'c';
	path[sizeof(path) - 1] = '\0';
	assert_false(ignore_match(ig, path, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_reject),
		cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
