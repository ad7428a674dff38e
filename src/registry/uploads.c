/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "registry/registry_internal.h"
#include "sys/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_LEN 32
/* Blobs of so many bytes are sent anew after a cut. */
#define SMALL_MAX (256 << 10)

/* An upload belongs to its repository: the same id under another name is unknown. Caller frees. */
static char *partial_name(const struct request *q, const char *id)
{
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	digest_of(q->repository, strlen(q->repository), &d);
	return mem_printf(REGISTRY_UPLOADS "%.16s.%s", digest_hex(&d, hex), id);
}

static bool id_valid(const char *id)
{
	return strlen(id) == ID_LEN && strspn(id, "0123456789abcdef") == ID_LEN;
}

/* What a client said at the start that it will name the blob by, sent along with each request since. */
static bool is_for_sha512(const struct http_exchange *x)
{
	return cstr_eq(http_query(x, "digest-algorithm"), digest_algo_name(DIGEST_SHA512));
}

static void session_headers(const struct request *q, struct http_exchange *x, const char *id, uint64_t size)
{
	char range[32];
	AUTO_FREE char *location = mem_printf("/v2/%s/blobs/uploads/%s%s", q->repository, id,
		is_for_sha512(x) ? "?digest-algorithm=sha512" : "");
	snprintf(range, sizeof(range), "0-%llu", (unsigned long long)(size ? size - 1 : 0));
	http_set_header(x, "Location", location);
	http_set_header(x, "Range", range);
	http_set_header(x, "Docker-Upload-UUID", id);
}

static void reply_blob_created(const struct request *q, struct http_exchange *x, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *location = mem_printf("/v2/%s/blobs/%s", q->repository, digest_text(d, text));
	http_set_header(x, "Location", location);
	http_set_header(x, "Docker-Content-Digest", text);
	reply_empty(x, 201);
}

/* Sets q->room to what may come yet. */
static struct err *find_room(struct request *q)
{
	uint64_t have = q->partial ? store_partial_size(q->partial) : 0;
	bool counted = false;
	TRY(quota_room(q, &q->room));
	if (q->room == UINT64_MAX)
		return NULL;
	if (digest_is_set(&q->digest))
		TRY(quota_counts_blob(q->s, q->repository, &q->digest, &counted));
	if (counted)
		q->room = UINT64_MAX;
	else
		q->room = q->room > have ? q->room - have : 0;
	return NULL;
}

/* False when there is no room for what was announced; answered. */
static struct err *check_space(struct request *q, struct http_exchange *x, bool *fits)
{
	int64_t length = http_content_length(x);
	uint64_t free_bytes = 0, more = length > 0 ? (uint64_t)length : 0;
	TRY(find_room(q));
	*fits = more <= q->room;
	if (!*fits)
		reply_quota(q, x);
	if (!*fits || !more)
		return NULL;
	TRY(fd_free_space(store_dirfd(q->s), &free_bytes));
	*fits = more <= free_bytes;
	if (!*fits)
		reply_error(x, 507, "SIZE_INVALID",
			"the disk of the registry has %llu bytes left, the blob has %lld",
			(unsigned long long)free_bytes, (long long)length);
	return NULL;
}

/* The digest= parameter. False when it was refused, and answered. */
static bool parse_digest(struct request *q, struct http_exchange *x, const char *text)
{
	if (!text || !*text) {
		reply_error(x, 400, "DIGEST_INVALID", "the digest parameter is missing");
		return false;
	}
	struct err *e = digest_parse(str_c(text), &q->digest);
	if (e)
		reply_err(x, e, "DIGEST_INVALID");
	return !e;
}

struct addition {
	struct request *q;
	uint64_t size;
	bool over_quota;
};

static struct err *add_in_tx(void *ctx)
{
	struct addition *a = ctx;
	struct request *q = a->q;
	uint64_t room = 0;
	int64_t size = -1;
	bool counted = false;
	/* A gc can take it while this request sleeps, but not once this transaction has begun. */
	TRY(store_blob_stat(q->s, &q->digest, &size));
	if (size < 0)
		return err_new(ERR_UNAVAILABLE, "the blob was collected before it was recorded");
	TRY(quota_room(q, &room));
	if (a->size > room)
		TRY(quota_counts_blob(q->s, q->repository, &q->digest, &counted));
	a->over_quota = a->size > room && !counted;
	return a->over_quota ? NULL : records_blob_put(q->s, q->repository, &q->digest, a->size);
}

