/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar.h"

#include "archive/tar_header_internal.h"
#include "archive/tree_marks_internal.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OUT_SIZE (512u * 1024u)
/* Descriptors kept of the directories above; those further up are found again through "..". */
#define OPEN_LEVELS_MAX 64u
/* Below this a hole is not worth a system call. */
#define SPARSE_MIN (128u * 1024u)

struct level {
	int fd; /* -1: closed for now */
	dev_t dev;
	ino_t ino;
	struct strvec names;
	size_t next;
	size_t path_len; /* of the path of this directory, with its slash */
};

struct walk {
	const struct tar_write_options *opt;
	byte_sink *sink;
	void *ctx;
	uint8_t *out;
	size_t out_len;
	struct buf path;
	struct buf head;
	struct vec levels;
	struct map *links; /* dev and ino -> path written first */
};

static struct err *flush(struct walk *w)
{
	size_t n = w->out_len;
	w->out_len = 0;
	TRY(cancel_check(w->opt->cancel));
	return n ? w->sink(w->ctx, w->out, n) : NULL;
}

/* Room of at least one byte. */
static struct err *out_room(struct walk *w, uint8_t **p, size_t *room)
{
	if (w->out_len == OUT_SIZE)
		TRY(flush(w));
	*p = w->out + w->out_len;
	*room = OUT_SIZE - w->out_len;
	return NULL;
}

/* p NULL: zeros. */
static struct err *put(struct walk *w, const void *p, uint64_t len)
{
	for (const uint8_t *from = p; len > 0;) {
		uint8_t *to;
		size_t n;
		TRY(out_room(w, &to, &n));
		if (n > len)
			n = (size_t)len;
		if (from)
			memcpy(to, from, n);
		else
			memset(to, 0, n);
		from = from ? from + n : NULL;
		w->out_len += n;
		len -= n;
	}
	return NULL;
}

static struct err *put_header(struct walk *w, const struct tar_header *h)
{
	buf_clear(&w->head);
	TRY(tar_header_add(&w->head, h));
	return put(w, w->head.ptr, w->head.len);
}

static int64_t floor_seconds(int64_t ns)
{
	return ns / CLOCK_SECOND - (ns % CLOCK_SECOND < 0);
}

static int64_t mtime_of(const struct walk *w, const struct stat *st)
{
	if (w->opt->times_from && stat_mtime_ns(st) >= w->opt->times_from)
		return floor_seconds(w->opt->epoch);
	return st->st_mtim.tv_sec;
}

static struct tar_header header_of(const struct walk *w, enum tar_type type, const struct stat *st)
{
	return (struct tar_header){
		.type = type,
		.path = buf_cstr(&w->path),
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime = mtime_of(w, st),
	};
}

static struct err *changed(const struct walk *w)
{
	return err_new(ERR_UNAVAILABLE, "'%s' changed while it was being read", buf_cstr(&w->path));
}

static struct err *failed(const struct walk *w, const char *what)
{
	return err_sys(errno, "%s '%s'", what, buf_cstr(&w->path));
}

/* Attributes of one inode, with what they borrow from. */
struct attrs {
	struct buf names;
	struct vec list;   /* struct tar_xattr, sorted */
	struct vec values; /* struct buf, in the order found */
	bool opaque;
};

static void attrs_fini(struct attrs *a)
{
	for (size_t i = 0; i < a->values.len; i++)
		buf_fini(vec_at(&a->values, i));
	vec_fini(&a->values);
	vec_fini(&a->list);
	buf_fini(&a->names);
}

static int cmp_xattr(const void *a, const void *b)
{
	return strcmp(((const struct tar_xattr *)a)->name, ((const struct tar_xattr *)b)->name);
}

static struct err *read_attr(struct walk *w, int fd, const char *name, struct attrs *a)
{
	AUTO_BUF struct buf value = {0};
	struct err *e = xattr_get(fd, name, &value);
	if (e)
		return err_wrap(e, "'%s'", buf_cstr(&w->path));
	if (strcmp(name, MARK_OPAQUE_XATTR) == 0) {
		a->opaque = str_eq_c(buf_str(&value), MARK_OPAQUE_VALUE);
		return NULL;
	}
	if (strchr(name, '='))
		return err_new(ERR_INVALID,
			"'%s': the name of its extended attribute '%s' cannot stand in a tar",
			buf_cstr(&w->path), name);
	struct tar_xattr *x = vec_push(&a->list);
	x->name = name;
	x->value = buf_str(&value);
	vec_push_copy(&a->values, &value);
	value = (struct buf){0};
	return NULL;
}

