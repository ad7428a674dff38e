/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_alloc(void **state)
{
	(void)state;
	AUTO_FREE unsigned char *p = mem_zalloc(100);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	AUTO_FREE void *none = mem_alloc(0);
	assert_non_null(none);
	AUTO_FREE uint32_t *a = mem_array(4, sizeof(*a));
	assert_int_equal(a[3], 0);
	a[3] = 7;
	a = mem_realloc(a, 8, sizeof(*a));
	assert_int_equal(a[3], 7);
}

static void test_strings(void **state)
{
	(void)state;
	assert_null(mem_strdup(NULL));
	AUTO_FREE char *s = mem_strdup("abc");
	assert_string_equal(s, "abc");
	AUTO_FREE char *n = mem_strndup("abcdef", 3);
	assert_string_equal(n, "abc");
	AUTO_FREE char *nul = mem_strndup("a\0b", 3);
	assert_memory_equal(nul, "a\0b", 4);
	AUTO_FREE char *empty = mem_strndup(NULL, 0);
	assert_string_equal(empty, "");
	AUTO_FREE char *f = mem_printf("%d-%s", 5, "x");
	assert_string_equal(f, "5-x");
	AUTO_FREE char *d = mem_dup("xyz", 2);
	assert_memory_equal(d, "xy", 2);
}

static void test_freep(void **state)
{
	(void)state;
	char *p = mem_strdup("abc");
	errno = ENOTTY;
	mem_freep(&p);
	assert_null(p);
	assert_int_equal(errno, ENOTTY);
	mem_freep(&p);
	assert_null(p);
	AUTO_FREE char *kept = mem_strdup("kept");
	char *taken = steal(&kept);
	assert_null(kept);
	assert_string_equal(taken, "kept");
	free(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_freep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
