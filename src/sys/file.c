/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define READ_CHUNK (64u << 10)

void fd_closep(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
	*fd = -1;
}

int steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

struct err *file_open(int dirfd, const char *path, int flags, mode_t mode, int *out)
{
	int fd;
	do
		fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return err_sys(errno, "opening %s", path);
	*out = fd;
	return NULL;
}

struct err *fd_read_all(int fd, size_t max, const char *what, struct buf *out)
{
	struct stat st;
	size_t start = out->len, want = READ_CHUNK;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size < max)
		want = (size_t)st.st_size + 1;
	for (;;) {
		buf_reserve(out, want);
		ssize_t n = read(fd, out->ptr + out->len, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "reading %s", what);
		if (n == 0)
			break;
		out->len += (size_t)n;
		out->ptr[out->len] = '\0';
		if (out->len - start > max) {
			buf_truncate(out, start);
			return err_new(ERR_INVALID, "%s is larger than %zu bytes", what, max);
		}
		if (want > READ_CHUNK)
			want = READ_CHUNK;
	}
	return NULL;
}

struct err *file_read(int dirfd, const char *path, size_t max, struct buf *out)
{
	AUTO_FD int fd = -1;
	TRY(file_open(dirfd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, &fd));
	return fd_read_all(fd, max, path, out);
}

struct err *fd_write_all(int fd, const void *p, size_t len, const char *what)
{
	const char *at = p;
	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "writing %s", what);
		at += n;
		len -= (size_t)n;
	}
	return NULL;
}

static struct err *fill(int fd, const char *path, struct str bytes, mode_t mode, bool durable)
{
	TRY(fd_write_all(fd, bytes.ptr, bytes.len, path));
	if (fchmod(fd, mode) < 0)
		return err_sys(errno, "setting the mode of %s", path);
	if (durable && fsync(fd) < 0)
		return err_sys(errno, "syncing %s", path);
	return NULL;
}

struct err *file_write_beside(
	int dirfd, const char *path, const void *p, size_t len, mode_t mode, bool durable, char **tmp)
{
	char random[17];
	random_hex(random, 8);
	AUTO_FREE char *name = mem_printf("%s.%s.tmp", path, random);
	AUTO_FD int fd = -1;
	struct err *e = file_open(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &fd);
	if (e)
		return err_wrap(e, "writing %s", path);
	e = fill(fd, path, str_n(p, len), mode, durable);
	if (e) {
		unlinkat(dirfd, name, 0);
		return e;
	}
	*tmp = steal(&name);
	return NULL;
}

struct err *file_replace(int dirfd, const char *path, const void *p, size_t len, mode_t mode, bool durable)
{
	AUTO_FREE char *tmp = NULL;
	TRY(file_write_beside(dirfd, path, p, len, mode, durable, &tmp));
	if (renameat(dirfd, tmp, dirfd, path) < 0) {
		struct err *e = err_sys(errno, "replacing %s", path);
		unlinkat(dirfd, tmp, 0);
		return e;
	}
	if (!durable)
		return NULL;
	AUTO_FREE char *dir = path_dir(path);
	return file_sync_dir(dirfd, *dir ? dir : ".");
}

struct err *file_sync_dir(int dirfd, const char *path)
{
	AUTO_FD int fd = -1;
	TRY(file_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0, &fd));
	if (fsync(fd) < 0)
		return err_sys(errno, "syncing %s", path);
	return NULL;
}

struct err *file_exists(int dirfd, const char *path, bool *out)
{
	struct stat st;
	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		*out = true;
		return NULL;
	}
	if (errno != ENOENT && errno != ENOTDIR)
		return err_sys(errno, "looking for %s", path);
	*out = false;
	return NULL;
}

static struct err *make_one(int dirfd, const char *path, mode_t mode)
{
	if (mkdirat(dirfd, path, mode) == 0)
		return NULL;
	int sysno = errno;
	struct stat st;
	/* EEXIST, but also EROFS or EACCES of a parent we may not write, where nothing needs to be made. */
	if (fstatat(dirfd, path, &st, 0) == 0 && S_ISDIR(st.st_mode))
		return NULL;
	if (sysno == EEXIST || sysno == ENOTDIR)
		return err_new(ERR_INVALID, "making the directory %s: a file is in the way", path);
	return err_sys(sysno, "making the directory %s", path);
}

struct err *dir_make_all(int dirfd, const char *path, mode_t mode)
{
	if (mkdirat(dirfd, path, mode) == 0)
		return NULL;
	if (errno != ENOENT)
		return make_one(dirfd, path, mode);
	AUTO_FREE char *part = mem_strdup(path);
	for (char *p = part; *p;) {
		p += strspn(p, "/");
		p += strcspn(p, "/");
		char saved = *p;
		*p = '\0';
		TRY(make_one(dirfd, part, mode));
		*p = saved;
	}
	return NULL;
}

