/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/sandbox.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/mounts.h"
#include "sys/sandbox_internal.h"

#include <assert.h>
#include <string.h>

struct sandbox_plan *sandbox_plan_new(void)
{
	struct sandbox_plan *p = mem_new(struct sandbox_plan);
	p->arena = arena_new();
	p->ops = VEC_OF(struct sandbox_op);
	return p;
}

void sandbox_plan_free(struct sandbox_plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->ops.len; i++)
		fd_closep(&((struct sandbox_op *)vec_at(&p->ops, i))->fd);
	vec_fini(&p->ops);
	arena_free(p->arena);
	mem_freep(&p);
}

void sandbox_plan_freep(struct sandbox_plan **p)
{
	sandbox_plan_free(steal(p));
}

struct arena *sandbox_plan_arena(struct sandbox_plan *p)
{
	return p->arena;
}

struct sandbox_op *sandbox_add(struct sandbox_plan *p, enum sandbox_op_kind kind, const char *target)
{
	struct sandbox_op *op = vec_push(&p->ops);
	op->kind = kind;
	op->target = arena_strdup(p->arena, target);
	op->fd = -1;
	return op;
}

size_t sandbox_plan_len(const struct sandbox_plan *p)
{
	return p->ops.len;
}

const struct sandbox_op *sandbox_plan_at(const struct sandbox_plan *p, size_t i)
{
	return vec_at(&p->ops, i);
}

const char *sandbox_op_name(enum sandbox_op_kind k)
{
	static const char *const names[] = {
		[SANDBOX_HOSTNAME] = "hostname",
		[SANDBOX_LOOPBACK] = "loopback",
		[SANDBOX_ROOT] = "root",
		[SANDBOX_PROC] = "proc",
		[SANDBOX_SYSFS] = "sysfs",
		[SANDBOX_CGROUP] = "cgroup",
		[SANDBOX_MQUEUE] = "mqueue",
		[SANDBOX_DEV] = "dev",
		[SANDBOX_PTS] = "pts",
		[SANDBOX_TMPFS] = "tmpfs",
		[SANDBOX_BIND] = "bind",
		[SANDBOX_MOUNT] = "mount",
		[SANDBOX_STAGE] = "stage",
		[SANDBOX_FROM_STAGE] = "from-stage",
		[SANDBOX_MASK] = "mask",
		[SANDBOX_READONLY] = "readonly",
		[SANDBOX_PIVOT] = "pivot",
		[SANDBOX_MKDIR] = "mkdir",
		[SANDBOX_BOUNDING] = "bounding",
		[SANDBOX_IDS] = "ids",
		[SANDBOX_CAPS] = "caps",
		[SANDBOX_CHDIR] = "chdir",
		[SANDBOX_NO_NEW_PRIVS] = "no-new-privs",
		[SANDBOX_SECCOMP] = "seccomp",
		[SANDBOX_EXEC] = "exec",
	};
	return names[k];
}

static void text_flags(struct buf *b, const struct sandbox_op *op)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {{MOUNT_READONLY, "ro"}, {MOUNT_NOSUID, "nosuid"}, {MOUNT_NODEV, "nodev"},
		{MOUNT_NOEXEC, "noexec"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (op->flags & names[i].flag)
			buf_addf(b, " %s", names[i].name);
	}
	if (op->make)
		buf_adds(b, " make");
}

