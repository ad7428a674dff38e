/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel's own bound (ELOOP). */
#define MAX_LINKS 40
/* Somebody who renames all the time in the tree makes openat2 answer EAGAIN; give up some time. */
#define MAX_RETRIES 1000

static int open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	if (!*path)
		path = ".";
	long fd;
	int tries = 0;
	do
		fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && tries++ < MAX_RETRIES)));
	return (int)fd;
}

static struct err *root_error(int sysno, const char *path)
{
	struct err *e = err_sys(sysno, "opening %s", *path ? path : "/");
	if (sysno == ENOSYS)
		return err_hint(
			e, "cooper needs openat2(2): Linux 5.6 or newer, not blocked by a seccomp filter");
	return e;
}

struct err *root_open(int rootfd, const char *path, int flags, mode_t mode, int *out)
{
	int fd = open_in_root(rootfd, path, flags, mode);
	if (fd < 0)
		return root_error(errno, path);
	*out = fd;
	return NULL;
}

struct err *root_stat(int rootfd, const char *path, bool follow, struct stat *out)
{
	AUTO_FD int fd = -1;
	TRY(root_open(rootfd, path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0, &fd));
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(errno, "looking at %s", path);
	*out = st;
	return NULL;
}

/* The last component of the path of len bytes, trailing slashes and "." dropped; *before is what precedes it.
 */
static struct str last_component(const char *path, struct str *before)
{
	size_t end = strlen(path);
	for (;;) {
		while (end && path[end - 1] == '/')
			end--;
		size_t start = end;
		while (start && path[start - 1] != '/')
			start--;
		struct str name = str_n(path + start, end - start);
		if (str_eq_c(name, ".")) {
			end = start;
			continue;
		}
		*before = str_n(path, start);
		return name;
	}
}

struct err *root_open_parent(int rootfd, const char *path, int *dirfd, char **name)
{
	struct str before;
	AUTO_FREE char *real = NULL;
	struct str last = last_component(path, &before);
	if (str_eq_c(last, "..")) {
		TRY(root_real_path(rootfd, path, &real));
		last = last_component(real, &before);
	}
	if (!last.len)
		return err_new(ERR_INVALID, "%s is the root of the file system", *path ? path : "/");
	AUTO_FREE char *parent = mem_strndup(before.ptr, before.len);
	int fd;
	TRY(root_open(rootfd, parent, O_PATH | O_DIRECTORY, 0, &fd));
	*dirfd = fd;
	*name = mem_strndup(last.ptr, last.len);
	return NULL;
}

static struct err *read_link(int fd, const char *path, char out[PATH_MAX])
{
	ssize_t n = readlinkat(fd, "", out, PATH_MAX);
	if (n < 0)
		return err_sys(errno, "reading the link %s", path);
	if (n == PATH_MAX)
		return err_new(ERR_INVALID, "%s: its target is too long", path);
	out[n] = '\0';
	return NULL;
}

static struct err *set_mtime(int fd, int64_t mtime, const char *path)
{
	struct timespec t = timespec_of_ns(mtime);
	struct timespec times[2] = {t, t};
	if (futimens(fd, times) < 0)
		return err_sys(errno, "setting the times of %s", path);
	return NULL;
}

static struct err *in_the_way(const char *path)
{
	return err_new(ERR_INVALID, "making the directory %s: a file is in the way", path);
}

struct maker {
	int rootfd;
	const struct made_dir *how;
	int made; /* the directory made last: what is made in it changes its mtime again */
	int links;
};

static struct err *make_dirs(struct maker *m, const char *path);

static struct err *dress(struct maker *m, int dirfd, const char *name, const char *path)
{
	const struct made_dir *how = m->how;
	AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "opening the new directory %s", path);
	if ((how->uid != UINT32_MAX || how->gid != UINT32_MAX) && fchown(fd, how->uid, how->gid) < 0)
		return err_sys(errno, "setting the owner of %s", path);
	if (fchmod(fd, how->mode & 07777) < 0)
		return err_sys(errno, "setting the mode of %s", path);
	if (how->mtime != INT64_MIN) {
		TRY(set_mtime(fd, how->mtime, path));
		if (m->made >= 0)
			TRY(set_mtime(m->made, how->mtime, path));
	}
	fd_closep(&m->made);
	m->made = steal_fd(&fd);
	return NULL;
}

/* A link in the way that leads nowhere yet: what it names is made, as a shell would with mkdir -p "$(readlink
 * -m ...)". */
static struct err *make_link_target(struct maker *m, int dirfd, const char *name, const char *path)
{
	AUTO_FD int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "making the directory %s", path);
	if (!S_ISLNK(st.st_mode))
		return S_ISDIR(st.st_mode) ? NULL : in_the_way(path);
	if (++m->links > MAX_LINKS)
		return err_sys(ELOOP, "making the directory %s", path);
	char target[PATH_MAX];
	TRY(read_link(fd, path, target));
	if (path_is_abs(target))
		return make_dirs(m, target);
	struct str before;
	last_component(path, &before);
	AUTO_FREE char *full = mem_printf(STR_FMT "/%s", STR_ARG(before), target);
	return make_dirs(m, full);
}

