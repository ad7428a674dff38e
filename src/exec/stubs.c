/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount points that an image lacks. They stand in lower directories of their own, so that nothing is made in
 * the upper one: what a step leaves behind is what its program wrote.
 */
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "exec/step_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40
#define DEPTH_MAX 512

struct run_cache {
	struct store *store;
	pthread_mutex_t lock;
	char *scratch;
	struct map *stubs; /* mtime and points -> char *path */
};

struct run_cache *run_cache_new(struct store *store)
{
	struct run_cache *c = mem_new(struct run_cache);
	c->store = store;
	pthread_mutex_init(&c->lock, NULL);
	c->stubs = map_new(free);
	return c;
}

void run_cache_free(struct run_cache *c)
{
	if (!c)
		return;
	map_free(c->stubs);
	pthread_mutex_destroy(&c->lock);
	mem_freep(&c->scratch);
	mem_freep(&c);
}

static struct err *set_mtime(int dirfd, const char *name, int64_t mtime)
{
	struct timespec times[2] = {timespec_of_ns(mtime), timespec_of_ns(mtime)};
	if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) < 0)
		return err_sys(errno, "setting the time of mount point %s", name);
	return NULL;
}

/* A directory of the image that is shown again by ours must not look different. */
static struct err *look_like(int fd, int like)
{
	struct stat st;
	if (fstat(like, &st) < 0)
		return err_sys(errno, "reading a directory of the image");
	if (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		return err_sys(errno, "making a mount point");
	AUTO_BUF struct buf names = {0};
	TRY(xattr_list(like, &names));
	for (size_t i = 0; i < names.len; i += strlen(names.ptr + i) + 1) {
		AUTO_BUF struct buf value = {0};
		struct err *e = xattr_get(like, names.ptr + i, &value);
		if (!e)
			e = xattr_set(fd, names.ptr + i, value.ptr, value.len);
		err_ignore(e, "labels of the machine's security module cannot be copied and need not be");
	}
	return set_mtime(fd, ".", stat_mtime_ns(&st));
}

/* rel: clean and relative. like: the merged root, or -1. Parents first; times are set from the inside out. */
static struct err *make_point(int root, const char *rel, bool dir, int like, int64_t mtime)
{
	AUTO_FREE char *path = mem_strdup(rel);
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	if (slash)
		TRY(make_point(root, path, true, like, mtime));
	if (slash)
		*slash = '/';
	struct stat st;
	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (dir && !S_ISDIR(st.st_mode))
			return err_new(
				ERR_INVALID, "mount point /%s is wanted as a file and as a directory", path);
	} else if (dir) {
		if (mkdirat(root, path, 0755) < 0)
			return err_sys(errno, "making mount point /%s", path);
	} else {
		AUTO_FD int fd = -1;
		TRY(file_open(root, path, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd));
		if (fchmod(fd, 0644) < 0)
			return err_sys(errno, "making mount point /%s", path);
		TRY(set_mtime(root, path, mtime));
	}
	AUTO_FD int parent = -1;
	if (!dir)
		return NULL;
	TRY(file_open(root, path, O_RDONLY | O_DIRECTORY, 0, &parent));
	AUTO_FD int twin = -1;
	struct err *e = like >= 0 ? root_open(like, path, O_RDONLY | O_DIRECTORY, 0, &twin) : NULL;
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "the image has no such directory");
		e = NULL;
	}
	TRY(e);
	if (twin >= 0)
		return look_like(parent, twin);
	if (fchmod(parent, 0755) < 0)
		return err_sys(errno, "making mount point /%s", path);
	return NULL;
}

/* Give the directories on the way to rel their times, now that nothing more is made in them. */
static struct err *settle_point(int root, const char *rel, int like, int64_t mtime)
{
	AUTO_FREE char *path = mem_strdup(rel);
	for (;;) {
		struct stat st, twin;
		if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
			struct err *e = like >= 0 ? root_stat(like, path, false, &twin) : NULL;
			bool alike = like >= 0 && !e;
			err_ignore(e, "the image has no such directory");
			TRY(set_mtime(root, path, alike ? stat_mtime_ns(&twin) : mtime));
		}
		char *slash = strrchr(path, '/');
		if (!slash)
			return NULL;
		*slash = 0;
	}
}

static bool point_is_dir(const char *point)
{
	return cstr_ends(point, "/");
}

static struct err *make_points(const char *dir, int like, const char *const *points, int64_t mtime)
{
	AUTO_FD int root = -1;
	TRY(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &root));
	if (fchmod(root, 0755) < 0)
		return err_sys(errno, "making %s", dir);
	for (size_t i = 0; points[i]; i++) {
		AUTO_FREE char *rel = path_rooted(points[i]);
		if (*rel)
			TRY(make_point(root, rel, point_is_dir(points[i]), like, mtime));
	}
	for (size_t i = 0; points[i]; i++) {
		AUTO_FREE char *rel = path_rooted(points[i]);
		if (*rel)
			TRY(settle_point(root, rel, like, mtime));
	}
	struct stat st;
	if (like >= 0 && fstat(like, &st) == 0)
		mtime = stat_mtime_ns(&st);
	return set_mtime(root, ".", mtime);
}

