/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "registry/registry_internal.h"

#include <string.h>

/* Records deleted in one transaction, so that pushes need not wait long. */
#define BATCH 200

struct prune {
	struct store *s;
	int64_t older_than;
	int64_t generation;
	struct strvec manifests; /* keys */
	struct map *named;       /* keys of SPACE_BLOB that some manifest of their repository names */
	struct strvec victims;   /* keys of SPACE_BLOB */
	size_t next;             /* of victims */
	bool overtaken;          /* a manifest was put since the named ones were gathered */
	uint64_t dropped;
};

static void prune_fini(struct prune *p)
{
	strvec_fini(&p->manifests);
	strvec_fini(&p->victims);
	map_freep(&p->named);
}

static struct err *push_key(void *ctx, const struct store_record_row *row)
{
	strvec_push(ctx, row->key);
	return NULL;
}

static void add_named(struct prune *p, const char *repository, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *key = mem_printf("%s@%s", digest_text(d, text), repository);
	map_set_c(p->named, key, p);
}

/* An unreadable manifest ends it all: what it names cannot be known to be unused. */
static struct err *add_children(struct prune *p, const char *key)
{
	struct str digest = str_c(key), repository;
	str_split(&digest, '@', &repository);
	struct digest d;
	TRY(digest_parse(digest, &d));
	AUTO_BUF struct buf bytes = {0};
	AUTO(manifest_fini) struct manifest m = {0};
	TRY(store_blob_read(p->s, &d, MANIFEST_MAX, &bytes));
	TRY(manifest_parse(buf_str(&bytes), NULL, &m));
	AUTO_FREE char *name = mem_strndup(repository.ptr, repository.len);
	if (m.kind == MANIFEST_IMAGE)
		add_named(p, name, &m.config.digest);
	for (size_t i = 0; i < m.entries.len; i++) {
		const struct descriptor *e = vec_at(&m.entries, i);
		add_named(p, name, &e->digest);
	}
	return NULL;
}

static struct err *pick_victim(void *ctx, const struct store_record_row *row)
{
	struct prune *p = ctx;
	uint64_t size;
	int64_t at = 0;
	TRY(records_blob_decode(row->value, &size, &at));
	if (at < p->older_than && !map_has(p->named, str_c(row->key)))
		strvec_push(&p->victims, row->key);
	return NULL;
}

static struct err *drop_one(struct prune *p, const char *key)
{
	AUTO_BUF struct buf value = {0};
	bool found = false, deleted = false;
	uint64_t size;
	int64_t at = 0;
	TRY(store_record_get(p->s, SPACE_BLOB, key, &value, &found));
	if (!found)
		return NULL;
	/* Uploaded, mounted or asked for again meanwhile? */
	TRY(records_blob_decode(buf_str(&value), &size, &at));
	if (at >= p->older_than)
		return NULL;
	TRY(store_record_delete(p->s, SPACE_BLOB, key, &deleted));
	p->dropped += deleted;
	return NULL;
}

static struct err *drop_batch(void *ctx)
{
	struct prune *p = ctx;
	int64_t now = 0;
	TRY(records_generation(p->s, &now));
	p->overtaken = now != p->generation;
	for (size_t i = 0; !p->overtaken && i < BATCH && p->next < p->victims.len; i++)
		TRY(drop_one(p, p->victims.ptr[p->next++]));
	return NULL;
}

static struct err *prune_run(struct prune *p, const struct cancel *cancel)
{
	TRY(records_generation(p->s, &p->generation));
	TRY(store_record_each(p->s, SPACE_MANIFEST, "", NULL, 0, push_key, &p->manifests));
	for (size_t i = 0; i < p->manifests.len; i++) {
		TRY(cancel_check(cancel));
		struct err *e = add_children(p, p->manifests.ptr[i]);
		if (e)
			return err_wrap(e, "manifest %s", p->manifests.ptr[i]);
	}
	TRY(store_record_each(p->s, SPACE_BLOB, "", NULL, 0, pick_victim, p));
	while (p->next < p->victims.len && !p->overtaken) {
		TRY(cancel_check(cancel));
		TRY(records_atomically(p->s, drop_batch, p));
	}
	return NULL;
}

struct err *registry_prune(struct store *s, int64_t grace, const struct cancel *cancel, uint64_t *dropped)
{
	AUTO(prune_fini)
	struct prune p = {
		.s = s,
		.older_than = clock_now() - (grace ? grace : REGISTRY_BLOB_GRACE),
		.named = map_new(NULL),
	};
	struct err *e = prune_run(&p, cancel);
	if (e)
		return err_wrap(e, "pruning the registry's blobs");
	if (dropped)
		*dropped = p.dropped;
	return NULL;
}
