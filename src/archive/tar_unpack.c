/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tree_marks_internal.h"
#include "archive/unpack_internal.h"
#include "base/mem.h"
#include "sys/file.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define IMPLIED_DIR_MODE 0755

void unpack_forget_parent(struct unpack *u)
{
	mem_freep(&u->parent_path);
	/* The descriptor may be in use for the entry at hand: it is closed when the next parent is opened. */
}

/*
 * The stored name as a clean path relative to the root, without its first strip components; *gone if those
 * were all. Names that climb above the root are refused, not clipped.
 */
static struct err *clean(const char *stored, const char *text, int strip, struct buf *out, bool *gone)
{
	struct str rest = str_c(stored), part;
	buf_clear(out);
	while (str_split(&rest, '/', &part)) {
		if (part.len == 0 || str_eq_c(part, "."))
			continue;
		if (!str_eq_c(part, "..")) {
			if (out->len > 0)
				buf_addc(out, '/');
			buf_addstr(out, part);
			continue;
		}
		if (out->len == 0)
			return err_new(ERR_INVALID, "tar entry '%s': leads out of the archive's root", text);
		ptrdiff_t cut = str_rindex(buf_str(out), '/');
		buf_truncate(out, cut < 0 ? 0 : (size_t)cut);
	}
	*gone = false;
	for (; strip > 0 && !*gone; strip--) {
		ptrdiff_t cut = str_index(buf_str(out), '/');
		*gone = cut < 0;
		buf_consume(out, cut < 0 ? out->len : (size_t)cut + 1);
	}
	return NULL;
}

static struct wanted implied_dir(const struct unpack *u, const char *path)
{
	struct wanted w = {.path = path, .type = S_IFDIR, .mode = IMPLIED_DIR_MODE};
	tar_name_text(path, w.text);
	w.uid = u->opt->uid ? *u->opt->uid : 0;
	w.gid = u->opt->gid ? *u->opt->gid : 0;
	return w;
}

static struct err *make_missing(struct unpack *u, const char *path)
{
	struct wanted w = implied_dir(u, path);
	bool squash = u->opt->squash_owners;
	struct made_dir how = {
		IMPLIED_DIR_MODE, squash ? UINT32_MAX : w.uid, squash ? UINT32_MAX : w.gid, INT64_MIN};
	struct stat st;
	AUTO_FD int fd = -1;
	TRY(root_make_dirs(u->rootfd, path, &how, &fd));
	if (fstat(fd, &st) < 0)
		return err_sys(errno, "looking at %s", w.text);
	struct dir_note *n = vec_push(&u->dirs);
	*n = (struct dir_note){
		.path = mem_strdup(path), .seq = u->dirs.len, .dev = st.st_dev, .ino = st.st_ino};
	return NULL;
}

static struct err *replace_whiteout(struct unpack *u, const char *path)
{
	struct wanted w = implied_dir(u, path);
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	TRY(root_open_parent(u->rootfd, path, &dirfd, &name));
	w.dirfd = dirfd;
	w.name = name;
	return unpack_dir(u, &w);
}

/* The directories on the way to path that the archive has not named, one by one so that each gets its time.
 */
static struct err *make_parents(struct unpack *u, const char *path)
{
	AUTO_FREE char *part = mem_strdup(path);
	for (char *p = part;; p++) {
		char was = *p;
		if (was && was != '/')
			continue;
		*p = 0;
		struct stat st;
		struct err *e = root_stat(u->rootfd, part, true, &st);
		if (err_kind(e) == ERR_NOT_FOUND) {
			err_ignore(e, "it is made now");
			TRY(make_missing(u, part));
		} else if (e) {
			return e;
		} else if (u->opt->layer && mark_is_whiteout(&st)) {
			TRY(replace_whiteout(u, part));
		} else if (!S_ISDIR(st.st_mode)) {
			char text[TAR_NAME_TEXT_MAX];
			return err_new(ERR_INVALID, "'%s' is no directory", tar_name_text(part, text));
		}
		if (!was)
			return NULL;
		*p = was;
	}
}

static struct err *open_parent(struct unpack *u, const char *path, size_t len, int *out)
{
	AUTO_FREE char *parent = mem_strndup(path, len);
	AUTO_FD int fd = -1;
	struct err *e = root_open(u->rootfd, parent, O_PATH | O_DIRECTORY, 0, &fd);
	if (e && len > 0) {
		struct err *why = make_parents(u, parent);
		if (why) {
			err_ignore(e, "the second attempt says it better");
			return why;
		}
		err_ignore(e, "the parents were made");
		e = root_open(u->rootfd, parent, O_PATH | O_DIRECTORY, 0, &fd);
	}
	TRY(e);
	fd_closep(&u->parent_fd);
	mem_freep(&u->parent_path);
	u->parent_fd = *out = steal_fd(&fd);
	u->parent_path = steal(&parent);
	return NULL;
}