/* The store has q->digest: let the repository have it, too. Answers. */
static struct err *add_blob(struct request *q, struct http_exchange *x, uint64_t size)
{
	struct addition a = {.q = q, .size = size};
	TRY(records_atomically(q->s, add_in_tx, &a));
	if (a.over_quota)
		reply_quota(q, x);
	else
		reply_blob_created(q, x, &q->digest);
	return NULL;
}

static struct err *begin_blob(struct request *q)
{
	q->use = BODY_BLOB;
	TRY(store_blob_begin(q->s, &q->blob));
	store_blob_expect(q->blob, q->digest.algo);
	return NULL;
}

/* ---- POST .../blobs/uploads/ ---- */

/* Absent at the source is no failure: the client is given an upload instead. */
static struct err *mount(struct request *q, struct http_exchange *x, const struct digest *d, bool *mounted)
{
	const char *from = http_query(x, "from");
	int64_t size = -1;
	bool found = false;
	*mounted = false;
	if (from && repository_valid(str_c(from)) && may_read(q, x, from))
		TRY(records_blob_has(q->s, from, d, &found));
	else if (!from)
		TRY(records_blob_anywhere(q, x, d, &found));
	if (!found)
		return NULL;
	TRY(store_blob_stat(q->s, d, &size));
	if (size < 0)
		return NULL;
	*mounted = true;
	q->digest = *d;
	return add_blob(q, x, (uint64_t)size);
}

static struct err *new_session(struct request *q, struct http_exchange *x)
{
	char id[ID_LEN + 1];
	random_hex(id, ID_LEN / 2);
	AUTO_FREE char *name = partial_name(q, id);
	TRY(store_partial_open(q->s, name, true, &q->partial));
	session_headers(q, x, id, 0);
	reply_empty(x, 202);
	return NULL;
}

struct err *upload_start_begin(struct request *q, struct http_exchange *x)
{
	if (!cstr_eq(http_method(x), "POST")) {
		reply_method(x, "POST");
		return NULL;
	}
	const char *wanted = http_query(x, "mount");
	if (wanted) {
		struct digest d;
		bool mounted = false;
		struct err *e = digest_parse(str_c(wanted), &d);
		if (e) {
			reply_err(x, e, "DIGEST_INVALID");
			return NULL;
		}
		TRY(mount(q, x, &d, &mounted));
		return mounted ? NULL : new_session(q, x);
	}
	const char *digest = http_query(x, "digest");
	if (!digest)
		return new_session(q, x);
	bool fits;
	if (!parse_digest(q, x, digest))
		return NULL;
	TRY(check_space(q, x, &fits));
	if (!fits)
		return NULL;
	return begin_blob(q);
}

/* ---- .../blobs/uploads/<id> ---- */

/* Bytes must follow those that are there, or nothing is taken. False when it was refused, and answered. */
static bool check_range(struct request *q, struct http_exchange *x)
{
	const char *header = http_header(x, "Content-Range");
	uint64_t from, to, size = store_partial_size(q->partial);
	if (!header)
		return true;
	if (!content_range_parse(header, &from, &to)) {
		reply_error(x, 400, "BLOB_UPLOAD_INVALID", "Content-Range must be <first>-<last>");
		return false;
	}
	if (from != size) {
		session_headers(q, x, q->reference, size);
		reply_error(x, 416, "BLOB_UPLOAD_INVALID", "the next byte must be number %llu",
			(unsigned long long)size);
		return false;
	}
	q->expected = to - from + 1;
	int64_t length = http_content_length(x);
	if (length >= 0 && (uint64_t)length != q->expected) {
		reply_error(x, 400, "SIZE_INVALID", "Content-Range and Content-Length do not agree");
		return false;
	}
	return true;
}

