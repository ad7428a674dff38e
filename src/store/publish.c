/* SPDX-License-Identifier: Apache-2.0 */
/* Writing blobs: collect, hash, sync, give the final name, record. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Smaller blobs stay in memory until their name is known: often they are there already. */
#define IN_MEMORY_MAX ((size_t)128 * 1024)
/* Written back while more comes in, so that the sync at the end finds little. */
#define WRITE_BACK ((uint64_t)8 * 1024 * 1024)

struct store_blob_writer {
	struct store *s;
	struct hasher *hasher;
	struct buf pending;
	uint64_t size, on_disk, pushed;
	int fd; /* -1 while all is in memory */
	bool failed;
	char name[TMP_NAME_MAX];
};

static struct err *make_fan_out(struct store *s, const struct digest *d)
{
	char dir[STORE_PATH_MAX], path[STORE_PATH_MAX];
	snprintf(dir, sizeof(dir), "blobs/%s", digest_algo_name(d->algo));
	blob_path(d, path);
	path[strlen(dir) + 3] = '\0';
	if (mkdirat(s->fd, path, 0755) < 0 && errno != EEXIST)
		return err_sys(errno, "making %s/%s", s->home, path);
	return file_sync_dir(s->fd, dir);
}

/* The file keeps its temporary name until it is recorded: should gc take an old orphan of the same name away,
 * it is linked once more. */
static struct err *link_final(struct store *s, int tmp, const char *name, const struct digest *d)
{
	char path[STORE_PATH_MAX], second[TMP_NAME_MAX];
	blob_path(d, path);
	int r = linkat(tmp, name, s->fd, path, 0);
	if (r < 0 && errno == ENOENT) {
		TRY(make_fan_out(s, d));
		r = linkat(tmp, name, s->fd, path, 0);
	}
	if (r < 0 && errno == EEXIST) {
		/* Not recorded or not whole, else it would not be written again. */
		store_tmp_name(s, 'b', second);
		r = linkat(tmp, name, tmp, second, 0);
		if (r == 0)
			r = renameat(tmp, second, s->fd, path);
		int saved = errno;
		unlinkat(tmp, second, 0);
		errno = saved;
	}
	if (r < 0)
		return err_sys(errno, "linking %s/%s", s->home, path);
	*strrchr(path, '/') = '\0';
	return file_sync_dir(s->fd, path);
}

static struct err *record_blob(
	struct store *s, int tmp, const char *name, const struct digest *d, uint64_t size)
{
	char path[STORE_PATH_MAX];
	struct stat st;
	if (fstatat(s->fd, blob_path(d, path), &st, AT_SYMLINK_NOFOLLOW) < 0)
		TRY(link_final(s, tmp, name, d));
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s,
		"INSERT INTO blobs(digest, size, created, used) VALUES(?1, ?2, ?3, ?3)"
		" ON CONFLICT DO UPDATE SET size = excluded.size, used = excluded.used, doomed = 0",
		&q));
	query_digest(&q, 1, d);
	query_int(&q, 2, (int64_t)size);
	query_int(&q, 3, clock_now());
	return query_run(&q);
}

/* Give the complete, synced file name in the session's directory its final name, record it; consumes the
 * file. */
static struct err *store_publish(struct store *s, const char *name, const struct digest *d, uint64_t size)
{
	int tmp = -1;
	TRY(store_tmp(s, &tmp));
	struct err *e = link_final(s, tmp, name, d);
	if (!e)
		e = store_tx_begin(s);
	if (!e)
		e = store_tx_end(s, record_blob(s, tmp, name, d, size));
	if (!e)
		unlinkat(tmp, name, 0);
	return e;
}

struct err *store_blob_begin(struct store *s, struct store_blob_writer **out)
{
	TRY(store_writable(s));
	struct store_blob_writer *w = mem_new(struct store_blob_writer);
	w->s = s;
	w->fd = -1;
	w->hasher = hasher_new(DIGEST_SHA256);
	*out = w;
	return NULL;
}

