/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/userns.h"

#include "base/vec.h"
#include "sys/caps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void check_ranges(
	const char *text, const char *name, uint32_t uid, const struct id_range *want, size_t count)
{
	struct vec got = VEC_OF(struct id_range);
	subid_ranges(str_c(text), name, uid, &got);
	assert_int_equal(got.len, count);
	for (size_t i = 0; i < count; i++) {
		const struct id_range *r = vec_at(&got, i);
		assert_int_equal(r->start, want[i].start);
		assert_int_equal(r->count, want[i].count);
	}
	vec_fini(&got);
}

static void test_ranges(void **state)
{
	(void)state;
	static const char text[] =
		"alice:100000:65536\nbob:200000:1000\n1000:300000:5\n\n# note\nbob:400000:0\nbob:x:5\n"
		"bob:0:10\nbob:4294967290:10\nbob:500000\nbob:600000:7";
	const struct id_range alice[] = {{100000, 65536}};
	const struct id_range bob[] = {{200000, 1000}, {300000, 5}, {600000, 7}};
	const struct id_range number[] = {{300000, 5}};
	check_ranges(text, "alice", 5, alice, 1);
	check_ranges(text, "bob", 1000, bob, 3);
	check_ranges(text, NULL, 1000, number, 1);
	check_ranges(text, "ali", 6, NULL, 0);
	check_ranges("", "bob", 1000, NULL, 0);
}

static void test_describe(void **state)
{
	(void)state;
	struct vec checks = VEC_OF(struct userns_check);
	userns_describe(12345, &checks);
	bool kernel = false, subuid = false;
	for (size_t i = 0; i < checks.len; i++) {
		struct userns_check *c = vec_at(&checks, i);
		kernel = kernel || str_eq_c(str_c(c->name), "kernel");
		if (str_eq_c(str_c(c->name), "subuid")) {
			subuid = true;
			assert_non_null(c->fix);
		}
		userns_check_fini(c);
	}
	vec_fini(&checks);
	assert_true(kernel && subuid);
}

/* In a child, since there is no way back. Root gives up its right to mount first: then it is a user like any
 * other. */
static void test_enter(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(3);
		/* Changing ids hid our own /proc files from us. */
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		struct err *e = userns_enter();
		if (e)
			_exit(err_kind(e) == ERR_DENIED || err_kind(e) == ERR_NO_SPACE ? 2 : 1);
		_exit(geteuid() == 0 && caps_may_mount() && userns_is_rootless() ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_enter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