static struct err *upload_write(struct request *q, struct http_exchange *x, bool finish)
{
	bool fits;
	if (finish && !parse_digest(q, x, http_query(x, "digest")))
		return NULL;
	if (!check_range(q, x))
		return NULL;
	TRY(check_space(q, x, &fits));
	if (!fits)
		return NULL;
	q->finish = finish;
	q->use = BODY_CHUNK;
	if (finish || is_for_sha512(x))
		store_partial_expect(q->partial, finish ? q->digest.algo : DIGEST_SHA512);
	/* Small ones stay in memory until they are named; of a large one a client goes on where it was cut.
	 */
	int64_t length = http_content_length(x);
	if (finish && store_partial_size(q->partial) == 0 && length > 0 && length <= SMALL_MAX)
		return begin_blob(q);
	return NULL;
}

struct err *upload_begin(struct request *q, struct http_exchange *x)
{
	const char *method = http_method(x);
	bool patch = cstr_eq(method, "PATCH"), put = cstr_eq(method, "PUT");
	bool get = cstr_eq(method, "GET") || is_head(x), delete = cstr_eq(method, "DELETE");
	if (!patch && !put && !get && !delete) {
		reply_method(x, "GET, HEAD, PATCH, PUT, DELETE");
		return NULL;
	}
	struct err *e = NULL;
	AUTO_FREE char *name = partial_name(q, q->reference);
	if (id_valid(q->reference))
		e = store_partial_open(q->s, name, false, &q->partial);
	if (!q->partial && (!e || err_kind(e) == ERR_NOT_FOUND)) {
		err_free(e);
		reply_error(
			x, 404, "BLOB_UPLOAD_UNKNOWN", "%s has no upload %s", q->repository, q->reference);
		return NULL;
	}
	TRY(e);
	if (patch || put)
		return upload_write(q, x, put);
	if (delete)
		TRY(store_partial_delete(steal(&q->partial)));
	else
		session_headers(q, x, q->reference, store_partial_size(q->partial));
	reply_empty(x, 204);
	return NULL;
}

/* ---- bodies ---- */

struct err *upload_body(struct request *q, struct http_exchange *x, const void *p, size_t len)
{
	if (q->received > q->room) {
		reply_quota(q, x);
		return NULL;
	}
	if (q->use == BODY_BLOB)
		return store_blob_write(q->blob, p, len);
	if (q->use != BODY_CHUNK)
		return NULL;
	uint64_t before = store_partial_size(q->partial) - (q->received - len);
	struct err *e = store_partial_append(q->partial, p, len);
	/* A full disk is not kept full by what was too much for it. */
	if (err_kind(e) == ERR_NO_SPACE)
		e = err_first(e, store_partial_truncate(q->partial, before));
	return e;
}

static struct err *end_chunk(struct request *q, struct http_exchange *x)
{
	uint64_t size = store_partial_size(q->partial);
	session_headers(q, x, q->reference, size);
	reply_empty(x, 202);
	return NULL;
}

static struct err *commit(struct request *q, uint64_t *size)
{
	struct digest got;
	if (q->use == BODY_BLOB) {
		*size = store_blob_written(q->blob);
		TRY(store_blob_commit(steal(&q->blob), &q->digest, &got));
		return q->partial ? store_partial_delete(steal(&q->partial)) : NULL;
	}
	*size = store_partial_size(q->partial);
	struct err *e = store_partial_commit(q->partial, &q->digest, &got);
	if (!e || err_kind(e) == ERR_CORRUPT)
		q->partial = NULL;
	return e;
}

struct err *upload_end(struct request *q, struct http_exchange *x)
{
	if (q->expected && q->received != q->expected) {
		if (q->use == BODY_CHUNK)
			TRY(store_partial_truncate(q->partial, store_partial_size(q->partial) - q->received));
		reply_error(x, 400, "SIZE_INVALID", "%llu bytes were announced, %llu came",
			(unsigned long long)q->expected, (unsigned long long)q->received);
		return NULL;
	}
	if (q->use == BODY_CHUNK && !q->finish)
		return end_chunk(q, x);
	uint64_t size = 0;
	struct err *e = commit(q, &size);
	if (err_kind(e) == ERR_CORRUPT) {
		err_free(e);
		reply_error(
			x, 400, "DIGEST_INVALID", "the bytes that were sent do not have the digest named");
		return NULL;
	}
	TRY(e);
	return add_blob(q, x, size);
}
