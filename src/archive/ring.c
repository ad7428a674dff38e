/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/ring_internal.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdint.h>

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned readers;
	uint64_t filled;                  /* blocks published so far */
	uint64_t taken[RING_READERS_MAX]; /* blocks given back by each reader */
	bool holding[RING_READERS_MAX];   /* the reader looks at block taken[i] now */
	bool left[RING_READERS_MAX];
	bool closed, failed;
	size_t len[RING_BLOCKS];
	uint8_t *block[RING_BLOCKS];
};

struct ring *ring_new(unsigned readers)
{
	struct ring *r = mem_new(struct ring);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->readers = readers;
	return r;
}

void ring_freep(struct ring **rp)
{
	struct ring *r = *rp;
	*rp = NULL;
	if (!r)
		return;
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	for (unsigned i = 0; i < RING_BLOCKS; i++)
		mem_freep(&r->block[i]);
	mem_freep(&r);
}

/* Blocks in use by the slowest reader that is still there; RING_BLOCKS + 1 when none is. */
static uint64_t in_use(const struct ring *r)
{
	uint64_t most = RING_BLOCKS + 1;
	for (unsigned i = 0; i < r->readers; i++) {
		if (r->left[i])
			continue;
		uint64_t mine = r->filled - r->taken[i];
		if (most == RING_BLOCKS + 1 || mine > most)
			most = mine;
	}
	return most;
}

void *ring_fill(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	uint64_t used = in_use(r);
	for (; used == RING_BLOCKS; used = in_use(r))
		pthread_cond_wait(&r->changed, &r->lock);
	uint64_t slot = r->filled % RING_BLOCKS;
	pthread_mutex_unlock(&r->lock);
	if (used > RING_BLOCKS)
		return NULL;
	if (!r->block[slot])
		r->block[slot] = mem_alloc(RING_BLOCK_SIZE);
	return r->block[slot];
}

void ring_filled(struct ring *r, size_t len)
{
	pthread_mutex_lock(&r->lock);
	r->len[r->filled % RING_BLOCKS] = len;
	r->filled++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void ring_close(struct ring *r, bool failed)
{
	pthread_mutex_lock(&r->lock);
	r->closed = true;
	r->failed = failed;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

int ring_next(struct ring *r, unsigned reader, const void **p, size_t *len)
{
	pthread_mutex_lock(&r->lock);
	if (r->holding[reader]) {
		r->holding[reader] = false;
		r->taken[reader]++;
		pthread_cond_broadcast(&r->changed);
	}
	while (r->taken[reader] == r->filled && !r->closed)
		pthread_cond_wait(&r->changed, &r->lock);
	int rc = 1;
	if (r->taken[reader] == r->filled) {
		rc = r->failed ? -1 : 0;
	} else {
		uint64_t slot = r->taken[reader] % RING_BLOCKS;
		r->holding[reader] = true;
		*p = r->block[slot];
		*len = r->len[slot];
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

void ring_leave(struct ring *r, unsigned reader)
{
	pthread_mutex_lock(&r->lock);
	r->left[reader] = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}
