/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/sandbox.h"

#include "base/mem.h"
#include "sys/file.h"
#include "sys/mounts.h"
#include "sys/mounts_internal.h"
#include "sys/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static const struct {
	const char *name;
	unsigned major, minor;
} nodes[] = {
	{"full", 1, 7},
	{"null", 1, 3},
	{"random", 1, 8},
	{"tty", 5, 0},
	{"urandom", 1, 9},
	{"zero", 1, 5},
};

static const struct {
	const char *name, *target;
} links[] = {
	{"core", "/proc/kcore"},
	{"fd", "/proc/self/fd"},
	{"ptmx", "pts/ptmx"},
	{"stderr", "/proc/self/fd/2"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
};

static struct err *make_node(int dir, size_t i, bool bound)
{
	const char *name = nodes[i].name;
	if (bound) {
		AUTO_FD int fd = -1;
		return file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd);
	}
	if (mknodat(dir, name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0 ||
		fchmodat(dir, name, 0666, 0) < 0)
		return err_sys(errno, "making /dev/%s", name);
	return NULL;
}

static struct err *prepare_dev(struct sandbox_op *op)
{
	const struct mount_option opts[] = {{"mode", "0755", false}, {"size", "64k", false}};
	TRY(mount_new("tmpfs", opts, ARRAY_LEN(opts), op->flags, &op->fd));
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
		TRY(make_node(op->fd, i, op->bound));
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (symlinkat(links[i].target, op->fd, links[i].name) < 0)
			return err_sys(errno, "making /dev/%s", links[i].name);
	}
	static const char *const dirs[] = {"mqueue", "pts", "shm"};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdirat(op->fd, dirs[i], 0755) < 0 || fchmodat(op->fd, dirs[i], 0755, 0) < 0)
			return err_sys(errno, "making /dev/%s", dirs[i]);
	}
	return NULL;
}

static struct err *prepare_pts(struct sandbox_op *op)
{
	char gid[16];
	snprintf(gid, sizeof gid, "%u", op->gid);
	bool with_gid = op->gid != (uint32_t)-1;
	const struct mount_option opts[] = {{"newinstance", NULL, true}, {"ptmxmode", "0666", false},
		{"mode", "0620", false}, {"gid", gid, false}};
	return mount_new("devpts", opts, ARRAY_LEN(opts) - !with_gid, op->flags, &op->fd);
}

static struct err *prepare_tmpfs(struct sandbox_op *op)
{
	char mode[16], size[32];
	snprintf(mode, sizeof mode, "0%o", op->mode);
	snprintf(size, sizeof size, "%llu", (unsigned long long)op->size);
	const struct mount_option opts[] = {{"mode", mode, false}, {"size", size, false}};
	return mount_new("tmpfs", opts, op->size ? 2 : 1, op->flags, &op->fd);
}

/* What can be made before the child starts is: here errors can say more. */
static struct err *prepare(struct sandbox_op *op)
{
	switch (op->kind) {
	case SANDBOX_DEV:
		return prepare_dev(op);
	case SANDBOX_PTS:
		return prepare_pts(op);
	case SANDBOX_TMPFS:
		return prepare_tmpfs(op);
	case SANDBOX_BIND:
		return mount_clone(AT_FDCWD, op->source, op->flags, &op->fd);
	default:
		return NULL;
	}
}

static struct err *make_base(struct sandbox_child *c)
{
	const struct mount_option opts[] = {{"mode", "0700", false}, {"size", "64k", false}};
	TRY(mount_new(
		"tmpfs", opts, ARRAY_LEN(opts), MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC, &c->base_fd));
	if (mkdirat(c->base_fd, "root", 0700) < 0)
		return err_sys(errno, "making mount points");
	for (size_t i = 0; i < c->op_count; i++) {
		char name[] = {(char)('A' + c->ops[i].stage), 0};
		if (c->ops[i].kind == SANDBOX_STAGE && mkdirat(c->base_fd, name, 0700) < 0)
			return err_sys(errno, "making mount points");
	}
	return NULL;
}

static void child_freep(struct sandbox_child **c)
{
	fd_closep(&(*c)->base_fd);
	mem_freep(c);
}

static struct err *prepare_child(
	struct sandbox_plan *p, const struct sandbox_start *how, struct sandbox_child *c)
{
	c->root_fd = c->mask_fd = c->base_fd = -1;
	c->ops = p->ops.ptr;
	c->op_count = p->ops.len;
	c->how = how;
	TRY(syscall_filter_default(&c->filter));
	for (size_t i = 0; i < p->ops.len; i++) {
		struct sandbox_op *op = vec_at(&p->ops, i);
		struct err *e = prepare(op);
		if (e)
			return err_wrap(
				e, "sandbox: %s %s", sandbox_op_name(op->kind), op->target ? op->target : "");
	}
	return make_base(c);
}

