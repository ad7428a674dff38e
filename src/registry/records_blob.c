/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "registry/registry_internal.h"

#include <stdlib.h>
#include <string.h>

static char *blob_key(const struct digest *d, const char *repository)
{
	char text[DIGEST_TEXT_MAX];
	return mem_printf("%s@%s", digest_text(d, text), repository);
}

struct err *records_blob_decode(struct str value, uint64_t *size, int64_t *at)
{
	AUTO_JSON json_t *o = NULL;
	int64_t n = 0;
	TRY(json_parse(value, "blob record", &o));
	TRY(json_get_int(o, "size", "blob record", &n));
	TRY(json_get_int(o, "at", "blob record", at));
	*size = (uint64_t)n;
	return NULL;
}

struct err *records_blob_has(struct store *s, const char *repository, const struct digest *d, bool *found)
{
	AUTO_FREE char *key = blob_key(d, repository);
	AUTO_BUF struct buf value = {0};
	return store_record_get(s, SPACE_BLOB, key, &value, found);
}

struct err *records_blob_put(struct store *s, const char *repository, const struct digest *d, uint64_t size)
{
	char text[DIGEST_TEXT_MAX];
	bool counted = false;
	TRY(quota_counts_blob(s, repository, d, &counted));
	if (!counted)
		TRY(quota_change(s, repository, size, 0));
	AUTO_FREE char *key = blob_key(d, repository);
	AUTO_FREE char *value =
		mem_printf("{\"size\":%llu,\"at\":%lld}", (unsigned long long)size, (long long)clock_now());
	struct store_ref ref = {STORE_REF_BLOB, digest_text(d, text)};
	return store_record_put(s, &(struct store_record){SPACE_BLOB, key, str_c(value), &ref, 1});
}

struct err *records_blob_delete(
	struct store *s, const char *repository, const struct digest *d, bool *deleted)
{
	AUTO_FREE char *key = blob_key(d, repository);
	AUTO_BUF struct buf value = {0};
	bool counted = false;
	uint64_t size = 0;
	int64_t at;
	TRY(store_record_get(s, SPACE_BLOB, key, &value, deleted));
	if (!*deleted)
		return NULL;
	TRY(records_blob_decode(buf_str(&value), &size, &at));
	TRY(quota_begin(s, repository));
	TRY(store_record_delete(s, SPACE_BLOB, key, deleted));
	TRY(quota_counts_blob(s, repository, d, &counted));
	return counted ? NULL : quota_change(s, repository, 0, size);
}

struct anywhere {
	const struct request *q;
	const struct http_exchange *x;
	size_t prefix;
	bool found;
};

static struct err *look_there(void *ctx, const struct store_record_row *row)
{
	struct anywhere *a = ctx;
	if (!a->found)
		a->found = may_read(a->q, a->x, row->key + a->prefix);
	return NULL;
}

struct err *records_blob_anywhere(
	const struct request *q, const struct http_exchange *x, const struct digest *d, bool *found)
{
	AUTO_FREE char *prefix = blob_key(d, "");
	struct anywhere a = {.q = q, .x = x, .prefix = strlen(prefix)};
	TRY(store_record_each(q->s, SPACE_BLOB, prefix, NULL, 0, look_there, &a));
	*found = a.found;
	return NULL;
}

struct blob_put {
	struct store *s;
	const char *repository;
	const struct digest *d;
	uint64_t size;
	bool found;
};

/* Only what is still there: it may have been let go meanwhile. */
static struct err *put_in_tx(void *ctx)
{
	struct blob_put *p = ctx;
	TRY(records_blob_has(p->s, p->repository, p->d, &p->found));
	return p->found ? records_blob_put(p->s, p->repository, p->d, p->size) : NULL;
}

struct err *records_blob_refresh(
	struct store *s, const char *repository, const struct digest *d, int64_t grace, bool *found)
{
	AUTO_FREE char *key = blob_key(d, repository);
	AUTO_BUF struct buf value = {0};
	struct blob_put put = {.s = s, .repository = repository, .d = d};
	int64_t at = 0;
	TRY(store_record_get(s, SPACE_BLOB, key, &value, found));
	if (!*found)
		return NULL;
	TRY(records_blob_decode(buf_str(&value), &put.size, &at));
	if (clock_now() - at < grace / 2)
		return NULL;
	TRY(records_atomically(s, put_in_tx, &put));
	*found = put.found;
	return NULL;
}
