/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/inventory.h"

#include "base/mem.h"
#include "registry/cache_internal.h"

#include <string.h>

static void tag_fini(struct held_tag *t)
{
	mem_freep(&t->key);
	mem_freep(&t->value);
}

void inventory_fini(struct inventory *v)
{
	for (size_t i = 0; i < v->manifests.len; i++) {
		struct held_manifest *m = vec_at(&v->manifests, i);
		mem_freep(&m->key);
		vec_fini(&m->children);
	}
	for (size_t i = 0; i < v->tags.len; i++)
		tag_fini(vec_at(&v->tags, i));
	vec_fini(&v->manifests);
	vec_fini(&v->tags);
	vec_fini(&v->fresh);
	map_freep(&v->index);
	map_freep(&v->copies);
	map_freep(&v->sizes);
}

static struct err *add_row(void *ctx, const struct store_record_row *row)
{
	struct inventory *v = ctx;
	size_t at = (uintptr_t)map_get_c(v->index, row->key);
	struct held_manifest *m = at ? vec_at(&v->manifests, at - 1) : NULL;
	if (m && m->put == row->created)
		return NULL;
	if (m) {
		m->put = row->created;
		at--;
		vec_push_copy(&v->fresh, &at);
		return NULL;
	}
	at = v->manifests.len;
	m = vec_push(&v->manifests);
	vec_push_copy(&v->fresh, &at);
	m->key = mem_strdup(row->key);
	m->put = row->created;
	m->told = row->used > row->created ? row->used : row->created;
	m->children = VEC_OF(struct digest);
	struct str digest = str_c(m->key);
	str_split(&digest, '@', &m->repository);
	map_set_c(v->index, m->key, (void *)(uintptr_t)v->manifests.len);
	return digest_parse(digest, &m->digest);
}

static struct err *add_tag(void *ctx, const struct store_record_row *row)
{
	struct inventory *v = ctx;
	AUTO(descriptor_fini) struct descriptor d = {0};
	AUTO_JSON json_t *o = NULL;
	TRY(json_parse(row->value, row->key, &o));
	TRY(descriptor_parse(o, row->key, &d));
	struct held_tag *t = vec_push(&v->tags);
	t->key = mem_strdup(row->key);
	t->tag = str_c(t->key);
	str_split(&t->tag, ':', &t->repository);
	t->digest = d.digest;
	t->value = mem_strndup(row->value.ptr, row->value.len);
	t->set = row->created;
	t->told = row->used > row->created ? row->used : row->created;
	return NULL;
}

static struct err *read_manifest(struct store *s, struct held_manifest *held)
{
	AUTO_BUF struct buf bytes = {0};
	AUTO(manifest_fini) struct manifest m = {0};
	vec_clear(&held->children);
	TRY(store_blob_read(s, &held->digest, MANIFEST_MAX, &bytes));
	TRY(manifest_parse(buf_str(&bytes), NULL, &m));
	if (m.kind == MANIFEST_IMAGE)
		vec_push_copy(&held->children, &m.config.digest);
	for (size_t i = 0; i < m.entries.len; i++) {
		const struct descriptor *e = vec_at(&m.entries, i);
		vec_push_copy(&held->children, &e->digest);
	}
	held->has_subject = m.has_subject;
	held->subject = m.subject.digest;
	return NULL;
}

/* One that was deleted meanwhile names nothing any more. */
static struct err *read_or_gone(struct inventory *v, struct held_manifest *m)
{
	struct err *e = read_manifest(v->s, m);
	if (!e)
		return NULL;
	AUTO_BUF struct buf value = {0};
	bool there = true;
	struct err *again = store_record_get(v->s, SPACE_MANIFEST, m->key, &value, &there);
	if (!again && !there) {
		err_ignore(e, "it was deleted while it was to be read");
		vec_clear(&m->children);
		return NULL;
	}
	err_ignore(again, "the first error says more");
	return err_wrap(e, "manifest %s", m->key);
}

static struct held_manifest *fresh_at(struct inventory *v, size_t i)
{
	return vec_at(&v->manifests, *(size_t *)vec_at(&v->fresh, i));
}

static struct err *read_fresh(struct inventory *v, const struct cancel *cancel)
{
	for (size_t i = 0; i < v->fresh.len; i++) {
		TRY(cancel_check(cancel));
		TRY(read_or_gone(v, fresh_at(v, i)));
	}
	return NULL;
}