struct err *dir_list(int dirfd, const char *path, struct strvec *out)
{
	AUTO_FD int fd = -1;
	TRY(file_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0, &fd));
	DIR *d = fdopendir(fd);
	if (!d)
		return err_sys(errno, "listing %s", path);
	steal_fd(&fd);
	struct strvec names = {0};
	struct err *e = NULL;
	for (;;) {
		errno = 0;
		struct dirent *de = readdir(d);
		if (!de) {
			if (errno)
				e = err_sys(errno, "listing %s", path);
			break;
		}
		if (!cstr_eq(de->d_name, ".") && !cstr_eq(de->d_name, ".."))
			strvec_push(&names, de->d_name);
	}
	closedir(d);
	if (!e) {
		strvec_sort(&names);
		for (size_t i = 0; i < names.len; i++)
			strvec_push_take(out, steal(&names.ptr[i]));
		names.len = 0;
	}
	strvec_fini(&names);
	return e;
}

struct err *fd_free_space(int fd, uint64_t *out)
{
	struct statvfs v;
	if (fstatvfs(fd, &v) < 0)
		return err_sys(errno, "asking for free space");
	*out = (uint64_t)v.f_bavail * v.f_frsize;
	return NULL;
}

/* O_PATH descriptors refuse the f*xattr calls; their magic link names exactly what they hold, links
 * unfollowed. */
#define FD_PATH_MAX 40
static const char *fd_path(int fd, char out[FD_PATH_MAX])
{
	snprintf(out, FD_PATH_MAX, "/proc/self/fd/%d", fd);
	return out;
}

static ssize_t list_into(int fd, char *p, size_t len)
{
	char path[FD_PATH_MAX];
	ssize_t n = flistxattr(fd, p, len);
	return n < 0 && errno == EBADF ? listxattr(fd_path(fd, path), p, len) : n;
}

static ssize_t get_into(int fd, const char *name, char *p, size_t len)
{
	char path[FD_PATH_MAX];
	ssize_t n = fgetxattr(fd, name, p, len);
	return n < 0 && errno == EBADF ? getxattr(fd_path(fd, path), name, p, len) : n;
}

struct err *xattr_list(int fd, struct buf *names)
{
	char small[1024];
	ssize_t n = list_into(fd, small, sizeof(small));
	if (n >= 0) {
		buf_add(names, small, (size_t)n);
		return NULL;
	}
	for (int round = 0; errno == ERANGE && round < 8; round++) {
		n = list_into(fd, NULL, 0);
		if (n < 0)
			break;
		buf_reserve(names, (size_t)n);
		n = list_into(fd, names->ptr + names->len, (size_t)n);
		if (n >= 0) {
			names->len += (size_t)n;
			return NULL;
		}
	}
	return errno == ENOTSUP ? NULL : err_sys(errno, "listing extended attributes");
}

struct err *xattr_get(int fd, const char *name, struct buf *value)
{
	char small[1024];
	ssize_t n = get_into(fd, name, small, sizeof(small));
	if (n >= 0) {
		buf_add(value, small, (size_t)n);
		return NULL;
	}
	for (int round = 0; errno == ERANGE && round < 8; round++) {
		n = get_into(fd, name, NULL, 0);
		if (n < 0)
			break;
		buf_reserve(value, (size_t)n + 1);
		n = get_into(fd, name, value->ptr + value->len, (size_t)n);
		if (n >= 0) {
			value->len += (size_t)n;
			return NULL;
		}
	}
	if (errno == ENODATA)
		return err_new(ERR_NOT_FOUND, "no extended attribute %s", name);
	return err_sys(errno, "reading the extended attribute %s", name);
}

struct err *xattr_set(int fd, const char *name, const void *p, size_t len)
{
	char path[FD_PATH_MAX];
	int r = fsetxattr(fd, name, p, len, 0);
	if (r < 0 && errno == EBADF)
		r = setxattr(fd_path(fd, path), name, p, len, 0);
	if (r < 0)
		return err_sys(errno, "setting the extended attribute %s", name);
	return NULL;
}

/* A hostile file system may hold any second; what does not fit is clamped. */
static int64_t timespec_ns(const struct timespec *t)
{
	int64_t ns;
	if (__builtin_mul_overflow((int64_t)t->tv_sec, INT64_C(1000000000), &ns) ||
		__builtin_add_overflow(ns, (int64_t)t->tv_nsec, &ns))
		return t->tv_sec < 0 ? INT64_MIN + 1 : INT64_MAX;
	return ns;
}

int64_t stat_mtime_ns(const struct stat *st)
{
	return timespec_ns(&st->st_mtim);
}

int64_t stat_ctime_ns(const struct stat *st)
{
	return timespec_ns(&st->st_ctim);
}

struct timespec timespec_of_ns(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / INT64_C(1000000000), .tv_nsec = ns % INT64_C(1000000000)};
	if (t.tv_nsec < 0) {
		t.tv_nsec += INT64_C(1000000000);
		t.tv_sec--;
	}
	return t;
}

void dir_lock(int dirfd)
{
	/* The header that declares flock() has the name of this folder's own. */
	while (syscall(SYS_flock, dirfd, LOCK_EX) < 0 && errno == EINTR)
		continue;
}

bool dir_try_lock(int dirfd)
{
	long r;
	do
		r = syscall(SYS_flock, dirfd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	return r == 0;
}
