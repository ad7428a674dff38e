/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob on its way from an upstream, on a thread of its own: it goes on when those who asked for it go away,
 * once it has begun. They read along in the file that it grows in, each at its pace, and get the last byte of
 * what they asked for when all of it is verified and stored.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/cache_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Of one upstream at once; others wait. */
#define DOWNLOADS_MAX 8
/* Waiting ones, of all upstreams. */
#define QUEUE_MAX 256

enum stage {
	STAGE_ASKED,   /* waits for its turn, or for the answer */
	STAGE_FLOWING, /* bytes can be read */
	STAGE_DONE,
	STAGE_FAILED,
};

struct download {
	struct upstream *u;
	struct request q; /* what it is for: store, repository, names, digest */
	char *key;
	bool kept; /* there was room for it; its thread's */
	pthread_cond_t changed;
	/* under the cache's lock: */
	unsigned refs, readers, waiting;
	enum stage stage;
	int fd;
	uint64_t have, size; /* size UINT64_MAX: not known */
	unsigned beginnings; /* how often it has begun from its first byte: what was read before is void */
	struct trouble trouble;
};

struct reader {
	struct download *d;
	uint64_t at, end; /* UINT64_MAX: of the blob */
	uint64_t from, size;
	unsigned beginning;
};

/* With the lock held. */
static void unref(struct download *d)
{
	if (--d->refs)
		return;
	fd_closep(&d->fd);
	trouble_fini(&d->trouble);
	pthread_cond_destroy(&d->changed);
	free(d->q.repository);
	free(d->q.there);
	free(d->q.via);
	free(d->key);
	free(d);
}

static void tell(struct download *d)
{
	if (d->waiting)
		pthread_cond_broadcast(&d->changed);
}

static bool wait(struct download *d)
{
	d->waiting++;
	bool ok = cache_wait(d->u->cache, &d->changed);
	d->waiting--;
	return ok;
}

/* ---- the download's own thread ---- */

static void on_begun(void *ctx, int fd, uint64_t have, uint64_t size)
{
	struct download *d = ctx;
	pthread_mutex_lock(&d->u->cache->lock);
	/* Replaced in place: who reads at this moment has the number, which must not become another file's.
	 */
	if (d->fd < 0)
		d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	else
		(void)dup3(fd, d->fd, O_CLOEXEC);
	d->have = have;
	d->size = size;
	d->stage = STAGE_FLOWING;
	tell(d);
	pthread_mutex_unlock(&d->u->cache->lock);
}

static void on_grown(void *ctx, uint64_t have)
{
	struct download *d = ctx;
	pthread_mutex_lock(&d->u->cache->lock);
	atomic_fetch_add_explicit(&d->u->bytes, have - d->have, memory_order_relaxed);
	d->have = have;
	tell(d);
	pthread_mutex_unlock(&d->u->cache->lock);
}

static void on_anew(void *ctx)
{
	struct download *d = ctx;
	pthread_mutex_lock(&d->u->cache->lock);
	d->beginnings++;
	d->have = 0;
	tell(d);
	pthread_mutex_unlock(&d->u->cache->lock);
}

static bool on_whole(void *ctx, uint64_t size)
{
	struct download *d = ctx;
	uint64_t room = UINT64_MAX;
	err_ignore(quota_room(&d->q, &room), "it is met again when the blob is recorded");
	d->kept = size <= room;
	return d->kept;
}

/* False: everybody who asked went away meanwhile, or it is too late. */
static bool take_turn(struct download *d)
{
	struct cache *c = d->u->cache;
	bool ok = true;
	pthread_mutex_lock(&c->lock);
	while (ok && d->readers && d->u->downloading >= DOWNLOADS_MAX)
		ok = cache_wait(c, &c->changed);
	ok = ok && d->readers;
	c->queued--;
	d->u->downloading += ok;
	pthread_mutex_unlock(&c->lock);
	return ok;
}