static struct err *attrs_read(struct walk *w, int fd, struct attrs *a)
{
	*a = (struct attrs){.list = VEC_OF(struct tar_xattr), .values = VEC_OF(struct buf)};
	struct err *e = xattr_list(fd, &a->names);
	if (e)
		return err_wrap(e, "'%s'", buf_cstr(&w->path));
	for (size_t at = 0; at < a->names.len; at += strlen(a->names.ptr + at) + 1) {
		const char *name = a->names.ptr + at;
		if (mark_xattr_travels(name) || strcmp(name, MARK_OPAQUE_XATTR) == 0)
			TRY(read_attr(w, fd, name, a));
	}
	if (a->list.len > 1)
		vec_sort(&a->list, cmp_xattr);
	return NULL;
}

/* Exactly len bytes from offset at. */
static struct err *put_range(struct walk *w, int fd, off_t at, uint64_t len)
{
	while (len > 0) {
		uint8_t *to;
		size_t room;
		TRY(out_room(w, &to, &room));
		ssize_t n = pread(fd, to, room < len ? room : (size_t)len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(w, "reading");
		if (n == 0)
			return changed(w);
		w->out_len += (size_t)n;
		at += n;
		len -= (uint64_t)n;
	}
	return NULL;
}

static struct err *put_sparse(struct walk *w, int fd, off_t size)
{
	for (off_t at = 0; at < size;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return failed(w, "seeking in");
		if (data < 0 || data > size)
			data = size;
		TRY(put(w, NULL, (uint64_t)(data - at)));
		if (data == size)
			break;
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return failed(w, "seeking in");
		if (hole > size)
			hole = size;
		TRY(put_range(w, fd, data, (uint64_t)(hole - data)));
		at = hole;
	}
	return NULL;
}

static struct err *visit_file(struct walk *w, int dirfd, const char *name, const struct stat *st)
{
	AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return failed(w, "opening");
	AUTO(attrs_fini) struct attrs a = {0};
	TRY(attrs_read(w, fd, &a));
	struct tar_header h = header_of(w, TAR_FILE, st);
	h.size = (uint64_t)st->st_size;
	h.xattrs = a.list.ptr;
	h.n_xattrs = a.list.len;
	TRY(put_header(w, &h));
	bool sparse = st->st_size >= SPARSE_MIN && st->st_blocks < st->st_size / 512;
	TRY(sparse ? put_sparse(w, fd, st->st_size) : put_range(w, fd, 0, h.size));
	return put(w, NULL, (TAR_BLOCK - h.size % TAR_BLOCK) % TAR_BLOCK);
}

static struct err *visit_link(struct walk *w, int dirfd, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
	if (n < 0)
		return failed(w, "reading the link");
	if ((size_t)n == sizeof(target))
		return changed(w);
	target[n] = 0;
	struct tar_header h = header_of(w, TAR_SYMLINK, st);
	h.mode = 0777;
	h.link = target;
	return put_header(w, &h);
}

static struct err *visit_node(struct walk *w, enum tar_type type, const struct stat *st)
{
	struct tar_header h = header_of(w, type, st);
	if (type != TAR_FIFO) {
		h.dev_major = major(st->st_rdev);
		h.dev_minor = minor(st->st_rdev);
	}
	return put_header(w, &h);
}

/* A file of no bytes in the directory whose path is w->path up to dir_len. */
static struct err *put_mark(struct walk *w, size_t dir_len, const char *prefix, const char *name)
{
	AUTO_FREE char *path = mem_printf(STR_FMT "%s%s", (int)dir_len, buf_cstr(&w->path), prefix, name);
	return put_header(w, &(struct tar_header){.type = TAR_FILE, .path = path, .mode = 0600});
}

static void close_far_level(struct walk *w)
{
	if (w->levels.len <= OPEN_LEVELS_MAX)
		return;
	struct level *far = vec_at(&w->levels, w->levels.len - 1 - OPEN_LEVELS_MAX);
	fd_closep(&far->fd);
}

/* Takes fd. w->path is the directory's, with its slash (empty for the root). */
static struct err *enter(struct walk *w, int fd, const struct stat *st)
{
	struct level *l = vec_push(&w->levels);
	l->fd = fd;
	l->dev = st->st_dev;
	l->ino = st->st_ino;
	l->path_len = w->path.len;
	close_far_level(w);
	return dir_list(fd, ".", &l->names);
}

static struct err *visit_dir(struct walk *w, int dirfd, const char *name)
{
	AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(w, "opening");
	AUTO(attrs_fini) struct attrs a = {0};
	TRY(attrs_read(w, fd, &a));
	buf_addc(&w->path, '/');
	struct tar_header h = header_of(w, TAR_DIR, &st);
	h.xattrs = a.list.ptr;
	h.n_xattrs = a.list.len;
	TRY(put_header(w, &h));
	if (a.opaque)
		TRY(put_mark(w, w->path.len, MARK_OPAQUE_NAME, ""));
	return enter(w, steal_fd(&fd), &st);
}

/* Writes the entry and sets *done if this inode was met before; remembers it otherwise. */
static struct err *visit_again(struct walk *w, const struct stat *st, bool *done)
{
	struct {
		uint64_t dev, ino;
	} key = {st->st_dev, st->st_ino};
	struct str k = str_n((const char *)&key, sizeof(key));
	const char *first = map_get(w->links, k);
	*done = first != NULL;
	if (!first) {
		map_set(w->links, k, mem_strdup(buf_cstr(&w->path)));
		return NULL;
	}
	struct tar_header h = header_of(w, TAR_HARDLINK, st);
	h.link = first;
	return put_header(w, &h);
}

static struct err *visit(struct walk *w, int dirfd, const char *name)
{
	struct stat st;
	size_t dir_len = w->path.len;
	buf_adds(&w->path, name);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(w, "looking at");
	if (mark_is_whiteout(&st))
		return put_mark(w, dir_len, MARK_WHITEOUT_PREFIX, name);
	if (strncmp(name, MARK_WHITEOUT_PREFIX, strlen(MARK_WHITEOUT_PREFIX)) == 0)
		return err_hint(
			err_new(ERR_INVALID,
				"'%s': a layer cannot hold a name that begins with \"" MARK_WHITEOUT_PREFIX
				"\"",
				buf_cstr(&w->path)),
			"in layers such names say that a file was deleted: give it another name");
	if (S_ISDIR(st.st_mode))
		return visit_dir(w, dirfd, name);
	if (st.st_nlink > 1 && !S_ISSOCK(st.st_mode)) {
		bool done;
		TRY(visit_again(w, &st, &done));
		if (done)
			return NULL;
	}
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return visit_file(w, dirfd, name, &st);
	case S_IFLNK:
		return visit_link(w, dirfd, name, &st);
	case S_IFCHR:
		return visit_node(w, TAR_CHAR, &st);
	case S_IFBLK:
		return visit_node(w, TAR_BLOCK_DEV, &st);
	case S_IFIFO:
		return visit_node(w, TAR_FIFO, &st);
	default: /* sockets die with their process */
		return NULL;
	}
}

