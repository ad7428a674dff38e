/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"

#include "base/digest.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Directories held open at once; what lies deeper is first moved up to the top, so depth costs no
 * descriptors. */
#define OPEN_LEVELS 48

struct removal {
	int top;          /* the tree's root directory */
	const char *what; /* its path as given, for messages */
	uint64_t moved;
	bool more; /* something was moved up to the top since its last pass */
};

static struct err *remove_children(struct removal *r, int fd, int depth);

static int open_dir_here(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	long fd;
	int tries = 0;
	do
		fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && tries++ < 100)));
	return (int)fd;
}

/* A directory we own but may not look into. */
static void make_accessible(int dirfd, const char *name)
{
	AUTO_FD int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	char path[40];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, 0700) < 0)
		return; /* the open that follows says why */
}

static struct err *open_for_removal(struct removal *r, int dirfd, const char *name, int *out)
{
	int fd = open_dir_here(dirfd, name);
	if (fd < 0 && errno == EACCES) {
		make_accessible(dirfd, name);
		fd = open_dir_here(dirfd, name);
	}
	if (fd < 0 && errno == EXDEV)
		return err_new(ERR_DENIED, "removing %s: %s in it is a mount point", r->what, name);
	if (fd < 0)
		return err_sys(errno, "removing %s: opening %s", r->what, name);
	struct stat st;
	if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700 && fchmod(fd, 0700) < 0)
		errno = 0; /* unlinking in it says why */
	*out = fd;
	return NULL;
}

static struct err *remove_dir(struct removal *r, int dirfd, const char *name, int depth)
{
	AUTO_FD int fd = -1;
	struct err *e = open_for_removal(r, dirfd, name, &fd);
	if (e && err_sysno(e) == ENOENT) {
		err_ignore(e, "somebody else removed it");
		return NULL;
	}
	TRY(e);
	if (depth >= OPEN_LEVELS) {
		char random[17], aside[64];
		random_hex(random, 8);
		snprintf(aside, sizeof(aside), ".rm-%s-%llu", random, (unsigned long long)r->moved++);
		if (renameat(dirfd, name, r->top, aside) < 0)
			return err_sys(errno, "removing %s: moving %s", r->what, name);
		r->more = true;
		return NULL;
	}
	TRY(remove_children(r, steal_fd(&fd), depth + 1));
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(errno, "removing %s: %s", r->what, name);
	return NULL;
}

static struct err *remove_entry(struct removal *r, int dirfd, const struct dirent *de, int depth)
{
	if (de->d_type != DT_DIR) {
		if (unlinkat(dirfd, de->d_name, 0) == 0 || errno == ENOENT)
			return NULL;
		if (errno != EISDIR && errno != EPERM)
			return err_sys(errno, "removing %s: %s", r->what, de->d_name);
		struct stat st;
		int sysno = errno;
		if (fstatat(dirfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			return err_sys(sysno, "removing %s: %s", r->what, de->d_name);
	}
	return remove_dir(r, dirfd, de->d_name, depth);
}

/* Takes fd. */
static struct err *remove_children(struct removal *r, int fd, int depth)
{
	DIR *d = fdopendir(fd);
	if (!d) {
		struct err *e = err_sys(errno, "removing %s", r->what);
		close(fd);
		return e;
	}
	struct err *e = NULL;
	while (!e) {
		errno = 0;
		struct dirent *de = readdir(d);
		if (!de) {
			if (errno)
				e = err_sys(errno, "removing %s", r->what);
			break;
		}
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			e = remove_entry(r, dirfd(d), de, depth);
	}
	closedir(d);
	return e;
}

static struct err *remove_all_children(struct removal *r)
{
	do {
		r->more = false;
		int fd = openat(r->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(errno, "removing %s", r->what);
		TRY(remove_children(r, fd, 1));
	} while (r->more);
	return NULL;
}

struct err *tree_remove(int dirfd, const char *path)
{
	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return NULL;
	int sysno = errno;
	struct stat st;
	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "removing %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_sys(sysno, "removing %s", path);
	AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES) {
		make_accessible(dirfd, path);
		fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "removing %s", path);
	if ((st.st_mode & 0700) != 0700 && fchmod(fd, 0700) < 0)
		errno = 0; /* unlinking in it says why */
	struct removal r = {.top = fd, .what = path};
	TRY(remove_all_children(&r));
	if (unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(errno, "removing %s", path);
	return NULL;
}