static struct err *run(struct download *d, struct remote_refusal *why)
{
	const struct transfer_io io = upstream_io(&d->q, why);
	const struct remote_relay to = {
		.begun = on_begun, .grew = on_grown, .anew = on_anew, .keep = on_whole, .ctx = d};
	AUTO(reference_fini) struct reference ref = {0};
	uint64_t size = 0;
	bool kept = false;
	upstream_reference(&d->q, &ref);
	TRY(remote_relay_blob(d->u->remote, &ref, &d->q.digest, &to, &io, &size));
	struct err *e = d->kept ? keep_blob(&d->q, size, &kept) : NULL;
	if (e) {
		/* Those who read along have what they asked for. */
		AUTO_FREE char *text = err_text(e);
		log_warn("registry: cache of %s: %s cannot be kept: %s", d->u->setting->upstream, d->key,
			text);
		err_free(e);
	}
	pthread_mutex_lock(&d->u->cache->lock);
	d->have = d->size = size;
	pthread_mutex_unlock(&d->u->cache->lock);
	return NULL;
}

static void *download_thread(void *arg)
{
	struct download *d = arg;
	struct cache *c = d->u->cache;
	struct trouble trouble = {0};
	struct remote_refusal why = {0};
	bool turn = take_turn(d);
	if (turn)
		trouble_of(d->u, run(d, &why), &why, "BLOB_UNKNOWN", &trouble);
	else
		trouble_busy(&trouble);
	pthread_mutex_lock(&c->lock);
	d->u->downloading -= turn;
	d->trouble = trouble;
	d->stage = trouble.any ? STAGE_FAILED : STAGE_DONE;
	(void)map_remove(c->downloads, str_c(d->key));
	pthread_cond_broadcast(&d->changed);
	unref(d);
	c->threads--;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- joining it ---- */

static struct download *download_new(const struct request *q, const char *key)
{
	struct download *d = mem_new(struct download);
	d->u = q->upstream;
	d->key = mem_strdup(key);
	d->q = (struct request){.r = q->r,
		.s = q->s,
		.upstream = q->upstream,
		.repository = mem_strdup(q->repository),
		.there = mem_strdup(q->there),
		.via = mem_strdup(q->via),
		.digest = q->digest};
	d->refs = 1; /* the thread's */
	d->fd = -1;
	d->size = UINT64_MAX;
	d->kept = true;
	clock_cond_init(&d->changed);
	return d;
}

/* With the lock held. NULL: there can be no more of them. */
static struct download *start(struct request *q, const char *key)
{
	struct cache *c = q->upstream->cache;
	if (c->queued >= QUEUE_MAX || c->stop_at)
		return NULL;
	struct download *d = download_new(q, key);
	d->readers = 1;
	if (!cache_spawn(c, download_thread, d)) {
		unref(d);
		return NULL;
	}
	c->queued++;
	d->refs++;
	map_set_c(c->downloads, key, d);
	return d;
}

struct download *download_join(struct request *q, bool *other)
{
	struct cache *c = q->upstream->cache;
	char key[DIGEST_TEXT_MAX];
	digest_text(&q->digest, key);
	pthread_mutex_lock(&c->lock);
	struct download *d = map_get_c(c->downloads, key);
	*other = d && !cstr_eq(d->q.repository, q->repository);
	if (d) {
		d->refs++;
		d->readers++;
	} else {
		d = start(q, key);
	}
	pthread_mutex_unlock(&c->lock);
	return d;
}

void download_leave(struct download *d)
{
	struct cache *c = d->u->cache;
	pthread_mutex_lock(&c->lock);
	d->readers--;
	unref(d);
	/* It may wait for its turn in vain. */
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void wait_until(struct download *d, enum stage stage, uint64_t *size, struct trouble *out)
{
	struct cache *c = d->u->cache;
	bool ok = true;
	pthread_mutex_lock(&c->lock);
	while (ok && d->stage < stage)
		ok = wait(d);
	if (d->stage == STAGE_FAILED)
		trouble_copy(&d->trouble, out);
	else if (d->stage < stage)
		trouble_busy(out);
	*size = d->size;
	pthread_mutex_unlock(&c->lock);
}

void download_wait_begun(struct download *d, uint64_t *size, struct trouble *out)
{
	wait_until(d, STAGE_FLOWING, size, out);
}

void download_wait_ended(struct download *d, struct trouble *out)
{
	uint64_t size;
	wait_until(d, STAGE_DONE, &size, out);
}

/* ---- reading along ---- */

/* With the lock held: what may be read now. */
static uint64_t readable(const struct reader *r)
{
	const struct download *d = r->d;
	uint64_t end = d->have;
	if (d->stage == STAGE_DONE)
		return end < r->end ? end : r->end;
	/* The last byte is for when all is verified; where none knows which that is, the last one so far. */
	if (d->size == UINT64_MAX && end)
		end--;
	else if (end >= d->size)
		end = d->size ? d->size - 1 : 0;
	return end < r->end - 1 ? end : r->end - 1;
}

/* With the lock held. */
static struct err *wait_for_bytes(struct reader *r, uint64_t *until)
{
	struct download *d = r->d;
	for (;;) {
		if (d->beginnings != r->beginning && r->at > r->from)
			return err_new(ERR_CORRUPT,
				"%s: its bytes came once more from the first, and some were sent already",
				d->key);
		r->beginning = d->beginnings;
		if (r->size != UINT64_MAX && d->size != UINT64_MAX && d->size != r->size)
			return err_new(ERR_CORRUPT, "%s: another size was said before", d->key);
		if (d->stage == STAGE_FAILED)
			return err_new(ERR_UNAVAILABLE, "%s: %s", d->key, d->trouble.text);
		*until = d->fd >= 0 ? readable(r) : 0;
		if (*until > r->at || d->stage == STAGE_DONE)
			return NULL;
		if (!wait(d))
			return err_new(ERR_CANCELED, "%s: the server is about to stop", d->key);
	}
}

static struct err *next_bytes(void *ctx, void *p, size_t *len)
{
	struct reader *r = ctx;
	struct download *d = r->d;
	struct cache *c = d->u->cache;
	size_t most = *len;
	for (;;) {
		uint64_t until = 0;
		pthread_mutex_lock(&c->lock);
		struct err *e = wait_for_bytes(r, &until);
		int fd = d->fd;
		pthread_mutex_unlock(&c->lock);
		TRY(e);
		if (until <= r->at) {
			*len = 0;
			return NULL;
		}
		size_t n = until - r->at < most ? (size_t)(until - r->at) : most;
		ssize_t got = pread(fd, p, n, (off_t)r->at);
		if (got < 0 && errno != EINTR)
			return err_sys(errno, "reading what came of %s", d->key);
		if (got <= 0)
			continue; /* cut off a moment ago: it begins anew */
		r->at += (uint64_t)got;
		*len = (size_t)got;
		return NULL;
	}
}

static void end_reading(void *ctx)
{
	struct reader *r = ctx;
	download_leave(r->d);
	free(r);
}

void download_answer(struct download *d, struct http_exchange *x, int status, uint64_t from, uint64_t length)
{
	struct reader *r = mem_new(struct reader);
	r->d = d;
	r->at = r->from = from;
	pthread_mutex_lock(&d->u->cache->lock);
	r->beginning = d->beginnings;
	r->size = d->size;
	pthread_mutex_unlock(&d->u->cache->lock);
	r->end = length == UINT64_MAX ? UINT64_MAX : from + length;
	if (length == UINT64_MAX)
		http_answer_stream(x, status, next_bytes, end_reading, r);
	else
		http_answer_stream_sized(x, status, length, next_bytes, end_reading, r);
}
