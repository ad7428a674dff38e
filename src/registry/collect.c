/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/collect.h"

#include "base/mem.h"
#include "registry/inventory.h"

#include <string.h>

/* Tags or manifests deleted in one transaction, so that pushes need not wait long. */
#define BATCH 100

struct collection {
	struct store *s;
	const struct registry_collect_options *opt;
	const struct registry_policy *policy;
	struct inventory v;
	size_t next;    /* of what is being deleted */
	unsigned level; /* of the manifests that are */
	struct registry_collected *out;
};

static void collection_fini(struct collection *c)
{
	inventory_fini(&c->v);
}

static void report(const struct collection *c, const char *name, const char *why)
{
	if (c->opt->report)
		c->opt->report(c->opt->ctx, name, why);
}

static void note_gone(const struct collection *c, const char *space, const char *key)
{
	if (!c->opt->gone)
		return;
	AUTO_FREE char *name = mem_printf("%s/%s", space, key);
	map_set_c(c->opt->gone, name, (void *)c);
}

/* ---- tags ---- */

/* A signature stays when what it is of was put again since the choice. */
static bool belongs_to_kept(const struct inventory *v, const struct held_tag *t)
{
	struct digest subject;
	const struct held_manifest *about = NULL;
	if (!t->copy && retention_attached(t->tag, &subject))
		about = inventory_manifest(v, t->repository, &subject);
	return about && about->kept;
}

static struct err *delete_tag(struct collection *c, struct held_tag *t)
{
	AUTO_BUF struct buf now = {0};
	bool found = false, deleted = false;
	t->kept = belongs_to_kept(&c->v, t);
	if (t->kept)
		return NULL;
	TRY(store_record_get(c->s, SPACE_TAG, t->key, &now, &found));
	if (!found || !str_eq_c(buf_str(&now), t->value))
		return NULL;
	TRY(store_record_delete(c->s, SPACE_TAG, t->key, &deleted));
	c->out->tags += deleted;
	return NULL;
}

static struct err *delete_tags(void *ctx)
{
	struct collection *c = ctx;
	TRY(inventory_refresh(&c->v));
	for (size_t i = 0; i < BATCH && c->next < c->v.tags.len; c->next++) {
		struct held_tag *t = vec_at(&c->v.tags, c->next);
		if (t->kept)
			continue;
		TRY(delete_tag(c, t));
		i++;
	}
	return NULL;
}

/* ---- manifests ---- */

static struct err *delete_manifest(struct collection *c, struct held_manifest *m)
{
	AUTO_FREE char *repository = mem_strndup(m->repository.ptr, m->repository.len);
	AUTO_STRVEC struct strvec tags = {0};
	bool deleted = false;
	TRY(records_tags_of(c->s, repository, &m->digest, &tags));
	if (tags.len) {
		inventory_save(&c->v, m);
		return NULL;
	}
	TRY(records_manifest_delete(c->s, repository, &m->digest, &deleted));
	c->out->manifests += deleted;
	return NULL;
}

static struct err *delete_manifests(void *ctx)
{
	struct collection *c = ctx;
	TRY(inventory_refresh(&c->v));
	for (size_t i = 0; i < BATCH && c->next < c->v.manifests.len; c->next++) {
		struct held_manifest *m = vec_at(&c->v.manifests, c->next);
		if (m->kept || m->level != c->level)
			continue;
		TRY(delete_manifest(c, m));
		i++;
	}
	return NULL;
}

/* An index goes before what it lists: one that is put meanwhile and lists the index finds it whole or not. */
static unsigned set_levels(struct inventory *v)
{
	unsigned highest = 0;
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < v->manifests.len; i++) {
			const struct held_manifest *m = vec_at(&v->manifests, i);
			for (size_t k = 0; !m->kept && k < m->children.len; k++) {
				struct held_manifest *child =
					inventory_manifest(v, m->repository, vec_at(&m->children, k));
				if (!child || child->kept || child->level > m->level)
					continue;
				child->level = m->level + 1;
				highest = child->level > highest ? child->level : highest;
				more = true;
			}
		}
	}
	return highest;
}

static struct err *in_batches(struct collection *c, const struct vec *what, struct err *(*batch)(void *ctx),
	const struct cancel *cancel)
{
	for (c->next = 0; c->next < what->len;) {
		TRY(cancel_check(cancel));
		TRY(records_atomically(c->s, batch, c));
	}
	return NULL;
}

