/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "repo/yaml.h"

#include <string.h>

static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = arena_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_freep(&arena);
	return 0;
}

static const struct yaml_node *parse(const char *text)
{
	struct yaml_node *n = NULL;
	AUTO(err_freep) struct err *e = yaml_parse(arena, str_c(text), "f", &n);
	assert_null(e);
	return n;
}

static void test_tree(void **state)
{
	(void)state;
	const struct yaml_node *n = parse("# c\nb: [1, 'two']\na:\n  x: 1.10\n  y:\nz: \"\"\n");
	assert_int_equal(n->kind, YAML_MAP);
	assert_int_equal(n->count, 3);
	assert_string_equal(n->keys[0]->text, "b");
	assert_int_equal(n->keys[0]->line, 2);
	const struct yaml_node *list = yaml_get(n, "b");
	assert_int_equal(list->kind, YAML_LIST);
	assert_int_equal(list->count, 2);
	assert_false(list->items[0]->quoted);
	assert_true(list->items[1]->quoted);
	assert_string_equal(list->items[1]->text, "two");
	const struct yaml_node *a = yaml_get(n, "a");
	const char *x = NULL;
	assert_null(yaml_get_text(a, "x", "f", &x));
	assert_string_equal(x, "1.10");
	assert_int_equal(yaml_get(a, "x")->line, 4);
	assert_int_equal(yaml_get(a, "x")->column, 6);
	assert_null(yaml_get(a, "y"));
	assert_int_equal(a->items[1]->kind, YAML_EMPTY);
	assert_int_equal(yaml_get(n, "z")->kind, YAML_SCALAR);
	assert_null(yaml_get(n, "nope"));
	assert_null(yaml_get(list, "b"));
}

static void test_empty(void **state)
{
	(void)state;
	assert_int_equal(parse("")->kind, YAML_EMPTY);
	assert_int_equal(parse("# only\n")->kind, YAML_EMPTY);
	assert_int_equal(parse("---\n...\n")->kind, YAML_EMPTY);
	assert_null(yaml_get(parse(""), "a"));
	static const char *const none[] = {NULL};
	assert_null(yaml_check_keys(parse(""), "f", none));
	assert_null(yaml_check_keys(NULL, "f", none));
}

static void test_bool(void **state)
{
	(void)state;
	const struct yaml_node *n = parse("t: true\ny: Yes\nf: off\nq: 'true'\nx: maybe\n");
	bool b = false;
	assert_null(yaml_get_bool(n, "t", "f", &b));
	assert_true(b);
	b = false;
	assert_null(yaml_get_bool(n, "y", "f", &b));
	assert_true(b);
	assert_null(yaml_get_bool(n, "f", "f", &b));
	assert_false(b);
	b = true;
	assert_null(yaml_get_bool(n, "absent", "f", &b));
	assert_true(b);
	AUTO(err_freep) struct err *q = yaml_get_bool(n, "q", "f", &b);
	assert_int_equal(err_kind(q), ERR_INVALID);
	AUTO(err_freep) struct err *x = yaml_get_bool(n, "x", "f", &b);
	assert_string_equal(err_message(x), "f:5:4: x: \"maybe\" is neither true nor false");
}

static void test_size(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} rows[] = {
		{"0", true, 0},
		{"1048576", true, 1048576},
		{"512MiB", true, 512ull << 20},
		{"20GB", true, 20000000000ull},
		{"20 GB", true, 20000000000ull},
		{"3k", true, 3000},
		{"1Ti", true, 1ull << 40},
		{"7B", true, 7},
		{"18446744073709551615", true, UINT64_MAX},
		{"18446744073709551616", false, 0},
		{"20000000PB", false, 0},
		{"-1", false, 0},
		{"1.5GB", false, 0},
		{"GB", false, 0},
		{"10 GiBB", false, 0},
		{"10X", false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = mem_printf("a: \"%s\"\n", rows[i].text);
		uint64_t v = 1;
		AUTO(err_freep) struct err *e = yaml_get_size(parse(text), "a", "f", &v);
		if (!e != rows[i].ok || (rows[i].ok && v != rows[i].value))
			fail_msg("%s: %s %llu", rows[i].text, e ? err_message(e) : "ok",
				(unsigned long long)v);
	}
}

static void test_texts(void **state)
{
	(void)state;
	AUTO_STRVEC struct strvec v = {0};
	assert_null(yaml_get_texts(parse("a: one\nb: [x, y]\n"), "a", "f", &v));
	assert_null(yaml_get_texts(parse("a: one\nb: [x, y]\n"), "b", "f", &v));
	assert_int_equal(v.len, 3);
	assert_string_equal(v.ptr[2], "y");
	AUTO(err_freep) struct err *e = yaml_get_texts(parse("a: {b: c}\n"), "a", "f", &v);
	assert_int_equal(err_kind(e), ERR_INVALID);
	assert_int_equal(v.len, 3);
}

static void test_limits(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = {0};
	for (int i = 0; i < 500001; i++)
		buf_adds(&b, "- a\n");
	struct yaml_node *n = NULL;
	AUTO(err_freep) struct err *many = yaml_parse(arena, buf_str(&b), "f", &n);
	assert_non_null(strstr(err_message(many), "too many values"));
	buf_clear(&b);
	while (b.len <= 8u << 20)
		buf_adds(&b, "# a long comment that says nothing at all\n");
	AUTO(err_freep) struct err *large = yaml_parse(arena, buf_str(&b), "f", &n);
	assert_non_null(strstr(err_message(large), "larger than"));
	AUTO(err_freep) struct err *nul = yaml_parse(arena, STR("a: b\0c\n"), "f", &n);
	assert_non_null(strstr(err_message(nul), "NUL"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bool, setup, teardown),
		cmocka_unit_test_setup_teardown(test_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
