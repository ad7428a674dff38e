/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs that were uploaded, mounted or asked for, and that no manifest of their repository names. */
#include "base/clock.h"
#include "base/mem.h"
#include "registry/inventory.h"

#include <string.h>

/* Records deleted in one transaction, so that pushes need not wait long. */
#define BATCH 200

void prune_fini(struct prune *p)
{
	strvec_fini(&p->victims);
	map_freep(&p->named);
}

static void add_named(struct prune *p, const struct held_manifest *m)
{
	char text[DIGEST_TEXT_MAX];
	for (size_t i = 0; i < m->children.len; i++) {
		AUTO_FREE char *key = mem_printf(
			"%s@" STR_FMT, digest_text(vec_at(&m->children, i), text), STR_ARG(m->repository));
		map_set_c(p->named, key, p);
	}
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

struct err *prune_choose(struct inventory *v, int64_t grace, struct prune *out)
{
	*out = (struct prune){.v = v, .older_than = clock_now() - grace, .named = map_new(NULL)};
	for (size_t i = 0; i < v->manifests.len; i++) {
		const struct held_manifest *m = vec_at(&v->manifests, i);
		if (m->kept)
			add_named(out, m);
	}
	return store_record_each(v->s, SPACE_BLOB, "", NULL, 0, pick_victim, out);
}

static struct err *drop_one(struct prune *p, const char *key)
{
	AUTO_BUF struct buf value = {0};
	bool found = false, deleted = false;
	uint64_t size;
	int64_t at = 0;
	if (map_has(p->named, str_c(key)))
		return NULL;
	TRY(store_record_get(p->v->s, SPACE_BLOB, key, &value, &found));
	if (!found)
		return NULL;
	/* Uploaded, mounted or asked for again meanwhile? */
	TRY(records_blob_decode(buf_str(&value), &size, &at));
	if (at >= p->older_than)
		return NULL;
	struct digest d;
	struct str repository = str_c(key), digest;
	str_split(&repository, '@', &digest);
	TRY(digest_parse(digest, &d));
	TRY(records_blob_delete(p->v->s, repository.ptr, &d, &deleted));
	p->dropped += deleted;
	return NULL;
}

static struct err *drop_batch(void *ctx)
{
	struct prune *p = ctx;
	TRY(inventory_refresh(p->v));
	for (size_t i = 0; i < p->v->fresh.len; i++)
		add_named(p, vec_at(&p->v->manifests, *(size_t *)vec_at(&p->v->fresh, i)));
	for (size_t i = 0; i < BATCH && p->next < p->victims.len; i++)
		TRY(drop_one(p, p->victims.ptr[p->next++]));
	return NULL;
}

struct err *prune_apply(struct prune *p, const struct cancel *cancel)
{
	while (p->next < p->victims.len) {
		TRY(cancel_check(cancel));
		TRY(records_atomically(p->v->s, drop_batch, p));
	}
	return NULL;
}