void store_blob_expect(struct store_blob_writer *w, enum digest_algo algo)
{
	if (w->size > 0)
		return;
	hasher_free(w->hasher);
	w->hasher = hasher_new(algo);
}

static struct err *spill(struct store_blob_writer *w, const void *p, size_t len)
{
	if (w->fd < 0) {
		int tmp = -1;
		TRY(store_tmp(w->s, &tmp));
		store_tmp_name(w->s, 'b', w->name);
		TRY(file_open(tmp, w->name, O_RDWR | O_CREAT | O_EXCL, 0444, &w->fd));
	}
	TRY(fd_write_all(w->fd, p, len, "a new blob"));
	w->on_disk += len;
	if (w->on_disk - w->pushed >= WRITE_BACK) {
		/* A hint: its failure shows at the sync. */
		sync_file_range(
			w->fd, (off_t)w->pushed, (off_t)(w->on_disk - w->pushed), SYNC_FILE_RANGE_WRITE);
		w->pushed = w->on_disk;
	}
	return NULL;
}

static struct err *spill_pending(struct store_blob_writer *w)
{
	TRY(spill(w, buf_cstr(&w->pending), w->pending.len));
	buf_clear(&w->pending);
	return NULL;
}

static struct err *spill_and_add(struct store_blob_writer *w, const void *p, size_t len)
{
	if (w->pending.len)
		TRY(spill_pending(w));
	if (len >= IN_MEMORY_MAX / 2)
		return spill(w, p, len);
	buf_add(&w->pending, p, len);
	return NULL;
}

struct err *store_blob_write(struct store_blob_writer *w, const void *p, size_t len)
{
	hasher_add(w->hasher, p, len);
	w->size += len;
	if (w->pending.len + len <= IN_MEMORY_MAX) {
		buf_add(&w->pending, p, len);
		return NULL;
	}
	struct err *e = spill_and_add(w, p, len);
	w->failed = w->failed || e;
	return store_failed(w->s, e, "writing a blob");
}

uint64_t store_blob_written(const struct store_blob_writer *w)
{
	return w->size;
}

void store_blob_abandon(struct store_blob_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0) {
		close(w->fd);
		unlinkat(w->s->tmp_fd, w->name, 0);
	}
	hasher_free(w->hasher);
	buf_fini(&w->pending);
	free(w);
}

void store_blob_abandonp(struct store_blob_writer **w)
{
	store_blob_abandon(*w);
	*w = NULL;
}

static struct err *mismatch(const struct digest *want, const struct digest *got)
{
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	return err_new(
		ERR_CORRUPT, "the bytes are %s and should be %s", digest_text(got, b), digest_text(want, a));
}

static struct err *name_blob(struct store_blob_writer *w, const struct digest *want, struct digest *out)
{
	enum digest_algo algo = want ? want->algo : DIGEST_SHA256;
	if (algo == hasher_algo(w->hasher)) {
		hasher_finish(w->hasher, out);
	} else if (w->fd < 0) {
		struct hasher *h AUTO(hasher_freep) = hasher_new(algo);
		hasher_add(h, buf_cstr(&w->pending), w->pending.len);
		hasher_finish(h, out);
	} else {
		TRY(hash_fd(w->fd, algo, NULL, out, NULL));
	}
	return want && !digest_eq(want, out) ? mismatch(want, out) : NULL;
}

static struct err *commit_blob(struct store_blob_writer *w, const struct digest *want, struct digest *out)
{
	struct digest d;
	if (w->failed)
		return err_new(ERR_IO, "a write of this blob failed before");
	if (w->fd >= 0 && w->pending.len)
		TRY(spill_pending(w));
	TRY(name_blob(w, want, &d));
	bool present = false;
	TRY(store_blob_claim(w->s, &d, (int64_t)w->size, &present));
	if (!present) {
		if (w->fd < 0)
			TRY(spill_pending(w));
		if (fsync(w->fd) < 0)
			return err_sys(errno, "syncing it");
		TRY(store_publish(w->s, w->name, &d, w->size));
	}
	if (out)
		*out = d;
	return NULL;
}