struct err *inventory_load(struct store *s, const struct cancel *cancel, struct inventory *out)
{
	AUTO(inventory_fini)
	struct inventory v = {
		.s = s,
		.manifests = VEC_OF(struct held_manifest),
		.tags = VEC_OF(struct held_tag),
		.fresh = VEC_OF(size_t),
		.index = map_new(NULL),
	};
	TRY(records_generation(s, &v.generation));
	TRY(store_record_each(s, SPACE_MANIFEST, "", NULL, 0, add_row, &v));
	TRY(store_record_each(s, SPACE_TAG, "", NULL, 0, add_tag, &v));
	TRY(records_copies(s, &v.copies));
	TRY(read_fresh(&v, cancel));
	*out = v;
	v = (struct inventory){.manifests = VEC_OF(struct held_manifest), .tags = VEC_OF(struct held_tag)};
	return NULL;
}

struct held_manifest *inventory_manifest(
	const struct inventory *v, struct str repository, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *key = mem_printf(STR_FMT "@%s", STR_ARG(repository), digest_text(d, text));
	uintptr_t at = (uintptr_t)map_get_c(v->index, key);
	return at ? vec_at(&v->manifests, at - 1) : NULL;
}

static void save(struct inventory *v, struct held_manifest *m)
{
	size_t at = (size_t)(m - (struct held_manifest *)vec_at(&v->manifests, 0));
	m->kept = true;
	vec_push_copy(&v->fresh, &at);
}

/* What those from this place on in fresh list, and what is about them. */
static void save_families(struct inventory *v, size_t from)
{
	for (; from < v->fresh.len; from++) {
		const struct held_manifest *m = fresh_at(v, from);
		for (size_t i = 0; i < m->children.len; i++) {
			struct held_manifest *child =
				inventory_manifest(v, m->repository, vec_at(&m->children, i));
			if (child && !child->kept)
				save(v, child);
		}
		for (size_t i = 0; i < v->manifests.len; i++) {
			struct held_manifest *about = vec_at(&v->manifests, i);
			if (!about->kept && about->has_subject && digest_eq(&about->subject, &m->digest) &&
				str_eq(about->repository, m->repository))
				save(v, about);
		}
	}
}

void inventory_save(struct inventory *v, struct held_manifest *m)
{
	size_t from = v->fresh.len;
	if (m->kept)
		return;
	save(v, m);
	save_families(v, from);
}

/* The subject of what is put stays as well, so that no signature is of nothing. */
static void save_subject(struct inventory *v, const struct held_manifest *m)
{
	struct held_manifest *subject =
		m->has_subject ? inventory_manifest(v, m->repository, &m->subject) : NULL;
	if (subject && !subject->kept)
		save(v, subject);
}

struct one_row {
	struct inventory *v;
	const char *key;
};

static struct err *add_row_of_key(void *ctx, const struct store_record_row *row)
{
	const struct one_row *one = ctx;
	return strcmp(row->key, one->key) == 0 ? add_row(one->v, row) : NULL;
}

/* One that was put and deleted since has no row. */
static struct err *add_put_since(struct inventory *v, int64_t now)
{
	AUTO_STRVEC struct strvec keys = {0};
	bool known = false;
	TRY(records_put_between(v->s, v->generation, now, &keys, &known));
	if (!known)
		return store_record_each(v->s, SPACE_MANIFEST, "", NULL, 0, add_row, v);
	for (size_t i = 0; i < keys.len; i++) {
		struct one_row one = {.v = v, .key = keys.ptr[i]};
		TRY(store_record_each(v->s, SPACE_MANIFEST, one.key, NULL, 1, add_row_of_key, &one));
	}
	return NULL;
}

struct err *inventory_refresh(struct inventory *v)
{
	int64_t now = 0;
	vec_clear(&v->fresh);
	TRY(records_generation(v->s, &now));
	if (now == v->generation)
		return NULL;
	TRY(add_put_since(v, now));
	TRY(read_fresh(v, NULL));
	for (size_t i = 0, n = v->fresh.len; i < n; i++) {
		fresh_at(v, i)->kept = true;
		save_subject(v, fresh_at(v, i));
	}
	save_families(v, 0);
	v->generation = now;
	return NULL;
}
