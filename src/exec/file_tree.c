/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/file_tree.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/path.h"
#include "exec/file_tree_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINKS 40

struct err *file_tree_new(int rootfd, const struct file_tree_options *opt, struct file_tree **out)
{
	AUTO(file_tree_freep) struct file_tree *t = mem_new(struct file_tree);
	struct stat st;
	t->rootfd = rootfd;
	t->opt = *opt;
	t->arena = arena_new();
	t->what = mem_strdup(opt->what ? opt->what : "the source");
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->hashing, NULL);
	TRY(ignore_new(opt->exclude, &t->exclude));
	if (opt->include)
		TRY(ignore_new(opt->include, &t->include));
	t->opt.exclude = t->opt.include = NULL;
	t->opt.what = t->what;
	if (fstat(rootfd, &st) < 0)
		return err_sys(errno, "reading %s", t->what);
	t->root = arena_alloc(t->arena, sizeof(*t->root));
	t->root->name = "";
	entry_from_stat(t, t->root, &st);
	t->root->exclude_state = arena_alloc(t->arena, ignore_state_size(t->exclude) + 1);
	t->root->include_state = arena_alloc(t->arena, ignore_state_size(t->include) + 1);
	*out = steal(&t);
	return NULL;
}

void file_tree_free(struct file_tree *t)
{
	if (!t)
		return;
	fd_closep(&t->rootfd);
	stat_cache_free(t->opt.cache);
	ignore_free(t->exclude);
	ignore_free(t->include);
	arena_free(t->arena);
	free(t->what);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->hashing);
	free(t);
}

void file_tree_freep(struct file_tree **t)
{
	file_tree_free(steal(t));
}

bool file_tree_is_live(const struct file_tree *t)
{
	return t->opt.live;
}

const char *file_tree_what(const struct file_tree *t)
{
	return t->what;
}

struct file_entry *file_tree_root(struct file_tree *t)
{
	return t->root;
}

struct err *file_tree_save(struct file_tree *t)
{
	return stat_cache_save(t->opt.cache);
}

static uint32_t git_mode(uint32_t mode)
{
	uint32_t type = mode & S_IFMT;
	if (S_ISLNK(mode))
		return type | 0777;
	return type | (S_ISDIR(mode) || (mode & 0100) ? 0755 : 0644);
}

void entry_from_stat(const struct file_tree *t, struct file_entry *e, const struct stat *st)
{
	e->mode = t->opt.git_modes ? git_mode(st->st_mode) : st->st_mode;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->nlink = st->st_nlink;
	e->rdev = st->st_rdev;
	e->key = (struct stat_key){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime = stat_mtime_ns(st),
		.ctime = stat_ctime_ns(st),
	};
}

void entry_append_path(struct buf *b, const struct file_entry *e)
{
	if (!e->parent)
		return;
	entry_append_path(b, e->parent);
	if (b->len)
		buf_addc(b, '/');
	buf_adds(b, e->name);
}

char *file_entry_path(const struct file_entry *e)
{
	AUTO_BUF struct buf b = {0};
	entry_append_path(&b, e);
	return buf_steal(&b);
}

struct err *entry_open(struct file_tree *t, const struct file_entry *e, int flags, const char *path, int *out)
{
	struct err *err = root_open(t->rootfd, path, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, out);
	if (!err)
		return NULL;
	const char *name = *path ? path : ".";
	int sysno = err_sysno(err);
	bool gone = sysno == ENOENT || sysno == ENOTDIR || sysno == ELOOP;
	if (gone && t->opt.live) {
		err_free(err);
		return err_hint(
			err_new(ERR_UNAVAILABLE, "%s: %s vanished while the build ran", t->what, name),
			"leave the directory alone while it is built");
	}
	if (sysno == EACCES || sysno == EPERM) {
		err_free(err);
		err = err_new(ERR_DENIED, "%s: permission denied to read %s (mode %04o, owner %u)", t->what,
			name, e->mode & 07777, e->uid);
		return err_hint(err, "make it readable, or keep it out with a line in the ignore file");
	}
	return err_wrap(err, "%s", t->what);
}

static struct err *child_named(
	struct file_tree *t, struct file_entry *dir, struct str name, struct file_entry **out)
{
	struct file_entry *const *c;
	size_t lo = 0, hi;
	*out = NULL;
	if (!S_ISDIR(dir->mode))
		return NULL;
	TRY(file_tree_children(t, dir, &c, &hi));
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int order = str_cmp(str_c(c[mid]->name), name);
		if (order == 0) {
			*out = c[mid];
			return NULL;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct err *file_tree_find(struct file_tree *t, const char *path, bool follow, struct file_entry **out)
{
	AUTO_BUF struct buf left = {0};
	struct file_entry *at = t->root;
	int links = 0;
	buf_adds(&left, path);
	*out = NULL;
	while (left.len) {
		struct str rest = buf_str(&left), head = {0};
		if (!str_split(&rest, '/', &head))
			break;
		AUTO_FREE char *name = mem_strndup(head.ptr, head.len);
		bool last = !rest.len;
		buf_consume(&left, left.len - rest.len);
		if (!*name || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			at = at->parent ? at->parent : at;
			continue;
		}
		struct file_entry *e;
		TRY(child_named(t, at, str_c(name), &e));
		if (!e)
			return NULL;
		if (!S_ISLNK(e->mode) || (last && !follow)) {
			at = e;
			continue;
		}
		if (++links > MAX_LINKS)
			return err_new(
				ERR_INVALID, "%s: %s: too many levels of symbolic links", t->what, path);
		AUTO_BUF struct buf next = {0};
		buf_addf(&next, "%s/%s", e->link, buf_cstr(&left));
		if (e->link[0] == '/')
			at = t->root;
		struct buf swap = left;
		left = next;
		next = swap;
	}
	*out = at;
	return NULL;
}

struct err *file_tree_explain(struct file_tree *t, const char *path, char **nearest, char **rule)
{
	AUTO_FREE char *part = path_rooted(path);
	const char *by = NULL;
	if (ignore_match(t->exclude, part, &by))
		*rule = mem_strdup(by);
	else
		*rule = NULL;
	while (*part) {
		struct file_entry *e;
		AUTO_FREE char *up = path_dir(part);
		TRY(file_tree_find(t, part, true, &e));
		if (e)
			break;
		free(part);
		part = cstr_eq(up, ".") ? mem_strdup("") : steal(&up);
	}
	*nearest = steal(&part);
	return NULL;
}

static bool same_file(const struct file_tree *t, const struct file_entry *e, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return false;
	struct file_entry now = {0};
	entry_from_stat(t, &now, &st);
	return now.mode == e->mode && memcmp(&now.key, &e->key, sizeof(now.key)) == 0;
}

struct err *file_tree_still_same(struct file_tree *t, const struct file_entry *e, int fd)
{
	if (!t->opt.live || S_ISDIR(e->mode) || same_file(t, e, fd))
		return NULL;
	AUTO_FREE char *path = file_entry_path(e);
	return err_hint(err_new(ERR_UNAVAILABLE, "%s: %s changed while the build ran", t->what, path),
		"build again; leave the directory alone meanwhile");
}

struct err *file_tree_open(struct file_tree *t, const struct file_entry *e, int *fd)
{
	AUTO_FREE char *path = file_entry_path(e);
	AUTO_FD int opened = -1;
	TRY(entry_open(t, e, O_RDONLY | (S_ISDIR(e->mode) ? O_DIRECTORY : 0), path, &opened));
	TRY(file_tree_still_same(t, e, opened));
	*fd = steal_fd(&opened);
	return NULL;
}
