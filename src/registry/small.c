/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/small.h"

#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

/* Of each of the two. */
#define BYTES_MAX (4u << 20)
/* What an entry takes beside its bytes, roughly. */
#define ENTRY 256

/* When young is full, what was not asked for since it was begun goes. */
struct small_contents {
	pthread_mutex_t lock;
	struct map *young, *old; /* bytes of a digest -> struct buf */
	size_t bytes;            /* that young takes */
};

static void content_free(void *p)
{
	buf_fini(p);
	free(p);
}

struct small_contents *small_contents_new(void)
{
	struct small_contents *c = mem_new(struct small_contents);
	pthread_mutex_init(&c->lock, NULL);
	c->young = map_new(content_free);
	c->old = map_new(content_free);
	return c;
}

void small_contents_free(struct small_contents *c)
{
	if (!c)
		return;
	map_free(c->young);
	map_free(c->old);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct str key_of(const struct digest *d)
{
	return str_n((const char *)d->bytes, digest_len(d->algo));
}

/* With the lock held. */
static void keep(struct small_contents *c, const struct digest *d, struct str bytes)
{
	if (map_has(c->young, key_of(d)))
		return;
	if (c->bytes + bytes.len + ENTRY > BYTES_MAX) {
		map_free(c->old);
		c->old = c->young;
		c->young = map_new(content_free);
		c->bytes = 0;
	}
	struct buf *content = mem_new(struct buf);
	buf_addstr(content, bytes);
	map_set(c->young, key_of(d), content);
	c->bytes += bytes.len + ENTRY;
}

static bool get(struct small_contents *c, const struct digest *d, struct buf *out)
{
	pthread_mutex_lock(&c->lock);
	const struct buf *content = map_get(c->young, key_of(d));
	bool aged = !content;
	if (aged)
		content = map_get(c->old, key_of(d));
	bool found = content != NULL;
	if (found)
		buf_addstr(out, buf_str(content));
	if (found && aged)
		keep(c, d, buf_str(out));
	pthread_mutex_unlock(&c->lock);
	return found;
}

struct err *small_contents_read(
	struct small_contents *c, struct store *s, const struct digest *d, size_t max, struct buf *out)
{
	buf_clear(out);
	if (get(c, d, out))
		return NULL;
	TRY(store_blob_read(s, d, max, out));
	if (out->len > SMALL_CONTENT_MAX)
		return NULL;
	pthread_mutex_lock(&c->lock);
	keep(c, d, buf_str(out));
	pthread_mutex_unlock(&c->lock);
	return NULL;
}
