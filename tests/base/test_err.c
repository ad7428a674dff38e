/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

#define AUTO_ERR AUTO(err_freep)

static void test_chain(void **state)
{
	(void)state;
	AUTO_ERR struct err *e = err_new(ERR_CORRUPT, "blob %d", 7);
	e = err_wrap(e, "reading %s", "layer");
	e = err_wrap(e, "building web");
	AUTO_FREE char *text = err_text(e);
	assert_string_equal(text, "building web: reading layer: blob 7");
	assert_int_equal(err_kind(e), ERR_CORRUPT);
	assert_string_equal(err_message(e), "building web");
	assert_string_equal(err_message(err_cause(err_cause(e))), "blob 7");
	assert_null(err_cause(err_cause(err_cause(e))));
	AUTO_FREE char *trace = err_trace(e);
	assert_null(strstr(trace, "../"));
	assert_non_null(strstr(trace, "test_err.c:"));
	assert_non_null(strstr(trace, ": reading layer\n"));
	assert_string_equal(trace + strlen(trace) - 8, ": blob 7");
}

static void test_none(void **state)
{
	(void)state;
	assert_int_equal(err_kind(NULL), ERR_NONE);
	assert_int_equal(err_sysno(NULL), 0);
	assert_int_equal(err_exit_code(NULL), -1);
	assert_int_equal(err_exit_status(NULL), 0);
	assert_null(err_hint_text(NULL));
	AUTO_FREE char *text = err_text(NULL);
	assert_string_equal(text, "");
	err_free(NULL);
	err_ignore(NULL, "nothing there");
}

static void test_sysno_kinds(void **state)
{
	(void)state;
	static const struct {
		int sysno;
		enum err_kind kind;
	} table[] = {
		{ENOENT, ERR_NOT_FOUND},
		{EEXIST, ERR_EXISTS},
		{EACCES, ERR_DENIED},
		{EPERM, ERR_DENIED},
		{EROFS, ERR_DENIED},
		{ENOSPC, ERR_NO_SPACE},
		{EDQUOT, ERR_NO_SPACE},
		{ETIMEDOUT, ERR_TIMEOUT},
		{EINTR, ERR_CANCELED},
		{ECANCELED, ERR_CANCELED},
		{ECONNREFUSED, ERR_UNAVAILABLE},
		{ENETUNREACH, ERR_UNAVAILABLE},
		{EHOSTUNREACH, ERR_UNAVAILABLE},
		{EAGAIN, ERR_UNAVAILABLE},
		{ECONNRESET, ERR_UNAVAILABLE},
		{ENOSYS, ERR_UNSUPPORTED},
		{EOPNOTSUPP, ERR_UNSUPPORTED},
		{EIO, ERR_IO},
		{EBADF, ERR_IO},
		{99999, ERR_IO},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_ERR struct err *e = err_wrap(err_sys(table[i].sysno, "opening %s", "x"), "outer");
		assert_int_equal(err_kind(e), table[i].kind);
		assert_int_equal(err_sysno(e), table[i].sysno);
	}
	AUTO_ERR struct err *e = err_sys(ENOENT, "opening %s", "x");
	assert_string_equal(err_message(e), "opening x: No such file or directory");
}

static void test_statuses(void **state)
{
	(void)state;
	static const struct {
		enum err_kind kind;
		const char *name;
		int exit_status;
		int http_status;
	} table[] = {
		{ERR_INVALID, "invalid", 1, 400},
		{ERR_USAGE, "usage", 2, 400},
		{ERR_NOT_FOUND, "not_found", 1, 404},
		{ERR_EXISTS, "exists", 1, 409},
		{ERR_DENIED, "denied", 1, 403},
		{ERR_UNAVAILABLE, "unavailable", 1, 503},
		{ERR_TIMEOUT, "timeout", 1, 504},
		{ERR_CANCELED, "canceled", 1, 500},
		{ERR_CORRUPT, "corrupt", 1, 500},
		{ERR_EXITED, "exited", 1, 500},
		{ERR_UNSUPPORTED, "unsupported", 1, 501},
		{ERR_IO, "io", 1, 500},
		{ERR_NO_SPACE, "no_space", 1, 507},
		{ERR_VIOLATION, "violation", 3, 422},
		{ERR_BUG, "bug", 1, 500},
	};
	assert_int_equal(ARRAY_LEN(table), ERR_BUG); /* every kind but none */
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_ERR struct err *e = err_wrap(err_new(table[i].kind, "x"), "y");
		assert_string_equal(err_kind_name(table[i].kind), table[i].name);
		assert_int_equal(err_exit_status(e), table[i].exit_status);
		assert_int_equal(err_http_status(e), table[i].http_status);
	}
	assert_string_equal(err_kind_name(ERR_NONE), "none");
}

static void test_hint_and_exit_code(void **state)
{
	(void)state;
	AUTO_ERR struct err *e = err_with_exit_code(err_new(ERR_EXITED, "make"), 137);
	assert_int_equal(err_exit_code(e), 137);
	assert_null(err_hint_text(e));
	e = err_hint(e, "inner %d", 1);
	e = err_wrap(e, "step 4");
	assert_int_equal(err_exit_code(e), 137);
	assert_string_equal(err_hint_text(e), "inner 1");
	e = err_hint(e, "outer");
	assert_string_equal(err_hint_text(e), "outer");
	e = err_hint(e, "%s again", err_hint_text(e));
	assert_string_equal(err_hint_text(e), "outer again");
	AUTO_ERR struct err *zero = err_with_exit_code(err_new(ERR_EXITED, "true"), 0);
	assert_int_equal(err_exit_code(zero), 0);
}

static void test_tries(void **state)
{
	(void)state;
	AUTO_ERR struct err *e = err_with_tries(err_new(ERR_UNAVAILABLE, "looking up"), 2);
	assert_int_equal(err_tries(NULL), UINT_MAX);
	e = err_wrap(e, "asking");
	assert_int_equal(err_tries(e), 2);
	e = err_with_tries(err_wrap(e, "again"), 3);
	assert_int_equal(err_tries(e), 2);
	e = err_with_tries(e, 1);
	assert_int_equal(err_tries(err_cause(e)), 2);
	assert_int_equal(err_tries(e), 1);
}

static struct err *pass_on(struct err *e, int *reached)
{
	TRY(e);
	*reached = 1;
	return NULL;
}

static void test_try_and_first(void **state)
{
	(void)state;
	int reached = 0;
	AUTO_ERR struct err *e = pass_on(err_new(ERR_IO, "a"), &reached);
	assert_int_equal(reached, 0);
	assert_int_equal(err_kind(e), ERR_IO);
	assert_null(pass_on(NULL, &reached));
	assert_int_equal(reached, 1);
	e = err_first(e, err_new(ERR_BUG, "b"));
	assert_string_equal(err_message(e), "a");
	e = err_first(e, NULL);
	e = err_first(NULL, e);
	assert_string_equal(err_message(e), "a");
	assert_null(err_first(NULL, NULL));
}

static void test_free_keeps_errno_and_stack(void **state)
{
	(void)state;
	struct err *e = err_new(ERR_IO, "deep");
	for (int i = 0; i < 200000; i++)
		e = err_wrap(e, "w");
	errno = ENOTTY;
	err_freep(&e);
	assert_null(e);
	assert_int_equal(errno, ENOTTY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_sysno_kinds),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_hint_and_exit_code),
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_try_and_first),
		cmocka_unit_test(test_free_keeps_errno_and_stack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
