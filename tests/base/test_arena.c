/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

static void test_alignment_and_clearing(void **state)
{
	(void)state;
	struct arena *a AUTO(arena_freep) = arena_new();
	for (size_t i = 0; i < 2000; i++) {
		unsigned char *p = arena_alloc(a, i % 97);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		for (size_t k = 0; k < i % 97; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0xaa, i % 97);
		assert_string_equal(arena_strdup(a, "odd"), "odd");
	}
}

static void test_big_pieces(void **state)
{
	(void)state;
	struct arena *a AUTO(arena_freep) = arena_new();
	char *small = arena_strdup(a, "small");
	unsigned char *big = arena_alloc(a, 3000000);
	assert_int_equal(big[0] | big[2999999], 0);
	memset(big, 1, 3000000);
	/* The room behind the small piece is still in use. */
	char *next = arena_strdup(a, "next");
	assert_ptr_equal(next, small + 6);
	assert_string_equal(small, "small");
	unsigned *array = arena_array(a, 1000, sizeof(*array));
	assert_int_equal(array[999], 0);
}

static void test_big_first(void **state)
{
	(void)state;
	struct arena *a AUTO(arena_freep) = arena_new();
	memset(arena_alloc(a, 100000), 1, 100000);
	assert_string_equal(arena_strdup(a, "after"), "after");
}

static void test_strings(void **state)
{
	(void)state;
	struct arena *a AUTO(arena_freep) = arena_new();
	assert_null(arena_strdup(a, NULL));
	assert_string_equal(arena_strndup(a, "abcdef", 2), "ab");
	assert_string_equal(arena_str(a, STR("view")), "view");
	assert_string_equal(arena_str(a, (struct str){0}), "");
	assert_string_equal(arena_printf(a, "%s/%d", "x", 12), "x/12");
	assert_memory_equal(arena_dup(a, "123", 3), "123", 3);
	assert_ptr_not_equal(arena_alloc(a, 0), arena_alloc(a, 0));
	struct str *typed = arena_new_of(a, struct str);
	assert_null(typed->ptr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment_and_clearing),
		cmocka_unit_test(test_big_pieces),
		cmocka_unit_test(test_big_first),
		cmocka_unit_test(test_strings),
	};
	arena_free(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
