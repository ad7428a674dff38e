/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the child until it executes the program. It shares the memory of a process with many threads,
 * any of which may hold a lock: nothing here may allocate, lock or use libc's wrappers that do; a change of
 * ids is made by the bare system call, since libc's would change those of the parent's threads.
 */
#include "sys/caps.h"
#include "sys/mounts.h"
#include "sys/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Make a note of what is being done, for the message; then -errno of a call that failed. */
#define STEP(c, text, call)                           \
	do {                                          \
		(c)->doing = (text);                  \
		if ((call) < 0)                       \
			return errno ? -errno : -EIO; \
	} while (0)

static int resolve(int root, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd;
	do
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
	while (fd < 0 && errno == EAGAIN);
	return fd;
}

/* Make the last component of path[0..len) in its parent, which is there. */
static int make_one(int root, char *path, size_t len, bool dir, mode_t mode)
{
	size_t slash = len;
	while (path[slash - 1] != '/')
		slash--;
	char kept = path[slash];
	path[slash] = 0;
	int parent = resolve(root, path, O_PATH | O_DIRECTORY);
	path[slash] = kept;
	if (parent < 0)
		return -errno;
	int rc = 0;
	if (dir) {
		if (mkdirat(parent, path + slash, mode) < 0 && errno != EEXIST)
			rc = -errno;
	} else {
		int fd = openat(
			parent, path + slash, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		rc = fd < 0 ? -errno : 0;
		close(fd);
	}
	close(parent);
	return rc;
}

/* Like mkdir -p below root; the last component may be made as a file. An O_PATH descriptor or -errno. */
static int make_path(int root, const char *target, bool dir, mode_t mode)
{
	char path[PATH_MAX];
	size_t len = strlen(target);
	if (len >= sizeof path)
		return -ENAMETOOLONG;
	memcpy(path, target, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (i < len && target[i] != '/')
			continue;
		path[i] = 0;
		int fd = resolve(root, path, O_PATH);
		if (fd < 0) {
			if (errno != ENOENT)
				return -errno;
			int rc = make_one(root, path, i, dir || i < len, i < len ? 0755 : mode);
			if (rc < 0)
				return rc;
			fd = resolve(root, path, O_PATH);
			if (fd < 0)
				return -errno;
		}
		if (i == len)
			return fd;
		close(fd);
		path[i] = '/';
	}
	return resolve(root, "/", O_PATH);
}

static int attach(struct sandbox_child *c, int mount, const struct sandbox_op *op)
{
	c->doing = "finding the mount point";
	int at = resolve(c->root_fd, op->target, O_PATH);
	if (at < 0 && errno == ENOENT && op->make) {
		c->doing = "making the mount point";
		struct stat st;
		if (fstat(mount, &st) < 0)
			return -errno;
		bool dir = S_ISDIR(st.st_mode);
		at = make_path(c->root_fd, op->target, dir, dir ? 0755 : 0644);
		if (at < 0)
			return at;
	}
	if (at < 0)
		return -errno;
	c->doing = "attaching";
	int rc = move_mount(mount, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno
												      : 0;
	close(at);
	return rc;
}

static int new_mount(struct sandbox_child *c, const char *type, unsigned flags)
{
	int ctx;
	STEP(c, "mounting", ctx = fsopen(type, FSOPEN_CLOEXEC));
	fsconfig(ctx, FSCONFIG_SET_STRING, "source", type, 0);
	STEP(c, "mounting", fsconfig(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	int m;
	STEP(c, "mounting", m = fsmount(ctx, FSMOUNT_CLOEXEC, (unsigned)mount_attr_bits(flags)));
	close(ctx);
	return m;
}

static int do_new(struct sandbox_child *c, const struct sandbox_op *op, const char *type)
{
	int m = new_mount(c, type, op->flags);
	if (m < 0)
		return m;
	int rc = attach(c, m, op);
	close(m);
	return rc;
}

static int clone_of(int fd)
{
	return open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
}

static int restrict_mount(int m, unsigned flags)
{
	struct mount_attr attr = {.attr_set = mount_attr_bits(flags)};
	return flags ? mount_setattr(m, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) : 0;
}

static int do_mask(struct sandbox_child *c, const struct sandbox_op *op)
{
	int at = resolve(c->root_fd, op->target, O_PATH);
	if (at < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	struct stat st;
	STEP(c, "reading", fstat(at, &st));
	close(at);
	int m;
	if (!S_ISDIR(st.st_mode)) {
		STEP(c, "taking /dev/null",
			m = open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
	} else if (c->mask_fd >= 0) {
		STEP(c, "masking", m = clone_of(c->mask_fd));
	} else {
		m = new_mount(c, "tmpfs", MOUNT_READONLY | MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC);
		if (m < 0)
			return m;
		c->mask_fd = m;
	}
	int rc = attach(c, m, op);
	if (m != c->mask_fd)
		close(m);
	return rc;
}

static int do_readonly(struct sandbox_child *c, const struct sandbox_op *op)
{
	int at = resolve(c->root_fd, op->target, O_PATH);
	if (at < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	int m;
	STEP(c, "taking", m = clone_of(at));
	STEP(c, "restricting", restrict_mount(m, MOUNT_READONLY));
	close(at);
	int rc = attach(c, m, op);
	close(m);
	return rc;
}

static int do_stage(struct sandbox_child *c, const struct sandbox_op *op)
{
	c->stage_fds[op->stage] = op->fd;
	char name[] = {(char)('A' + op->stage), 0};
	STEP(c, "attaching", move_mount(op->fd, "", c->base_fd, name, MOVE_MOUNT_F_EMPTY_PATH));
	return 0;
}

static int do_from_stage(struct sandbox_child *c, const struct sandbox_op *op)
{
	int from, m;
	STEP(c, "finding what to mount", from = resolve(c->stage_fds[op->stage], op->source, O_PATH));
	STEP(c, "taking", m = clone_of(from));
	STEP(c, "restricting", restrict_mount(m, op->flags));
	close(from);
	int rc = attach(c, m, op);
	close(m);
	return rc;
}

static int do_loopback(struct sandbox_child *c)
{
	int s;
	STEP(c, "opening a socket", s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	struct ifreq rq = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	STEP(c, "bringing lo up", ioctl(s, SIOCSIFFLAGS, &rq));
	close(s);
	return 0;
}

static int do_root(struct sandbox_child *c, const struct sandbox_op *op)
{
	STEP(c, "attaching", move_mount(op->fd, "", c->base_fd, "root", MOVE_MOUNT_F_EMPTY_PATH));
	c->root_fd = op->fd;
	return 0;
}

static int do_pivot(struct sandbox_child *c)
{
	STEP(c, "entering the new root", fchdir(c->root_fd));
	STEP(c, "pivoting", syscall(SYS_pivot_root, ".", "."));
	STEP(c, "leaving the old root", umount2(".", MNT_DETACH));
	STEP(c, "entering the new root", chdir("/"));
	return 0;
}

static int do_mkdir(struct sandbox_child *c, const struct sandbox_op *op)
{
	c->doing = "making the directory";
	int fd = make_path(c->root_fd, op->target, true, op->mode);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int do_ids(struct sandbox_child *c, const struct sandbox_op *op)
{
	c->doing = "setting the groups";
	if (syscall(SYS_setgroups, op->group_count, op->groups) < 0 && !(op->bound && errno == EPERM))
		return -errno;
	STEP(c, "setting the group", syscall(SYS_setresgid, op->gid, op->gid, op->gid));
	STEP(c, "setting the user", syscall(SYS_setresuid, op->uid, op->uid, op->uid));
	/* Changing the user took this back. */
	STEP(c, "tying it to its parent", prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
	return 0;
}

static int do_exec(struct sandbox_child *c, const struct sandbox_op *op)
{
	umask(022);
	sigset_t none;
	sigemptyset(&none);
	STEP(c, "unblocking signals", sigprocmask(SIG_SETMASK, &none, NULL));
	c->doing = "executing";
	int denied = 0;
	for (const char *path = op->source; *path; path += strlen(path) + 1) {
		execve(path, (char *const *)(const void *)op->argv, (char *const *)(const void *)op->env);
		if (errno == EACCES)
			denied = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return -errno;
	}
	return denied ? -denied : -ENOENT;
}

static int apply(struct sandbox_child *c, const struct sandbox_op *op)
{
	int rc;
	c->doing = "doing";
	switch (op->kind) {
	case SANDBOX_HOSTNAME:
		STEP(c, "setting it", sethostname(op->source, strlen(op->source)));
		return 0;
	case SANDBOX_LOOPBACK:
		return do_loopback(c);
	case SANDBOX_ROOT:
		return do_root(c, op);
	case SANDBOX_PROC:
		return do_new(c, op, "proc");
	case SANDBOX_SYSFS:
		return do_new(c, op, "sysfs");
	case SANDBOX_CGROUP:
		rc = do_new(c, op, "cgroup2");
		return rc < 0 ? 0 : rc;
	case SANDBOX_MQUEUE:
		rc = do_new(c, op, "mqueue");
		return rc == -ENODEV ? 0 : rc;
	case SANDBOX_DEV:
	case SANDBOX_PTS:
	case SANDBOX_TMPFS:
	case SANDBOX_BIND:
	case SANDBOX_MOUNT:
		return attach(c, op->fd, op);
	case SANDBOX_STAGE:
		return do_stage(c, op);
	case SANDBOX_FROM_STAGE:
		return do_from_stage(c, op);
	case SANDBOX_MASK:
		return do_mask(c, op);
	case SANDBOX_READONLY:
		return do_readonly(c, op);
	case SANDBOX_PIVOT:
		return do_pivot(c);
	case SANDBOX_MKDIR:
		return do_mkdir(c, op);
	case SANDBOX_CHDIR:
		STEP(c, "entering", chdir(op->target));
		return 0;
	case SANDBOX_BOUNDING:
		return caps_drop_bounding(op->caps);
	case SANDBOX_IDS:
		return do_ids(c, op);
	case SANDBOX_CAPS:
		return caps_limit(op->caps);
	case SANDBOX_NO_NEW_PRIVS:
		STEP(c, "setting it", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		return 0;
	case SANDBOX_SECCOMP:
		return syscall_filter_apply(c->filter);
	case SANDBOX_EXEC:
		return do_exec(c, op);
	}
	return -EINVAL;
}

/* SIGTTOU is blocked here, as all signals are. */
static int take_terminal(int tty)
{
	pid_t self = getpid();
	return setpgid(0, 0) < 0 ? -1 : ioctl(tty, TIOCSPGRP, &self);
}

/* Our descriptors 0 to 2 and nothing else; no handlers of the parent's; a session of our own. */
static int detach(struct sandbox_child *c)
{
	STEP(c, "tying it to its parent", prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	if (!c->how->foreground)
		STEP(c, "starting a session", setsid());
	else
		STEP(c, "taking the terminal", take_terminal(c->how->stdio[0]));
	umask(0);
	int fds[3];
	for (int i = 0; i < 3; i++)
		STEP(c, "opening stdio", fds[i] = fcntl(c->how->stdio[i], F_DUPFD, 3));
	for (int i = 0; i < 3; i++)
		STEP(c, "opening stdio", dup2(fds[i], i));
	STEP(c, "leaving the host's mounts", mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	STEP(c, "covering the work directory",
		move_mount(c->base_fd, "", AT_FDCWD, c->how->work_dir, MOVE_MOUNT_F_EMPTY_PATH));
	STEP(c, "closing files", syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC));
	return 0;
}

int sandbox_child_main(void *arg)
{
	struct sandbox_child *c = arg;
	int rc = detach(c);
	c->failed_op = c->op_count;
	for (size_t i = 0; rc >= 0 && i < c->op_count; i++) {
		rc = apply(c, &c->ops[i]);
		if (rc < 0)
			c->failed_op = i;
	}
	c->sysno = rc < 0 ? -rc : EIO;
	_exit(127);
}
