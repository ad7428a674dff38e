/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/vec.h"

#include <stdlib.h>
#include <string.h>

static int cmp_int(const void *a, const void *b)
{
	int x = *(const int *)a;
	int y = *(const int *)b;
	return (x > y) - (x < y);
}

static void test_vec(void **state)
{
	(void)state;
	struct vec v AUTO(vec_fini) = VEC_OF(int);
	vec_sort(&v, cmp_int);
	for (int i = 0; i < 100; i++) {
		int x = 99 - i;
		vec_push_copy(&v, &x);
	}
	assert_int_equal(v.len, 100);
	vec_sort(&v, cmp_int);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(*(int *)vec_at(&v, i), i);
	vec_remove(&v, 0);
	vec_remove(&v, 98);
	vec_remove(&v, 49);
	assert_int_equal(v.len, 97);
	assert_int_equal(*(int *)vec_at(&v, 0), 1);
	assert_int_equal(*(int *)vec_at(&v, 49), 51);
	assert_int_equal(*(int *)vec_at(&v, 96), 98);
	vec_clear(&v);
	/* A reused element is cleared too. */
	assert_int_equal(*(int *)vec_push(&v), 0);
	vec_fini(&v);
	assert_int_equal(v.len, 0);
	assert_int_equal(*(int *)vec_push(&v), 0);
}

static void list_is(const struct strvec *v, const char *want)
{
	AUTO_FREE char *got = mem_strdup("");
	for (const char *const *p = strvec_list(v); *p; p++) {
		char *next = mem_printf("%s%s;", got, *p);
		mem_freep(&got);
		got = next;
	}
	assert_string_equal(got, want);
	if (v->ptr)
		assert_null(v->ptr[v->len]);
}

static void test_strvec(void **state)
{
	(void)state;
	AUTO_STRVEC struct strvec v = {0};
	list_is(&v, "");
	strvec_clear(&v);
	strvec_sort(&v);
	strvec_push_all(&v, NULL);
	assert_false(strvec_has(&v, ""));
	strvec_push(&v, "c");
	strvec_push_str(&v, str_n("bxx", 1));
	strvec_push_take(&v, mem_strdup("\xff"));
	strvec_pushf(&v, "%s%d", "a", 1);
	strvec_push_all(&v, (const char *const[]){"x", "y", NULL});
	list_is(&v, "c;b;\xff;a1;x;y;");
	strvec_sort(&v);
	list_is(&v, "a1;b;c;x;y;\xff;");
	assert_true(strvec_has(&v, "x"));
	assert_false(strvec_has(&v, "xx"));
	strvec_remove(&v, 0);
	strvec_remove(&v, 4);
	strvec_remove(&v, 1);
	list_is(&v, "b;x;y;");
	strvec_clear(&v);
	list_is(&v, "");
	for (int i = 0; i < 100; i++)
		strvec_pushf(&v, "%d", i);
	assert_int_equal(v.len, 100);
	assert_string_equal(v.ptr[99], "99");
}

static void test_envlist(void **state)
{
	(void)state;
	AUTO_STRVEC struct strvec v = {0};
	assert_null(envlist_get(&v, "A"));
	envlist_set(&v, "A", "1");
	envlist_set(&v, "AB", "x=y");
	envlist_set(&v, "E", "");
	list_is(&v, "A=1;AB=x=y;E=;");
	envlist_set(&v, "A", "2");
	list_is(&v, "A=2;AB=x=y;E=;");
	assert_string_equal(envlist_get(&v, "A"), "2");
	assert_string_equal(envlist_get(&v, "AB"), "x=y");
	assert_string_equal(envlist_get(&v, "E"), "");
	assert_null(envlist_get(&v, "B"));
	strvec_push(&v, "A=again");
	strvec_push(&v, "NOVALUE");
	assert_string_equal(envlist_get(&v, "A"), "2");
	assert_null(envlist_get(&v, "NOVALUE"));
	/* A name that a foreign list holds twice is there once after set, even if set to its own value. */
	envlist_set(&v, "A", envlist_get(&v, "A"));
	list_is(&v, "A=2;AB=x=y;E=;NOVALUE;");
	strvec_push(&v, "A=again");
	envlist_unset(&v, "A");
	envlist_unset(&v, "B");
	list_is(&v, "AB=x=y;E=;NOVALUE;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vec),
		cmocka_unit_test(test_strvec),
		cmocka_unit_test(test_envlist),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
