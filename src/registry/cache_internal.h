/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the registry: copies of other registries.
 *
 * One lock guards what several requests share: flights (a look at the upstream that others wait for),
 * downloads, and what is remembered of tags. It is never held while the store or an upstream is asked.
 */
#pragma once

#include "base/cancel.h"
#include "base/map.h"
#include "registry/cache.h"
#include "registry/registry_internal.h"
#include "remote/relay.h"

#include <pthread.h>
#include <stdatomic.h>

struct upstream {
	struct cache *cache;
	const struct registry_cache *setting;
	struct remote *remote;
	unsigned asking, downloading; /* under lock */
	int64_t ask_again;            /* until then tags that are here are not asked for; under lock */
	atomic_uint_fast64_t requests[CACHE_RESULTS], errors[CACHE_ERRORS], bytes;
};

struct cache {
	struct store *store;
	struct upstream *upstreams;
	size_t count;
	char *own_name;
	char mark[32]; /* how requests of this process are known when they come back to it */
	struct cancel *stop;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct map *flights;   /* what is asked for -> struct flight */
	struct map *downloads; /* digest -> struct download */
	struct map *fresh;     /* "<repository>:<tag>" -> until when; int64_t, monotonic */
	struct map
		*absent; /* the same, and "<repository>@<digest>": the upstream said that it is not there */
	unsigned threads, queued;
	int64_t stop_at; /* 0: not yet */
};

/* Why an upstream did not give what was asked for, as clients are told. */
struct trouble {
	bool any;
	enum cache_error error;
	int status;
	const char *code;
	int64_t wait; /* ns; 0: nothing is said */
	char *text;
};
void trouble_fini(struct trouble *t);
void trouble_copy(const struct trouble *from, struct trouble *to);
/* From e (consumed; NULL: none), which is logged and counted. missing: the code of what is not there. */
void trouble_of(struct upstream *u, struct err *e, const struct remote_refusal *why, const char *missing,
	struct trouble *out);
/* Too much is asked for at once, or the server is about to stop. */
void trouble_busy(struct trouble *out);
void reply_trouble(const struct request *q, struct http_exchange *x, const struct trouble *t);

/* ---- cache.c ---- */

void cache_free(struct cache *c);
void cache_count(struct upstream *u, enum cache_result r);
/* With lock held: wait for a change, for a second at most. False: the server is about to stop. */
bool cache_wait(struct cache *c, pthread_cond_t *cond);
/* With the lock held: a thread of its own, which counts itself out of c->threads at its end. */
bool cache_spawn(struct cache *c, void *(*fn)(void *arg), void *arg);
/* How the upstream of q is asked: somebody waits, who is told what it refused with. *why is set by calls that
 * fail. Borrows from q. */
struct transfer_io upstream_io(const struct request *q, struct remote_refusal *why);
/* A look at the upstream by a request's thread: only so many at once. False: it is of no use to wait. */
bool upstream_enter(struct upstream *u);
void upstream_leave(struct upstream *u);
/* After a failure that will not be over at once the upstream is not asked for a while, where there is another
 * answer. */
void upstream_pause(struct upstream *u, const struct trouble *t);
bool upstream_paused(struct upstream *u);
/* In c->fresh or c->absent; any thread. */
void cache_remember(struct cache *c, struct map **where, const char *key, int64_t for_ns);
bool cache_remembers(struct cache *c, struct map *const *where, const char *key);
/* The reference of what a request asks for, at its upstream. */
void upstream_reference(const struct request *q, struct reference *out);

/* ---- cache_records.c ---- */

#define SPACE_UPSTREAM "upstream"

/* Repositories that are copies -> the name of their upstream (text). */
MUST_USE struct err *records_copies(struct store *s, struct map **out);
MUST_USE struct err *records_is_copy(
	struct store *s, const char *repository, const char *upstream, bool *yes);
/* Is it in the repository, bytes and all? */
MUST_USE struct err *manifest_is_here(struct request *q, struct descriptor *out, bool *here);
MUST_USE struct err *blob_is_here(struct request *q, bool *here);
/* What the upstream has, and the store by now, belongs to the repository. tag may be NULL. *kept false: there
 * is no room for it. */
MUST_USE struct err *keep_manifest(
	struct request *q, const struct descriptor *d, const char *tag, bool *kept);
MUST_USE struct err *keep_blob(struct request *q, uint64_t size, bool *kept);

/* ---- what requests of a copy come to ---- */

/* By what the path says, and by ns=. Sets q->upstream and q->there where it is about a copy, and
 * q->repository to its name here. False: it was refused, and answered. */
MUST_USE struct err *cache_begin(
	struct request *q, struct http_exchange *x, const struct route *route, bool *go_on);
/* Have what is asked for here. *answered: there is nothing left to do. */
MUST_USE struct err *cache_manifest(struct request *q, struct http_exchange *x, bool *answered);
MUST_USE struct err *cache_blob(struct request *q, struct http_exchange *x, bool *answered);
MUST_USE struct err *cache_tags(struct request *q, struct http_exchange *x, uint64_t n, bool *answered);
/* type: the only artifactType that is wanted; NULL or "": all. */
MUST_USE struct err *cache_referrers(
	struct request *q, struct http_exchange *x, const char *type, bool *answered);

/* ---- cache_download.c: one blob on its way ---- */

struct download;
/* The one that is under way for this blob, or a new one. NULL: there are too many. *other: it is another
 * repository's, so that its bytes are nothing that this one is known to have. */
struct download *download_join(struct request *q, bool *other);
void download_leave(struct download *d);
/* Until its size is known, or it has ended. */
void download_wait_begun(struct download *d, uint64_t *size, struct trouble *out);
void download_wait_ended(struct download *d, struct trouble *out);
/* Answer with length bytes from there as they come; d is left when that ends. size UINT64_MAX: with all of
 * it. */
void download_answer(struct download *d, struct http_exchange *x, int status, uint64_t from, uint64_t length);