/* Fill in dirfd and name. */
static struct err *find_place(struct unpack *u, struct wanted *w)
{
	const char *slash = strrchr(w->path, '/');
	size_t len = slash ? (size_t)(slash - w->path) : 0;
	w->name = slash ? slash + 1 : w->path;
	w->dirfd = u->parent_fd;
	if (u->parent_path && strlen(u->parent_path) == len && memcmp(u->parent_path, w->path, len) == 0)
		return NULL;
	struct err *e = open_parent(u, w->path, len, &w->dirfd);
	return e ? err_wrap(e, "tar entry '%s'", w->text) : NULL;
}

static struct err *link_to(struct unpack *u, struct wanted *w, const char *target)
{
	AUTO_BUF struct buf path = {0};
	bool gone = false;
	char text[TAR_NAME_TEXT_MAX];
	tar_name_text(target, text);
	struct err *e = clean(target, text, u->opt->strip, &path, &gone);
	if (e)
		return err_wrap(e, "tar entry '%s': its hard link's target", w->text);
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	if (gone || path.len == 0)
		return err_new(
			ERR_INVALID, "tar entry '%s': a hard link to '%s', which is no file", w->text, text);
	e = root_open_parent(u->rootfd, path.ptr, &dirfd, &name);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "said in our own words");
		return err_new(ERR_INVALID,
			"tar entry '%s': a hard link to '%s', which is not in the archive", w->text, text);
	}
	if (e)
		return err_wrap(e, "tar entry '%s': its hard link's target", w->text);
	return unpack_hardlink(u, w, target, dirfd, name);
}

static struct err *read_meta(const struct unpack *u, struct archive_entry *e, struct wanted *w)
{
	int64_t uid = u->opt->uid ? *u->opt->uid : archive_entry_uid(e);
	int64_t gid = u->opt->gid ? *u->opt->gid : archive_entry_gid(e);
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return err_new(ERR_INVALID,
			"tar entry '%s': its owner %" PRId64 ":%" PRId64 " is out of range", w->text, uid,
			gid);
	w->entry = e;
	w->type = archive_entry_hardlink(e) ? 0 : archive_entry_filetype(e);
	w->mode = archive_entry_perm(e) & 07777;
	w->uid = (uint32_t)uid;
	w->gid = (uint32_t)gid;
	w->size = (uint64_t)archive_entry_size(e);
	w->mtime = (struct timespec){archive_entry_mtime(e), archive_entry_mtime_nsec(e)};
	w->rdev = makedev(archive_entry_rdevmajor(e), archive_entry_rdevminor(e));
	uint64_t claim = u->opt->declared_size;
	if (claim && w->size > claim && archive_entry_sparse_count(e) == 0)
		return err_new(ERR_INVALID,
			"tar entry '%s': claims %" PRIu64 " bytes in an archive of %" PRIu64, w->text,
			w->size, claim);
	return NULL;
}

static struct err *make(struct unpack *u, struct wanted *w)
{
	const char *hardlink = archive_entry_hardlink(w->entry);
	if (*w->path == 0) {
		/* Of a layer it is the image's root; of other archives a place that was there before. */
		if (S_ISDIR(w->type))
			return u->opt->layer ? unpack_root(u, w) : NULL;
		return err_new(ERR_INVALID, "tar entry '%s': names the root, which is a directory", w->text);
	}
	TRY(find_place(u, w));
	if (hardlink)
		return link_to(u, w, hardlink);
	switch (w->type) {
	case S_IFREG:
		return unpack_file(u, w);
	case S_IFDIR:
		return unpack_dir(u, w);
	case S_IFLNK:
		return unpack_symlink(
			u, w, archive_entry_symlink(w->entry) ? archive_entry_symlink(w->entry) : "");
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		return unpack_node(u, w);
	default:
		return err_new(ERR_INVALID, "tar entry '%s': of an unknown type", w->text);
	}
}

static struct err *hostile_mark(const struct wanted *w)
{
	return err_new(ERR_INVALID, "tar entry '%s': not a valid mark of a deleted file", w->text);
}

