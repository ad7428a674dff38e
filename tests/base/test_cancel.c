/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cancel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>

static struct cancel *current;

static void on_signal(int number)
{
	(void)number;
	cancel_set(current);
}

static void test_token(void **state)
{
	(void)state;
	struct cancel *c AUTO(cancel_freep) = cancel_new();
	struct pollfd p = {.fd = cancel_fd(c), .events = POLLIN};
	assert_true(p.fd >= 0);
	assert_true(fcntl(p.fd, F_GETFD) & FD_CLOEXEC);
	assert_false(cancel_is_set(c));
	assert_null(cancel_check(c));
	assert_int_equal(poll(&p, 1, 0), 0);
	errno = ENOTTY;
	cancel_set(c);
	cancel_set(c);
	assert_int_equal(errno, ENOTTY);
	assert_true(cancel_is_set(c));
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	struct err *e AUTO(err_freep) = cancel_check(c);
	assert_int_equal(err_kind(e), ERR_CANCELED);
}

static void test_none(void **state)
{
	(void)state;
	assert_false(cancel_is_set(NULL));
	assert_int_equal(cancel_fd(NULL), -1);
	assert_null(cancel_check(NULL));
	cancel_set(NULL);
	cancel_free(NULL);
}

static void test_from_signal(void **state)
{
	(void)state;
	current = cancel_new();
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	assert_true(cancel_is_set(current));
	signal(SIGUSR1, SIG_DFL);
	cancel_freep(&current);
	assert_null(current);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_from_signal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
