/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static size_t written(int fd, char *out, size_t size)
{
	ssize_t n = read(fd, out, size - 1);
	if (n < 0)
		n = 0;
	out[n] = '\0';
	return (size_t)n;
}

static void test_levels(void **state)
{
	(void)state;
	int fds[2];
	char text[512];
	assert_int_equal(pipe(fds), 0);
	log_open(fds[1], LOG_INFO_LEVEL);
	log_debug("msg=hidden");
	errno = ENOTTY;
	log_info("msg=shown n=%d", 5);
	assert_int_equal(errno, ENOTTY);
	log_warn("msg=two\nlines");
	assert_true(written(fds[0], text, sizeof(text)) > 0);
	assert_null(strstr(text, "hidden"));
	assert_non_null(strstr(text, "level=info msg=shown n=5\n"));
	assert_non_null(strstr(text, "level=warn msg=two lines\n"));
	assert_ptr_equal(strstr(text, "time="), text);
	log_open(fds[1], LOG_OFF_LEVEL);
	log_warn("msg=silent");
	log_at(LOG_OFF_LEVEL, "msg=silent");
	close(fds[1]);
	assert_int_equal(written(fds[0], text, sizeof(text)), 0);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
