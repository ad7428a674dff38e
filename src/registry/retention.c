/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tags and manifests stay. Tags first, by the rules; then manifests: a tag that stays, a pin and the
 * grace keep one, an index keeps what it lists, a subject keeps what is said about it. What is left goes with
 * its tags.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "registry/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tags that clients make for what belongs to another manifest: "sha256-<hex>", alone or with ".sig" and such.
 */
#define ATTACHED "sha256-"
#define HEX_LEN 64
#define DAY (24 * 3600 * CLOCK_SECOND)

struct choice {
	struct inventory *v;
	const struct registry_policy *p;
	const struct map *pinned;
	int64_t now;
	struct vec room_since; /* of int64_t, one for each of p->caches */
	struct map *followers; /* key of a subject's manifest -> struct vec of size_t: manifests about it */
	struct vec todo;       /* of size_t: kept manifests whose children are to be kept */
};

static bool is_pinned(const struct choice *c, const char *key)
{
	return c->pinned && map_has(c->pinned, str_c(key));
}

bool retention_attached(struct str tag, struct digest *subject)
{
	if (!str_starts(tag, ATTACHED) || tag.len < strlen(ATTACHED) + HEX_LEN)
		return false;
	struct str rest = str_skip(tag, strlen(ATTACHED) + HEX_LEN);
	if (rest.len && rest.ptr[0] != '.')
		return false;
	AUTO_FREE char *text = mem_printf("sha256:%.*s", HEX_LEN, tag.ptr + strlen(ATTACHED));
	return digest_valid(str_c(text)) && !digest_parse(str_c(text), subject);
}

static bool matches_any(const struct strvec *patterns, struct str tag)
{
	for (size_t i = 0; i < patterns->len; i++)
		if (policy_match(str_c(patterns->ptr[i]), tag))
			return true;
	return false;
}

/* ---- tags ---- */

static int latest_first(const void *a, const void *b)
{
	const struct held_tag *x = *(struct held_tag *const *)a, *y = *(struct held_tag *const *)b;
	if (x->set != y->set)
		return x->set < y->set ? 1 : -1;
	return str_cmp(y->tag, x->tag);
}

/* An image that is named by its digest is asked for by that. */
static void look_at_manifest(const struct choice *c, struct held_tag *t)
{
	const struct held_manifest *m = inventory_manifest(c->v, t->repository, &t->digest);
	if (m && m->told > t->told)
		t->told = m->told;
}

static bool by_time(const struct choice *c, const struct retention_rule *r, const struct held_tag *t)
{
	return (r->keep_younger && t->set >= c->now - r->keep_younger) ||
	       (r->keep_pulled && t->told >= c->now - r->keep_pulled);
}

/* By the rule alone; those that belong to another manifest are neither young nor counted: they stay with that
 * one, looked at when it is known what stays. */
static void choose_tags_of(struct choice *c, const struct retention_rule *r, struct vec *tags)
{
	AUTO(map_freep) struct map *images = map_new(NULL);
	struct digest subject;
	char text[DIGEST_TEXT_MAX];
	vec_sort(tags, latest_first);
	for (size_t i = 0; i < tags->len; i++) {
		struct held_tag *t = *(struct held_tag **)vec_at(tags, i);
		digest_text(&t->digest, text);
		AUTO_FREE char *by_digest = mem_printf(STR_FMT "@%s", STR_ARG(t->repository), text);
		t->kept =
			matches_any(&r->keep_tags, t->tag) || is_pinned(c, t->key) || is_pinned(c, by_digest);
		if (retention_attached(t->tag, &subject))
			continue;
		if (map_has(images, str_c(text)) || map_len(images) < r->keep_newest) {
			map_set_c(images, text, c);
			t->kept = true;
		}
		look_at_manifest(c, t);
		t->kept = t->kept || by_time(c, r, t);
	}
}

/* ---- copies ---- */

/* Only what came from there: what was pushed before is nobody's copy. */
static const struct registry_cache *copy_of(const struct choice *c, struct str repository)
{
	struct str there;
	const struct registry_cache *cache = policy_cache(c->p, repository, &there);
	return cache && cstr_eq(map_get(c->v->copies, repository), cache->upstream) ? cache : NULL;
}

/* Is there no room for a copy that was asked for at this time? */
static bool is_crowded(const struct choice *c, const struct registry_cache *cache, int64_t told)
{
	size_t at = cache ? (size_t)(cache - (const struct registry_cache *)vec_at(&c->p->caches, 0)) : 0;
	return cache && told < *(int64_t *)vec_at(&c->room_since, at);
}