struct err *store_blob_commit(struct store_blob_writer *writer, const struct digest *want, struct digest *out)
{
	struct store_blob_writer *w AUTO(store_blob_abandonp) = writer;
	bool any = !want || !digest_is_set(want);
	return store_failed(w->s, commit_blob(w, any ? NULL : want, out), "storing a blob");
}

struct err *store_blob_put(struct store *s, const void *p, size_t len, struct digest *out)
{
	struct store_blob_writer *w = NULL;
	TRY(store_blob_begin(s, &w));
	struct err *e = store_blob_write(w, p, len);
	if (e) {
		store_blob_abandon(w);
		return e;
	}
	return store_blob_commit(w, NULL, out);
}

/* ---- partials ---- */

struct store_partial {
	struct store *s;
	int fd;
	uint64_t size, pushed;
	enum digest_algo algo;     /* of a hasher that begins */
	struct hasher *hasher;     /* of all bytes so far; NULL when some came elsewhere or were cut off */
	char path[STORE_PATH_MAX]; /* empty once it is a blob: the name may be somebody else's by now */
};

static bool partial_name_valid(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len <= 150 && name[0] != '.' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-") == len;
}

struct err *store_partial_open(struct store *s, const char *name, bool create, struct store_partial **out)
{
	TRY(store_writable(s));
	if (!partial_name_valid(name))
		return err_new(ERR_INVALID, "\"%s\" cannot name an upload", name);
	char path[STORE_PATH_MAX];
	snprintf(path, sizeof(path), "partial/%s", name);
	for (;;) {
		AUTO_FD int fd = -1;
		TRY(file_open(s->fd, path, O_RDWR | O_NOFOLLOW | (create ? O_CREAT : 0), 0600, &fd));
		if (lock_fd(fd, FD_EXCLUSIVE, false) < 0 && errno == EAGAIN)
			return err_new(ERR_UNAVAILABLE, "upload %s is in use", name);
		struct stat st;
		if (fstat(fd, &st) < 0)
			return err_sys(errno, "reading %s/%s", s->home, path);
		if (!fd_still_named(s->fd, path, fd))
			continue; /* committed or deleted a moment ago */
		struct store_partial *p = mem_new(struct store_partial);
		p->s = s;
		p->fd = steal_fd(&fd);
		p->size = p->pushed = (uint64_t)st.st_size;
		p->algo = DIGEST_SHA256;
		p->hasher = store_unpark(s, &st);
		if (!p->hasher && p->size == 0)
			p->hasher = hasher_new(p->algo);
		memcpy(p->path, path, sizeof(path));
		*out = p;
		return NULL;
	}
}

void store_partial_expect(struct store_partial *p, enum digest_algo algo)
{
	p->algo = algo;
	if (p->size > 0)
		return;
	hasher_free(p->hasher);
	p->hasher = hasher_new(algo);
}

uint64_t store_partial_size(const struct store_partial *p)
{
	return p->size;
}

int store_partial_fd(const struct store_partial *p)
{
	return p->fd;
}

struct err *store_partial_append(struct store_partial *p, const void *b, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pwrite(p->fd, (const char *)b + done, len - done, (off_t)(p->size + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			struct err *e = store_failed(
				p->s, err_sys(errno, "writing %s", p->path), "keeping an upload");
			/* What is not counted must not be there for the next one to resume from. */
			if (ftruncate(p->fd, (off_t)p->size) < 0)
				return err_first(e, err_sys(errno, "cutting %s/%s", p->s->home, p->path));
			return e;
		}
		done += (size_t)n;
	}
	if (p->hasher)
		hasher_add(p->hasher, b, len);
	p->size += len;
	if (p->size - p->pushed >= WRITE_BACK) {
		sync_file_range(p->fd, (off_t)p->pushed, (off_t)(p->size - p->pushed), SYNC_FILE_RANGE_WRITE);
		p->pushed = p->size;
	}
	return NULL;
}

