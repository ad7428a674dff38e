/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs of an upstream. */
#include "base/clock.h"
#include "base/mem.h"
#include "registry/cache_internal.h"
#include "sys/file.h"

#define ABSENT_FOR (10 * CLOCK_SECOND)
/* Another repository may fetch the same blob at the same time, over and over. */
#define ROUNDS 3

static char *key_of(const struct request *q)
{
	return mem_printf("%s@%s", q->repository, q->reference);
}

static void fail(const struct request *q, struct http_exchange *x, const struct trouble *t)
{
	struct cache *c = q->upstream->cache;
	AUTO_FREE char *key = key_of(q);
	if (t->error == CACHE_NOT_FOUND)
		cache_remember(c, &c->absent, key, ABSENT_FOR);
	upstream_pause(q->upstream, t);
	cache_count(q->upstream, CACHE_FAILED);
	reply_trouble(q, x, t);
}

/* Does the upstream have it? */
static void look(struct request *q, uint64_t *size, struct trouble *out)
{
	struct upstream *u = q->upstream;
	struct remote_refusal why = {0};
	const struct transfer_io io = upstream_io(q, &why);
	AUTO(reference_fini) struct reference ref = {0};
	if (!upstream_enter(u)) {
		trouble_busy(out);
		return;
	}
	upstream_reference(q, &ref);
	struct err *e = remote_look_at_blob(u->remote, &ref, &q->digest, &io, size);
	upstream_leave(u);
	trouble_of(u, e, &why, "BLOB_UNKNOWN", out);
}

/* The store has it, for another repository or from a build; the upstream's repository has it, too. */
static struct err *take_stored(struct request *q, struct http_exchange *x, bool *answered)
{
	AUTO_FD int fd = -1;
	uint64_t size = 0;
	bool kept = false;
	TRY(store_blob_open(q->s, &q->digest, &fd, &size));
	TRY(keep_blob(q, size, &kept));
	cache_count(q->upstream, CACHE_REVALIDATED);
	if (kept)
		return NULL;
	*answered = true;
	if (is_head(x))
		blob_tell(q, x, size);
	else
		blob_send(q, x, &fd, size);
	return NULL;
}

static struct err *confirm(struct request *q, struct http_exchange *x, bool stored, bool *answered)
{
	AUTO(trouble_fini) struct trouble t = {0};
	uint64_t size = UINT64_MAX;
	look(q, &size, &t);
	http_restart_idle(x);
	if (!t.any && stored)
		return take_stored(q, x, answered);
	*answered = true;
	if (t.any) {
		fail(q, x, &t);
		return NULL;
	}
	cache_count(q->upstream, CACHE_REVALIDATED);
	if (size == UINT64_MAX) {
		reply_error(x, 502, "UNAVAILABLE", "%s does not tell the size of %s",
			q->upstream->setting->upstream, q->reference);
		return NULL;
	}
	blob_tell(q, x, size);
	return NULL;
}

/* Takes d. */
static void read_along(struct request *q, struct http_exchange *x, struct download *d)
{
	AUTO(trouble_fini) struct trouble t = {0};
	struct blob_part part;
	uint64_t size = 0;
	download_wait_begun(d, &size, &t);
	if (!t.any && size == 0)
		download_wait_ended(d, &t);
	http_restart_idle(x);
	bool answered = t.any;
	if (t.any)
		fail(q, x, &t);
	else
		cache_count(q->upstream, CACHE_MISS);
	answered = answered || !blob_part(q, x, size, &part);
	if (!answered && size) {
		download_answer(d, x, part.status, part.from, part.length);
		return;
	}
	if (!answered)
		http_answer(x, part.status, STR(""));
	download_leave(d);
}

static struct err *fetch(struct request *q, struct http_exchange *x, bool *answered)
{
	for (int i = 0; i < ROUNDS; i++) {
		bool other = false, stored = false;
		int64_t size = -1;
		TRY(store_blob_stat(q->s, &q->digest, &size));
		stored = size >= 0;
		if (stored)
			return confirm(q, x, true, answered);
		struct download *d = download_join(q, &other);
		if (!d)
			break;
		if (!other) {
			*answered = true;
			read_along(q, x, d);
			return NULL;
		}
		AUTO(trouble_fini) struct trouble t = {0};
		download_wait_ended(d, &t);
		download_leave(d);
	}
	AUTO(trouble_fini) struct trouble busy = {0};
	trouble_busy(&busy);
	*answered = true;
	fail(q, x, &busy);
	return NULL;
}

struct err *cache_blob(struct request *q, struct http_exchange *x, bool *answered)
{
	struct cache *c = q->upstream->cache;
	AUTO_FREE char *key = key_of(q);
	bool here = false;
	int64_t size = -1;
	TRY(blob_is_here(q, &here));
	if (here) {
		cache_count(q->upstream, CACHE_HIT);
		return NULL;
	}
	if (cache_remembers(c, &c->absent, key) || (q->guess && upstream_paused(q->upstream))) {
		cache_count(q->upstream, CACHE_FAILED);
		reply_error(x, 404, "BLOB_UNKNOWN", "%s has no blob %s of %s", q->upstream->setting->upstream,
			q->reference, q->there);
		*answered = true;
		return NULL;
	}
	if (!is_head(x))
		return fetch(q, x, answered);
	TRY(store_blob_stat(q->s, &q->digest, &size));
	return confirm(q, x, size >= 0, answered);
}