static void find_room(struct choice *c)
{
	for (size_t i = 0; i < c->p->caches.len; i++) {
		const struct registry_cache *cache = vec_at(&c->p->caches, i);
		int64_t since = cache->size ? retention_room_since(c->v, cache) : INT64_MIN;
		vec_push_copy(&c->room_since, &since);
	}
	for (size_t i = 0; i < c->v->manifests.len; i++) {
		struct held_manifest *m = vec_at(&c->v->manifests, i);
		m->crowded = is_crowded(c, m->copy, m->told);
	}
	for (size_t i = 0; i < c->v->tags.len; i++) {
		struct held_tag *t = vec_at(&c->v->tags, i);
		const struct held_manifest *m = inventory_manifest(c->v, t->repository, &t->digest);
		t->crowded = m ? m->crowded : is_crowded(c, t->copy, t->told);
	}
}

static void find_copies(struct choice *c)
{
	for (size_t i = 0; i < c->v->manifests.len; i++) {
		struct held_manifest *m = vec_at(&c->v->manifests, i);
		m->copy = copy_of(c, m->repository);
	}
	for (size_t i = 0; i < c->v->tags.len; i++) {
		struct held_tag *t = vec_at(&c->v->tags, i);
		t->copy = copy_of(c, t->repository);
		/* Who asks for the tag asks for the image. */
		struct held_manifest *m =
			t->copy ? inventory_manifest(c->v, t->repository, &t->digest) : NULL;
		if (m && t->told > m->told)
			m->told = t->told;
	}
	find_room(c);
}

/* By when it was asked for last, for the rules are about what was set. */
static bool copy_stays(const struct choice *c, const struct registry_cache *cache, int64_t told, bool crowded)
{
	if (told >= c->now - c->p->grace)
		return true;
	return !crowded && (!cache->keep || told >= c->now - cache->keep);
}

static void choose_tags(struct choice *c)
{
	struct vec group AUTO(vec_fini) = VEC_OF(struct held_tag *);
	for (size_t i = 0; i < c->v->tags.len; i++) {
		struct held_tag *t = vec_at(&c->v->tags, i);
		const struct held_tag *next = i + 1 < c->v->tags.len ? t + 1 : NULL;
		const struct retention_rule *r = t->copy ? NULL : policy_retention(c->p, t->repository);
		t->kept = t->copy ? copy_stays(c, t->copy, t->told, t->crowded) : !r;
		vec_push_copy(&group, &t);
		if (next && str_eq(next->repository, t->repository))
			continue;
		if (r)
			choose_tags_of(c, r, &group);
		vec_clear(&group);
	}
}

/* ---- manifests ---- */

static void keep(struct choice *c, struct held_manifest *m)
{
	if (!m || m->kept)
		return;
	m->kept = true;
	size_t at = (size_t)(m - (struct held_manifest *)vec_at(&c->v->manifests, 0));
	vec_push_copy(&c->todo, &at);
}

static void follower_free(void *v)
{
	vec_fini(v);
	free(v);
}

/* Who names whom: set tagged and named, and gather what is said about each subject. */
static void relate(struct choice *c)
{
	for (size_t i = 0; i < c->v->tags.len; i++) {
		const struct held_tag *t = vec_at(&c->v->tags, i);
		struct held_manifest *m = inventory_manifest(c->v, t->repository, &t->digest);
		if (m)
			m->tagged = true;
	}
	for (size_t i = 0; i < c->v->manifests.len; i++) {
		struct held_manifest *m = vec_at(&c->v->manifests, i);
		for (size_t k = 0; k < m->children.len; k++) {
			struct held_manifest *child =
				inventory_manifest(c->v, m->repository, vec_at(&m->children, k));
			if (child)
				child->named = true;
		}
		struct held_manifest *subject =
			m->has_subject ? inventory_manifest(c->v, m->repository, &m->subject) : NULL;
		if (!subject)
			continue;
		m->named = true;
		struct vec *list = map_get_c(c->followers, subject->key);
		if (!list) {
			list = mem_new(struct vec);
			*list = VEC_OF(size_t);
			map_set_c(c->followers, subject->key, list);
		}
		vec_push_copy(list, &i);
	}
}

/* What keeps a manifest by itself, its tags apart. */
static bool is_root(const struct choice *c, const struct held_manifest *m)
{
	bool loose = !m->tagged && !m->named;
	if (m->told >= c->now - c->p->grace || is_pinned(c, m->key))
		return true;
	if (m->copy)
		return copy_stays(c, m->copy, m->told, m->crowded);
	return loose && (!c->p->untagged || m->told >= c->now - c->p->untagged);
}

static void spread(struct choice *c)
{
	while (c->todo.len) {
		size_t at = *(size_t *)vec_at(&c->todo, c->todo.len - 1);
		vec_remove(&c->todo, c->todo.len - 1);
		const struct held_manifest *m = vec_at(&c->v->manifests, at);
		for (size_t i = 0; i < m->children.len; i++)
			keep(c, inventory_manifest(c->v, m->repository, vec_at(&m->children, i)));
		const struct vec *about = map_get_c(c->followers, m->key);
		for (size_t i = 0; about && i < about->len; i++)
			keep(c, vec_at(&c->v->manifests, *(size_t *)vec_at(about, i)));
	}
}

