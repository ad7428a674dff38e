/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashers of partials between two requests of an upload, so that what came in pieces need not be read again
 * at its end. One that somebody else appended to meanwhile has another size: its hasher is of no use then.
 */
#include "store/store_internal.h"
#include "sys/file.h"

/* More uploads at once than this are hashed by reading them. */
#define PARKED_MAX 64

struct parked {
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t changed;
	struct hasher *hasher;
};

static bool is_of(const struct parked *p, const struct stat *st)
{
	return p->dev == st->st_dev && p->ino == st->st_ino;
}

void store_park(struct store *s, int fd, struct hasher *hasher)
{
	struct stat st;
	if (!hasher || fstat(fd, &st) < 0) {
		hasher_free(hasher);
		return;
	}
	pthread_mutex_lock(&s->park_mu);
	if (s->parked.len >= PARKED_MAX) {
		hasher_free(((struct parked *)vec_at(&s->parked, 0))->hasher);
		vec_remove(&s->parked, 0);
	}
	struct parked *p = vec_push(&s->parked);
	*p = (struct parked){st.st_dev, st.st_ino, st.st_size, stat_ctime_ns(&st), hasher};
	pthread_mutex_unlock(&s->park_mu);
}

struct hasher *store_unpark(struct store *s, const struct stat *st)
{
	struct hasher *found = NULL;
	pthread_mutex_lock(&s->park_mu);
	for (size_t i = s->parked.len; i-- > 0;) {
		struct parked p = *(struct parked *)vec_at(&s->parked, i);
		if (!is_of(&p, st))
			continue;
		vec_remove(&s->parked, i);
		if (!found && p.size == st->st_size && p.changed == stat_ctime_ns(st))
			found = p.hasher;
		else
			hasher_free(p.hasher);
	}
	pthread_mutex_unlock(&s->park_mu);
	return found;
}

void store_park_init(struct store *s)
{
	pthread_mutex_init(&s->park_mu, NULL);
	s->parked = VEC_OF(struct parked);
}

void store_park_fini(struct store *s)
{
	for (size_t i = 0; i < s->parked.len; i++)
		hasher_free(((struct parked *)vec_at(&s->parked, i))->hasher);
	vec_fini(&s->parked);
	pthread_mutex_destroy(&s->park_mu);
}
