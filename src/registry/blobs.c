/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "registry/cache_internal.h"
#include "registry/registry_internal.h"
#include "sys/file.h"

#include <stdio.h>
#include <unistd.h>

static void unknown(struct request *q, struct http_exchange *x)
{
	reply_error(x, 404, "BLOB_UNKNOWN", "%s has no blob %s", q->repository, q->reference);
}

/* Its bytes when it is small, else its file. */
struct content {
	int64_t size; /* -1: there is no such blob */
	struct buf bytes;
	int fd;
};

static void content_fini(struct content *c)
{
	buf_fini(&c->bytes);
	if (c->fd >= 0)
		close(c->fd);
}

static struct err *find_content(struct request *q, struct content *c)
{
	bool found = false;
	uint64_t size = 0;
	TRY(records_blob_has(q->s, q->repository, &q->digest, &found));
	if (found)
		TRY(store_blob_stat(q->s, &q->digest, &c->size));
	if (c->size < 0)
		return NULL;
	struct err *e = c->size > SMALL_CONTENT_MAX ? store_blob_open(q->s, &q->digest, &c->fd, &size)
						    : small_contents_read(q->r->small, q->s, &q->digest,
							      SMALL_CONTENT_MAX, &c->bytes);
	if (err_kind(e) != ERR_NOT_FOUND)
		return e;
	/* Lost, quarantined: saying so lets the next push bring it back. */
	err_free(e);
	c->size = -1;
	return NULL;
}

/* A range is of the very bytes the client had before, or it gets the whole (RFC 9110, 13.1.5). */
static bool range_applies(struct http_exchange *x, const struct digest *d)
{
	const char *if_range = http_header(x, "If-Range");
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *etag = mem_printf("\"%s\"", digest_text(d, text));
	return !if_range || cstr_eq(if_range, etag);
}

static void blob_headers(const struct request *q, struct http_exchange *x)
{
	reply_digest_headers(x, &q->digest);
	http_set_header(x, "Content-Type", "application/octet-stream");
	http_set_header(x, "Accept-Ranges", "bytes");
	http_set_header(x, "Cache-Control", CACHE_FOREVER);
}

void blob_tell(struct request *q, struct http_exchange *x, uint64_t size)
{
	blob_headers(q, x);
	http_answer_head(x, client_has(x, &q->digest) ? 304 : 200, size);
}

bool blob_part(struct request *q, struct http_exchange *x, uint64_t size, struct blob_part *out)
{
	enum range_result r = RANGE_WHOLE;
	*out = (struct blob_part){.status = 200, .length = size};
	if (size != UINT64_MAX && client_has(x, &q->digest)) {
		blob_tell(q, x, size);
		return false;
	}
	if (size != UINT64_MAX && range_applies(x, &q->digest))
		r = range_parse(http_header(x, "Range"), size, &out->from, &out->length);
	char text[80];
	if (r == RANGE_UNSATISFIABLE) {
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
		http_set_header(x, "Content-Range", text);
		reply_error(x, 416, "SIZE_INVALID", "the blob has %llu bytes", (unsigned long long)size);
		return false;
	}
	blob_headers(q, x);
	if (r != RANGE_PART)
		return true;
	out->status = 206;
	snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)out->from,
		(unsigned long long)(out->from + out->length - 1), (unsigned long long)size);
	http_set_header(x, "Content-Range", text);
	return true;
}

void blob_send(struct request *q, struct http_exchange *x, int *fd, uint64_t size)
{
	struct blob_part part;
	if (blob_part(q, x, size, &part))
		http_answer_file(x, part.status, steal_fd(fd), part.from, part.length);
}

static struct err *blob_get(struct request *q, struct http_exchange *x)
{
	AUTO(content_fini) struct content c = {.size = -1, .fd = -1};
	struct blob_part part;
	TRY(find_content(q, &c));
	if (c.size < 0) {
		unknown(q, x);
		return NULL;
	}
	if (c.fd >= 0) {
		blob_send(q, x, &c.fd, (uint64_t)c.size);
		return NULL;
	}
	if (blob_part(q, x, (uint64_t)c.size, &part))
		http_answer(x, part.status, str_n(buf_cstr(&c.bytes) + part.from, part.length));
	return NULL;
}

static struct err *blob_head(struct request *q, struct http_exchange *x)
{
	bool found = false;
	int64_t size = -1;
	/* Who is told that it is there will not send it: it stays for a while from now on. */
	TRY(records_blob_refresh(q->s, q->repository, &q->digest, q->r->policy->grace, &found));
	if (found)
		TRY(store_blob_stat(q->s, &q->digest, &size));
	if (size < 0) {
		unknown(q, x);
		return NULL;
	}
	blob_tell(q, x, (uint64_t)size);
	return NULL;
}

struct deletion {
	struct request *q;
	bool deleted;
};

static struct err *delete_in_tx(void *ctx)
{
	struct deletion *d = ctx;
	return records_blob_delete(d->q->s, d->q->repository, &d->q->digest, &d->deleted);
}

static struct err *blob_delete(struct request *q, struct http_exchange *x)
{
	struct deletion d = {.q = q};
	TRY(records_atomically(q->s, delete_in_tx, &d));
	if (d.deleted)
		reply_empty(x, 202);
	else
		unknown(q, x);
	return NULL;
}

struct err *blob_begin(struct request *q, struct http_exchange *x)
{
	const char *method = http_method(x);
	bool get = cstr_eq(method, "GET"), delete = cstr_eq(method, "DELETE");
	if (!get && !delete &&!is_head(x)) {
		reply_method(x, "GET, HEAD, DELETE");
		return NULL;
	}
	if (delete &&q->create_only) {
		reply_may_not_delete(x);
		return NULL;
	}
	struct err *e = digest_parse(str_c(q->reference), &q->digest);
	if (e) {
		reply_err(x, e, "DIGEST_INVALID");
		return NULL;
	}
	bool answered = false;
	if (q->upstream && !delete)
		TRY(cache_blob(q, x, &answered));
	if (answered)
		return NULL;
	if (get)
		return blob_get(q, x);
	return delete ? blob_delete(q, x) : blob_head(q, x);
}
