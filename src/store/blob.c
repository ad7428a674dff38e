/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

size_t digest_pack(const struct digest *d, uint8_t out[PACKED_MAX])
{
	size_t len = digest_len(d->algo);
	out[0] = (uint8_t)d->algo;
	memcpy(out + 1, d->bytes, len);
	return len + 1;
}

void digest_unpack(const void *p, size_t len, struct digest *out)
{
	const uint8_t *b = p;
	*out = (struct digest){0};
	if (len < 1 || (b[0] != DIGEST_SHA256 && b[0] != DIGEST_SHA512) || digest_len(b[0]) != len - 1)
		return;
	out->algo = b[0];
	memcpy(out->bytes, b + 1, len - 1);
}

const char *blob_path(const struct digest *d, char out[STORE_PATH_MAX])
{
	char hex[DIGEST_TEXT_MAX];
	digest_hex(d, hex);
	snprintf(out, STORE_PATH_MAX, "blobs/%s/%.2s/%s", digest_algo_name(d->algo), hex, hex);
	return out;
}

struct err *store_blob_row(struct store *s, const struct digest *d, struct blob_row *row)
{
	*row = (struct blob_row){0};
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked, "SELECT size, used, doomed FROM blobs WHERE digest = ?1", &q));
	query_digest(&q, 1, d);
	TRY(query_step(&q, &row->found));
	if (row->found) {
		row->size = (uint64_t)column_int(&q, 0);
		row->used = column_int(&q, 1);
		row->doomed = column_int(&q, 2) != 0;
	}
	return NULL;
}

