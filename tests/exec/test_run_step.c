/* SPDX-License-Identifier: Apache-2.0 */
/* Programs really run: exit codes, environment, users, limits, what becomes the layer. */
#include "step_fixture.h"

#include "base/mem.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct fixture f;

static const char *out(void)
{
	return buf_cstr(&f.out);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in:\n%s", part, text);
}

/* Run op over the base, expecting this kind of error with part in its text. */
static int fails(const struct op *op, enum err_kind kind, const char *part)
{
	struct snapshot s = {0};
	struct err *e = fixture_run(&f, op, NULL, 0, &s);
	strvec_fini(&s.layers);
	if (!e)
		fail_msg("succeeded, though \"%s\" was expected; stdout: %s", part, out());
	AUTO_FREE char *text = err_text(e);
	const char *hint = err_hint_text(e);
	AUTO_FREE char *both = mem_printf("%s\nhint: %s", text, hint ? hint : "");
	assert_has(both, part);
	assert_int_equal(err_kind(e), kind);
	int code = err_exit_code(e);
	err_free(e);
	return code;
}

static void test_output_and_layer(void **state)
{
	(void)state;
	struct snapshot s = {0};
	run_ok(&f, "echo out; echo bad >&2; mkdir -p /a/b; echo hi >/a/b/c; rm /lost/a", &s);
	assert_string_equal(out(), "out\n");
	assert_string_equal(buf_cstr(&f.err), "bad\n");
	AUTO_FREE char *list = top_list(&f, &s);
	assert_string_equal(list, "a/\na/b/\na/b/c\nlost/\nlost/a wh\n");
	assert_int_equal(s.layers.len, 2);
	assert_string_equal(s.layers.ptr[0], f.base.layers.ptr[0]);
	strvec_fini(&s.layers);
}

static void test_replaced_dir_is_opaque(void **state)
{
	(void)state;
	struct snapshot s = {0};
	run_ok(&f, "rm -rf /lost && mkdir /lost && echo new >/lost/new", &s);
	AUTO_FREE char *list = top_list(&f, &s);
	assert_string_equal(list, "lost/ opaque\nlost/new\n");
	const struct snapshot *inputs[] = {&s};
	struct op op = exec_op(SH("ls /lost"));
	struct snapshot next = {0};
	assert_null(fixture_run(&f, &op, inputs, 1, &next));
	assert_string_equal(out(), "new\n");
	AUTO_FREE char *empty = top_list(&f, &next);
	assert_string_equal(empty, "");
	strvec_fini(&next.layers);
	strvec_fini(&s.layers);
}

static void test_times(void **state)
{
	(void)state;
	struct snapshot s = {0};
	run_ok(&f,
		"touch /new; mkdir /d; ln -s x /l; touch -d '2020-01-01 00:00:00' /old; touch -d '2037-01-01 "
		"00:00:00' /late",
		&s);
	AUTO_FD int tree = top_tree(&f, &s);
	static const struct {
		const char *path;
		int64_t want;
	} cases[] = {{"new", EPOCH_SECONDS}, {"d", EPOCH_SECONDS}, {"l", EPOCH_SECONDS}, {"old", 1577836800},
		{"late", EPOCH_SECONDS}, {".", EPOCH_SECONDS}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stat st;
		assert_int_equal(fstatat(tree, cases[i].path, &st, AT_SYMLINK_NOFOLLOW), 0);
		if (st.st_mtim.tv_sec != cases[i].want || st.st_mtim.tv_nsec)
			fail_msg("%s: %lld.%09ld", cases[i].path, (long long)st.st_mtim.tv_sec,
				st.st_mtim.tv_nsec);
	}
	strvec_fini(&s.layers);
}

