/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "sys/process_stream.h"
#include "sys/userns.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
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

#define SH(script) ((const char *const[]){"sh", "-c", (script), NULL})

static void errout_to_buf(void *ctx, struct str text)
{
	buf_addstr(ctx, text);
}

/* Its whole output, and what the reading ended with. */
static struct err *read_all(const struct process_stream_request *rq, struct buf *out)
{
	AUTO(process_stream_freep) struct process_stream *s = NULL;
	TRY(process_stream_start(rq, &s));
	for (;;) {
		char part[4096];
		size_t n = sizeof(part);
		TRY(process_stream_read(s, part, &n));
		if (n == 0)
			return NULL;
		buf_add(out, part, n);
	}
}

static void fails(struct err *e, enum err_kind kind, const char *part)
{
	assert_non_null(e);
	AUTO_FREE char *text = err_text(e);
	assert_int_equal(err_kind(e), kind);
	if (!strstr(text, part))
		fail_msg("\"%s\" lacks \"%s\"", text, part);
	err_free(e);
}

static void test_output(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0}, err = {0};
	struct process_stream_request rq = {
		.argv = SH(
			"echo one; echo two >&2; pwd; head -c 3000000 /dev/zero; printf end; printf 2 >&2"),
		.dir = "/usr",
		.on_errout = errout_to_buf,
		.ctx = &err,
	};
	OK(read_all(&rq, &out));
	assert_int_equal(out.len, 3000000 + strlen("one\n/usr\nend"));
	assert_memory_equal(out.ptr, "one\n/usr\n", 9);
	assert_memory_equal(out.ptr + out.len - 3, "end", 3);
	assert_string_equal(buf_cstr(&err), "two\n2");

	/* Nobody wants it: it is read all the same, or the program would wait for ever. */
	rq = (struct process_stream_request){.argv = SH("head -c 1000000 /dev/zero >&2; cat; echo x")};
	buf_clear(&out);
	OK(read_all(&rq, &out));
	assert_string_equal(buf_cstr(&out), "x\n");
}

static void test_failures(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0};
	struct process_stream_request rq = {.argv = SH("echo some; echo one >&2; echo two >&2; exit 3")};
	struct err *e = read_all(&rq, &out);
	assert_string_equal(buf_cstr(&out), "some\n");
	assert_int_equal(err_exit_code(e), 3);
	fails(e, ERR_EXITED, "exit 3 ended with status 3: one; two");
	rq.argv = SH("kill -9 $$");
	fails(read_all(&rq, &out), ERR_EXITED, "was killed by signal 9");
	rq.argv = (const char *const[]){"no-such-program-here", NULL};
	fails(read_all(&rq, &out), ERR_NOT_FOUND, "no-such-program-here");
	rq = (struct process_stream_request){.argv = SH("true"), .dir = "/no/dir"};
	fails(read_all(&rq, &out), ERR_NOT_FOUND, "entering /no/dir");
}

static void test_leftovers_do_not_hold(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0};
	struct process_stream_request rq = {.argv = SH("sleep 600 & echo $!")};
	OK(read_all(&rq, &out));
	assert_int_equal(kill(atoi(buf_cstr(&out)), SIGKILL), 0);
}

/* Gone, or dead and waiting for somebody to ask what became of it. */
static bool is_dead(int pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/stat", pid);
	char text[512] = "";
	FILE *f = fopen(path, "re");
	if (!f)
		return true;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	const char *name_end = n ? strrchr(text, ')') : NULL;
	return !name_end || name_end[2] == 'Z' || name_end[2] == 'X';
}

static bool ended(int pid)
{
	for (int i = 0; i < 200; i++) {
		if (is_dead(pid))
			return true;
		usleep(10000);
	}
	return false;
}

/* Two processes: one ends in order when it is asked to, the other one does not listen but is of its group. */
static void test_cancel(void **state)
{
	(void)state;
	AUTO(cancel_freep) struct cancel *c = cancel_new();
	AUTO_BUF struct buf out = {0};
	char left[] = "/tmp/cooper-stream-XXXXXX";
	int fd = mkstemp(left);
	assert_true(fd >= 0);
	AUTO_FREE char *script =
		mem_printf("trap 'echo asked >%s; exit 1' TERM; (trap '' TERM; exec sleep 600) & "
			   "echo $! $$; while :; do sleep 0.02; done",
			left);
	struct process_stream_request rq = {.argv = SH(script), .cancel = c};
	struct process_stream *s = NULL;
	OK(process_stream_start(&rq, &s));
	while (!memchr(buf_cstr(&out), '\n', out.len)) {
		char part[64];
		size_t n = sizeof(part);
		OK(process_stream_read(s, part, &n));
		buf_add(&out, part, n);
	}
	cancel_set(c);
	char part[64];
	size_t n = sizeof(part);
	fails(process_stream_read(s, part, &n), ERR_CANCELED, "");
	process_stream_free(s);
	int child = 0, self = 0;
	assert_int_equal(sscanf(buf_cstr(&out), "%d %d", &child, &self), 2);
	assert_true(ended(self));
	assert_true(ended(child));
	assert_int_equal(read(fd, part, sizeof(part)), 6);
	assert_memory_equal(part, "asked\n", 6);
	close(fd);
	unlink(left);
	fails(process_stream_start(&rq, &s), ERR_CANCELED, "");
}

static void test_abandoned(void **state)
{
	(void)state;
	struct process_stream *s = NULL;
	struct process_stream_request rq = {.argv = SH("echo $$; yes")};
	OK(process_stream_start(&rq, &s));
	char part[5000];
	size_t n = sizeof(part) - 1;
	OK(process_stream_read(s, part, &n));
	part[n] = '\0';
	process_stream_free(s);
	assert_true(ended(atoi(part)));
}

/* In a process of its own: its user changes. */
static int outer_user_ids(char *text, size_t size)
{
	const char *const argv[] = {"sh", "-c", "id -u; id -g", NULL};
	AUTO_BUF struct buf out = {0};
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return 1;
	/* Changing ids hid our own /proc files from us. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	struct err *e = userns_enter();
	if (!e && geteuid() != 0)
		return 2;
	struct process_stream_request rq = {.argv = argv, .as_outer_user = true};
	if (!e)
		e = read_all(&rq, &out);
	rq.as_outer_user = false;
	if (!e)
		e = read_all(&rq, &out);
	if (e) {
		AUTO_FREE char *why = err_text(e);
		buf_addf(&out, "%s", why);
		err_free(e);
	}
	snprintf(text, size, "%s", buf_cstr(&out));
	return 0;
}

static void test_outer_user(void **state)
{
	(void)state;
	int ends[2];
	char got[1000] = "", want[100];
	unsigned uid = geteuid() ? geteuid() : 65534, gid = geteuid() ? getegid() : 65534;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int code = outer_user_ids(got, sizeof(got));
		_exit(write(ends[1], got, strlen(got)) < 0 ? 3 : code);
	}
	close(ends[1]);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	ssize_t n = read(ends[0], got, sizeof(got) - 1);
	got[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	snprintf(want, sizeof(want), "%u\n%u\n0\n0\n", uid, gid);
	if (strstr(got, "user namespace"))
		skip();
	assert_string_equal(got, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_leftovers_do_not_hold),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_outer_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