/* Deals with names that begin with ".wh."; *done if this was one. */
static struct err *layer_marks(struct unpack *u, struct wanted *w, bool *done)
{
	const size_t prefix = strlen(MARK_WHITEOUT_PREFIX);
	struct str rest = str_c(w->path), part;
	const char *name = w->path;
	*done = true;
	while (str_split(&rest, '/', &part)) {
		bool last = rest.ptr == NULL;
		name = part.ptr;
		if (str_starts(part, MARK_AUFS_PREFIX) && !(last && str_eq_c(part, MARK_OPAQUE_NAME)))
			return NULL;
		if (!last && str_starts(part, MARK_WHITEOUT_PREFIX))
			return hostile_mark(w);
	}
	*done = strncmp(name, MARK_WHITEOUT_PREFIX, prefix) == 0;
	if (!*done)
		return NULL;
	const char *deleted = name + prefix;
	if (S_ISDIR(w->type) || !*deleted || strcmp(deleted, ".") == 0 || strcmp(deleted, "..") == 0)
		return hostile_mark(w);
	TRY(find_place(u, w));
	return strcmp(name, MARK_OPAQUE_NAME) == 0 ? unpack_opaque(w) : unpack_whiteout(u, w, deleted);
}

static struct err *unpack_entry(struct unpack *u, struct archive_entry *e)
{
	AUTO_BUF struct buf path = {0};
	struct wanted w = {.dirfd = -1};
	bool gone = false, done = false;
	const char *stored = archive_entry_pathname(e);
	tar_name_text(stored, w.text);
	TRY(cancel_check(u->opt->cancel));
	TRY(read_meta(u, e, &w));
	TRY(clean(stored, w.text, u->opt->strip, &path, &gone));
	u->result.entries++;
	if (gone)
		return NULL;
	w.path = buf_cstr(&path);
	if (u->opt->layer)
		TRY(layer_marks(u, &w, &done));
	return done ? NULL : make(u, &w);
}

/* Children before parents, so that a mode that locks us out comes last; of equal paths the later note wins.
 */
static int cmp_notes(const void *a, const void *b)
{
	const struct dir_note *x = a, *y = b;
	int c = strcmp(y->path, x->path);
	return c ? c : (x->seq > y->seq) - (x->seq < y->seq);
}

static struct err *dress(const struct unpack *u, const struct dir_note *n)
{
	struct stat st;
	char text[TAR_NAME_TEXT_MAX];
	AUTO_FD int fd = -1;
	struct err *e = root_open(u->rootfd, n->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd);
	if (e) {
		err_ignore(e, "a later entry replaced it");
		return NULL;
	}
	if (fstat(fd, &st) < 0 || st.st_ino != n->ino || st.st_dev != n->dev)
		return NULL;
	struct timespec times[2] = {n->mtime, n->mtime};
	if (futimens(fd, times) < 0)
		return err_sys(errno, "tar entry '%s': setting its time", tar_name_text(n->path, text));
	if (n->set_mode && fchmod(fd, n->mode) < 0)
		return err_sys(errno, "tar entry '%s': setting its mode", tar_name_text(n->path, text));
	return NULL;
}

static struct err *dress_dirs(struct unpack *u)
{
	vec_sort(&u->dirs, cmp_notes);
	for (size_t i = 0; i < u->dirs.len; i++)
		TRY(dress(u, vec_at(&u->dirs, i)));
	return NULL;
}

static void unpack_fini(struct unpack *u)
{
	for (size_t i = 0; i < u->dirs.len; i++)
		mem_freep(&((struct dir_note *)vec_at(&u->dirs, i))->path);
	vec_fini(&u->dirs);
	map_freep(&u->devices);
	mem_freep(&u->parent_path);
	fd_closep(&u->parent_fd);
	tar_reader_freep(&u->reader);
}

struct err *tar_read_tree(int rootfd, const struct tar_read_options *opt, byte_source *source, void *ctx,
	struct tar_read_result *out)
{
	static const struct tar_read_options plain;
	AUTO(unpack_fini)
	struct unpack u = {
		.rootfd = rootfd,
		.opt = opt ? opt : &plain,
		.parent_fd = -1,
		.dirs = VEC_OF(struct dir_note),
		.devices = map_new(free),
	};
	TRY(tar_reader_open(source, ctx, &u.opt->limits, &u.reader));
	for (;;) {
		struct archive_entry *e;
		TRY(tar_reader_next(u.reader, &e));
		if (!e)
			break;
		TRY(unpack_entry(&u, e));
	}
	/* Some tools write layers without an end marker; a layer is held against its digest by whoever reads
	 * it. */
	TRY(tar_reader_drain(u.reader, u.opt->layer));
	TRY(dress_dirs(&u));
	if (out)
		*out = u.result;
	return NULL;
}
