/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/str.h"

#include <string.h>

static void test_compare(void **state)
{
	(void)state;
	struct str none = str_c(NULL);
	assert_null(none.ptr);
	assert_true(str_eq(none, STR("")));
	assert_true(str_eq_c(none, ""));
	assert_true(str_eq_c(STR("abc"), "abc"));
	assert_false(str_eq_c(STR("abc"), "abcd"));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
	assert_true(str_eq_nocase(STR("Content-TYPE"), "content-type"));
	assert_false(str_eq_nocase(STR("[a"), "{a"));
	assert_true(str_cmp(STR("a"), STR("b")) < 0);
	assert_true(str_cmp(STR("a"), STR("a")) == 0);
	assert_true(str_cmp(STR("ab"), STR("a")) > 0);
	assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
	assert_true(str_cmp(none, STR("")) == 0);
	assert_true(cstr_eq(NULL, NULL));
	assert_false(cstr_eq(NULL, ""));
	assert_false(cstr_eq("", NULL));
	assert_true(cstr_eq("x", "x"));
}

static void test_ends(void **state)
{
	(void)state;
	assert_true(str_starts(STR("abc"), ""));
	assert_true(str_starts(STR("abc"), "abc"));
	assert_false(str_starts(STR("abc"), "abcd"));
	assert_true(str_ends(STR("abc"), "bc"));
	assert_false(str_ends(STR("c"), "bc"));
	assert_true(str_ends((struct str){0}, ""));
	assert_true(cstr_starts("abc", "ab"));
	assert_false(cstr_starts("a", "ab"));
	assert_true(cstr_ends("abc", "c"));
	assert_false(cstr_ends(NULL, "c"));
}

static void test_cut(void **state)
{
	(void)state;
	assert_true(str_eq_c(str_trim(STR(" \t\r\na b\n ")), "a b"));
	assert_true(str_eq_c(str_trim(STR(" \n")), ""));
	assert_true(str_eq_c(str_skip(STR("abc"), 1), "bc"));
	assert_true(str_eq_c(str_skip(STR("abc"), 9), ""));
	assert_int_equal(str_skip((struct str){0}, 9).len, 0);
	assert_int_equal(str_index(STR("a,b,c"), ','), 1);
	assert_int_equal(str_rindex(STR("a,b,c"), ','), 3);
	assert_int_equal(str_index(STR("abc"), ','), -1);
	assert_int_equal(str_index((struct str){0}, ','), -1);
	assert_int_equal(str_rindex(str_n("a,b", 1), ','), -1);
}

static void split_is(struct str rest, const char *const *want)
{
	struct str head;
	while (str_split(&rest, ',', &head)) {
		assert_non_null(*want);
		assert_true(str_eq_c(head, *want++));
	}
	assert_null(*want);
	assert_null(rest.ptr);
}

static void test_split(void **state)
{
	(void)state;
	split_is(STR("a,b"), (const char *const[]){"a", "b", NULL});
	split_is(STR(",a,,b,"), (const char *const[]){"", "a", "", "b", "", NULL});
	split_is(STR(""), (const char *const[]){"", NULL});
	split_is(str_c(NULL), (const char *const[]){NULL});
}

static void test_numbers(void **state)
{
	(void)state;
	uint64_t u = 5;
	int64_t i = 5;
	uint32_t o = 5;
	assert_true(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
	assert_false(str_to_u64(STR("18446744073709551616"), &u));
	assert_false(str_to_u64(STR("99999999999999999999999"), &u));
	assert_true(str_to_u64(STR("007"), &u) && u == 7);
	static const char *const bad[] = {"", "+1", "-1", " 1", "1 ", "0x1", "1.0", "a", "/", ":"};
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		assert_false(str_to_u64(str_c(bad[k]), &u));
	assert_int_equal(u, 7);
	assert_true(str_to_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
	assert_true(str_to_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
	assert_false(str_to_i64(STR("9223372036854775808"), &i));
	assert_false(str_to_i64(STR("-9223372036854775809"), &i));
	assert_false(str_to_i64(STR("-"), &i));
	assert_false(str_to_i64(STR("--1"), &i));
	assert_true(str_to_i64(STR("-0"), &i) && i == 0);
	assert_true(str_to_octal(STR("0755"), &o) && o == 0755);
	assert_true(str_to_octal(STR("37777777777"), &o) && o == UINT32_MAX);
	assert_false(str_to_octal(STR("40000000000"), &o));
	assert_false(str_to_octal(STR("8"), &o));
	assert_false(str_to_octal(STR(""), &o));
}

static void test_utf8(void **state)
{
	(void)state;
	static const char *const good[] = {
		"",
		"abc",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"z\xc3\xa4h",
	};
	static const char *const bad[] = {
		"\x80",             /* lone continuation */
		"\xc0\x80",         /* overlong NUL */
		"\xc1\xbf",         /* overlong */
		"\xe0\x9f\xbf",     /* overlong */
		"\xf0\x8f\xbf\xbf", /* overlong */
		"\xed\xa0\x80",     /* surrogate */
		"\xed\xbf\xbf",     /* surrogate */
		"\xf4\x90\x80\x80", /* beyond the last plane */
		"\xf5\x80\x80\x80",
		"\xff",
		"\xfe",
		"\xc3",         /* cut off */
		"\xe2\x82",     /* cut off */
		"\xf0\x9f\x98", /* cut off */
		"\xc3(",
		"\xe2\x28\xa1",
		"a\xe2\x82",
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(str_is_utf8(str_c(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_is_utf8(str_c(bad[i])));
	assert_true(str_is_utf8(STR("a\0b")));
	assert_true(str_is_utf8((struct str){0}));
}

static void test_suggest(void **state)
{
	(void)state;
	static const char *const commands[] = {"build", "release", "list", "logs", "login", "rm", NULL};
	assert_string_equal(str_suggest("biuld", commands), "build");
	assert_string_equal(str_suggest("BUILD", commands), "build");
	assert_string_equal(str_suggest("buil", commands), "build");
	assert_string_equal(str_suggest("relase", commands), "release");
	assert_string_equal(str_suggest("lgs", commands), "logs");
	assert_null(str_suggest("promote", commands));
	assert_null(str_suggest("xy", commands)); /* as far from "rm" as can be */
	assert_null(str_suggest("", (const char *const[]){NULL}));
	/* The nearest, and of equals the first. */
	assert_string_equal(str_suggest("cat", (const char *const[]){"cart", "bat", "cat", NULL}), "cat");
	assert_string_equal(str_suggest("cat", (const char *const[]){"cart", "bat", NULL}), "cart");
	char lengthy[200];
	memset(lengthy, 'a', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_null(str_suggest(lengthy, commands));
	assert_null(str_suggest("a", (const char *const[]){lengthy, NULL}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_suggest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
