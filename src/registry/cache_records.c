/* SPDX-License-Identifier: Apache-2.0 */
/* What of an upstream is here, as records. */
#include "base/mem.h"
#include "registry/cache_internal.h"

#include <stdlib.h>

static struct err *add_copy(void *ctx, const struct store_record_row *row)
{
	map_set_c(ctx, row->key, mem_strndup(row->value.ptr, row->value.len));
	return NULL;
}

struct err *records_copies(struct store *s, struct map **out)
{
	AUTO(map_freep) struct map *copies = map_new(free);
	TRY(store_record_each(s, SPACE_UPSTREAM, "", NULL, 0, add_copy, copies));
	*out = steal(&copies);
	return NULL;
}

struct err *records_is_copy(struct store *s, const char *repository, const char *upstream, bool *yes)
{
	AUTO_BUF struct buf present = {0};
	TRY(store_record_get(s, SPACE_UPSTREAM, repository, &present, yes));
	*yes = *yes && str_eq_c(buf_str(&present), upstream);
	return NULL;
}

/* In the caller's transaction: the repository is one. */
static struct err *records_copy_put(struct store *s, const char *repository, const char *upstream)
{
	bool already = false;
	TRY(records_is_copy(s, repository, upstream, &already));
	if (already)
		return NULL;
	return store_record_put(
		s, &(struct store_record){SPACE_UPSTREAM, repository, str_c(upstream), NULL, 0});
}

struct err *manifest_is_here(struct request *q, struct descriptor *out, bool *here)
{
	int64_t size = -1;
	if (digest_is_set(&q->digest))
		TRY(records_manifest_get(q->s, q->repository, &q->digest, out, here));
	else
		TRY(records_tag_get(q->s, q->repository, q->reference, out, here));
	if (!*here)
		return NULL;
	TRY(store_blob_stat(q->s, &out->digest, &size));
	*here = size >= 0;
	return NULL;
}

struct err *blob_is_here(struct request *q, bool *here)
{
	int64_t size = -1;
	TRY(records_blob_has(q->s, q->repository, &q->digest, here));
	if (*here)
		TRY(store_blob_stat(q->s, &q->digest, &size));
	*here = size >= 0;
	return NULL;
}

/* ---- keeping ---- */

struct keeping {
	struct request q;
	const struct descriptor *d;
	const char *tag;
	struct manifest m;
	bool kept;
};

/* A gc can take it before this, but not once the transaction has begun. */
static struct err *must_be_there(struct store *s, const struct digest *d)
{
	int64_t size = -1;
	TRY(store_blob_stat(s, d, &size));
	return size >= 0 ? NULL : err_new(ERR_UNAVAILABLE, "it was collected before it was recorded");
}

static struct err *is_room(const struct request *q, uint64_t size, bool *room)
{
	uint64_t left = 0;
	TRY(quota_room(q, &left));
	*room = size <= left;
	return NULL;
}

static struct err *manifest_in_tx(void *ctx)
{
	struct keeping *k = ctx;
	struct request *q = &k->q;
	AUTO(descriptor_fini) struct descriptor present = {0};
	bool found = false;
	TRY(must_be_there(q->s, &k->d->digest));
	TRY(records_manifest_get(q->s, q->repository, &k->d->digest, &present, &found));
	k->kept = found;
	if (!found)
		TRY(is_room(q, k->d->size, &k->kept));
	if (!k->kept)
		return NULL;
	TRY(records_copy_put(q->s, q->repository, q->upstream->setting->upstream));
	if (!found)
		TRY(records_manifest_put(q->s, q->repository, k->d, &k->m));
	return k->tag ? records_tag_put(q->s, q->repository, k->tag, k->d) : NULL;
}

struct err *keep_manifest(struct request *q, const struct descriptor *d, const char *tag, bool *kept)
{
	AUTO_BUF struct buf bytes = {0};
	struct keeping k = {.q = *q, .d = d, .tag = tag};
	TRY(store_blob_read(q->s, &d->digest, MANIFEST_MAX, &bytes));
	struct err *e = manifest_parse(buf_str(&bytes), d->media_type, &k.m);
	if (!e)
		e = records_atomically(q->s, manifest_in_tx, &k);
	manifest_fini(&k.m);
	*kept = k.kept;
	return e;
}

struct blob_keeping {
	struct request q;
	uint64_t size;
	bool kept;
};

static struct err *blob_in_tx(void *ctx)
{
	struct blob_keeping *k = ctx;
	struct request *q = &k->q;
	bool counts = false;
	TRY(must_be_there(q->s, &q->digest));
	TRY(quota_counts_blob(q->s, q->repository, &q->digest, &counts));
	k->kept = counts;
	if (!counts)
		TRY(is_room(q, k->size, &k->kept));
	if (!k->kept)
		return NULL;
	TRY(records_copy_put(q->s, q->repository, q->upstream->setting->upstream));
	return records_blob_put(q->s, q->repository, &q->digest, k->size);
}

struct err *keep_blob(struct request *q, uint64_t size, bool *kept)
{
	struct blob_keeping k = {.q = *q, .size = size};
	TRY(records_atomically(q->s, blob_in_tx, &k));
	*kept = k.kept;
	return NULL;
}
