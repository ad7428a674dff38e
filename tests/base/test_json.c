/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define AUTO_ERR AUTO(err_freep)

static json_t *parsed(const char *text)
{
	json_t *j = NULL;
	assert_null(json_parse(str_c(text), "test", &j));
	return j;
}

static void test_parse(void **state)
{
	(void)state;
	AUTO_JSON json_t *o = parsed(" {\"a\": [1, 2.5, true, null, \"x\"]} ");
	assert_int_equal(json_array_size(json_object_get(o, "a")), 5);
	AUTO_JSON json_t *scalar = parsed("3");
	assert_int_equal(json_integer_value(scalar), 3);
}

static void refused(struct str text, const char *message)
{
	json_t *j = (json_t *)8;
	AUTO_ERR struct err *e = json_parse(text, "the file", &j);
	assert_int_equal(err_kind(e), ERR_INVALID);
	assert_ptr_equal(j, (json_t *)8);
	if (!strstr(err_message(e), message))
		fail_msg("\"%s\" does not say \"%s\"", err_message(e), message);
	assert_ptr_equal(strstr(err_message(e), "the file: "), err_message(e));
}

static void test_refused(void **state)
{
	(void)state;
	refused((struct str){0}, "line 1");
	refused(STR(""), "line 1");
	refused(STR("{\n \"a\": 1,\n \"a\": 2}"), "line 3");
	refused(STR("{\"a\":1,\"a\":2}"), "duplicate");
	refused(STR("{\"x\":{\"a\":1,\"a\":1}}"), "duplicate");
	refused(STR("{}x"), "end of file");
	refused(STR("{"), "line 1");
	refused(STR("{'a':1}"), "line 1");
	refused(STR("[1,]"), "line 1");
	refused(STR("01"), "line 1");
	refused(STR("NaN"), "line 1");
	refused(STR("1e999"), "real number overflow");
	refused(STR("99999999999999999999"), "too big");
	refused(STR("\"\xff\""), "unable to decode byte 0xff");
	refused(STR("\"a\\u0000b\""), "line 1");
	refused(STR("\"\\ud800\""), "line 1");
	refused(STR("{}\0"), "line 1");
}

static void test_depth(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = {0};
	for (int i = 0; i < 200; i++)
		buf_addc(&b, '[');
	buf_adds(&b, "\"]]][[[[\\\"[[[\"");
	for (int i = 0; i < 200; i++)
		buf_addc(&b, ']');
	AUTO_JSON json_t *j = NULL;
	assert_null(json_parse(buf_str(&b), "deep", &j));
	AUTO_BUF struct buf deeper = {0};
	buf_addf(&deeper, "{\"a\":%s}", buf_cstr(&b));
	refused(buf_str(&deeper), "nested deeper than 200");
	/* Many side by side are not deep. */
	buf_clear(&b);
	buf_adds(&b, "[0");
	for (int i = 0; i < 1000; i++)
		buf_adds(&b, ",[{}]");
	buf_adds(&b, "]");
	AUTO_JSON json_t *wide = parsed(buf_cstr(&b));
	assert_int_equal(json_array_size(wide), 1001);
}

static void test_getters(void **state)
{
	(void)state;
	AUTO_JSON json_t *o =
		parsed("{\"s\":\"x\",\"i\":-5,\"b\":true,\"f\":false,\"o\":{},\"a\":[],\"n\":null}");
	const char *s = "old";
	int64_t i = 9;
	bool b = false;
	json_t *j = o;
	assert_null(json_get_string(o, "s", "t", &s));
	assert_string_equal(s, "x");
	assert_null(json_get_int(o, "i", "t", &i));
	assert_int_equal(i, -5);
	assert_null(json_get_bool(o, "b", "t", &b));
	assert_true(b);
	assert_null(json_get_bool(o, "f", "t", &b));
	assert_false(b);
	assert_null(json_get_object(o, "o", "t", &j));
	assert_true(json_is_object(j));
	assert_null(json_get_array(o, "a", "t", &j));
	assert_true(json_is_array(j));
}

static void test_getters_absent(void **state)
{
	(void)state;
	AUTO_JSON json_t *o = parsed("{\"n\":null}");
	const json_t *from[] = {o, o, NULL, json_null()};
	const char *keys[] = {"n", "absent", "x", "x"};
	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		const char *s = "old";
		int64_t i = 9;
		bool b = true;
		json_t *j = o;
		AUTO_STRVEC struct strvec v = {0};
		assert_null(json_get_string(from[k], keys[k], "t", &s));
		assert_null(s);
		assert_null(json_get_int(from[k], keys[k], "t", &i));
		assert_int_equal(i, 0);
		assert_null(json_get_bool(from[k], keys[k], "t", &b));
		assert_true(b);
		assert_null(json_get_object(from[k], keys[k], "t", &j));
		assert_null(j);
		j = o;
		assert_null(json_get_array(from[k], keys[k], "t", &j));
		assert_null(j);
		assert_null(json_get_strings(from[k], keys[k], "t", &v));
		assert_int_equal(v.len, 0);
	}
}