/* Close the innermost directory and make sure that the one above is open. */
static struct err *leave(struct walk *w)
{
	struct level *l = vec_at(&w->levels, w->levels.len - 1);
	struct level *up = w->levels.len > 1 ? l - 1 : NULL;
	struct err *e = NULL;
	if (up && up->fd < 0) {
		struct stat st;
		up->fd = openat(l->fd, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (up->fd < 0 || fstat(up->fd, &st) < 0)
			e = failed(w, "going up from");
		else if (st.st_ino != up->ino || st.st_dev != up->dev)
			e = changed(w);
	}
	fd_closep(&l->fd);
	strvec_fini(&l->names);
	w->levels.len--;
	return e;
}

static struct err *walk_all(struct walk *w)
{
	while (w->levels.len > 0) {
		struct level *l = vec_at(&w->levels, w->levels.len - 1);
		if (l->next == l->names.len) {
			TRY(leave(w));
			continue;
		}
		buf_truncate(&w->path, l->path_len);
		TRY(visit(w, l->fd, l->names.ptr[l->next++]));
	}
	return NULL;
}

static void walk_fini(struct walk *w)
{
	for (size_t i = 0; i < w->levels.len; i++) {
		struct level *l = vec_at(&w->levels, i);
		fd_closep(&l->fd);
		strvec_fini(&l->names);
	}
	vec_fini(&w->levels);
	map_freep(&w->links);
	buf_fini(&w->path);
	buf_fini(&w->head);
	mem_freep(&w->out);
}

struct err *tar_write_tree(int rootfd, const struct tar_write_options *opt, byte_sink *sink, void *ctx)
{
	static const struct tar_write_options plain;
	AUTO(walk_fini)
	struct walk w = {
		.opt = opt ? opt : &plain,
		.sink = sink,
		.ctx = ctx,
		.out = mem_alloc(OUT_SIZE),
		.levels = VEC_OF(struct level),
		.links = map_new(free),
	};
	struct stat st;
	AUTO_FD int fd = openat(rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "opening the tree");
	AUTO(attrs_fini) struct attrs a = {0};
	TRY(attrs_read(&w, fd, &a));
	if (a.opaque)
		TRY(put_mark(&w, 0, MARK_OPAQUE_NAME, ""));
	TRY(enter(&w, steal_fd(&fd), &st));
	TRY(walk_all(&w));
	TRY(put(&w, NULL, 2 * TAR_BLOCK));
	return flush(&w);
}