/* Signatures of what stays, and those of what is not here at all. True when one was found. */
static bool keep_attached(struct choice *c)
{
	bool found = false;
	struct digest subject;
	for (size_t i = 0; i < c->v->tags.len; i++) {
		struct held_tag *t = vec_at(&c->v->tags, i);
		if (t->kept || t->copy || !retention_attached(t->tag, &subject))
			continue;
		const struct held_manifest *about = inventory_manifest(c->v, t->repository, &subject);
		if (about && !about->kept)
			continue;
		t->kept = found = true;
		keep(c, inventory_manifest(c->v, t->repository, &t->digest));
	}
	return found;
}

static void choose_manifests(struct choice *c)
{
	for (size_t i = 0; i < c->v->tags.len; i++) {
		const struct held_tag *t = vec_at(&c->v->tags, i);
		if (t->kept)
			keep(c, inventory_manifest(c->v, t->repository, &t->digest));
	}
	for (size_t i = 0; i < c->v->manifests.len; i++) {
		struct held_manifest *m = vec_at(&c->v->manifests, i);
		if (is_root(c, m))
			keep(c, m);
	}
	do
		spread(c);
	while (keep_attached(c));
}

/*
 * A tag goes together with its manifest or, when others keep that, alone; but one whose manifest is kept by
 * the grace only waits, so that both go later.
 */
static void wait_for_manifests(struct choice *c)
{
	for (size_t i = 0; i < c->v->tags.len; i++) {
		struct held_tag *t = vec_at(&c->v->tags, i);
		const struct held_manifest *m = inventory_manifest(c->v, t->repository, &t->digest);
		if (m && m->told >= c->now - c->p->grace)
			t->kept = true;
	}
}

void retention_choose(struct inventory *v, const struct registry_policy *p, const struct map *pinned)
{
	struct choice c = {
		.v = v,
		.p = p,
		.pinned = pinned,
		.now = clock_now(),
		.room_since = VEC_OF(int64_t),
		.followers = map_new(follower_free),
		.todo = VEC_OF(size_t),
	};
	find_copies(&c);
	choose_tags(&c);
	relate(&c);
	choose_manifests(&c);
	wait_for_manifests(&c);
	map_free(c.followers);
	vec_fini(&c.room_since);
	vec_fini(&c.todo);
}

static void age_text(int64_t ns, char out[CLOCK_TEXT_MAX])
{
	if (ns >= 2 * DAY)
		snprintf(out, CLOCK_TEXT_MAX, "%lldd", (long long)(ns / DAY));
	else
		clock_duration(ns, out);
}

static char *copy_why(const struct registry_cache *c, int64_t told, bool crowded)
{
	char age[CLOCK_TEXT_MAX], limit[CLOCK_TEXT_MAX];
	age_text(clock_now() - told, age);
	if (crowded)
		return mem_printf("a copy from %s that was asked for last %s ago; later ones take all of %s",
			c->upstream, age, size_text(c->size, limit));
	age_text(c->keep, limit);
	return mem_printf("a copy from %s that was asked for last %s ago; such are kept for %s", c->upstream,
		age, limit);
}

char *retention_why_untagged(const struct held_manifest *m)
{
	if (m->copy)
		return copy_why(m->copy, m->told, m->crowded);
	return mem_strdup(m->named ? "what it belongs to goes" : "nothing names it");
}

static void add_age(struct buf *why, const char *what, int64_t at, int64_t keep)
{
	char age[CLOCK_TEXT_MAX], limit[CLOCK_TEXT_MAX];
	age_text(clock_now() - at, age);
	age_text(keep, limit);
	if (keep)
		buf_addf(why, "; %s %s ago, kept for %s", what, age, limit);
}

char *retention_why(const struct registry_policy *p, const struct held_tag *t)
{
	struct digest subject;
	const struct retention_rule *r = policy_retention(p, t->repository);
	if (t->copy)
		return copy_why(t->copy, t->told, t->crowded);
	if (retention_attached(t->tag, &subject))
		return mem_strdup("what it belongs to goes");
	if (!r)
		return mem_strdup("no rule keeps it");
	AUTO_BUF struct buf why = {0};
	if (r->keep_newest)
		buf_addf(&why, "; not among the newest %llu", (unsigned long long)r->keep_newest);
	add_age(&why, "set", t->set, r->keep_younger);
	add_age(&why, "asked for last", t->told, r->keep_pulled);
	return mem_strdup(buf_cstr(&why) + strlen("; "));
}
