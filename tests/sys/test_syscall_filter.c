/* SPDX-License-Identifier: Apache-2.0 */
/* The filter program is interpreted here, call by call. */
#include "sys/syscall_filter.h"

#include "base/compiler.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static uint32_t interpret(const struct syscall_filter *f, const struct seccomp_data *d)
{
	const struct sock_filter *code = f->code;
	uint32_t a = 0;
	for (size_t pc = 0, steps = 0; pc < f->len && steps < 200; pc++, steps++) {
		const struct sock_filter *i = &code[pc];
		bool taken;
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k % 4 == 0 && i->k + 4 <= sizeof *d);
			memcpy(&a, (const char *)d + i->k, 4);
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			taken = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			taken = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			taken = a & i->k;
			break;
		default:
			fail_msg("instruction %#x", i->code);
			return 0;
		}
		pc += taken ? i->jt : i->jf;
	}
	fail_msg("the program does not end");
	return 0;
}

static uint32_t verdict(uint32_t arch, int nr, uint64_t arg0)
{
	const struct syscall_filter *f = NULL;
	assert_null(syscall_filter_default(&f));
	struct seccomp_data d = {.nr = nr, .arch = arch, .args = {arg0}};
	return interpret(f, &d);
}

static uint32_t call(const char *name, uint64_t arg0)
{
	int nr = seccomp_syscall_resolve_name(name);
	if (nr < 0)
		fail_msg("%s is unknown here", name);
	return verdict(seccomp_arch_native(), nr, arg0);
}

#define DENIED (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)

static void test_calls(void **state)
{
	(void)state;
	static const char *const allowed[] = {"read", "write", "execve", "openat", "mknodat", "setresuid",
		"chroot", "futex", "exit_group", "renameat2", "ptrace", "statx", "close_range"};
	static const char *const denied[] = {"mount", "umount2", "unshare", "setns", "pivot_root", "keyctl",
		"add_key", "request_key", "bpf", "perf_event_open", "init_module", "finit_module",
		"kexec_load", "reboot", "swapon", "open_by_handle_at", "userfaultfd", "io_uring_setup",
		"move_mount", "fsopen", "open_tree", "acct", "syslog", "settimeofday"};
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (call(allowed[i], 0) != SECCOMP_RET_ALLOW)
			fail_msg("%s", allowed[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(denied); i++) {
		if (call(denied[i], 0) != DENIED)
			fail_msg("%s", denied[i]);
	}
}

static void test_conditions(void **state)
{
	(void)state;
	assert_int_equal(call("clone", 17), SECCOMP_RET_ALLOW);
	assert_int_equal(call("clone", CLONE_VM | CLONE_THREAD), SECCOMP_RET_ALLOW);
	assert_int_equal(call("clone", CLONE_NEWUSER), DENIED);
	assert_int_equal(call("clone", CLONE_NEWNS | 17), DENIED);
	assert_int_equal(call("clone", CLONE_NEWNET), DENIED);
	assert_int_equal(call("clone3", 0), ABSENT);
	assert_int_equal(call("personality", 0), SECCOMP_RET_ALLOW);
	assert_int_equal(call("personality", 0xffffffff), SECCOMP_RET_ALLOW);
	assert_int_equal(call("personality", 0x40000), DENIED);
	assert_int_equal(call("socket", AF_INET), SECCOMP_RET_ALLOW);
	assert_int_equal(call("socket", AF_UNIX), SECCOMP_RET_ALLOW);
	assert_int_equal(call("socket", 40), DENIED);
	assert_int_equal(call("socket", 38), DENIED);
}

static void test_newer_and_foreign(void **state)
{
	(void)state;
	assert_int_equal(verdict(seccomp_arch_native(), 452, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(seccomp_arch_native(), 1000, 0), ABSENT);
	assert_int_equal(verdict(seccomp_arch_native(), -1, 0), ABSENT);
	assert_int_equal(verdict(AUDIT_ARCH_MIPS, 0, 0), ABSENT);
#ifdef __x86_64__
	/* x32 */
	assert_int_equal(verdict(AUDIT_ARCH_X86_64, 0x40000000, 0), ABSENT);
	assert_int_equal(verdict(AUDIT_ARCH_I386, 3, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(AUDIT_ARCH_I386, 21, 0), DENIED);
	assert_int_equal(verdict(AUDIT_ARCH_I386, 120, CLONE_NEWUSER), DENIED);
	assert_int_equal(verdict(AUDIT_ARCH_I386, 359, 40), DENIED);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_newer_and_foreign),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
