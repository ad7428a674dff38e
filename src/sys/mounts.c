/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mounts.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/mounts_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* fsconfig(2) takes values of up to 255 bytes. */
#define FSCONFIG_MAX 255
/* mount(2) takes one page of options. */
#define MOUNT_DATA_MAX 4095
/* OVL_MAX_STACK of the kernel. */
#define OVERLAY_LAYERS_MAX 500

uint64_t mount_attr_bits(unsigned flags)
{
	return (flags & MOUNT_READONLY ? MOUNT_ATTR_RDONLY : 0) |
	       (flags & MOUNT_NOSUID ? MOUNT_ATTR_NOSUID : 0) | (flags & MOUNT_NODEV ? MOUNT_ATTR_NODEV : 0) |
	       (flags & MOUNT_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
}

/* What the kernel wrote to the context's log, without the "e " in front; "" if nothing. */
static void context_log(int ctx, struct buf *out)
{
	char line[512];
	ssize_t n;
	while ((n = read(ctx, line, sizeof line)) > 0) {
		if (out->len)
			buf_adds(out, "; ");
		struct str s = str_trim(str_n(line, (size_t)n));
		buf_addstr(out, s.len > 2 && s.ptr[1] == ' ' ? str_skip(s, 2) : s);
	}
}

static struct err *context_error(int ctx, int sysno, const char *type, const char *what)
{
	AUTO_BUF struct buf log = {0};
	context_log(ctx, &log);
	struct err *e = log.len ? err_sys(sysno, "mounting %s: %s (%s)", type, what, buf_cstr(&log))
				: err_sys(sysno, "mounting %s: %s", type, what);
	if (sysno == EPERM)
		e = err_hint(e, "mounting needs root, or a user namespace: `cooper doctor` tells what is "
				"missing here");
	return e;
}

static struct err *context_open(const char *type, int *out)
{
	int ctx = fsopen(type, FSOPEN_CLOEXEC);
	if (ctx >= 0) {
		/* What programs show as the device. */
		fsconfig(ctx, FSCONFIG_SET_STRING, "source", type, 0);
		*out = ctx;
		return NULL;
	}
	int sysno = errno;
	struct err *e = err_sys(sysno, "mounting %s", type);
	if (sysno == ENODEV)
		e = err_hint(e, "the kernel has no %s; load it with `modprobe %s`", type, type);
	else if (sysno == EPERM)
		e = err_hint(e, "mounting needs root, or a user namespace: `cooper doctor` tells what is "
				"missing here");
	else if (sysno == ENOSYS)
		e = err_hint(e, "Linux 5.11 or newer is needed");
	return e;
}

static struct err *context_finish(int ctx, const char *type, unsigned flags, int *fd)
{
	if (fsconfig(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return context_error(ctx, errno, type, "making it");
	int m = fsmount(ctx, FSMOUNT_CLOEXEC, (unsigned)mount_attr_bits(flags));
	if (m < 0)
		return context_error(ctx, errno, type, "making its mount");
	*fd = m;
	return NULL;
}

struct err *mount_new(
	const char *type, const struct mount_option *opts, size_t count, unsigned flags, int *fd)
{
	AUTO_FD int ctx = -1;
	TRY(context_open(type, &ctx));
	for (size_t i = 0; i < count; i++) {
		unsigned cmd = opts[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
		if (fsconfig(ctx, cmd, opts[i].key, opts[i].value, 0) < 0 && !opts[i].optional)
			return context_error(ctx, errno, type, opts[i].key);
	}
	return context_finish(ctx, type, flags, fd);
}

/* Set a directory option; one whose path is too long goes by its descriptor. */
static struct err *set_layer(int ctx, const char *key, const char *path)
{
	if (strlen(path) <= FSCONFIG_MAX) {
		if (fsconfig(ctx, FSCONFIG_SET_STRING, key, path, 0) < 0)
			return context_error(ctx, errno, "overlay", path);
		return NULL;
	}
	AUTO_FD int dir = -1;
	TRY(file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, &dir));
	AUTO_FREE char *link = mem_printf("/proc/self/fd/%d", dir);
	if (fsconfig(ctx, FSCONFIG_SET_STRING, key, link, 0) < 0)
		return context_error(ctx, errno, "overlay", path);
	return NULL;
}

static struct err *overlay_hint(struct err *e, const struct overlay_request *rq)
{
	if (err_sysno(e) == EINVAL && rq->upper)
		return err_hint(e, "the store must be on a disk that can hold overlays (ext4, xfs, btrfs, "
				   "tmpfs; not another overlay): "
				   "set COOPER_HOME");
	return e;
}

/* *known false: this kernel has no "lowerdir+". */
static struct err *overlay_modern(const struct overlay_request *rq, bool *known, int *fd)
{
	*known = true;
	AUTO_FD int ctx = -1;
	TRY(context_open("overlay", &ctx));
	for (size_t i = rq->lower_count; i-- > 0;) {
		struct err *e = set_layer(ctx, "lowerdir+", rq->lowers[i]);
		if (e && i == rq->lower_count - 1 && err_sysno(e) == EINVAL) {
			err_ignore(e, "kernels before 6.5 do not know lowerdir+");
			*known = false;
			return NULL;
		}
		TRY(e);
	}
	if (rq->upper) {
		TRY(set_layer(ctx, "upperdir", rq->upper));
		TRY(set_layer(ctx, "workdir", rq->work));
		/* Results are synced together and later, by the store. */
		if (fsconfig(ctx, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0)
			return context_error(ctx, errno, "overlay", "volatile");
	}
	if (fsconfig(ctx, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0)
		return context_error(ctx, errno, "overlay", "userxattr");
	/* Else the upper directory gets one, and is no longer only what was written. Before 6.6 there is no
	 * such option. */
	fsconfig(ctx, FSCONFIG_SET_STRING, "uuid", "null", 0);
	return context_finish(ctx, "overlay", rq->upper ? 0 : MOUNT_READONLY, fd);
}

/* ---- mount(2): attaches at once, so it is done in a mount namespace of its own ---- */

struct legacy_mount {
	const char *dir;    /* working directory that data's paths start at */
	const char *target; /* a directory that is covered for the moment */
	const char *data;
	unsigned long flags;
	int fd;
	int sysno;
};

/* Shares memory and descriptors with its maker: system calls only. */
static int legacy_child(void *arg)
{
	struct legacy_mount *m = arg;
	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || chdir(m->dir) < 0 ||
		mount("overlay", m->target, "overlay", m->flags, m->data) < 0 ||
		(m->fd = open_tree(AT_FDCWD, m->target, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)) < 0)
		m->sysno = errno;
	return 0;
}

/* The child leaves its stack by execve, so the sanitizer thinks its frames are still there when the place is
 * used again. */
#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifdef ASAN
void __asan_unpoison_memory_region(void const volatile *p, size_t size);
#define forget_frames(p, size) __asan_unpoison_memory_region(p, size)
#else
#define forget_frames(p, size) ((void)(p))
#endif

int sys_vfork_run(int (*fn)(void *), void *arg, unsigned long flags, int *pidfd)
{
	enum { STACK = 256 * 1024 };
	void *stack =
		mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	flags |= CLONE_VM | CLONE_VFORK | SIGCHLD | (pidfd ? CLONE_PIDFD : 0);
	int pid = clone(fn, (char *)stack + STACK, (int)flags, arg, pidfd);
	int sysno = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	forget_frames(stack, STACK);
	munmap(stack, STACK);
	return pid < 0 ? -sysno : pid;
}

static size_t common_dir(const struct overlay_request *rq)
{
	const char *first = rq->lowers[0];
	size_t len = strlen(first);
	for (size_t i = 0; i < rq->lower_count + 2; i++) {
		const char *p = i < rq->lower_count    ? rq->lowers[i]
				: i == rq->lower_count ? rq->upper
						       : rq->work;
		size_t n = 0;
		while (p && n < len && p[n] == first[n])
			n++;
		if (p)
			len = n;
	}
	while (len > 0 && first[len - 1] != '/')
		len--;
	return len;
}

static struct err *overlay_data(const struct overlay_request *rq, size_t skip, struct buf *data)
{
	buf_adds(data, "userxattr,lowerdir=");
	for (size_t i = rq->lower_count; i-- > 0;)
		buf_addf(data, "%s%s", rq->lowers[i] + skip, i ? ":" : "");
	size_t colons = 0;
	for (size_t i = 0; i < data->len; i++)
		colons += data->ptr[i] == ':' || data->ptr[i] == '\\';
	if (rq->upper)
		buf_addf(data, ",upperdir=%s,workdir=%s,volatile", rq->upper + skip, rq->work + skip);
	size_t commas = 0;
	for (size_t i = 0; i < data->len; i++)
		commas += data->ptr[i] == ',';
	if (colons != rq->lower_count - 1 || commas != (rq->upper ? 4 : 1))
		return err_new(ERR_INVALID,
			"overlay directories with ':', ',' or '\\' in their path cannot be mounted");
	if (data->len > MOUNT_DATA_MAX)
		return err_hint(
			err_new(ERR_UNSUPPORTED, "%zu layers do not fit into one overlay on this kernel",
				rq->lower_count),
			"Linux 6.5 or newer has no such limit; or make an image of fewer layers");
	return NULL;
}

static struct err *overlay_legacy(const struct overlay_request *rq, int *fd)
{
	size_t skip = common_dir(rq);
	AUTO_BUF struct buf data = {0};
	TRY(overlay_data(rq, skip, &data));
	AUTO_FREE char *dir = mem_strndup(rq->lowers[0], skip);
	struct legacy_mount m = {
		.dir = dir,
		.target = rq->lowers[0],
		.data = buf_cstr(&data),
		.flags = rq->upper ? 0 : MS_RDONLY,
		.fd = -1,
	};
	int pid = sys_vfork_run(legacy_child, &m, CLONE_NEWNS | CLONE_FILES, NULL);
	if (pid < 0)
		return err_sys(-pid, "making a mount namespace");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (m.sysno)
		return overlay_hint(err_sys(m.sysno, "mounting overlay"), rq);
	*fd = m.fd;
	return NULL;
}

/* Asking does not tell: before 6.5 an unknown option is taken, and refused with all others when it is too
 * late. */
static bool knows_lowerdir_plus(void)
{
	struct utsname u;
	int major = 0, minor = 0;
	return uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 5));
}

struct err *mount_overlay(const struct overlay_request *rq, int *fd)
{
	if (rq->lower_count > OVERLAY_LAYERS_MAX)
		return err_hint(err_new(ERR_UNSUPPORTED, "%zu layers: an overlay takes %d", rq->lower_count,
					OVERLAY_LAYERS_MAX),
			"join some steps of the build, or copy the files of an earlier stage into a new one");
	bool known = false;
	if (!rq->legacy && knows_lowerdir_plus()) {
		struct err *e = overlay_modern(rq, &known, fd);
		if (e)
			return overlay_hint(e, rq);
	}
	return known ? NULL : overlay_legacy(rq, fd);
}

struct err *mount_clone(int dirfd, const char *path, unsigned flags, int *fd)
{
	AUTO_FD int m = open_tree(dirfd, path,
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | (*path ? 0 : AT_EMPTY_PATH));
	if (m < 0) {
		int sysno = errno;
		struct err *e = err_sys(sysno, "taking %s", path);
		return sysno == EPERM
			       ? err_hint(e, "mounting needs root, or a user namespace: `cooper doctor` "
					     "tells what is missing here")
			       : e;
	}
	struct mount_attr attr = {.attr_set = mount_attr_bits(flags)};
	if (flags && mount_setattr(m, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
		return err_sys(errno, "restricting the mount of %s", path);
	*fd = steal_fd(&m);
	return NULL;
}
