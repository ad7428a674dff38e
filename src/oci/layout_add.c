/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding to a layout: new blobs are written into a directory of this copy's own in it, ".cooper-<hex>.tmp",
 * and only when all are whole are they renamed to where they belong, index.json last. Copies run side by
 * side; that last step, and the making of the directory, each holds the lock of the layout's directory. A
 * directory of a copy that was killed is nobody's lock, and the next copy removes it.
 */
#include "base/mem.h"
#include "base/path.h"
#include "oci/layout_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define OCI_LAYOUT_MAX 4096
#define OPEN_TRIES 8

struct layout {
	struct export_set *set;
	const char *path;
	int dirfd;
	bool made;     /* the directory is this copy's work */
	bool fresh;    /* nothing was in it */
	char *staging; /* name of the directory of this copy; NULL: none */
	int staged;    /* open and locked while the copy goes on */
};

static void layout_close(struct layout *l)
{
	mem_freep(&l->staging);
	fd_closep(&l->staged);
	fd_closep(&l->dirfd);
}

static bool is_staging(const char *name)
{
	return cstr_starts(name, ".cooper-") && cstr_ends(name, ".tmp");
}

/* A descriptor of its own, so that closing it is letting go. */
static struct err *lock_dir(int dirfd, int *lock)
{
	TRY(file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0, lock));
	dir_lock(*lock);
	return NULL;
}

/* ---- what is there ---- */

/* Left by a copy that was killed. */
static void remove_stale(int dirfd, const char *name)
{
	AUTO_FD int fd = -1;
	struct err *e = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd);
	if (!e && dir_try_lock(fd))
		e = tree_remove(dirfd, name);
	err_ignore(e, "the layout is whole with it too");
}

static struct err *check_version(int dirfd)
{
	AUTO_BUF struct buf text = {0};
	AUTO_JSON json_t *o = NULL;
	const char *version = NULL;
	bool found = false;
	TRY(root_read(dirfd, "oci-layout", OCI_LAYOUT_MAX, &text, &found));
	if (!found)
		return NULL;
	TRY(json_parse(buf_str(&text), "oci-layout", &o));
	if (json_is_object(o))
		TRY(json_get_string(o, "imageLayoutVersion", "oci-layout", &version));
	if (version && cstr_starts(version, "1."))
		return NULL;
	return err_new(ERR_UNSUPPORTED, "oci-layout: not a layout of version 1");
}

/* index.json with the image added. */
static struct err *next_index(const struct layout *l, struct buf *out)
{
	AUTO_BUF struct buf old = {0};
	bool found = false;
	struct stat st;
	TRY(root_read(l->dirfd, "index.json", MANIFEST_MAX, &old, &found));
	if (!found && fstatat(l->dirfd, "index.json", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_new(ERR_INVALID, "index.json is a link that leads nowhere in the layout");
	if (found && !old.len)
		return err_new(ERR_INVALID, "index.json is empty");
	return layout_index_add(buf_str(&old), &l->set->entries, out);
}

/* Nothing, or a layout; one whose first copy was killed has no index.json. */
static struct err *look(struct layout *l)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_BUF struct buf index = {0};
	size_t others = 0;
	TRY(dir_list(l->dirfd, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		if (is_staging(names.ptr[i]))
			remove_stale(l->dirfd, names.ptr[i]);
		else
			others++;
	}
	l->fresh = others == 0;
	if (others && !strvec_has(&names, "oci-layout") && !strvec_has(&names, "index.json"))
		return err_hint(
			err_new(ERR_EXISTS, "the directory is not empty and holds no OCI image layout"),
			"name a new or empty directory, or a layout to add to");
	TRY(check_version(l->dirfd));
	return next_index(l, &index);
}

/* ---- blobs ---- */

/* A directory in one, never through a link; *out stays -1 when it is absent and not to be made. */
static struct err *open_inner(int dirfd, const char *name, bool make, int *out)
{
	if (make && mkdirat(dirfd, name, 0755) && errno != EEXIST)
		return err_sys(errno, "making %s", name);
	struct err *e = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, out);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "absence is an answer");
		return NULL;
	}
	if (err_sysno(e) != ENOTDIR && err_sysno(e) != ELOOP)
		return e;
	err_ignore(e, "it is said in other words");
	return err_new(ERR_INVALID, "%s in the layout is not a directory", name);
}

static struct err *open_blobs(const struct layout *l, enum digest_algo algo, bool make, int *out)
{
	AUTO_FD int blobs = -1;
	TRY(open_inner(l->dirfd, "blobs", make, &blobs));
	return blobs < 0 ? NULL : open_inner(blobs, digest_algo_name(algo), make, out);
}

static bool holds(int dirfd, const char *name, uint64_t size)
{
	struct stat st;
	return dirfd >= 0 && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == size;
}

static struct err *to_fd(void *ctx, const void *p, size_t len)
{
	return fd_write_all(*(int *)ctx, p, len, "the layout");
}

static struct err *sync_file(int fd, const char *name)
{
	return fsync(fd) ? err_sys(errno, "syncing %s", name) : NULL;
}

static struct err *stage_blob(struct layout *l, const struct export_blob *b)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FD int dir = -1;
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	uint64_t size = 0;
	digest_hex(&b->digest, hex);
	TRY(open_blobs(l, b->digest.algo, false, &dir));
	if (holds(dir, hex, b->size))
		return NULL;
	TRY(store_blob_open(l->set->s, &b->digest, &in, &size));
	TRY(file_open(l->staged, hex, O_WRONLY | O_CREAT | O_EXCL, 0644, &out));
	TRY(export_send_blob(l->set, &b->digest, in, size, to_fd, &out));
	return sync_file(out, hex);
}

