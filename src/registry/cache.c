/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/cache.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/cache_internal.h"

#include <stdlib.h>
#include <string.h>

/* Looks at one upstream at once; the rest waits. */
#define ASKING_MAX 32
/* An upstream that did not answer is left alone for so long; longer when it limits what is pulled. */
#define PAUSE (10 * CLOCK_SECOND)
#define PAUSE_MAX (300 * CLOCK_SECOND)
/* What is remembered of tags, and of what is not there. */
#define REMEMBERED_MAX 20000

const char *const cache_result_names[CACHE_RESULTS] = {"hit", "revalidated", "miss", "stale", "failed"};
const char *const cache_error_names[CACHE_ERRORS] = {
	"not_found", "denied", "limited", "timeout", "unreachable", "corrupt", "own"};

/* ---- waiting, with the lock held ---- */

bool cache_wait(struct cache *c, pthread_cond_t *cond)
{
	if (c->stop_at && clock_monotonic() >= c->stop_at)
		return false;
	clock_cond_wait(cond, &c->lock, clock_monotonic() + CLOCK_SECOND);
	return true;
}

struct transfer_io upstream_io(const struct request *q, struct remote_refusal *why)
{
	return (struct transfer_io){
		.cancel = q->upstream->cache->stop, .header = q->via, .impatient = true, .refusal = why};
}

bool upstream_enter(struct upstream *u)
{
	struct cache *c = u->cache;
	bool ok = true;
	int64_t until = clock_monotonic() + u->setting->timeout;
	pthread_mutex_lock(&c->lock);
	while (ok && u->asking >= ASKING_MAX)
		ok = cache_wait(c, &c->changed) && clock_monotonic() < until;
	u->asking += ok;
	pthread_mutex_unlock(&c->lock);
	return ok;
}

void upstream_leave(struct upstream *u)
{
	pthread_mutex_lock(&u->cache->lock);
	u->asking--;
	pthread_cond_broadcast(&u->cache->changed);
	pthread_mutex_unlock(&u->cache->lock);
}

void upstream_pause(struct upstream *u, const struct trouble *t)
{
	int64_t ns = t->error == CACHE_LIMITED && t->wait > PAUSE ? t->wait : PAUSE;
	if (t->error != CACHE_LIMITED && t->error != CACHE_TIMEOUT && t->error != CACHE_UNREACHABLE)
		return;
	pthread_mutex_lock(&u->cache->lock);
	u->ask_again = clock_monotonic() + (ns < PAUSE_MAX ? ns : PAUSE_MAX);
	pthread_mutex_unlock(&u->cache->lock);
}

bool upstream_paused(struct upstream *u)
{
	pthread_mutex_lock(&u->cache->lock);
	bool yes = clock_monotonic() < u->ask_again;
	pthread_mutex_unlock(&u->cache->lock);
	return yes;
}

/* ---- what is remembered ---- */

void cache_remember(struct cache *c, struct map **where, const char *key, int64_t for_ns)
{
	int64_t *until = mem_new(int64_t);
	*until = clock_monotonic() + for_ns;
	pthread_mutex_lock(&c->lock);
	/* All at once: that is rare, and costs a look at the upstream for each. */
	if (map_len(*where) >= REMEMBERED_MAX) {
		map_free(*where);
		*where = map_new(free);
	}
	map_set_c(*where, key, until);
	pthread_mutex_unlock(&c->lock);
}

bool cache_remembers(struct cache *c, struct map *const *where, const char *key)
{
	pthread_mutex_lock(&c->lock);
	const int64_t *until = map_get_c(*where, key);
	bool yes = until && clock_monotonic() < *until;
	pthread_mutex_unlock(&c->lock);
	return yes;
}

void cache_count(struct upstream *u, enum cache_result r)
{
	atomic_fetch_add_explicit(&u->requests[r], 1, memory_order_relaxed);
}

void upstream_reference(const struct request *q, struct reference *out)
{
	*out = (struct reference){
		.registry = mem_strdup(q->upstream->setting->upstream), .repository = mem_strdup(q->there)};
	if (digest_is_set(&q->digest))
		out->digest = q->digest;
	else
		out->tag = mem_strdup(q->reference);
}

/* ---- starting and stopping ---- */

void cache_free(struct cache *c)
{
	if (!c)
		return;
	cancel_set(c->stop);
	pthread_mutex_lock(&c->lock);
	c->stop_at = 1;
	while (c->threads) {
		pthread_cond_broadcast(&c->changed);
		pthread_cond_wait(&c->changed, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < c->count; i++)
		remote_free(c->upstreams[i].remote);
	free(c->upstreams);
	map_free(c->flights);
	map_free(c->downloads);
	map_free(c->fresh);
	map_free(c->absent);
	cancel_free(c->stop);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c->own_name);
	free(c);
}

