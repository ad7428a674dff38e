/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/file_op.h"

#include "base/mem.h"
#include "base/path.h"
#include "exec/xattrs.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* As the kernel's own bound (ELOOP). */
#define MAX_LINKS 40

static struct err *owner_hint(struct err *e)
{
	return err_hint(e, "this user was granted no such id; run cooper doctor, or build as root");
}

static struct err *owner_error(int sysno, const char *dest, uint32_t uid, uint32_t gid)
{
	struct err *e = err_sys(sysno, "setting the owner of %s to %u:%u", dest, uid, gid);
	if (sysno == EINVAL || sysno == EPERM)
		return owner_hint(e);
	return e;
}

struct err *file_dress(int fd, uint32_t uid, uint32_t gid, uint32_t mode, int64_t mtime, const char *dest)
{
	struct timespec t = timespec_of_ns(mtime), times[2] = {t, t};
	if (fchown(fd, uid, gid) < 0)
		return owner_error(errno, dest, uid, gid);
	if (fchmod(fd, mode & 07777) < 0)
		return err_sys(errno, "setting the mode of %s", dest);
	if (futimens(fd, times) < 0)
		return err_sys(errno, "setting the times of %s", dest);
	return NULL;
}

struct err *file_clear_way(int dirfd, const char *name, const char *dest)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "looking at %s", dest);
	if (S_ISDIR(st.st_mode))
		return err_new(ERR_INVALID, "cannot replace the directory %s with a file", dest);
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_sys(errno, "replacing %s", dest);
	return NULL;
}

static struct err *clear_for(const struct file_target *ft, int dirfd, const char *name, const char *dest)
{
	return ft->replace ? tree_remove(dirfd, name) : file_clear_way(dirfd, name, dest);
}

struct err *file_make_parents(struct file_target *ft, const struct dressing *how, const char *path, int *fd)
{
	struct made_dir dir = {.mode = 0755, .uid = 0, .gid = 0, .mtime = ft->epoch};
	if (how && !how->keep_owner) {
		dir.uid = how->uid;
		dir.gid = how->gid;
	}
	/* As upstream: numbers are for all that is made, clauses for what is copied. */
	if (how && how->has_mode && how->mode.octal)
		dir.mode = mode_spec_apply(&how->mode, dir.mode, true);
	struct err *e = root_make_dirs(ft->rootfd, path, &dir, fd);
	int sysno = err_sysno(e);
	if (sysno == EINVAL || sysno == EPERM)
		return owner_hint(e);
	return e;
}

/* One thing being copied: where from, where to. */
struct put {
	struct file_target *ft;
	struct file_tree *t;
	const struct dressing *how;
	const struct file_entry *e;
	int dirfd;
	const char *name;
	const char *dest; /* for messages */
	uint32_t uid, gid, mode;
	int64_t mtime;
};

static void look_of(struct put *p)
{
	const struct dressing *how = p->how;
	p->uid = how->keep_owner ? p->e->uid : how->uid;
	p->gid = how->keep_owner ? p->e->gid : how->gid;
	p->mode = p->e->mode & 07777;
	if (how->has_mode && !S_ISLNK(p->e->mode))
		p->mode = mode_spec_apply(&how->mode, p->mode, S_ISDIR(p->e->mode));
	p->mtime = how->keep_mtime ? p->e->key.mtime : p->ft->epoch;
}

static struct err *put_file(struct put *p)
{
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	TRY(file_tree_open(p->t, p->e, &in));
	out = openat(p->dirfd, p->name, flags, 0600);
	if (out < 0 && errno == EEXIST) {
		TRY(clear_for(p->ft, p->dirfd, p->name, p->dest));
		out = openat(p->dirfd, p->name, flags, 0600);
	}
	if (out < 0)
		return err_sys(errno, "writing %s", p->dest);
	TRY(fd_copy(in, out, p->e->key.size, p->dest));
	TRY(file_tree_still_same(p->t, p->e, in));
	if (fchown(out, p->uid, p->gid) < 0)
		return owner_error(errno, p->dest, p->uid, p->gid);
	TRY(xattrs_copy(in, out));
	return file_dress(out, p->uid, p->gid, p->mode, p->mtime, p->dest);
}