static struct err *hint_for(const struct sandbox_op *op, int sysno, struct err *e)
{
	if (op->kind == SANDBOX_PROC && sysno == EPERM)
		return err_hint(e, "parts of /proc are hidden from this container; run it with an unmasked "
				   "/proc (Kubernetes: "
				   "procMount: Unmasked; docker: --security-opt systempaths=unconfined)");
	if (op->target && sysno == ENOTDIR && op->kind >= SANDBOX_TMPFS && op->kind <= SANDBOX_FROM_STAGE)
		return err_hint(e, "a file can only be mounted on a file, a directory on a directory");
	return e;
}

static struct err *child_error(const struct sandbox_child *c)
{
	if (c->failed_op >= c->op_count)
		return err_sys(c->sysno, "sandbox: %s", c->doing);
	const struct sandbox_op *op = &c->ops[c->failed_op];
	if (op->kind == SANDBOX_EXEC)
		return err_sys(c->sysno, "running %s", op->argv[0]);
	if (op->kind == SANDBOX_IDS && c->sysno == EINVAL)
		return err_hint(err_new(ERR_DENIED, "user %u:%u is not mapped in this user namespace",
					op->uid, op->gid),
			"give the user a range of at least 65536 ids in /etc/subuid and /etc/subgid: `cooper "
			"doctor` tells how");
	if (op->kind == SANDBOX_IDS)
		return err_sys(c->sysno, "sandbox: %s (%u:%u)", c->doing, op->uid, op->gid);
	struct err *e = err_sys(c->sysno, "sandbox: %s%s%s: %s", sandbox_op_name(op->kind),
		op->target ? " " : "", op->target ? op->target : "", c->doing);
	return hint_for(op, c->sysno, e);
}

static struct err *clone_error(int sysno)
{
	struct err *e = err_sys(sysno, "making the namespaces of a step");
	if (sysno == ENOSPC)
		return err_hint(e,
			"a limit on namespaces is reached: sysctl -w user.max_user_namespaces=65536 "
			"user.max_mnt_namespaces=65536 user.max_pid_namespaces=65536");
	if (sysno == EPERM)
		return err_hint(e, "namespaces need root, or a user namespace: `cooper doctor` tells what is "
				   "missing here");
	return e;
}

/*
 * The child's change of user makes the memory it shares with us private to root until it executes, as it
 * should: the user's other processes must not look into it. Take that back only when no child shares it any
 * more.
 */
static struct {
	pthread_mutex_t lock;
	unsigned children;
	int before;
} dumpable = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void dumpable_leave(void)
{
	pthread_mutex_lock(&dumpable.lock);
	if (dumpable.children++ == 0)
		dumpable.before = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	pthread_mutex_unlock(&dumpable.lock);
}

static void dumpable_return(void)
{
	pthread_mutex_lock(&dumpable.lock);
	if (--dumpable.children == 0 && dumpable.before == 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	pthread_mutex_unlock(&dumpable.lock);
}

struct err *sandbox_start(struct sandbox_plan *p, const struct sandbox_start *how, bool *exec_failed,
	struct sandbox_process *out)
{
	*exec_failed = false;
	TRY(sandbox_plan_check(p));
	if (p->started)
		return err_new(ERR_BUG, "a sandbox plan is started twice");
	p->started = true;
	struct sandbox_child *c AUTO(child_freep) = mem_new(struct sandbox_child);
	TRY(prepare_child(p, how, c));
	dumpable_leave();
	unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
			      (how->own_network ? CLONE_NEWNET : 0);
	AUTO_FD int pidfd = -1;
	int pid = sys_vfork_run(sandbox_child_main, c, flags, &pidfd);
	dumpable_return();
	if (pid < 0)
		return clone_error(-pid);
	if (c->sysno) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		*exec_failed = c->failed_op < c->op_count && c->ops[c->failed_op].kind == SANDBOX_EXEC;
		return child_error(c);
	}
	*out = (struct sandbox_process){.pid = pid, .pidfd = steal_fd(&pidfd)};
	return NULL;
}

void sandbox_kill(const struct sandbox_process *p)
{
	kill(p->pid, SIGKILL);
}

struct err *sandbox_wait(struct sandbox_process *p, int *code, int *signal)
{
	siginfo_t info = {0};
	while (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED) < 0) {
		if (errno != EINTR)
			return err_sys(errno, "waiting for process %d", (int)p->pid);
	}
	fd_closep(&p->pidfd);
	bool exited = info.si_code == CLD_EXITED;
	*signal = exited ? 0 : info.si_status;
	*code = exited ? info.si_status : 128 + info.si_status;
	return NULL;
}
