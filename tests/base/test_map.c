/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void order_is(const struct map *m, const char *want)
{
	AUTO_FREE char *got = mem_strdup("");
	struct str key;
	void *value;
	size_t n = 0;
	for (size_t i = 0; map_next(m, &i, &key, &value); n++) {
		assert_int_equal(key.ptr[key.len], '\0');
		char *next = mem_printf("%s%s=%s;", got, key.ptr, (char *)value);
		mem_freep(&got);
		got = next;
	}
	assert_string_equal(got, want);
	assert_int_equal(map_len(m), n);
}

static void test_order(void **state)
{
	(void)state;
	struct map *m AUTO(map_freep) = map_new(free);
	order_is(m, "");
	assert_null(map_get_c(m, "a"));
	assert_false(map_remove(m, STR("a")));
	map_set_c(m, "zeta", mem_strdup("1"));
	map_set_c(m, "alpha", mem_strdup("2"));
	map_set_c(m, "mid", mem_strdup("3"));
	order_is(m, "zeta=1;alpha=2;mid=3;");
	map_set_c(m, "alpha", mem_strdup("4")); /* stays in its place */
	order_is(m, "zeta=1;alpha=4;mid=3;");
	assert_true(map_remove(m, STR("zeta")));
	assert_false(map_remove(m, STR("zeta")));
	assert_false(map_has(m, STR("zeta")));
	order_is(m, "alpha=4;mid=3;");
	map_set_c(m, "zeta", mem_strdup("5")); /* new again, so last */
	order_is(m, "alpha=4;mid=3;zeta=5;");
	/* Setting the very value that is there does not free it. */
	map_set_c(m, "mid", map_get_c(m, "mid"));
	order_is(m, "alpha=4;mid=3;zeta=5;");
}

static void test_byte_keys(void **state)
{
	(void)state;
	static int one, two, three;
	struct map *m AUTO(map_freep) = map_new(NULL);
	map_set(m, STR("a\0b"), &one);
	map_set(m, STR("a\0c"), &two);
	map_set(m, STR(""), &three);
	assert_ptr_equal(map_get(m, STR("a\0b")), &one);
	assert_ptr_equal(map_get(m, STR("a\0c")), &two);
	assert_ptr_equal(map_get(m, (struct str){0}), &three);
	assert_null(map_get(m, STR("a")));
	map_set(m, STR("null"), NULL);
	assert_null(map_get(m, STR("null")));
	assert_true(map_has(m, STR("null")));
	assert_int_equal(map_len(m), 4);
	/* Both outputs may be left out. */
	size_t n = 0;
	for (size_t i = 0; map_next(m, &i, NULL, NULL);)
		n++;
	assert_int_equal(n, 4);
}

static void test_many(void **state)
{
	(void)state;
	enum { N = 20000 };
	struct map *m AUTO(map_freep) = map_new(NULL);
	static char values[N];
	char key[32];
	for (size_t i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "key-%zu", i);
		map_set_c(m, key, &values[i]);
	}
	for (size_t i = 0; i < N; i += 2) {
		snprintf(key, sizeof(key), "key-%zu", i);
		assert_true(map_remove(m, str_c(key)));
	}
	assert_int_equal(map_len(m), N / 2);
	for (size_t i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "key-%zu", i);
		assert_ptr_equal(map_get_c(m, key), i % 2 ? &values[i] : NULL);
	}
	size_t at = 1;
	void *value;
	for (size_t i = 0; map_next(m, &i, NULL, &value); at += 2)
		assert_ptr_equal(value, &values[at]);
	assert_int_equal(at, N + 1);
}

static void test_churn(void **state)
{
	(void)state;
	struct map *m AUTO(map_freep) = map_new(free);
	char key[32];
	for (size_t i = 0; i < 50000; i++) {
		snprintf(key, sizeof(key), "%zu", i);
		map_set_c(m, key, mem_strdup(key));
		if (i < 3)
			continue;
		snprintf(key, sizeof(key), "%zu", i - 3);
		assert_string_equal(map_get_c(m, key), key);
		assert_true(map_remove(m, str_c(key)));
	}
	order_is(m, "49997=49997;49998=49998;49999=49999;");
}

static void test_remove_while_iterating(void **state)
{
	(void)state;
	struct map *m AUTO(map_freep) = map_new(free);
	char key_text[16];
	for (int i = 0; i < 30; i++) {
		snprintf(key_text, sizeof(key_text), "%d", i);
		map_set_c(m, key_text, mem_strdup("v"));
	}
	struct str key;
	size_t seen = 0;
	for (size_t i = 0; map_next(m, &i, &key, NULL); seen++)
		assert_true(map_remove(m, key));
	assert_int_equal(seen, 30);
	assert_int_equal(map_len(m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_byte_keys),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_remove_while_iterating),
	};
	map_free(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