static bool file_there(struct store *s, const struct digest *d, int64_t size)
{
	char path[STORE_PATH_MAX];
	struct stat st;
	return fstatat(s->fd, blob_path(d, path), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (size < 0 || st.st_size == size);
}

struct err *store_blob_delete_row(struct store *s, const struct digest *d)
{
	AUTO_QUERY struct query q = {0}, links = {0};
	TRY(query_open(s, "DELETE FROM blobs WHERE digest = ?1", &q));
	query_digest(&q, 1, d);
	TRY(query_run(&q));
	TRY(query_open(s, "DELETE FROM links WHERE src = ?1", &links));
	query_digest(&links, 1, d);
	return query_run(&links);
}

struct linked {
	struct digest to;
	bool sparse;
};

static struct err *rescue_linked(struct store *s, const struct digest *d, bool *alive)
{
	struct vec list AUTO(vec_fini) = VEC_OF(struct linked);
	{
		AUTO_QUERY struct query q = {0};
		TRY(query_open(s, "SELECT dst, sparse FROM links WHERE src = ?1", &q));
		query_digest(&q, 1, d);
		for (;;) {
			bool row = false;
			TRY(query_step(&q, &row));
			if (!row)
				break;
			struct linked *l = vec_push(&list);
			column_digest(&q, 0, &l->to);
			l->sparse = column_int(&q, 1) != 0;
		}
	}
	*alive = true;
	for (size_t i = 0; i < list.len && *alive; i++) {
		const struct linked *l = vec_at(&list, i);
		bool there = false;
		TRY(store_blob_rescue(s, &l->to, &there));
		*alive = there || l->sparse;
	}
	return NULL;
}

struct err *store_blob_rescue(struct store *s, const struct digest *d, bool *alive)
{
	struct blob_row row;
	TRY(store_blob_row(s, d, &row));
	*alive = row.found;
	if (!row.found || !row.doomed)
		return NULL;
	*alive = file_there(s, d, -1);
	if (*alive) {
		/* First this one, so that links in a circle end. */
		AUTO_QUERY struct query q = {0};
		TRY(query_open(s, "UPDATE blobs SET doomed = 0 WHERE digest = ?1", &q));
		query_digest(&q, 1, d);
		TRY(query_run(&q));
		TRY(rescue_linked(s, d, alive));
	}
	if (*alive)
		return NULL;
	/* A gc was killed after it had taken some of this away: the rest is of no use without it. */
	char path[STORE_PATH_MAX];
	if (unlinkat(s->fd, blob_path(d, path), 0) < 0 && errno != ENOENT)
		return err_sys(errno, "removing %s/%s", s->home, path);
	return store_blob_delete_row(s, d);
}

static struct err *rescue_in_tx(struct store *s, const struct digest *d, bool *alive)
{
	TRY(store_tx_begin(s));
	return store_tx_end(s, store_blob_rescue(s, d, alive));
}

/* The hold comes before the look that counts: see "Store" in docs/formats.md. */
static struct err *claim_row(struct store *s, const struct digest *d, struct blob_row *row)
{
	char line[LEASE_LINE_MAX];
	lease_blob(d, line);
	bool held = store_holds(s, line);
	TRY(store_blob_row(s, d, row));
	if (!row->found)
		return NULL;
	if (!held) {
		TRY(store_hold(s, line));
		TRY(store_blob_row(s, d, row));
	}
	if (row->found && row->doomed) {
		if (s->read_only)
			row->found = file_there(s, d, -1);
		else
			TRY(rescue_in_tx(s, d, &row->found));
	}
	if (row->found)
		store_touch_locked(s, line, row->used);
	return NULL;
}

struct err *store_blob_claim(struct store *s, const struct digest *d, int64_t size, bool *present)
{
	char line[LEASE_LINE_MAX];
	TRY(store_hold(s, lease_blob(d, line)));
	struct blob_row row;
	TRY(claim_row(s, d, &row));
	*present = row.found && (size < 0 || row.size == (uint64_t)size) && file_there(s, d, size);
	return NULL;
}

struct err *store_blob_stat(struct store *s, const struct digest *d, int64_t *size)
{
	*size = -1;
	if (!digest_is_set(d))
		return NULL;
	struct blob_row row;
	TRY(claim_row(s, d, &row));
	if (row.found)
		*size = (int64_t)row.size;
	return NULL;
}

static struct err *not_found(struct store *s, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	return err_new(ERR_NOT_FOUND, "blob %s is not in store %s", digest_text(d, text), s->home);
}

struct err *store_blob_open(struct store *s, const struct digest *d, int *fd, uint64_t *size)
{
	int64_t known = -1;
	TRY(store_blob_stat(s, d, &known));
	if (known < 0)
		return not_found(s, d);
	char path[STORE_PATH_MAX];
	AUTO_FD int file = openat(s->fd, blob_path(d, path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0) {
		struct err *e = err_sys(errno, "opening %s/%s", s->home, path);
		if (err_kind(e) != ERR_NOT_FOUND)
			return e;
		return err_hint(e, "the store lost a file: run cooper store verify --repair");
	}
	struct stat st;
	if (fstat(file, &st) < 0)
		return err_sys(errno, "reading %s/%s", s->home, path);
	if (st.st_size != known)
		return err_hint(err_new(ERR_CORRUPT, "%s/%s has %lld bytes instead of %lld", s->home, path,
					(long long)st.st_size, (long long)known),
			"run: cooper store verify --repair");
	*fd = steal_fd(&file);
	*size = (uint64_t)known;
	return NULL;
}

struct err *store_blob_read(struct store *s, const struct digest *d, size_t max, struct buf *out)
{
	AUTO_FD int fd = -1;
	uint64_t size = 0;
	TRY(store_blob_open(s, d, &fd, &size));
	char text[DIGEST_TEXT_MAX];
	digest_text(d, text);
	if (size > max)
		return err_new(ERR_INVALID, "blob %s has %llu bytes, more than the %zu allowed here", text,
			(unsigned long long)size, max);
	size_t before = out->len;
	TRY(fd_read_all(fd, max, text, out));
	struct hasher *h AUTO(hasher_freep) = hasher_new(d->algo);
	hasher_add(h, buf_cstr(out) + before, out->len - before);
	struct digest got;
	hasher_finish(h, &got);
	if (digest_eq(&got, d))
		return NULL;
	buf_truncate(out, before);
	return err_hint(err_new(ERR_CORRUPT, "blob %s in store %s does not match its digest", text, s->home),
		"run: cooper store verify --repair");
}

struct err *hash_fd(
	int fd, enum digest_algo algo, const struct cancel *cancel, struct digest *out, uint64_t *size)
{
	enum { CHUNK = 256 * 1024 };
	AUTO_FREE uint8_t *chunk = mem_alloc(CHUNK);
	struct hasher *h AUTO(hasher_freep) = hasher_new(algo);
	off_t at = 0;
	for (;;) {
		TRY(cancel_check(cancel));
		ssize_t n = pread(fd, chunk, CHUNK, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "reading to hash");
		if (n == 0)
			break;
		hasher_add(h, chunk, (size_t)n);
		at += n;
	}
	hasher_finish(h, out);
	if (size)
		*size = (uint64_t)at;
	return NULL;
}

static struct err *link_row(struct store *s, const struct digest *from, const struct digest *to)
{
	bool alive = false;
	TRY(store_blob_rescue(s, from, &alive));
	TRY(store_blob_rescue(s, to, &alive));
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s,
		"INSERT INTO links(src, dst, sparse) VALUES(?1, ?2, ?3)"
		" ON CONFLICT DO UPDATE SET sparse = min(sparse, excluded.sparse)",
		&q));
	query_digest(&q, 1, from);
	query_digest(&q, 2, to);
	query_int(&q, 3, !alive);
	return query_run(&q);
}

static struct err *link_known(
	struct store *s, const struct digest *from, const struct digest *to, bool *known)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked,
		"SELECT 1 FROM links, blobs WHERE src = ?1 AND dst = ?2 AND sparse = 0 AND digest = ?2 AND "
		"doomed = 0",
		&q));
	query_digest(&q, 1, from);
	query_digest(&q, 2, to);
	return query_step(&q, known);
}

struct err *store_blob_link(struct store *s, const struct digest *from, const struct digest *to)
{
	TRY(store_writable(s));
	struct blob_row row;
	TRY(claim_row(s, from, &row));
	if (!row.found)
		return not_found(s, from);
	if (!digest_is_set(to))
		return err_new(ERR_INVALID, "a blob cannot be linked to nothing");
	bool known = false;
	TRY(link_known(s, from, to, &known));
	if (known)
		return NULL;
	TRY(store_tx_begin(s));
	return store_tx_end(s, link_row(s, from, to));
}
