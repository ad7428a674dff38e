/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/mode_spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/compiler.h"

static const struct {
	const char *spec;
	unsigned from;
	bool dir;
	unsigned to;
} table[] = {
	{"644", 0777, false, 0644},
	{"0755", 0, false, 0755},
	{"4755", 0, false, 04755},
	{"u+x", 0644, false, 0744},
	{"+x", 0644, false, 0755},
	{"a+x", 0644, false, 0755},
	{"go-w", 0666, false, 0644},
	{"u=rw,go=r", 0777, false, 0644},
	{"a=rX", 0600, false, 0444},
	{"a=rX", 0700, false, 0555},
	{"a=rX", 0600, true, 0555},
	{"go=rX,u+w", 0700, true, 0755},
	{"u=rwx,g=u,o=g", 0, false, 0777},
	{"g=u", 0640, false, 0660},
	{"o=", 0777, false, 0770},
	{"u+s", 0755, false, 04755},
	{"g+s", 0755, false, 02755},
	{"+t", 0777, true, 01777},
	{"o+t", 0777, true, 0777},
	{"u-s", 04755, false, 0755},
	{"a-x+X", 0755, false, 0644},
	{"a-x+X", 0755, true, 0755},
	{"u+w-x", 0500, false, 0600},
	{"u=rwx", 02700, true, 02700},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct mode_spec s;
		assert_null(mode_spec_parse(table[i].spec, &s));
		unsigned got = mode_spec_apply(&s, table[i].from, table[i].dir);
		if (got != table[i].to)
			fail_msg("%s on %o: %o, not %o", table[i].spec, table[i].from, got, table[i].to);
	}
}

static void test_reject(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "8", "10000", "77777777777777", "u", "u+q", "u+x,", ",u+x",
		"rwx", "u+x g+x", "0o644", "-1",
		"u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x,u+x"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mode_spec s;
		struct err *e = mode_spec_parse(bad[i], &s);
		if (err_kind(e) != ERR_INVALID)
			fail_msg("\"%s\" was taken", bad[i]);
		err_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_reject)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
