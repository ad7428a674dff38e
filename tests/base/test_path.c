/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "base/path.h"

/* Tables of Go's path and path/filepath tests. */

static void test_clean(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		const char *out;
	} table[] = {
		{"", "."},
		{"abc", "abc"},
		{"abc/def", "abc/def"},
		{"a/b/c", "a/b/c"},
		{".", "."},
		{"..", ".."},
		{"../..", "../.."},
		{"../../abc", "../../abc"},
		{"/abc", "/abc"},
		{"/", "/"},
		{"abc/", "abc"},
		{"abc/def/", "abc/def"},
		{"./", "."},
		{"../", ".."},
		{"../../", "../.."},
		{"/abc/", "/abc"},
		{"abc//def//ghi", "abc/def/ghi"},
		{"//abc", "/abc"},
		{"///abc", "/abc"},
		{"//abc//", "/abc"},
		{"abc//", "abc"},
		{"abc/./def", "abc/def"},
		{"/./abc/def", "/abc/def"},
		{"abc/.", "abc"},
		{"abc/def/ghi/../jkl", "abc/def/jkl"},
		{"abc/def/../ghi/../jkl", "abc/jkl"},
		{"abc/def/..", "abc"},
		{"abc/def/../..", "."},
		{"/abc/def/../..", "/"},
		{"abc/def/../../..", ".."},
		{"/abc/def/../../..", "/"},
		{"abc/def/../../../ghi/jkl/../../../mno", "../../mno"},
		{"/../abc", "/abc"},
		{"abc/./../def", "def"},
		{"abc//./../def", "def"},
		{"abc/../../././../def", "../../def"},
		{"...", "..."},
		{"a/...", "a/..."},
		{".a/..b", ".a/..b"},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_FREE char *once = path_clean(table[i].in);
		assert_string_equal(once, table[i].out);
		AUTO_FREE char *twice = path_clean(once);
		assert_string_equal(twice, table[i].out);
	}
}

#define assert_text(call, want)                  \
	do {                                     \
		AUTO_FREE char *_got = (call);   \
		assert_string_equal(_got, want); \
	} while (0)

static void test_join(void **state)
{
	(void)state;
	assert_text(path_join("a", "b"), "a/b");
	assert_text(path_join("a", ""), "a");
	assert_text(path_join("", "b"), "b");
	assert_text(path_join("", "/b"), "/b");
	assert_text(path_join("", ""), ".");
	assert_text(path_join("/", "a"), "/a");
	assert_text(path_join("/", ""), "/");
	assert_text(path_join("a/", "b"), "a/b");
	assert_text(path_join("a", "/b"), "a/b");
	assert_text(path_join("a", "../../b"), "../b");
	assert_text(path_join("/a", "../../b"), "/b");
	assert_text(path_resolve("/a/b", "../c"), "/a/c");
	assert_text(path_resolve("/a/b", "/c/../d"), "/d");
	assert_text(path_resolve("/a", ""), "/a");
}

static void test_rooted(void **state)
{
	(void)state;
	assert_text(path_rooted(""), "");
	assert_text(path_rooted("/"), "");
	assert_text(path_rooted("."), "");
	assert_text(path_rooted("../../etc"), "etc");
	assert_text(path_rooted("/a/../../b//c/"), "b/c");
}

static void test_parts(void **state)
{
	(void)state;
	assert_string_equal(path_base("/a/b"), "b");
	assert_string_equal(path_base("b"), "b");
	assert_string_equal(path_base("/"), "");
	assert_text(path_dir("/a/b"), "/a");
	assert_text(path_dir("/a"), "/");
	assert_text(path_dir("/"), "/");
	assert_text(path_dir("a"), ".");
	assert_text(path_dir(""), ".");
	assert_text(path_dir("a/b/c"), "a/b");
	assert_true(path_is_abs("/x"));
	assert_false(path_is_abs(""));
}

static void test_below(void **state)
{
	(void)state;
	assert_true(path_below("a/b", ""));
	assert_true(path_below("a/b", "."));
	assert_true(path_below("a/b", "a"));
	assert_true(path_below("a/b", "a/"));
	assert_true(path_below("a", "a"));
	assert_false(path_below("ab", "a"));
	assert_false(path_below("a", "a/b"));
	assert_false(path_below("b/a", "a"));
	assert_true(path_below("/a/b", "/a"));
	assert_true(path_below("/a", "/"));
	assert_false(path_below("a", "/"));
	assert_true(path_has_dotdot(STR("..")));
	assert_true(path_has_dotdot(STR("a/../b")));
	assert_true(path_has_dotdot(STR("a/..")));
	assert_false(path_has_dotdot(STR("a/..b/c../...")));
	assert_false(path_has_dotdot(STR("")));
}