static struct cache *cache_new(struct store *s, const struct registry_policy *p, const char *own_name)
{
	struct cache *c = mem_new(struct cache);
	char id[17];
	c->store = s;
	c->count = p->caches.len;
	c->upstreams = mem_array(c->count, sizeof(*c->upstreams));
	for (size_t i = 0; i < c->count; i++) {
		c->upstreams[i].cache = c;
		c->upstreams[i].setting = vec_at(&p->caches, i);
	}
	c->own_name = mem_strdup(own_name);
	random_hex(id, 8);
	snprintf(c->mark, sizeof(c->mark), "cooper-%s", id);
	c->stop = cancel_new();
	c->flights = map_new(NULL);
	c->downloads = map_new(NULL);
	c->fresh = map_new(free);
	c->absent = map_new(free);
	pthread_mutex_init(&c->lock, NULL);
	clock_cond_init(&c->changed);
	return c;
}

/* What somebody pushed would be answered as the upstream's, and go when nobody pulls it. */
static struct err *check_repositories(struct store *s, const struct registry_policy *p)
{
	AUTO_STRVEC struct strvec all = {0};
	AUTO(map_freep) struct map *copies = NULL;
	TRY(registry_repositories(s, &all));
	TRY(records_copies(s, &copies));
	for (size_t i = 0; i < all.len; i++) {
		struct str there;
		const struct registry_cache *c = policy_cache(p, str_c(all.ptr[i]), &there);
		const char *of = c ? map_get_c(copies, all.ptr[i]) : NULL;
		if (!c || cstr_eq(of, c->upstream))
			continue;
		return err_hint(
			err_new(ERR_EXISTS, "the cache of %s: repository %s is here and %s%s", c->upstream,
				all.ptr[i], of ? "is a copy of " : "is no copy", of ? of : ""),
			"give the cache another prefix in the machine's settings, or delete the repository");
	}
	return NULL;
}

static struct err *connect_all(struct cache *c, const struct registry_caching *how)
{
	for (size_t i = 0; i < c->count; i++)
		TRY(how->connect(how->ctx, c->upstreams[i].setting, &c->upstreams[i].remote));
	return NULL;
}

struct err *registry_cache_start(struct registry *r, const struct registry_caching *how)
{
	if (!r->policy->caches.len)
		return NULL;
	TRY(check_repositories(r->store, r->policy));
	struct cache *c = cache_new(r->store, r->policy, how->own_name);
	struct err *e = connect_all(c, how);
	if (e)
		cache_free(c);
	else
		r->cache = c;
	return e;
}

/* Those who wait for an upstream look at this alone. */
static void *stop_in_time(void *arg)
{
	struct cache *c = arg;
	pthread_mutex_lock(&c->lock);
	while (cache_wait(c, &c->changed))
		continue;
	pthread_mutex_unlock(&c->lock);
	cancel_set(c->stop);
	pthread_mutex_lock(&c->lock);
	c->threads--;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

bool cache_spawn(struct cache *c, void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	bool ok = pthread_create(&thread, &attr, fn, arg) == 0;
	pthread_attr_destroy(&attr);
	c->threads += ok;
	return ok;
}

void registry_cache_stop(struct registry *r, int64_t grace)
{
	struct cache *c = r->cache;
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop_at = clock_monotonic() + grace;
	if (!cache_spawn(c, stop_in_time, c))
		cancel_set(c->stop);
	pthread_mutex_unlock(&c->lock);
}

bool registry_cache_counted(const struct registry *r, size_t i, struct registry_cache_counts *out)
{
	struct cache *c = r->cache;
	if (!c || i >= c->count)
		return false;
	struct upstream *u = &c->upstreams[i];
	*out = (struct registry_cache_counts){.upstream = u->setting->upstream};
	for (size_t k = 0; k < CACHE_RESULTS; k++)
		out->requests[k] = atomic_load_explicit(&u->requests[k], memory_order_relaxed);
	for (size_t k = 0; k < CACHE_ERRORS; k++)
		out->errors[k] = atomic_load_explicit(&u->errors[k], memory_order_relaxed);
	out->bytes = atomic_load_explicit(&u->bytes, memory_order_relaxed);
	pthread_mutex_lock(&c->lock);
	out->downloads = u->downloading;
	pthread_mutex_unlock(&c->lock);
	return true;
}