static struct err *place_blob(struct layout *l, const struct export_blob *b)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FD int dir = -1;
	digest_hex(&b->digest, hex);
	TRY(open_blobs(l, b->digest.algo, true, &dir));
	if (renameat(l->staged, hex, dir, hex) == 0)
		return NULL;
	/* It was there before, and should be still. */
	if (errno == ENOENT && holds(dir, hex, b->size))
		return NULL;
	if (errno == ENOENT)
		return err_hint(
			err_new(ERR_UNAVAILABLE, "blob %s was taken out of the layout meanwhile", hex),
			"try again");
	return err_sys(errno, "writing blob %s", hex);
}

/* ---- the copy ---- */

/* Make the directory of this copy, with the layout locked: another would take it for left over until its
 * lock is held. *gone: the layout's directory was removed by another copy that failed. */
static struct err *enter_locked(struct layout *l, bool *gone)
{
	AUTO_FD int lock = -1;
	struct stat st;
	char random[17];
	TRY(lock_dir(l->dirfd, &lock));
	if (fstat(l->dirfd, &st))
		return err_sys(errno, "looking at it");
	*gone = st.st_nlink == 0;
	if (*gone)
		return NULL;
	TRY(look(l));
	random_hex(random, 8);
	AUTO_FREE char *name = mem_printf(".cooper-%s.tmp", random);
	if (mkdirat(l->dirfd, name, 0700))
		return err_sys(errno, "writing into it");
	l->staging = steal(&name);
	TRY(file_open(l->dirfd, l->staging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &l->staged));
	dir_lock(l->staged);
	return NULL;
}

static struct err *enter(struct layout *l)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		bool gone = false;
		fd_closep(&l->dirfd);
		l->made = mkdir(l->path, 0755) == 0;
		if (!l->made && errno != EEXIST)
			return err_sys(errno, "making the directory");
		TRY(file_open(AT_FDCWD, l->path, O_RDONLY | O_DIRECTORY, 0, &l->dirfd));
		TRY(enter_locked(l, &gone));
		if (!gone)
			return NULL;
	}
	return err_new(ERR_UNAVAILABLE, "the directory is removed again and again");
}

/* A document, whole on disk before it has its name. */
static struct err *put_file(struct layout *l, const char *name, struct str text)
{
	AUTO_FD int fd = -1;
	TRY(file_open(l->staged, name, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd));
	TRY(fd_write_all(fd, text.ptr, text.len, name));
	TRY(sync_file(fd, name));
	if (renameat(l->staged, name, l->dirfd, name))
		return err_sys(errno, "replacing %s", name);
	return NULL;
}

static struct err *sync_blobs(const struct layout *l)
{
	TRY(file_sync_dir(l->dirfd, "blobs"));
	for (enum digest_algo a = DIGEST_SHA256; a <= DIGEST_SHA512; a++) {
		AUTO_FD int dir = -1;
		TRY(open_blobs(l, a, false, &dir));
		if (dir >= 0)
			TRY(file_sync_dir(dir, "."));
	}
	return NULL;
}

/* oci-layout comes first: a directory with that is a layout for the next copy, wherever this one is killed.
 */
static struct err *place_all(struct layout *l)
{
	AUTO_BUF struct buf index = {0};
	bool marked = false;
	TRY(next_index(l, &index));
	TRY(file_exists(l->dirfd, "oci-layout", &marked));
	if (!marked)
		TRY(put_file(l, "oci-layout", str_c(OCI_LAYOUT)));
	for (size_t i = 0; i < l->set->blobs.len; i++)
		TRY(place_blob(l, vec_at(&l->set->blobs, i)));
	TRY(sync_blobs(l));
	TRY(put_file(l, "index.json", buf_str(&index)));
	return file_sync_dir(l->dirfd, ".");
}

/* What was empty is empty again, unless another copy has added to it. */
static void undo(struct layout *l)
{
	bool used = true;
	struct err *e = file_exists(l->dirfd, "index.json", &used);
	if (!e && !used)
		e = err_first(tree_remove(l->dirfd, "oci-layout"), tree_remove(l->dirfd, "blobs"));
	err_ignore(e, "the first failure is told");
}

static struct err *commit(struct layout *l)
{
	AUTO_FD int lock = -1;
	TRY(lock_dir(l->dirfd, &lock));
	struct err *e = place_all(l);
	if (e && l->fresh)
		undo(l);
	return e;
}

static struct err *fill(struct layout *l)
{
	TRY(enter(l));
	for (size_t i = 0; i < l->set->blobs.len; i++) {
		TRY(cancel_check(l->set->cancel));
		TRY(stage_blob(l, vec_at(&l->set->blobs, i)));
	}
	return commit(l);
}

static struct err *leave(struct layout *l, bool failed)
{
	struct err *e = l->staging ? tree_remove(l->dirfd, l->staging) : NULL;
	if (!failed || !l->made || l->dirfd < 0)
		return e;
	AUTO_FD int lock = -1;
	struct err *locking = lock_dir(l->dirfd, &lock);
	if (!locking && rmdir(l->path) && errno != ENOTEMPTY && errno != EEXIST)
		locking = err_sys(errno, "removing the directory");
	return err_first(e, locking);
}

struct err *layout_add(struct export_set *set, const char *path)
{
	AUTO(layout_close) struct layout l = {.set = set, .path = path, .dirfd = -1, .staged = -1};
	struct err *e = fill(&l);
	return err_first(e, leave(&l, e != NULL));
}