/* Go's own table for path.Match, and more; want -1: the pattern is malformed. */
static const struct {
	const char *pattern;
	const char *name;
	int want;
} match_table[] = {
	{"abc", "abc", 1},
	{"*", "abc", 1},
	{"*c", "abc", 1},
	{"a*", "a", 1},
	{"a*", "abc", 1},
	{"a*", "ab/c", 0},
	{"a*/b", "abc/b", 1},
	{"a*/b", "a/c/b", 0},
	{"a*b*c*d*e*/f", "axbxcxdxe/f", 1},
	{"a*b*c*d*e*/f", "axbxcxdxexxx/f", 1},
	{"a*b*c*d*e*/f", "axbxcxdxe/xxx/f", 0},
	{"a*b*c*d*e*/f", "axbxcxdxexxx/fff", 0},
	{"a*b?c*x", "abxbbxdbxebxczzx", 1},
	{"a*b?c*x", "abxbbxdbxebxczzy", 0},
	{"ab[c]", "abc", 1},
	{"ab[b-d]", "abc", 1},
	{"ab[e-g]", "abc", 0},
	{"ab[^c]", "abc", 0},
	{"ab[^b-d]", "abc", 0},
	{"ab[^e-g]", "abc", 1},
	{"a\\*b", "a*b", 1},
	{"a\\*b", "ab", 0},
	{"a?b",
		"a\xe2\x98\xba"
		"b",
		1},
	{"a[^a]b",
		"a\xe2\x98\xba"
		"b",
		1},
	{"a???b",
		"a\xe2\x98\xba"
		"b",
		0},
	{"a[^a][^a][^a]b",
		"a\xe2\x98\xba"
		"b",
		0},
	{"[a-\xce\xb6]*", "\xce\xb1", 1},
	{"*[a-\xce\xb6]", "A", 0},
	{"a?b", "a/b", 0},
	{"a*b", "a/b", 0},
	{"[\\]a]", "]", 1},
	{"[\\-]", "-", 1},
	{"[x\\-]", "x", 1},
	{"[x\\-]", "-", 1},
	{"[x\\-]", "z", 0},
	{"[\\-x]", "x", 1},
	{"[\\-x]", "-", 1},
	{"[\\-x]", "a", 0},
	{"[]a]", "]", -1},
	{"[-]", "-", -1},
	{"[x-]", "x", -1},
	{"[x-]", "-", -1},
	{"[x-]", "z", -1},
	{"[-x]", "x", -1},
	{"[-x]", "-", -1},
	{"[-x]", "a", -1},
	{"\\", "a", -1},
	{"[a-b-c]", "a", -1},
	{"[", "a", -1},
	{"[^", "a", -1},
	{"[^bc", "a", -1},
	{"a[", "a", -1},
	{"a[", "ab", -1},
	{"a[", "x", -1},
	{"a/b[", "x", -1},
	{"*x", "xxx", 1},
	/* not in Go's table */
	{"", "", 1},
	{"", "a", 0},
	{"*", "", 1},
	{"?", "", 0},
	{"**", "abc", 1},
	{"*/", "a/", 1},
	{"[\xff]", "\xff", -1},
	{"?", "\xff", 1},
	{"a\xff", "a\xff", 1},
	{"[*]x", "*x", 1},
	{"[*]x", "ax", 0},
	{"a*b[", "x", -1},
	{"a*[\\", "x", -1},
};

static void test_match(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(match_table); i++) {
		if (path_match(match_table[i].pattern, match_table[i].name) != match_table[i].want)
			fail_msg("%s against %s: %d", match_table[i].pattern, match_table[i].name,
				match_table[i].want);
	}
}

/* A pattern of many stars must not take exponential time. */
static void test_match_is_not_slow(void **state)
{
	(void)state;
	char name[401];
	for (size_t i = 0; i < 400; i++)
		name[i] = 'a';
	name[400] = '\0';
	assert_int_equal(path_match("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_rooted),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_match_is_not_slow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