static void text_op(struct buf *b, const struct sandbox_op *op)
{
	buf_adds(b, sandbox_op_name(op->kind));
	if (op->kind == SANDBOX_STAGE || op->kind == SANDBOX_FROM_STAGE)
		buf_addf(b, " %u", op->stage);
	if (op->source && op->kind != SANDBOX_EXEC)
		buf_addf(b, " %s", op->source);
	if (op->target)
		buf_addf(b, "%s %s", op->source ? " ->" : "", op->target);
	text_flags(b, op);
	if (op->kind == SANDBOX_TMPFS || op->kind == SANDBOX_MKDIR)
		buf_addf(b, " mode=%o", op->mode);
	if (op->size)
		buf_addf(b, " size=%llu", (unsigned long long)op->size);
	if (op->kind == SANDBOX_IDS) {
		buf_addf(b, " %u:%u", op->uid, op->gid);
		for (size_t i = 0; i < op->group_count; i++)
			buf_addf(b, "%c%u", i ? ',' : ' ', op->groups[i]);
	}
	if (op->kind == SANDBOX_BOUNDING || op->kind == SANDBOX_CAPS)
		buf_addf(b, " %llx", (unsigned long long)op->caps);
	for (size_t i = 0; op->argv && op->argv[i]; i++)
		buf_addf(b, " %s", op->argv[i]);
	buf_addc(b, '\n');
}

char *sandbox_plan_text(const struct sandbox_plan *p)
{
	AUTO_BUF struct buf b = {0};
	for (size_t i = 0; i < p->ops.len; i++)
		text_op(&b, vec_at(&p->ops, i));
	return buf_steal(&b);
}

/* ---- check ---- */

/* The order in which kinds may come: an operation never has a lower one than those before it. */
static int phase(enum sandbox_op_kind k)
{
	switch (k) {
	case SANDBOX_STAGE:
	case SANDBOX_HOSTNAME:
	case SANDBOX_LOOPBACK:
		return 0;
	case SANDBOX_ROOT:
		return 1;
	case SANDBOX_PIVOT:
		return 3;
	case SANDBOX_MKDIR:
		return 4;
	case SANDBOX_CHDIR:
		return 5;
	case SANDBOX_BOUNDING:
		return 6;
	case SANDBOX_IDS:
		return 7;
	case SANDBOX_CAPS:
		return 8;
	case SANDBOX_NO_NEW_PRIVS:
		return 9;
	case SANDBOX_SECCOMP:
		return 10;
	case SANDBOX_EXEC:
		return 11;
	default:
		return 2;
	}
}

static const char *op_lacks(const struct sandbox_op *op)
{
	int ph = phase(op->kind);
	bool wants_target = ph == 2 || ph == 4 || ph == 5;
	if (wants_target && (!op->target || op->target[0] != '/'))
		return "an absolute target";
	if ((op->kind == SANDBOX_BIND && (!op->source || op->source[0] != '/')) ||
		(op->kind == SANDBOX_FROM_STAGE && !op->source) ||
		(op->kind == SANDBOX_HOSTNAME && !op->source))
		return "a source";
	if ((op->kind == SANDBOX_STAGE || op->kind == SANDBOX_FROM_STAGE) && op->stage >= SANDBOX_STAGES)
		return "a lower stage number";
	if (op->kind == SANDBOX_EXEC && (!op->argv || !op->argv[0] || !op->env || !op->source))
		return "argv or env";
	return NULL;
}

struct err *sandbox_plan_check(const struct sandbox_plan *p)
{
	int before = 0;
	unsigned seen = 0;
	for (size_t i = 0; i < p->ops.len; i++) {
		const struct sandbox_op *op = vec_at(&p->ops, i);
		int ph = phase(op->kind);
		if (ph < before)
			return err_new(ERR_BUG, "sandbox operation %zu, %s, comes too late", i,
				sandbox_op_name(op->kind));
		if (ph == before && i && (ph == 1 || ph == 3 || ph >= 5))
			return err_new(ERR_BUG, "sandbox operation %zu, %s, is there twice", i,
				sandbox_op_name(op->kind));
		const char *lacks = op_lacks(op);
		if (lacks)
			return err_new(ERR_BUG, "sandbox operation %zu, %s, lacks %s", i,
				sandbox_op_name(op->kind), lacks);
		before = ph;
		seen |= 1u << ph;
	}
	if (!(seen & 1u << 1) || !(seen & 1u << 3) || !(seen & 1u << 7) || before != phase(SANDBOX_EXEC))
		return err_new(ERR_BUG, "sandbox plan without root, pivot, ids or program");
	return NULL;
}
