/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of an upstream that are limited in size: what was asked for last stays, as far as there is room. */
#include "base/mem.h"
#include "registry/inventory.h"

/* Indexes of indexes, beyond which nothing is counted. */
#define DEPTH_MAX 4

static struct err *add_size(void *ctx, const struct store_record_row *row)
{
	uint64_t size;
	int64_t at;
	TRY(records_blob_decode(row->value, &size, &at));
	map_set_c(ctx, row->key, (void *)(uintptr_t)size);
	return NULL;
}

struct err *inventory_load_sizes(struct inventory *v, const struct registry_policy *p)
{
	bool any = false;
	for (size_t i = 0; i < p->caches.len; i++)
		any = any || ((const struct registry_cache *)vec_at(&p->caches, i))->size;
	if (!any)
		return NULL;
	v->sizes = map_new(NULL);
	return store_record_each(v->s, SPACE_BLOB, "", NULL, 0, add_size, v->sizes);
}

struct tally {
	const struct inventory *v;
	struct map *counted; /* digests: what several images share is in the store once */
	uint64_t bytes;
};

static void add_blob(struct tally *t, struct str repository, const char *digest)
{
	AUTO_FREE char *key = mem_printf("%s@" STR_FMT, digest, STR_ARG(repository));
	if (map_has(t->counted, str_c(digest)))
		return;
	map_set_c(t->counted, digest, t);
	t->bytes += (uintptr_t)map_get_c(t->v->sizes, key);
}

/* What goes and stays together with a manifest. */
static void add_manifest(struct tally *t, const struct held_manifest *m, int depth)
{
	char text[DIGEST_TEXT_MAX];
	for (size_t i = 0; i < m->children.len; i++) {
		const struct digest *d = vec_at(&m->children, i);
		const struct held_manifest *child = inventory_manifest(t->v, m->repository, d);
		if (!child)
			add_blob(t, m->repository, digest_text(d, text));
		else if (depth < DEPTH_MAX)
			add_manifest(t, child, depth + 1);
	}
}

static int asked_for_last_first(const void *a, const void *b)
{
	const struct held_manifest *x = *(struct held_manifest *const *)a,
				   *y = *(struct held_manifest *const *)b;
	return x->told == y->told ? 0 : x->told < y->told ? 1 : -1;
}

int64_t retention_room_since(const struct inventory *v, const struct registry_cache *cache)
{
	struct vec copies AUTO(vec_fini) = VEC_OF(struct held_manifest *);
	AUTO(map_freep) struct map *counted = map_new(NULL);
	struct tally t = {.v = v, .counted = counted};
	for (size_t i = 0; v->sizes && i < v->manifests.len; i++) {
		const struct held_manifest *m = vec_at(&v->manifests, i);
		if (m->copy == cache)
			vec_push_copy(&copies, &m);
	}
	vec_sort(&copies, asked_for_last_first);
	for (size_t i = 0; i < copies.len; i++) {
		const struct held_manifest *m = *(struct held_manifest **)vec_at(&copies, i);
		add_manifest(&t, m, 0);
		if (t.bytes > cache->size)
			return m->told + 1;
	}
	return INT64_MIN;
}