static void wrong(struct err *e, const char *message)
{
	assert_int_equal(err_kind(e), ERR_INVALID);
	assert_string_equal(err_message(e), message);
	err_free(e);
}

static void test_getters_wrong(void **state)
{
	(void)state;
	AUTO_JSON json_t *o = parsed("{\"s\":\"x\",\"r\":1.0,\"b\":true,\"o\":{},\"m\":[\"a\",1]}");
	AUTO_JSON json_t *list = parsed("[]");
	const char *s = "old";
	int64_t i = 9;
	bool b = true;
	json_t *j = o;
	AUTO_STRVEC struct strvec v = {0};
	wrong(json_get_string(o, "b", "doc", &s), "doc: \"b\" must be a string, not a boolean");
	wrong(json_get_int(o, "r", "doc", &i), "doc: \"r\" must be an integer, not a number");
	wrong(json_get_int(o, "s", "doc", &i), "doc: \"s\" must be an integer, not a string");
	wrong(json_get_bool(o, "o", "doc", &b), "doc: \"o\" must be a boolean, not an object");
	wrong(json_get_object(o, "m", "doc", &j), "doc: \"m\" must be an object, not an array");
	wrong(json_get_array(o, "o", "doc", &j), "doc: \"o\" must be an array, not an object");
	wrong(json_get_strings(o, "m", "doc", &v), "doc: \"m\" must be an array of strings, not a number");
	wrong(json_get_string(list, "b", "doc", &s), "doc: must be an object, not an array");
	/* Nothing was written. */
	assert_string_equal(s, "old");
	assert_int_equal(i, 9);
	assert_ptr_equal(j, o);
	assert_int_equal(v.len, 0);
}

static void test_strings(void **state)
{
	(void)state;
	AUTO_JSON json_t *o = json_object();
	json_object_set_new(o, "l", json_from_strings((const char *const[]){"a", "b\xff", NULL}));
	json_set_text(o, "t", "v");
	json_set_text(o, "none", NULL);
	AUTO_FREE char *text = json_dump(o, false);
	assert_string_equal(text, "{\"l\":[\"a\",\"b\xef\xbf\xbd\"],\"t\":\"v\"}");
	AUTO_STRVEC struct strvec v = {0};
	strvec_push(&v, "first");
	assert_null(json_get_strings(o, "l", "t", &v));
	assert_int_equal(v.len, 3);
	assert_string_equal(v.ptr[1], "a");
	AUTO_JSON json_t *none = json_from_strings(NULL);
	assert_int_equal(json_array_size(none), 0);
}

static void test_need_object(void **state)
{
	(void)state;
	AUTO_JSON json_t *o = parsed("{\"null\": null, \"there\": {\"a\": 1}}");
	json_set_text(json_need_object(o, "null"), "b", "x");
	json_set_text(json_need_object(o, "there"), "b", "y");
	json_set_text(json_need_object(json_need_object(o, "new"), "in"), "b", "z");
	AUTO_FREE char *text = json_dump(o, true);
	assert_string_equal(text, "{\"new\":{\"in\":{\"b\":\"z\"}},\"null\":{\"b\":\"x\"},"
				  "\"there\":{\"a\":1,\"b\":\"y\"}}");
}

static void test_dump(void **state)
{
	(void)state;
	static const char in[] = "{ \"z\": 1, \"a\": {\"y\": [], \"b\": \"\\u00e4/\\n\"} }";
	AUTO_JSON json_t *o = parsed(in);
	AUTO_FREE char *given = json_dump(o, false);
	assert_string_equal(given, "{\"z\":1,\"a\":{\"y\":[],\"b\":\"\xc3\xa4/\\n\"}}");
	AUTO_FREE char *sorted = json_dump(o, true);
	assert_string_equal(sorted, "{\"a\":{\"b\":\"\xc3\xa4/\\n\",\"y\":[]},\"z\":1}");
	AUTO_FREE char *pretty = json_dump_pretty(o);
	assert_string_equal(
		pretty, "{\n  \"z\": 1,\n  \"a\": {\n    \"y\": [],\n    \"b\": \"\xc3\xa4/\\n\"\n  }\n}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_getters_absent),
		cmocka_unit_test(test_getters_wrong),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_need_object),
		cmocka_unit_test(test_dump),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
