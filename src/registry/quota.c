/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each namespace takes: a counter in the same transaction as the records it counts, so that a push needs
 * no sum. A blob counts once in a namespace, whatever the number of its repositories; a manifest once in
 * each. A counter that is not there is summed up when it is first needed.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "registry/registry_internal.h"

#include <stdio.h>
#include <string.h>

#define KEY_USAGE "usage:"

static char *namespace_of(const char *repository)
{
	struct str n = policy_namespace(str_c(repository));
	return mem_strndup(n.ptr, n.len);
}

static bool in_namespace(struct str repository, const char *namespace_)
{
	return str_eq_c(policy_namespace(repository), namespace_);
}

/* ---- summing up ---- */

struct sum {
	const char *namespace_;
	struct buf last; /* the digest that was counted last: keys are sorted by it */
	uint64_t bytes;
};

static void sum_fini(struct sum *s)
{
	buf_fini(&s->last);
}

static struct err *sum_blob(void *ctx, const struct store_record_row *row)
{
	struct sum *s = ctx;
	struct str repository = str_c(row->key), digest;
	uint64_t size;
	int64_t at;
	str_split(&repository, '@', &digest);
	if (!in_namespace(repository, s->namespace_) || str_eq(digest, buf_str(&s->last)))
		return NULL;
	TRY(records_blob_decode(row->value, &size, &at));
	buf_clear(&s->last);
	buf_addstr(&s->last, digest);
	s->bytes += size;
	return NULL;
}

static struct err *sum_manifest(void *ctx, const struct store_record_row *row)
{
	struct sum *s = ctx;
	struct str repository = str_n(row->key, strcspn(row->key, "@"));
	if (!in_namespace(repository, s->namespace_))
		return NULL;
	AUTO(descriptor_fini) struct descriptor d = {0};
	AUTO_JSON json_t *o = NULL;
	TRY(json_parse(row->value, row->key, &o));
	TRY(descriptor_parse(o, row->key, &d));
	s->bytes += d.size;
	return NULL;
}

static struct err *sum_up(struct store *s, const char *namespace_, uint64_t *out)
{
	AUTO(sum_fini) struct sum sum = {.namespace_ = namespace_};
	AUTO_FREE char *prefix = mem_printf("%s", namespace_);
	TRY(store_record_each(s, SPACE_BLOB, "", NULL, 0, sum_blob, &sum));
	TRY(store_record_each(s, SPACE_MANIFEST, prefix, NULL, 0, sum_manifest, &sum));
	*out = sum.bytes;
	return NULL;
}

/* ---- the counters ---- */

static struct err *read_usage(struct store *s, const char *namespace_, uint64_t *out, bool *counted)
{
	AUTO_FREE char *key = mem_printf(KEY_USAGE "%s", namespace_);
	AUTO_BUF struct buf value = {0};
	TRY(store_record_get(s, SPACE_STATE, key, &value, counted));
	*counted = *counted && str_to_u64(buf_str(&value), out);
	return NULL;
}

struct err *quota_usage(struct store *s, const char *repository, uint64_t *out)
{
	AUTO_FREE char *namespace_ = namespace_of(repository);
	bool counted = false;
	TRY(read_usage(s, namespace_, out, &counted));
	return counted ? NULL : sum_up(s, namespace_, out);
}

struct err *quota_change(struct store *s, const char *repository, uint64_t more, uint64_t less)
{
	AUTO_FREE char *namespace_ = namespace_of(repository);
	AUTO_FREE char *key = mem_printf(KEY_USAGE "%s", namespace_);
	uint64_t bytes = 0;
	bool counted = false;
	char text[24];
	TRY(read_usage(s, namespace_, &bytes, &counted));
	if (!counted)
		TRY(sum_up(s, namespace_, &bytes));
	bytes += more;
	bytes = bytes > less ? bytes - less : 0;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	return store_record_put(s, &(struct store_record){SPACE_STATE, key, str_c(text), NULL, 0});
}

struct err *quota_begin(struct store *s, const char *repository)
{
	AUTO_FREE char *namespace_ = namespace_of(repository);
	uint64_t bytes = 0;
	bool counted = false;
	TRY(read_usage(s, namespace_, &bytes, &counted));
	return counted ? NULL : quota_change(s, repository, 0, 0);
}

static struct err *push_key(void *ctx, const struct store_record_row *row)
{
	strvec_push(ctx, row->key);
	return NULL;
}

static struct err *forget_in_tx(void *ctx)
{
	struct store *s = ctx;
	AUTO_STRVEC struct strvec keys = {0};
	bool deleted;
	TRY(store_record_each(s, SPACE_STATE, KEY_USAGE, NULL, 0, push_key, &keys));
	for (size_t i = 0; i < keys.len; i++)
		TRY(store_record_delete(s, SPACE_STATE, keys.ptr[i], &deleted));
	return NULL;
}

struct err *registry_recount(struct store *s)
{
	return records_atomically(s, forget_in_tx, s);
}

static struct err *any_row(void *ctx, const struct store_record_row *row)
{
	(void)row;
	*(bool *)ctx = true;
	return NULL;
}

struct err *quota_counts_blob(struct store *s, const char *repository, const struct digest *d, bool *counts)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *namespace_ = namespace_of(repository);
	AUTO_FREE char *alone = mem_printf("%s@%s", digest_text(d, text), namespace_);
	AUTO_FREE char *below = mem_printf("%s/", alone);
	AUTO_BUF struct buf value = {0};
	TRY(store_record_get(s, SPACE_BLOB, alone, &value, counts));
	return *counts ? NULL : store_record_each(s, SPACE_BLOB, below, NULL, 1, any_row, counts);
}

/* ---- asking ---- */

struct err *quota_room(const struct request *q, uint64_t *out)
{
	struct str namespace_ = policy_namespace(str_c(q->repository));
	uint64_t quota = policy_quota(q->r->policy, namespace_), used = 0;
	*out = UINT64_MAX;
	if (quota == UINT64_MAX)
		return NULL;
	TRY(quota_usage(q->s, q->repository, &used));
	*out = used < quota ? quota - used : 0;
	return NULL;
}

void reply_quota(const struct request *q, struct http_exchange *x)
{
	struct str namespace_ = policy_namespace(str_c(q->repository));
	char text[CLOCK_TEXT_MAX];
	reply_error(x, 403, "DENIED",
		"this would take namespace " STR_FMT " over its quota of %s: delete something there first",
		STR_ARG(namespace_), size_text(policy_quota(q->r->policy, namespace_), text));
}
