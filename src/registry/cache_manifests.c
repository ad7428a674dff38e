/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests of an upstream: by digest what is here is the answer; by tag the upstream is asked for the digest
 * (HEAD, which Docker Hub does not count), and for bytes only when they are not here. Of those who ask for
 * one thing at once one looks, the others wait for what becomes of it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/cache_internal.h"

#include <stdlib.h>
#include <string.h>

/* What is not there is not asked for again so soon. */
#define ABSENT_FOR (10 * CLOCK_SECOND)

/* What a look at the upstream came to. */
struct outcome {
	struct trouble trouble;
	struct descriptor d;
	bool kept;    /* it is here as any other manifest is; else only its bytes are, for a while */
	bool fetched; /* the bytes came from the upstream */
};

struct flight {
	unsigned refs;
	bool done;
	struct outcome outcome;
};

static void outcome_fini(struct outcome *o)
{
	trouble_fini(&o->trouble);
	descriptor_fini(&o->d);
}

static void outcome_copy(const struct outcome *from, struct outcome *to)
{
	*to = *from;
	descriptor_copy(&from->d, &to->d);
	trouble_copy(&from->trouble, &to->trouble);
}

/* ---- the look ---- */

static struct err *fetch(struct request *q, const struct reference *ref, const struct transfer_io *io,
	const struct descriptor *want, struct outcome *out)
{
	struct upstream *u = q->upstream;
	TRY(remote_fetch_manifest(u->remote, ref, want, io, &out->d));
	atomic_fetch_add_explicit(&u->bytes, out->d.size, memory_order_relaxed);
	out->fetched = true;
	return NULL;
}

static struct err *look_by_digest(
	struct request *q, const struct reference *ref, const struct transfer_io *io, struct outcome *out)
{
	struct descriptor want = {.digest = q->digest};
	int64_t size = -1;
	TRY(store_blob_stat(q->s, &q->digest, &size));
	/* It is here for another repository: whether this one has it is for the upstream to say. */
	if (size >= 0)
		TRY(remote_resolve(q->upstream->remote, ref, io, &want));
	struct err *e = fetch(q, ref, io, &want, out);
	descriptor_fini(&want);
	if (!e)
		e = keep_manifest(q, &out->d, NULL, &out->kept);
	return e;
}

static struct err *take_tag(struct request *q, const struct reference *ref, const struct transfer_io *io,
	struct descriptor *now, struct outcome *out)
{
	AUTO(descriptor_fini) struct descriptor had = {0}, here = {0};
	bool tagged = false, found = false;
	int64_t size = -1;
	TRY(records_tag_get(q->s, q->repository, q->reference, &had, &tagged));
	TRY(records_manifest_get(q->s, q->repository, &now->digest, &here, &found));
	if (found)
		TRY(store_blob_stat(q->s, &now->digest, &size));
	if (size < 0)
		TRY(fetch(q, ref, io, now, out));
	else
		descriptor_copy(&here, &out->d);
	out->kept = size >= 0 && tagged && digest_eq(&had.digest, &now->digest);
	return out->kept ? NULL : keep_manifest(q, &out->d, q->reference, &out->kept);
}

static struct err *look_by_tag(
	struct request *q, const struct reference *ref, const struct transfer_io *io, struct outcome *out)
{
	AUTO(descriptor_fini) struct descriptor now = {0};
	TRY(remote_resolve(q->upstream->remote, ref, io, &now));
	return take_tag(q, ref, io, &now, out);
}

static void look(struct request *q, struct outcome *out)
{
	struct upstream *u = q->upstream;
	struct remote_refusal why = {0};
	const struct transfer_io io = upstream_io(q, &why);
	AUTO(reference_fini) struct reference ref = {0};
	if (!upstream_enter(u)) {
		trouble_busy(&out->trouble);
		return;
	}
	upstream_reference(q, &ref);
	struct err *e = digest_is_set(&q->digest) ? look_by_digest(q, &ref, &io, out)
						  : look_by_tag(q, &ref, &io, out);
	upstream_leave(u);
	trouble_of(u, e, &why, "MANIFEST_UNKNOWN", &out->trouble);
}

/* ---- one for all ---- */

static void leave(struct flight *f)
{
	if (--f->refs)
		return;
	outcome_fini(&f->outcome);
	free(f);
}

/* With the lock held. */
static void wait_for(struct cache *c, struct flight *f, struct outcome *out)
{
	bool ok = true;
	while (ok && !f->done)
		ok = cache_wait(c, &c->changed);
	if (f->done)
		outcome_copy(&f->outcome, out);
	else
		trouble_busy(&out->trouble);
}