static void test_exit_codes(void **state)
{
	(void)state;
	struct op op = exec_op(SH("exit 7"));
	assert_int_equal(fails(&op, ERR_EXITED,
				 "process \"/bin/sh -c exit 7\" did not complete successfully: exit code 7"),
		7);
	static const uint8_t accept[] = {7, 8};
	op.exec.accept = accept;
	op.exec.accept_count = 2;
	struct snapshot s = {0};
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	strvec_fini(&s.layers);
	op = exec_op(SH("exit 9"));
	op.exec.accept = accept;
	op.exec.accept_count = 2;
	assert_int_equal(fails(&op, ERR_EXITED, "exit code 9"), 9);
	/* A signal to process 1 from inside is ignored unless it has a handler; from a child it is the
	 * shell's status. */
	op = exec_op(SH("sh -c 'kill -9 $$'; exit $?"));
	assert_int_equal(fails(&op, ERR_EXITED, "out of memory"), 137);
}

static void test_missing_programs(void **state)
{
	(void)state;
	struct op op = exec_op((const char *const[]){"nothing-here", NULL});
	assert_int_equal(fails(&op, ERR_EXITED, "nothing-here is not in PATH (/bin)"), 127);
	op = exec_op((const char *const[]){"/opt/none", NULL});
	assert_int_equal(fails(&op, ERR_EXITED, "/opt/none does not exist in this image"), 127);
	op = exec_op((const char *const[]){"/etc/passwd", NULL});
	assert_int_equal(fails(&op, ERR_EXITED, "/etc/passwd is not executable"), 126);
	struct snapshot s = {0};
	run_ok(&f,
		"printf '#!/bin/none\\n' >/a; printf '#!/bin/sh\\r\\n' >/b; echo text >/c; "
		"dd if=/bin/busybox of=/d bs=64 count=1 2>/dev/null; printf '\\267' | dd of=/d bs=1 seek=18 "
		"conv=notrunc 2>/dev/null; "
		"chmod 755 /a /b /c /d",
		&s);
	static const struct {
		const char *path, *want;
	} cases[] = {
		{"/a", "wants /bin/none, which does not exist"},
		{"/b", "DOS line ends"},
		{"/c", "neither a program nor a script"},
		{"/d", "is a program for arm64, this machine is"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct snapshot *inputs[] = {&s};
		op = exec_op((const char *const[]){cases[i].path, NULL});
		struct snapshot none = {0};
		struct err *e = fixture_run(&f, &op, inputs, 1, &none);
		assert_non_null(e);
		AUTO_FREE char *text = err_text(e);
		assert_has(text, cases[i].want);
		assert_int_equal(err_kind(e), ERR_EXITED);
		err_free(e);
	}
	strvec_fini(&s.layers);
}

static void test_no_shell(void **state)
{
	(void)state;
	const struct snapshot *inputs[] = {NULL};
	struct op op = exec_op(SH("true"));
	struct snapshot s = {0};
	struct err *e = fixture_run(&f, &op, inputs, 1, &s);
	AUTO_FREE char *text = err_text(e);
	assert_has(text, "/bin/sh does not exist in this image");
	assert_has(err_hint_text(e), "exec form");
	err_free(e);
}

static void test_environment(void **state)
{
	(void)state;
	static const char *const env[] = {"A=1", "B=two words", "A=3", NULL};
	static const char *const proxy[] = {"http_proxy=http://p", "B=no", NULL};
	static const char *const host_env[] = {"PIP_INDEX_URL=http://pip", "A=no", NULL};
	struct host_settings host = {.env = host_env};
	f.rc.host = &host;
	struct op op = exec_op((const char *const[]){"/bin/env", NULL});
	op.exec.env = env;
	op.exec.proxy_env = proxy;
	struct snapshot s = {0};
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	f.rc.host = NULL;
	strvec_fini(&s.layers);
	assert_string_equal(out(),
		"A=3\nB=two "
		"words\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\n"
		"SOURCE_DATE_EPOCH=1700000000\nhttp_proxy=http://p\nPIP_INDEX_URL=http://pip\n");
}

static void run_as(const char *user, const char *want)
{
	struct op op = exec_op(SH("id; echo $HOME; touch /tmp/mine; echo ok >/dev/stdout"));
	op.exec.user = user;
	struct snapshot s = {0};
	struct err *e = fixture_run(&f, &op, NULL, 0, &s);
	if (e) {
		AUTO_FREE char *text = err_text(e);
		fail_msg("%s: %s", user, text);
	}
	strvec_fini(&s.layers);
	assert_string_equal(out(), want);
}

static void test_users(void **state)
{
	(void)state;
	if (userns_one_id()) {
		struct op op = exec_op(SH("true"));
		op.exec.user = "bob";
		fails(&op, ERR_DENIED, "/etc/subuid");
		skip();
	}
	run_as("bob", "uid=1000(bob) gid=1001(bob) groups=44(video),50(staff),1001(bob)\n/home/bob\nok\n");
	run_as("1000", "uid=1000(bob) gid=1001(bob) groups=44(video),50(staff),1001(bob)\n/home/bob\nok\n");
	run_as("bob:staff", "uid=1000(bob) gid=50(staff) groups=50(staff)\n/home/bob\nok\n");
	run_as("77:88", "uid=77 gid=88 groups=88\n/\nok\n");
	struct op op = exec_op(SH("true"));
	op.exec.user = "nobody-here";
	fails(&op, ERR_NOT_FOUND, "user nobody-here is not in the image's /etc/passwd");
	op.exec.user = "root:nogroup";
	fails(&op, ERR_NOT_FOUND, "group nogroup is not in the image's /etc/group");
}

static void test_capabilities(void **state)
{
	(void)state;
	struct op op = exec_op(SH("grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status"));
	struct snapshot s = {0};
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	strvec_fini(&s.layers);
	assert_string_equal(out(),
		"CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
		"CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
	op.exec.user = userns_one_id() ? NULL : "bob";
	if (!op.exec.user)
		return;
	s = (struct snapshot){0};
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	strvec_fini(&s.layers);
	assert_has(
		out(), "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n");
	op = exec_op(SH("grep -E '^(NoNew|Seccomp:)' /proc/self/status; mkdir /m && mount -t tmpfs none /m "
			"&& echo mounted"));
	op.exec.insecure = true;
	s = (struct snapshot){0};
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	strvec_fini(&s.layers);
	assert_string_equal(out(), "NoNewPrivs:\t0\nSeccomp:\t0\nmounted\n");
}

static void test_denied(void **state)
{
	(void)state;
	run_ok(&f,
		"mount -t tmpfs none /tmp 2>&1 && echo bad1; unshare -m true 2>&1 && echo bad2; unshare -U "
		"true 2>&1 && echo bad3; "
		"echo 1 2>/dev/null >/proc/sys/kernel/printk && echo bad4; echo b 2>/dev/null "
		">/proc/sysrq-trigger && echo bad5; "
		"cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /proc/scsi "
		"/sys/firmware /proc/acpi 2>/dev/null | "
		"grep -v '^/' | grep -c .; touch /sys/x 2>/dev/null && echo bad6; mknod /tmp/disk b 254 0 "
		"2>/dev/null; "
		"dd if=/tmp/disk of=/dev/null count=1 2>/dev/null && echo disk-readable; rm -f /tmp/disk; "
		"true",
		NULL);
	assert_lacks(out(), "bad");
	assert_has(out(), "\n0\n0\n");
}

static void test_devices_and_hosts(void **state)
{
	(void)state;
	static const char *const more[] = {"db=10.0.0.9", NULL};
	static const char *const servers[] = {"9.9.9.9", NULL};
	static const char *const search[] = {"lan", "corp", NULL};
	struct host_settings host = {.nameservers = servers, .search = search};
	f.rc.host = &host;
	struct op op = exec_op(SH("echo x >/dev/null; head -c 4 /dev/zero | wc -c; cat /etc/hosts "
				  "/etc/resolv.conf /etc/hostname; hostname; "
				  "echo more >>/etc/hosts; ls /dev; echo t >/dev/shm/t"));
	op.exec.extra_hosts = more;
	op.exec.network = NETWORK_ISOLATED;
	fails(&op, ERR_UNSUPPORTED, "isolated");
	op.exec.network = NETWORK_HOST;
	op.exec.hostname = "builder";
	struct snapshot s = {0};
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	f.rc.host = NULL;
	assert_has(out(), "4\n127.0.0.1\tlocalhost builder\n");
	assert_has(out(), "10.0.0.9\tdb\n");
	assert_has(out(), "nameserver 9.9.9.9\nsearch lan corp\nbuilder\nbuilder\n");
	assert_has(out(), "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\n"
			  "urandom\nzero\n");
	AUTO_FREE char *list = top_list(&f, &s);
	assert_string_equal(list, "");
	strvec_fini(&s.layers);
}

static void test_network_none(void **state)
{
	(void)state;
	struct op op = exec_op(SH("cat /proc/net/dev | sed 1,2d | sed 's/:.*//;s/ //g'; ip link show lo | "
				  "grep -c UP; wc -c </etc/resolv.conf"));
	op.exec.network = NETWORK_NONE;
	struct snapshot s = {0};
	struct err *e = fixture_run(&f, &op, NULL, 0, &s);
	assert_null(e);
	strvec_fini(&s.layers);
	assert_string_equal(out(), "lo\n1\n0\n");
}

static void test_cwd_and_stdin(void **state)
{
	(void)state;
	struct op op = exec_op(SH("pwd; cat"));
	op.exec.cwd = "/work/deep";
	op.exec.stdin_text = "from stdin\n";
	struct snapshot s = {0};
	assert_null(fixture_run(&f, &op, NULL, 0, &s));
	assert_string_equal(out(), "/work/deep\nfrom stdin\n");
	AUTO_FREE char *list = top_list(&f, &s);
	assert_string_equal(list, "work/\nwork/deep/\n");
	strvec_fini(&s.layers);
}

static void test_huge_output(void **state)
{
	(void)state;
	run_ok(&f, "yes 0123456789abcdef | head -c 52428800; head -c 1048576 /dev/zero >&2", NULL);
	assert_int_equal(f.out.len, 52428800);
	assert_int_equal(f.err.len, 1048576);
	for (size_t i = 0; i < f.out.len; i++) {
		if (f.out.ptr[i] != "0123456789abcdef\n"[i % 17])
			fail_msg("byte %zu is wrong", i);
	}
}

static void test_orphans_die(void **state)
{
	(void)state;
	run_ok(&f,
		"i=0; while [ $i -lt 200 ]; do (sleep 1000 </dev/null >/dev/null 2>&1 &) ; i=$((i+1)); done; "
		"(sleep 1000 &); echo done",
		NULL);
	assert_string_equal(out(), "done\n");
}

static void *cancel_soon(void *arg)
{
	(void)arg;
	usleep(300 * 1000);
	cancel_set(f.cancel);
	return NULL;
}

static void test_cancel(void **state)
{
	(void)state;
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, cancel_soon, NULL), 0);
	struct op op = exec_op(SH("echo started; sleep 1000 & sleep 1000"));
	fails(&op, ERR_CANCELED, "");
	pthread_join(t, NULL);
	assert_string_equal(out(), "started\n");
	cancel_free(f.cancel);
	f.cancel = cancel_new();
}

static void test_sockets_left_out(void **state)
{
	(void)state;
	struct snapshot s = {0};
	run_ok(&f,
		"mkfifo /fifo; mkdir -p /deep; d=/deep; i=0; while [ $i -lt 300 ]; do d=$d/x; i=$((i+1)); "
		"done; mkdir -p $d; touch $d/end",
		&s);
	AUTO_FD int tree = top_tree(&f, &s);
	struct stat st;
	assert_int_equal(fstatat(tree, "fifo", &st, 0), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(st.st_mtim.tv_sec, EPOCH_SECONDS);
	strvec_fini(&s.layers);
}

static int setup(void **state)
{
	(void)state;
	fixture_setup(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_teardown(&f);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_layer),
		cmocka_unit_test(test_replaced_dir_is_opaque),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_missing_programs),
		cmocka_unit_test(test_no_shell),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_devices_and_hosts),
		cmocka_unit_test(test_network_none),
		cmocka_unit_test(test_cwd_and_stdin),
		cmocka_unit_test(test_huge_output),
		cmocka_unit_test(test_orphans_die),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_sockets_left_out),
	};
	if (!fixture_possible())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
