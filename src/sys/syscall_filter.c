/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program is assembled here, as a binary search over ranges of call numbers. libseccomp, which gives the
 * numbers, could write it too, but takes 2 ms (8 with the 32-bit architecture) where a whole step is to take
 * 4, and has no way to say "any number above".
 */
#include "sys/syscall_filter.h"

#include "base/vec.h"
#include "sys/syscall_rules.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR_MAX 1024
#define BODY_MAX 4096 /* BPF_MAXINSNS */

/* What becomes of a call: one of these, or CONDITION + its index. */
enum verdict { DENY, ALLOW, ABSENT, CONDITION };

struct arch {
	uint32_t scmp;  /* libseccomp's name, which is the kernel's AUDIT_ARCH_* */
	bool high_args; /* big endian: the low half of an argument comes second */
};

static const struct arch arches[] = {
#if defined(__x86_64__)
	{SCMP_ARCH_X86_64, false},
	{SCMP_ARCH_X86, false},
#elif defined(__aarch64__)
	{SCMP_ARCH_AARCH64, false},
	{SCMP_ARCH_ARM, false},
#elif defined(__riscv) && __riscv_xlen == 64
	{SCMP_ARCH_RISCV64, false},
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	{SCMP_ARCH_PPC64LE, false},
#elif defined(__s390x__)
	{SCMP_ARCH_S390X, true},
	{SCMP_ARCH_S390, true},
#else
#error "name this architecture for the system call filter"
#endif
};

static void emit(struct vec *code, uint16_t op, uint8_t jt, uint8_t jf, uint32_t k)
{
	struct sock_filter *f = vec_push(code);
	*f = (struct sock_filter){.code = op, .jt = jt, .jf = jf, .k = k};
}

static void emit_return(struct vec *code, enum verdict v)
{
	uint32_t k = v == ALLOW ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (v == ABSENT ? ENOSYS : EPERM);
	emit(code, BPF_RET | BPF_K, 0, 0, k);
}

static void emit_condition(struct vec *code, const struct syscall_condition *c, const struct arch *a)
{
	size_t at = offsetof(struct seccomp_data, args) + 8 * c->arg + (a->high_args ? 4 : 0);
	emit(code, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)at);
	uint16_t op = BPF_JMP | BPF_K | (c->test == SYSCALL_NO_BITS ? BPF_JSET : BPF_JEQ);
	for (size_t i = 0; i < c->count; i++)
		emit(code, op, (uint8_t)(c->count - i), 0, c->values[i]);
	bool hit_allows = c->test == SYSCALL_ONE_OF;
	emit_return(code, hit_allows ? DENY : ALLOW);
	emit_return(code, hit_allows ? ALLOW : DENY);
}

struct range {
	uint32_t first;
	uint8_t verdict;
};

/* Decide between ranges [lo, hi) with the number in the accumulator. */
static void emit_search(struct vec *code, const struct range *r, size_t lo, size_t hi, const struct arch *a)
{
	if (hi - lo == 1) {
		if (r[lo].verdict >= CONDITION)
			emit_condition(code, &syscall_conditions[r[lo].verdict - CONDITION], a);
		else
			emit_return(code, r[lo].verdict);
		return;
	}
	size_t mid = lo + (hi - lo) / 2;
	struct vec left = VEC_OF(struct sock_filter);
	emit_search(&left, r, lo, mid, a);
	if (left.len <= UINT8_MAX) {
		emit(code, BPF_JMP | BPF_JGE | BPF_K, (uint8_t)left.len, 0, r[mid].first);
	} else {
		emit(code, BPF_JMP | BPF_JGE | BPF_K, 0, 1, r[mid].first);
		emit(code, BPF_JMP | BPF_JA, 0, 0, (uint32_t)left.len);
	}
	for (size_t i = 0; i < left.len; i++)
		vec_push_copy(code, vec_at(&left, i));
	vec_fini(&left);
	emit_search(code, r, mid, hi, a);
}

static void judge(uint8_t verdicts[NR_MAX], const struct arch *a, const char *name, uint8_t v)
{
	int nr = seccomp_syscall_resolve_name_arch(a->scmp, name);
	if (nr >= 0 && nr < NR_MAX)
		verdicts[nr] = v;
}

static void judge_all(uint8_t verdicts[NR_MAX], const struct arch *a)
{
	for (size_t i = 0; syscalls_allowed[i]; i++)
		judge(verdicts, a, syscalls_allowed[i], ALLOW);
	for (size_t i = 0; syscalls_allowed_new[i].name; i++)
		verdicts[syscalls_allowed_new[i].number] = ALLOW;
	for (size_t i = 0; syscall_conditions[i].name; i++)
		judge(verdicts, a, syscall_conditions[i].name, (uint8_t)(CONDITION + i));
	for (size_t i = 0; syscalls_absent[i]; i++)
		judge(verdicts, a, syscalls_absent[i], ABSENT);
}

static void emit_arch(struct vec *code, const struct arch *a)
{
	uint8_t verdicts[NR_MAX] = {DENY};
	judge_all(verdicts, a);
	size_t top = NR_MAX;
	while (top > 0 && verdicts[top - 1] == DENY)
		top--;
	struct vec ranges = VEC_OF(struct range);
	for (size_t nr = 0; nr < top; nr++) {
		if (nr && verdicts[nr] == verdicts[nr - 1])
			continue;
		struct range r = {.first = (uint32_t)nr, .verdict = verdicts[nr]};
		vec_push_copy(&ranges, &r);
	}
	struct range newer = {.first = (uint32_t)top, .verdict = ABSENT};
	vec_push_copy(&ranges, &newer);
	emit(code, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	emit_search(code, ranges.ptr, 0, ranges.len, a);
	vec_fini(&ranges);
}

static struct syscall_filter program;

static void build(void)
{
	struct vec code = VEC_OF(struct sock_filter);
	emit(&code, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < ARRAY_LEN(arches); i++) {
		struct vec body = VEC_OF(struct sock_filter);
		emit_arch(&body, &arches[i]);
		emit(&code, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, arches[i].scmp);
		emit(&code, BPF_JMP | BPF_JA, 0, 0, (uint32_t)body.len);
		for (size_t k = 0; k < body.len; k++)
			vec_push_copy(&code, vec_at(&body, k));
		vec_fini(&body);
	}
	emit_return(&code, ABSENT);
	assert(code.len <= BODY_MAX);
	program = (struct syscall_filter){.code = code.ptr, .len = code.len};
}

struct err *syscall_filter_default(const struct syscall_filter **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, build);
	*out = &program;
	return NULL;
}

int syscall_filter_apply(const struct syscall_filter *p)
{
	struct sock_fprog prog = {.len = (unsigned short)p->len, .filter = p->code};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog) == 0)
		return 0;
	return -errno;
}
