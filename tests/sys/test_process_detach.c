/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "sys/file.h"
#include "sys/process_detach.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void ok(struct err *e)
{
	AUTO_FREE char *text = e ? err_trace(e) : NULL;
	err_free(e);
	if (text)
		fail_msg("%s", text);
}

/* What a shell script writes to descriptor 9 until it ends. */
static char *detached(const char *script, pid_t *pid)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	const struct detach_request rq = {.program = "/bin/sh", .argv = argv, .keep_fd = 9};
	AUTO_BUF struct buf out = {0};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(dup3(ends[1], 9, O_CLOEXEC), 9);
	close(ends[1]);
	ok(process_detach(&rq, pid));
	close(9);
	ok(fd_read_all(ends[0], 4096, "pipe", &out));
	close(ends[0]);
	return buf_steal(&out);
}

static void a_session_of_its_own(void **state)
{
	pid_t pid = 0;
	(void)state;
	AUTO_FREE char *text = detached("echo $$ $(cut -d' ' -f6 /proc/$$/stat) >&9", &pid);
	int told = 0, session = 0;

	assert_int_equal(sscanf(text, "%d %d", &told, &session), 2);
	assert_int_equal(told, pid);
	assert_int_not_equal(session, getsid(0));
}

static void nothing_of_ours_is_open(void **state)
{
	(void)state;
	int stray = dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 77);
	assert_int_equal(fcntl(stray, F_GETFD), 0);
	AUTO_FREE char *text =
		detached("x=$(for f in 0 1 2; do readlink /proc/$$/fd/$f; done); echo \"$x\" >&9;"
			 "[ -e /proc/$$/fd/77 ] || echo gone >&9",
			NULL);

	assert_string_equal(text, "/dev/null\n/dev/null\n/dev/null\ngone\n");
	close(stray);
}

static void no_such_program(void **state)
{
	const char *argv[] = {"none", NULL};
	const struct detach_request rq = {.program = "/nowhere/none", .argv = argv, .keep_fd = -1};
	(void)state;
	struct err *e = process_detach(&rq, NULL);

	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	assert_non_null(strstr(err_message(e), "/nowhere/none"));
	err_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_of_its_own),
		cmocka_unit_test(nothing_of_ours_is_open),
		cmocka_unit_test(no_such_program),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