static struct err *dress_by_name(struct put *p)
{
	struct timespec t = timespec_of_ns(p->mtime), times[2] = {t, t};
	if (fchownat(p->dirfd, p->name, p->uid, p->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return owner_error(errno, p->dest, p->uid, p->gid);
	if (!S_ISLNK(p->e->mode) && fchmodat(p->dirfd, p->name, p->mode, 0) < 0)
		return err_sys(errno, "setting the mode of %s", p->dest);
	if (utimensat(p->dirfd, p->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "setting the times of %s", p->dest);
	return NULL;
}

static struct err *put_link(struct put *p)
{
	if (symlinkat(p->e->link, p->dirfd, p->name) < 0) {
		if (errno != EEXIST)
			return err_sys(errno, "making the link %s", p->dest);
		TRY(clear_for(p->ft, p->dirfd, p->name, p->dest));
		if (symlinkat(p->e->link, p->dirfd, p->name) < 0)
			return err_sys(errno, "making the link %s", p->dest);
	}
	return dress_by_name(p);
}

/* Devices, pipes; a socket becomes an empty file, as nobody listens at a copy of one. */
static struct err *put_special(struct put *p)
{
	mode_t type = S_ISSOCK(p->e->mode) ? S_IFREG : p->e->mode & S_IFMT;
	dev_t dev = S_ISCHR(p->e->mode) || S_ISBLK(p->e->mode) ? p->e->rdev : 0;
	if (S_ISCHR(type) && dev == 0)
		return err_new(ERR_INVALID,
			"%s: the character device 0:0 stands for a deletion and cannot be copied", p->dest);
	TRY(clear_for(p->ft, p->dirfd, p->name, p->dest));
	if (mknodat(p->dirfd, p->name, type | 0600, dev) < 0) {
		struct err *e = err_sys(errno, "making the special file %s", p->dest);
		return err_hint(e, "devices can only be copied by root");
	}
	return dress_by_name(p);
}

struct err *file_check_name(const char *name, const char *dest)
{
	if (strncmp(name, ".wh.", 4) != 0)
		return NULL;
	return err_hint(err_new(ERR_INVALID,
				"%s: names that begin with \".wh.\" mean deletions in image layers", dest),
		"rename it, or leave it out with the ignore file");
}

static struct err *put_thing(struct put *p)
{
	TRY(cancel_check(p->ft->cancel));
	TRY(file_check_name(p->name, p->dest));
	p->ft->files++;
	look_of(p);
	if (S_ISREG(p->e->mode))
		return put_file(p);
	if (S_ISLNK(p->e->mode))
		return put_link(p);
	return put_special(p);
}

/* ---- directories ---- */

struct putting {
	struct file_target *ft;
	struct file_tree *t;
	const struct dressing *how;
	const struct vec *picks;
	int top;      /* directory that picks go below */
	int at;       /* the directory of the entry at hand */
	char *at_rel; /* its path below top */
};

static void putting_fini(struct putting *g)
{
	fd_closep(&g->at);
	free(g->at_rel);
}

/* Make g->at the directory that holds rel. Picks come parents first, so it is there. */
static struct err *enter_parent(struct putting *g, const char *rel)
{
	size_t len = (size_t)(path_base(rel) - rel);
	while (len && rel[len - 1] == '/')
		len--;
	if (g->at >= 0 && strlen(g->at_rel) == len && memcmp(g->at_rel, rel, len) == 0)
		return NULL;
	free(g->at_rel);
	g->at_rel = mem_strndup(rel, len);
	fd_closep(&g->at);
	return root_open(g->top, g->at_rel, O_PATH | O_DIRECTORY, 0, &g->at);
}

static struct err *open_put_dir(struct putting *g, const char *name, const char *rel, int *fd, bool *made)
{
	*made = mkdirat(g->at, name, 0700) == 0;
	if (!*made && errno != EEXIST)
		return err_sys(errno, "making the directory %s", rel);
	/* What is in the way may be a link to a directory: that one is meant, if it lies inside the root. */
	struct err *e = root_open(g->top, rel, O_RDONLY | O_DIRECTORY, 0, fd);
	int sysno = err_sysno(e);
	if (sysno == ENOTDIR || sysno == ENOENT || sysno == ELOOP) {
		err_free(e);
		if (g->ft->replace && !*made) {
			TRY(tree_remove(g->at, name));
			return open_put_dir(g, name, rel, fd, made);
		}
		return err_new(ERR_INVALID, "cannot copy a directory onto the file %s", rel);
	}
	return e;
}

static struct err *put_dir(struct putting *g, const struct picked *k)
{
	AUTO_FD int fd = -1;
	AUTO_FD int in = -1;
	bool made;
	struct put p = {.ft = g->ft, .t = g->t, .how = g->how, .e = k->entry};
	look_of(&p);
	TRY(file_check_name(k->entry->name, k->rel));
	TRY(open_put_dir(g, k->entry->name, k->rel, &fd, &made));
	if (fchown(fd, p.uid, p.gid) < 0)
		return owner_error(errno, k->rel, p.uid, p.gid);
	if (k->entry->has_content) {
		TRY(file_tree_open(g->t, k->entry, &in));
		TRY(xattrs_copy(in, fd));
	}
	/* Not yet the real mode: what comes below has to be made first, and a mode without w or x is in a
	 * rootless user's way. */
	if (fchmod(fd, p.mode | 0700) < 0)
		return err_sys(errno, "setting the mode of %s", k->rel);
	return NULL;
}

/* Once all is made: modes and times of the directories, the deepest first. */
static struct err *finish_dirs(struct putting *g)
{
	const struct picked *k = g->picks->ptr;
	for (size_t i = g->picks->len; i-- > 1;) {
		if (!S_ISDIR(k[i].entry->mode))
			continue;
		AUTO_FD int fd = -1;
		struct put p = {.ft = g->ft, .t = g->t, .how = g->how, .e = k[i].entry};
		look_of(&p);
		TRY(root_open(g->top, k[i].rel, O_RDONLY | O_DIRECTORY, 0, &fd));
		struct timespec t = timespec_of_ns(p.mtime), times[2] = {t, t};
		if (((p.mode & 0700) != 0700 || (p.mode & 06000)) && fchmod(fd, p.mode) < 0)
			return err_sys(errno, "setting the mode of %s", k[i].rel);
		if (futimens(fd, times) < 0)
			return err_sys(errno, "setting the times of %s", k[i].rel);
	}
	return NULL;
}

static struct err *put_hardlink(struct putting *g, const struct picked *k)
{
	const struct picked *first = (const struct picked *)g->picks->ptr + (k->hardlink - 1);
	AUTO_FD int dir = -1;
	AUTO_FREE char *name = NULL;
	TRY(root_open_parent(g->top, first->rel, &dir, &name));
	TRY(clear_for(g->ft, g->at, k->entry->name, k->rel));
	if (linkat(dir, name, g->at, k->entry->name, 0) < 0)
		return err_sys(errno, "linking %s to %s", k->rel, first->rel);
	return NULL;
}

struct err *file_put_picks(struct file_target *ft, struct file_tree *t, const struct dressing *how,
	const struct vec *picks, int dirfd)
{
	AUTO(putting_fini)
	struct putting g = {.ft = ft, .t = t, .how = how, .picks = picks, .top = dirfd, .at = -1};
	const struct picked *k = picks->ptr;
	for (size_t i = 1; i < picks->len; i++) {
		TRY(enter_parent(&g, k[i].rel));
		if (S_ISDIR(k[i].entry->mode)) {
			TRY(put_dir(&g, &k[i]));
			continue;
		}
		if (k[i].hardlink) {
			TRY(put_hardlink(&g, &k[i]));
			continue;
		}
		struct put p = {
			.ft = ft,
			.t = t,
			.how = how,
			.e = k[i].entry,
			.dirfd = g.at,
			.name = k[i].entry->name,
			.dest = k[i].rel,
		};
		TRY(put_thing(&p));
	}
	return finish_dirs(&g);
}

/* ---- one source ---- */

static struct err *is_dir_in_root(int rootfd, const char *path, bool *out)
{
	struct stat st;
	struct err *e = root_stat(rootfd, path, true, &st);
	enum err_kind kind = err_kind(e);
	if (kind == ERR_NOT_FOUND || err_sysno(e) == ENOTDIR) {
		err_ignore(e, "then it is made");
		*out = false;
		return NULL;
	}
	TRY(e);
	*out = S_ISDIR(st.st_mode);
	return NULL;
}

/* The directory that a directory's contents go to; an existing one is left as it is. */
static struct err *open_top(struct file_target *ft, const struct dressing *how, const struct copy_match *m,
	const char *path, int *fd)
{
	struct stat st;
	bool there;
	TRY(is_dir_in_root(ft->rootfd, path, &there));
	struct err *e = there ? NULL : root_stat(ft->rootfd, path, true, &st);
	if (!there && !e)
		return err_new(
			ERR_INVALID, "cannot copy the directory \"/%s\" onto the file %s", m->path, path);
	err_ignore(e, "it is not there yet");
	e = file_make_parents(ft, how, path, fd);
	if (e || there)
		return e;
	AUTO_FD int dir = -1;
	TRY(root_open(ft->rootfd, path, O_RDONLY | O_DIRECTORY, 0, &dir));
	struct put p = {.ft = ft, .how = how, .e = m->entry};
	look_of(&p);
	uint32_t mode = how->has_mode ? mode_spec_apply(&how->mode, 0755, true) : 0755;
	return file_dress(dir, p.uid, p.gid, mode, p.mtime, path);
}

static struct err *set_top_mtime(const struct dressing *how, const struct copy_match *m, int fd)
{
	if (!how->keep_mtime)
		return NULL;
	AUTO_FD int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct timespec t = timespec_of_ns(m->entry->key.mtime), times[2] = {t, t};
	if (dir < 0 || futimens(dir, times) < 0)
		return err_sys(errno, "setting the times of the copy of %s", m->path);
	return NULL;
}

static struct err *dress_top(
	struct file_target *ft, const struct dressing *how, const struct copy_match *m, const char *path)
{
	struct put p = {.ft = ft, .how = how, .e = m->entry};
	AUTO_FD int fd = -1;
	TRY(root_open(ft->rootfd, path, O_RDONLY | O_DIRECTORY, 0, &fd));
	look_of(&p);
	return file_dress(fd, p.uid, p.gid, p.mode, p.mtime, path);
}

static struct err *put_dir_match(struct file_target *ft, struct file_tree *t, const struct file_action *a,
	const struct dressing *how, const struct copy_match *m, const char *dest)
{
	AUTO_FREE char *path = mem_strdup(dest);
	AUTO_FD int fd = -1;
	bool there;
	TRY(is_dir_in_root(ft->rootfd, dest, &there));
	if (!a->dir_contents && (a->dest_is_dir || there) && *m->name) {
		free(path);
		path = path_join(dest, m->name);
		TRY(is_dir_in_root(ft->rootfd, path, &there));
	}
	TRY(open_top(ft, how, m, path, &fd));
	TRY(file_put_picks(ft, t, how, &m->picks, fd));
	if (a->dress_top)
		return dress_top(ft, how, m, path);
	return there ? NULL : set_top_mtime(how, m, fd);
}

/* The path that links at dest lead to in the end, inside the root; nothing need be there. Caller frees. */
static struct err *follow_dest(int rootfd, const char *dest, char **out)
{
	AUTO_FREE char *path = mem_strdup(dest);
	for (int links = 0; links < MAX_LINKS; links++) {
		AUTO_FD int dirfd = -1;
		AUTO_FREE char *name = NULL;
		AUTO_FREE char *before = NULL;
		char target[PATH_MAX];
		struct err *e = root_open_parent(rootfd, path, &dirfd, &name);
		ssize_t n = e ? -1 : readlinkat(dirfd, name, target, sizeof(target));
		if (e)
			err_ignore(e, "no link then; whoever writes there reports what is wrong with it");
		if (n < 0) {
			*out = steal(&path);
			return NULL;
		}
		if (n == (ssize_t)sizeof(target))
			return err_sys(ENAMETOOLONG, "reading the link %s", path);
		while (n > 1 && target[n - 1] == '/')
			n--;
		before = mem_strndup(path, target[0] == '/' ? 0 : (size_t)(path_base(path) - path));
		free(path);
		path = mem_printf("%s%.*s", before, (int)n, target);
	}
	return err_sys(ELOOP, "following the link %s", dest);
}

static struct err *put_file_match(struct file_target *ft, struct file_tree *t, const struct file_action *a,
	const struct dressing *how, const struct copy_match *m, const char *dest)
{
	bool into = a->dest_is_dir || m->kept;
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *path = NULL;
	if (!m->picks.len)
		return NULL;
	if (!into)
		TRY(is_dir_in_root(ft->rootfd, dest, &into));
	if (into) {
		TRY(file_make_parents(ft, how, dest, &dirfd));
		name = mem_strdup(m->name);
		path = path_join(dest, m->name);
	} else {
		TRY(follow_dest(ft->rootfd, dest, &path));
		/* Not cleaned: ".." after a link means that link's parent. */
		AUTO_FREE char *dir = mem_strndup(path, (size_t)(path_base(path) - path));
		TRY(file_make_parents(ft, how, dir, &dirfd));
		name = mem_strdup(path_base(path));
	}
	struct put p = {
		.ft = ft, .t = t, .how = how, .e = m->entry, .dirfd = dirfd, .name = name, .dest = path};
	return put_thing(&p);
}

struct err *file_put_match(struct file_target *ft, struct file_tree *t, const struct file_action *a,
	const struct dressing *how, const struct copy_match *m)
{
	AUTO_FREE char *dest = m->kept ? path_join(a->dest, m->kept) : mem_strdup(a->dest);
	if (!S_ISDIR(m->entry->mode))
		return put_file_match(ft, t, a, how, m, dest);
	if (!m->kept)
		return put_dir_match(ft, t, a, how, m, dest);
	/* With parents a directory keeps its own name too. */
	AUTO_FREE char *own = path_join(dest, m->name);
	struct file_action contents = *a;
	contents.dir_contents = true;
	return put_dir_match(ft, t, &contents, how, m, own);
}