struct err *stubs_make_like(const char *dir, int rootfd, const char *const *points, int64_t mtime)
{
	return make_points(dir, rootfd, points, mtime);
}

static struct err *make_cached(struct run_cache *c, const char *const *points, int64_t mtime, char **out)
{
	if (!c->scratch)
		TRY(store_scratch(c->store, &c->scratch));
	AUTO_FREE char *path = mem_printf("%s/stubs-%zu", c->scratch, map_len(c->stubs));
	if (mkdir(path, 0755) < 0)
		return err_sys(errno, "making %s", path);
	TRY(make_points(path, -1, points, mtime));
	*out = steal(&path);
	return NULL;
}

static void unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

struct err *stubs_get(struct run_cache *c, const char *const *points, int64_t mtime, char **path)
{
	AUTO_BUF struct buf key = {0};
	buf_addf(&key, "%lld", (long long)mtime);
	for (size_t i = 0; points[i]; i++)
		buf_addf(&key, "%c%s", '\n', points[i]);
	pthread_mutex_t *held AUTO(unlock) = &c->lock;
	pthread_mutex_lock(held);
	char *found = map_get(c->stubs, buf_str(&key));
	if (!found) {
		TRY(make_cached(c, points, mtime, &found));
		map_set(c->stubs, buf_str(&key), found);
	}
	*path = mem_strdup(found);
	return NULL;
}

/* ---- what is missing ---- */

/* Read the link at path below root into text; false when it is no link. */
static struct err *read_link(int root, const char *path, char text[PATH_MAX], bool *absent, bool *link)
{
	*absent = *link = false;
	AUTO_FD int fd = -1;
	struct err *e = root_open(root, path, O_PATH | O_NOFOLLOW, 0, &fd);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "asked for");
		*absent = true;
		return NULL;
	}
	TRY(e);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(errno, "reading /%s", path);
	if (!S_ISLNK(st.st_mode))
		return NULL;
	ssize_t n = readlinkat(fd, "", text, PATH_MAX - 1);
	if (n < 0)
		return err_sys(errno, "reading /%s", path);
	text[n] = 0;
	*link = true;
	return NULL;
}

static void push_parts(struct strvec *todo, const char *path)
{
	AUTO_STRVEC struct strvec parts = {0};
	struct str rest = str_c(path), part;
	while (str_split(&rest, '/', &part)) {
		if (part.len && !str_eq_c(part, "."))
			strvec_push_str(&parts, part);
	}
	for (size_t i = parts.len; i-- > 0;)
		strvec_push(todo, parts.ptr[i]);
}

/* Where a path leads that does not lead anywhere yet: links followed inside the root, what is absent taken as
 * text. */
static struct err *resolve_absent(int root, const char *point, char **out)
{
	AUTO_STRVEC struct strvec todo = {0};
	push_parts(&todo, point);
	AUTO_FREE char *at = mem_strdup("");
	unsigned links = 0, steps = 0;
	while (todo.len) {
		AUTO_FREE char *part = mem_strdup(todo.ptr[todo.len - 1]);
		strvec_remove(&todo, todo.len - 1);
		if (++steps > DEPTH_MAX)
			return err_new(ERR_INVALID, "mount point %s is too deep", point);
		AUTO_FREE char *joined = mem_printf("/%s/%s", at, part);
		AUTO_FREE char *next = path_rooted(joined);
		char text[PATH_MAX];
		bool absent = false, link = false;
		if (*next && strcmp(part, "..") != 0)
			TRY(read_link(root, next, text, &absent, &link));
		if (!link) {
			mem_freep(&at);
			at = steal(&next);
			continue;
		}
		if (++links > LINKS_MAX)
			return err_new(ERR_INVALID, "mount point %s leads through too many links", point);
		push_parts(&todo, text);
		if (text[0] == '/') {
			mem_freep(&at);
			at = mem_strdup("");
		}
	}
	*out = steal(&at);
	return NULL;
}

static struct err *check_point(int root, const char *point, bool *missing)
{
	AUTO_FREE char *rel = path_rooted(point);
	struct stat st;
	struct err *e = *rel ? root_stat(root, rel, true, &st) : NULL;
	*missing = err_kind(e) == ERR_NOT_FOUND;
	if (*missing)
		err_ignore(e, "asked for");
	if (!e && *rel && S_ISDIR(st.st_mode) != point_is_dir(point))
		return err_new(ERR_INVALID, "a %s is to be mounted on /%s, which is a %s in this image",
			point_is_dir(point) ? "directory" : "file", rel,
			point_is_dir(point) ? "file" : "directory");
	return *missing ? NULL : e;
}

struct err *stubs_missing(int rootfd, const char *const *points, struct strvec *out)
{
	for (size_t i = 0; points[i]; i++) {
		bool missing = false;
		struct err *e = check_point(rootfd, points[i], &missing);
		if (e)
			return err_wrap(e, "finding mount point %s", points[i]);
		if (!missing)
			continue;
		AUTO_FREE char *real = NULL;
		TRY(resolve_absent(rootfd, points[i], &real));
		strvec_pushf(out, "%s%s", real, point_is_dir(points[i]) ? "/" : "");
	}
	return NULL;
}
