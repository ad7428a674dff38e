/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "sys/process.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(call)                                            \
	do {                                                \
		struct err *_e = (call);                    \
		if (_e) {                                   \
			AUTO_FREE char *_t = err_trace(_e); \
			err_free(_e);                       \
			fail_msg("%s", _t);                 \
		}                                           \
	} while (0)

static void fails(struct err *e, enum err_kind kind, const char *part)
{
	assert_non_null(e);
	AUTO_FREE char *text = err_text(e);
	assert_int_equal(err_kind(e), kind);
	if (!strstr(text, part))
		fail_msg("\"%s\" lacks \"%s\"", text, part);
	err_free(e);
}

#define SH(script) ((const char *const[]){"sh", "-c", (script), NULL})

static void test_output(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0};
	AUTO_BUF struct buf err = {0};
	buf_adds(&out, "before ");
	struct process_request rq = {.argv = SH("printf out; printf err >&2; pwd"), .dir = "/usr"};
	OK(process_run(&rq, &out, &err));
	assert_string_equal(buf_cstr(&out), "before out/usr\n");
	assert_string_equal(buf_cstr(&err), "err");
}

static void test_input(void **state)
{
	(void)state;
	size_t len = 3 << 20;
	AUTO_FREE char *bytes = mem_alloc(len);
	memset(bytes, 'i', len);
	AUTO_BUF struct buf out = {0};
	struct process_request rq = {.argv = (const char *const[]){"cat", NULL}, .input = str_n(bytes, len)};
	OK(process_run(&rq, &out, NULL));
	assert_int_equal(out.len, len);
	assert_memory_equal(out.ptr, bytes, len);
	rq.argv = SH("exec <&-; sleep 0.1; exit 0");
	OK(process_run(&rq, NULL, NULL));
	rq = (struct process_request){.argv = (const char *const[]){"cat", NULL}};
	buf_clear(&out);
	OK(process_run(&rq, &out, NULL));
	assert_int_equal(out.len, 0);
}

static void test_failures(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0};
	struct process_request rq = {.argv = SH("echo one >&2; echo two >&2; exit 3")};
	struct err *e = process_run(&rq, &out, NULL);
	assert_int_equal(err_exit_code(e), 3);
	fails(e, ERR_EXITED, "exit 3 ended with status 3: one; two");
	rq.argv = SH("kill -9 $$");
	e = process_run(&rq, &out, NULL);
	assert_int_equal(err_exit_code(e), 137);
	fails(e, ERR_EXITED, "was killed by signal 9");
	rq.argv = (const char *const[]){"no-such-program-here", NULL};
	fails(process_run(&rq, &out, NULL), ERR_NOT_FOUND, "no-such-program-here");
	rq.argv = (const char *const[]){"/no/such", NULL};
	fails(process_run(&rq, &out, NULL), ERR_NOT_FOUND, "/no/such");
	rq = (struct process_request){.argv = SH("true"), .dir = "/no/dir"};
	fails(process_run(&rq, &out, NULL), ERR_NOT_FOUND, "entering /no/dir");
	rq = (struct process_request){.argv = SH("yes"), .max_output = 1000};
	fails(process_run(&rq, &out, NULL), ERR_INVALID, "more than 1000 bytes");
}

static void test_env(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0};
	setenv("COOPER_TEST_A", "a", 1);
	setenv("COOPER_TEST_AB", "ab", 1);
	struct process_request rq = {
		.argv = SH("printf %s, \"$COOPER_TEST_A\" \"$COOPER_TEST_AB\""),
		.unset = (const char *const[]){"COOPER_TEST_A", NULL},
	};
	OK(process_run(&rq, &out, NULL));
	assert_string_equal(buf_cstr(&out), ",ab,");
	rq.env = (const char *const[]){"PATH=/usr/bin:/bin", "COOPER_TEST_A=x", NULL};
	buf_clear(&out);
	OK(process_run(&rq, &out, NULL));
	assert_string_equal(buf_cstr(&out), "x,,");
	rq.env = (const char *const[]){"PATH=/nowhere:.", NULL};
	fails(process_run(&rq, &out, NULL), ERR_NOT_FOUND, "sh");
}

static void test_leftovers_do_not_hold(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0};
	int64_t start = clock_monotonic();
	struct process_request rq = {.argv = SH("sleep 20 & echo $!")};
	OK(process_run(&rq, &out, NULL));
	assert_true(clock_monotonic() - start < 5 * CLOCK_SECOND);
	kill(atoi(buf_cstr(&out)), SIGKILL);
}

static void test_timeout(void **state)
{
	(void)state;
	int64_t start = clock_monotonic();
	AUTO_BUF struct buf out = {0};
	struct process_request rq = {.argv = SH("sleep 20 & sleep 20"), .timeout = CLOCK_SECOND / 5};
	fails(process_run(&rq, &out, NULL), ERR_TIMEOUT, "sh");
	assert_true(clock_monotonic() - start < 5 * CLOCK_SECOND);
}

static void *cancel_soon(void *c)
{
	usleep(100000);
	cancel_set(c);
	return NULL;
}

static void test_cancel(void **state)
{
	(void)state;
	AUTO(cancel_freep) struct cancel *c = cancel_new();
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, cancel_soon, c), 0);
	AUTO_BUF struct buf out = {0};
	struct process_request rq = {.argv = SH("echo $$; exec sleep 20"), .cancel = c};
	int64_t start = clock_monotonic();
	fails(process_run(&rq, &out, NULL), ERR_CANCELED, "");
	assert_true(clock_monotonic() - start < 5 * CLOCK_SECOND);
	pthread_join(t, NULL);
	assert_int_equal(kill(atoi(buf_cstr(&out)), 0), -1);
	assert_int_equal(errno, ESRCH);
	fails(process_run(&rq, &out, NULL), ERR_CANCELED, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_leftovers_do_not_hold),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_cancel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