static void look_together(struct request *q, const char *what, struct outcome *out)
{
	struct cache *c = q->upstream->cache;
	/* Another cache, which asks for a client of its own, must not wait for a look that waits for it. */
	AUTO_FREE char *key = mem_printf("%s %s", what, q->via);
	pthread_mutex_lock(&c->lock);
	struct flight *f = map_get_c(c->flights, key);
	if (f) {
		f->refs++;
		wait_for(c, f, out);
		leave(f);
		pthread_mutex_unlock(&c->lock);
		return;
	}
	f = mem_new(struct flight);
	f->refs = 1;
	map_set_c(c->flights, key, f);
	pthread_mutex_unlock(&c->lock);
	look(q, out);
	pthread_mutex_lock(&c->lock);
	outcome_copy(out, &f->outcome);
	f->done = true;
	(void)map_remove(c->flights, str_c(key));
	pthread_cond_broadcast(&c->changed);
	leave(f);
	pthread_mutex_unlock(&c->lock);
}

/* ---- what follows from it ---- */

static void warn_stale(const struct request *q, struct http_exchange *x)
{
	AUTO_FREE char *text = mem_printf("299 - \"%s could not be asked: this is what it had before\"",
		q->upstream->setting->upstream);
	http_set_header(x, "Warning", text);
	cache_count(q->upstream, CACHE_STALE);
}

static void reply_absent(const struct request *q, struct http_exchange *x)
{
	reply_error(x, 404, "MANIFEST_UNKNOWN", "%s has no manifest %s of %s", q->upstream->setting->upstream,
		q->reference, q->there);
}

static struct err *forget_tag(void *ctx)
{
	struct request *q = ctx;
	bool copy = false, deleted;
	TRY(records_is_copy(q->s, q->repository, q->upstream->setting->upstream, &copy));
	if (!copy)
		return NULL;
	return records_tag_delete(q->s, q->repository, q->reference, &deleted);
}

/* What the upstream says is not there is gone here, too. */
static struct err *note_absent(struct request *q, const char *key, bool here)
{
	struct cache *c = q->upstream->cache;
	cache_remember(c, &c->absent, key, ABSENT_FOR);
	if (!here || digest_is_set(&q->digest))
		return NULL;
	log_info("registry: %s is gone at %s", key, q->upstream->setting->upstream);
	return records_atomically(q->s, forget_tag, q);
}

static struct err *answer_from(struct request *q, struct http_exchange *x, const char *key, bool here,
	const struct outcome *o, bool *answered)
{
	struct upstream *u = q->upstream;
	struct cache *c = u->cache;
	const struct trouble *t = &o->trouble;
	if (!t->any) {
		cache_count(u, o->fetched ? CACHE_MISS : CACHE_REVALIDATED);
		if (!digest_is_set(&q->digest))
			cache_remember(c, &c->fresh, key, u->setting->tag_ttl);
		*answered = !o->kept;
		return o->kept ? NULL : manifest_send(q, x, &o->d);
	}
	upstream_pause(u, t);
	if (t->error == CACHE_NOT_FOUND)
		TRY(note_absent(q, key, here));
	else if (here) {
		warn_stale(q, x);
		return NULL;
	}
	cache_count(u, CACHE_FAILED);
	*answered = true;
	reply_trouble(q, x, t);
	return NULL;
}

struct err *cache_manifest(struct request *q, struct http_exchange *x, bool *answered)
{
	struct upstream *u = q->upstream;
	struct cache *c = u->cache;
	AUTO(descriptor_fini) struct descriptor d = {0};
	AUTO(outcome_fini) struct outcome o = {0};
	bool here = false, by_digest = digest_is_set(&q->digest);
	AUTO_FREE char *key = mem_printf("%s%c%s", q->repository, by_digest ? '@' : ':', q->reference);
	TRY(manifest_is_here(q, &d, &here));
	if (here && (by_digest || cache_remembers(c, &c->fresh, key))) {
		cache_count(u, CACHE_HIT);
		return NULL;
	}
	if (here && upstream_paused(u)) {
		warn_stale(q, x);
		return NULL;
	}
	if (cache_remembers(c, &c->absent, key) || (q->guess && upstream_paused(u))) {
		cache_count(u, CACHE_FAILED);
		reply_absent(q, x);
		*answered = true;
		return NULL;
	}
	look_together(q, key, &o);
	http_restart_idle(x);
	return answer_from(q, x, key, here, &o, answered);
}