struct err *store_partial_truncate(struct store_partial *p, uint64_t size)
{
	if (size > p->size)
		return err_new(ERR_INVALID, "an upload of %llu bytes cannot be cut to %llu",
			(unsigned long long)p->size, (unsigned long long)size);
	if (size == p->size)
		return NULL;
	if (ftruncate(p->fd, (off_t)size) < 0)
		return err_sys(errno, "cutting %s/%s", p->s->home, p->path);
	p->size = size;
	p->pushed = p->pushed < size ? p->pushed : size;
	hasher_freep(&p->hasher);
	if (size == 0)
		p->hasher = hasher_new(p->algo);
	return NULL;
}

void store_partial_close(struct store_partial *p)
{
	if (!p)
		return;
	/* A child that has not executed anything yet shares the descriptor: closing alone would not release.
	 */
	unlock_fd(p->fd);
	close(p->fd);
	hasher_free(p->hasher);
	free(p);
}

void store_partial_pause(struct store_partial *p)
{
	if (p->path[0])
		store_park(p->s, p->fd, steal(&p->hasher));
	store_partial_close(p);
}

struct err *store_partial_delete(struct store_partial *p)
{
	struct err *e = NULL;
	if (p->path[0] && unlinkat(p->s->fd, p->path, 0) < 0 && errno != ENOENT)
		e = err_sys(errno, "removing %s/%s", p->s->home, p->path);
	store_partial_close(p);
	return e;
}

static struct err *publish_partial(struct store_partial *p, const struct digest *d)
{
	bool present = false;
	TRY(store_blob_claim(p->s, d, (int64_t)p->size, &present));
	if (present)
		return NULL;
	if (fsync(p->fd) < 0)
		return err_sys(errno, "syncing %s/%s", p->s->home, p->path);
	int tmp = -1;
	char name[TMP_NAME_MAX];
	TRY(store_tmp(p->s, &tmp));
	/* Taken out of partial/ before it has a second name: nobody may append to a blob. */
	if (renameat(p->s->fd, p->path, tmp, store_tmp_name(p->s, 'b', name)) < 0)
		return err_sys(errno, "renaming %s/%s", p->s->home, p->path);
	/* Not before: who finds it in partial/ must be able to open it for writing. */
	struct err *e =
		fchmod(p->fd, 0444) < 0 ? err_sys(errno, "protecting a blob of store %s", p->s->home) : NULL;
	if (!e)
		e = store_publish(p->s, name, d, p->size);
	if (!e) {
		p->path[0] = '\0';
		return NULL;
	}
	if (fchmod(p->fd, 0600) < 0 || renameat(tmp, name, p->s->fd, p->path) < 0)
		return err_first(e, err_sys(errno, "renaming %s/%s", p->s->home, p->path));
	return e;
}

static struct err *hash_partial(const struct store_partial *p, const struct digest *want, struct digest *out)
{
	enum digest_algo algo = want ? want->algo : DIGEST_SHA256;
	if (!p->hasher || algo != hasher_algo(p->hasher))
		return hash_fd(p->fd, algo, NULL, out, NULL);
	hasher_peek(p->hasher, out);
	return NULL;
}

struct err *store_partial_check(const struct store_partial *p, const struct digest *want)
{
	struct digest d;
	TRY(hash_partial(p, want, &d));
	return digest_eq(want, &d) ? NULL : mismatch(want, &d);
}

struct err *store_partial_commit(struct store_partial *p, const struct digest *want, struct digest *out)
{
	if (want && !digest_is_set(want))
		want = NULL;
	struct digest d;
	TRY(hash_partial(p, want, &d));
	struct err *e = want && !digest_eq(want, &d) ? mismatch(want, &d) : NULL;
	if (!e)
		TRY(publish_partial(p, &d));
	struct err *removed = store_partial_delete(p);
	if (e)
		return err_first(e, removed);
	TRY(removed);
	if (out)
		*out = d;
	return NULL;
}