static struct err *make_one(struct maker *m, const char *path)
{
	AUTO_FD int there = open_in_root(m->rootfd, path, O_PATH | O_DIRECTORY, 0);
	if (there >= 0)
		return NULL;
	if (errno != ENOENT)
		return errno == ENOTDIR ? in_the_way(path) : root_error(errno, path);
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	TRY(root_open_parent(m->rootfd, path, &dirfd, &name));
	if (mkdirat(dirfd, name, 0700) == 0)
		return dress(m, dirfd, name, path);
	if (errno == EEXIST)
		return make_link_target(m, dirfd, name, path);
	return err_sys(errno, "making the directory %s", path);
}

static struct err *make_dirs(struct maker *m, const char *path)
{
	AUTO_FREE char *part = mem_strdup(path);
	for (char *p = part; *p;) {
		p += strspn(p, "/");
		if (!*p)
			break;
		p += strcspn(p, "/");
		char saved = *p;
		*p = '\0';
		TRY(make_one(m, part));
		*p = saved;
	}
	return NULL;
}

struct err *root_make_dirs(int rootfd, const char *path, const struct made_dir *how, int *out)
{
	AUTO_FD int fd = open_in_root(rootfd, path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0) {
		if (errno != ENOENT)
			return errno == ENOTDIR ? in_the_way(path) : root_error(errno, path);
		struct maker m = {.rootfd = rootfd, .how = how, .made = -1};
		struct err *e = make_dirs(&m, path);
		fd_closep(&m.made);
		TRY(e);
		TRY(root_open(rootfd, path, O_PATH | O_DIRECTORY, 0, &fd));
	}
	if (out)
		*out = steal_fd(&fd);
	return NULL;
}

static void join(struct buf *b, const struct strvec *parts)
{
	buf_clear(b);
	for (size_t i = 0; i < parts->len; i++) {
		if (i)
			buf_addc(b, '/');
		buf_adds(b, parts->ptr[i]);
	}
}

/* One component onto done; a link's target goes in front of what is left. */
static struct err *step(int rootfd, struct strvec *done, struct str name, struct buf *left, int *links)
{
	AUTO_BUF struct buf path = {0};
	strvec_push_str(done, name);
	join(&path, done);
	AUTO_FD int fd = -1;
	TRY(root_open(rootfd, buf_cstr(&path), O_PATH | O_NOFOLLOW, 0, &fd));
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(errno, "looking at %s", buf_cstr(&path));
	if (!S_ISLNK(st.st_mode))
		return NULL;
	if (++*links > MAX_LINKS)
		return err_sys(ELOOP, "resolving %s", buf_cstr(&path));
	char target[PATH_MAX];
	TRY(read_link(fd, buf_cstr(&path), target));
	if (target[0] == '/')
		strvec_clear(done);
	else
		strvec_remove(done, done->len - 1);
	AUTO_BUF struct buf rest = {0};
	buf_addf(&rest, "%s/%s", target, buf_cstr(left));
	struct buf swap = *left;
	*left = rest;
	rest = swap;
	return NULL;
}

struct err *root_real_path(int rootfd, const char *path, char **out)
{
	AUTO_STRVEC struct strvec done = {0};
	AUTO_BUF struct buf left = {0};
	int links = 0;
	buf_adds(&left, path);
	while (left.len) {
		struct str rest = buf_str(&left), head;
		AUTO_FREE char *name = NULL;
		if (!str_split(&rest, '/', &head))
			break;
		name = mem_strndup(head.ptr, head.len);
		buf_consume(&left, rest.ptr ? left.len - rest.len : left.len);
		if (!*name || cstr_eq(name, "."))
			continue;
		if (!cstr_eq(name, ".."))
			TRY(step(rootfd, &done, str_c(name), &left, &links));
		else if (done.len)
			strvec_remove(&done, done.len - 1);
	}
	AUTO_BUF struct buf real = {0};
	join(&real, &done);
	*out = buf_steal(&real);
	return NULL;
}

struct err *root_read(int rootfd, const char *path, size_t max, struct buf *out, bool *found)
{
	AUTO_FD int fd = -1;
	struct stat st;
	struct err *e = root_open(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd);
	*found = !e;
	if (err_kind(e) == ERR_NOT_FOUND || err_sysno(e) == ENOTDIR) {
		err_ignore(e, "absence is an answer");
		return NULL;
	}
	TRY(e);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "%s is not a regular file", path);
	return fd_read_all(fd, max, path, out);
}
