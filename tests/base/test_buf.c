/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void is(const struct buf *b, const char *want)
{
	assert_int_equal(b->len, strlen(want));
	assert_string_equal(buf_cstr(b), want);
	if (b->ptr) {
		assert_true(b->cap > b->len);
		assert_int_equal(b->ptr[b->len], '\0');
	}
}

static void test_empty(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = {0};
	is(&b, "");
	assert_int_equal(buf_str(&b).len, 0);
	assert_non_null(buf_str(&b).ptr);
	buf_clear(&b);
	buf_truncate(&b, 5);
	buf_consume(&b, 5);
	is(&b, "");
	char *s = buf_steal(&b);
	assert_string_equal(s, "");
	free(s);
	buf_addstr(&b, (struct str){0});
	is(&b, "");
}

static void test_add(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = {0};
	buf_adds(&b, "ab");
	buf_addc(&b, 'c');
	buf_addstr(&b, STR("de"));
	buf_addf(&b, "%03d", 7);
	is(&b, "abcde007");
	buf_consume(&b, 3);
	is(&b, "de007");
	buf_truncate(&b, 99);
	is(&b, "de007");
	buf_truncate(&b, 2);
	is(&b, "de");
	buf_consume(&b, 99);
	is(&b, "");
	buf_add(&b, "a\0b", 3);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.ptr, "a\0b", 4);
	char *s = buf_steal(&b);
	assert_null(b.ptr);
	assert_int_equal(b.len + b.cap, 0);
	free(s);
}

static void test_replaced(void **state)
{
	(void)state;
	static const char *const cases[][4] = {
		{"", "x", "y", ""},
		{"a{v}b{v}", "{v}", "12", "a12b12"},
		{"aaa", "a", "aa", "aaaaaa"},
		{"aaa", "aa", "", "a"},
		{"{v", "{v}", "1", "{v"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf b = {0};
		buf_add_replaced(&b, cases[i][0], cases[i][1], cases[i][2]);
		assert_string_equal(buf_cstr(&b), cases[i][3]);
	}
}

static void test_growth(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = {0};
	AUTO_BUF struct buf c = {0};
	for (size_t i = 0; i < 5000; i++) {
		buf_addc(&b, 'x');
		assert_int_equal(b.ptr[b.len], '\0');
	}
	/* Formatting into less room than it needs. */
	for (size_t n = 0; n < 300; n++) {
		buf_addf(&c, "%.*s", (int)n, b.ptr);
		assert_int_equal(c.ptr[c.len], '\0');
	}
	assert_int_equal(c.len, 299 * 300 / 2);
	assert_int_equal(strlen(c.ptr), c.len);
	buf_reserve(&c, 100000);
	assert_true(c.cap >= c.len + 100001);
	assert_int_equal(c.ptr[c.len], '\0');
	size_t cap = c.cap;
	buf_clear(&c);
	assert_int_equal(c.cap, cap);
	is(&c, "");
}

static void json_is(struct str s, const char *want)
{
	AUTO_BUF struct buf b = {0};
	buf_add_json(&b, s);
	assert_string_equal(buf_cstr(&b), want);
	/* The other way to write JSON gives the same bytes, and the parser takes them. */
	AUTO_JSON json_t *j = json_text_n(s.ptr ? s.ptr : "", s.len);
	AUTO_FREE char *dumped = json_dump(j, false);
	assert_string_equal(dumped, want);
	AUTO_JSON json_t *back = NULL;
	assert_null(json_parse(buf_str(&b), "test", &back));
	assert_true(json_equal(back, j));
}

static void test_json(void **state)
{
	(void)state;
	json_is(STR(""), "\"\"");
	json_is((struct str){0}, "\"\"");
	json_is(STR("a/b <&>"), "\"a/b <&>\"");
	json_is(STR("q\"b\\"), "\"q\\\"b\\\\\"");
	json_is(STR("\b\f\n\r\t\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\\u001F\x7f\"");
	json_is(STR("z\xc3\xa4h \xf0\x9f\x98\x80"), "\"z\xc3\xa4h \xf0\x9f\x98\x80\"");
	json_is(STR("a\xff\xfe z"), "\"a\xef\xbf\xbd\xef\xbf\xbd z\"");
	json_is(STR("cut\xe2\x82"), "\"cut\xef\xbf\xbd\xef\xbf\xbd\"");
	json_is(STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	json_is(STR("a\0b"), "\"a\xef\xbf\xbd"
			     "b\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