/* ---- both ---- */

static bool any_rule(const struct registry_policy *p)
{
	return p->retention.len || p->untagged || p->caches.len;
}

static void tell(const struct collection *c)
{
	for (size_t i = 0; i < c->v.tags.len; i++) {
		const struct held_tag *t = vec_at(&c->v.tags, i);
		if (t->kept)
			continue;
		AUTO_FREE char *why = retention_why(c->policy, t);
		report(c, t->key, why);
		note_gone(c, SPACE_TAG, t->key);
	}
	for (size_t i = 0; i < c->v.manifests.len; i++) {
		const struct held_manifest *m = vec_at(&c->v.manifests, i);
		if (m->kept)
			continue;
		AUTO_FREE char *why = retention_why_untagged(m);
		if (!m->tagged)
			report(c, m->key, why);
		note_gone(c, SPACE_MANIFEST, m->key);
		char subject[DIGEST_TEXT_MAX], own[DIGEST_TEXT_MAX];
		AUTO_FREE char *referrer = mem_printf(STR_FMT "@%s/%s", STR_ARG(m->repository),
			digest_text(&m->subject, subject), digest_text(&m->digest, own));
		note_gone(c, SPACE_REFERRER, referrer);
	}
}

static void keep_all(struct inventory *v)
{
	for (size_t i = 0; i < v->tags.len; i++)
		((struct held_tag *)vec_at(&v->tags, i))->kept = true;
	for (size_t i = 0; i < v->manifests.len; i++)
		((struct held_manifest *)vec_at(&v->manifests, i))->kept = true;
}

static void count_dry(struct collection *c)
{
	for (size_t i = 0; i < c->v.tags.len; i++)
		c->out->tags += !((struct held_tag *)vec_at(&c->v.tags, i))->kept;
	for (size_t i = 0; i < c->v.manifests.len; i++)
		c->out->manifests += !((struct held_manifest *)vec_at(&c->v.manifests, i))->kept;
}

static struct err *collect_blobs(struct collection *c, const struct cancel *cancel)
{
	AUTO(prune_fini) struct prune p = {0};
	TRY(prune_choose(&c->v, c->policy->grace, &p));
	if (!c->opt->dry_run)
		TRY(prune_apply(&p, cancel));
	for (size_t i = 0; i < p.victims.len; i++)
		note_gone(c, SPACE_BLOB, p.victims.ptr[i]);
	c->out->blobs = c->opt->dry_run ? p.victims.len : p.dropped;
	return NULL;
}

static struct err *collect(struct collection *c, const struct cancel *cancel)
{
	TRY(inventory_load(c->s, cancel, &c->v));
	bool known = c->opt->pinned || !c->policy->pinned_in.len;
	if (known && any_rule(c->policy))
		TRY(inventory_load_sizes(&c->v, c->policy));
	if (known && any_rule(c->policy))
		retention_choose(&c->v, c->policy, c->opt->pinned);
	else
		keep_all(&c->v);
	tell(c);
	if (c->opt->dry_run) {
		count_dry(c);
	} else {
		TRY(in_batches(c, &c->v.tags, delete_tags, cancel));
		unsigned levels = set_levels(&c->v);
		for (c->level = 0; c->level <= levels; c->level++)
			TRY(in_batches(c, &c->v.manifests, delete_manifests, cancel));
	}
	return collect_blobs(c, cancel);
}

struct err *registry_collect(struct store *s, const struct registry_collect_options *opt,
	const struct cancel *cancel, struct registry_collected *out)
{
	struct registry_policy defaults;
	registry_policy_init(&defaults);
	struct registry_collected counts = {0};
	struct collection c = {
		.s = s,
		.opt = opt,
		.policy = opt->policy ? opt->policy : &defaults,
		.v = {.manifests = VEC_OF(struct held_manifest), .tags = VEC_OF(struct held_tag)},
		.out = &counts,
	};
	struct err *e = collect(&c, cancel);
	collection_fini(&c);
	registry_policy_fini(&defaults);
	if (e)
		return err_wrap(e, "collecting what the registry need not keep");
	*out = counts;
	return NULL;
}
