/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "store/store_internal.h"

/* Use times are this coarse, so that a build of known things writes nothing. */
#define TOUCH_AFTER (3600 * CLOCK_SECOND)

void store_touch(struct store *s, const char *line, int64_t used)
{
	int64_t now = clock_now();
	/* A time in the future (a clock put back) is corrected too. */
	if (s->read_only || (used <= now && now - used < TOUCH_AFTER))
		return;
	if (!map_has(s->touches, str_c(line)))
		map_set_c(s->touches, line, NULL);
}

void store_touch_locked(struct store *s, const char *line, int64_t used)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	store_touch(locked, line, used);
}

static struct err *touch_one(struct store *s, struct str line, int64_t now)
{
	AUTO_QUERY struct query q = {0};
	struct str name = str_skip(line, 2);
	struct digest d;
	uint64_t row;
	switch (line.ptr[0]) {
	case 'b':
		TRY(digest_parse(name, &d));
		TRY(query_open(s, "UPDATE blobs SET used = ?1 WHERE digest = ?2", &q));
		query_digest(&q, 2, &d);
		break;
	case 'l':
		TRY(query_open(s, "UPDATE layers SET used = ?1 WHERE id = ?2", &q));
		query_str(&q, 2, name);
		break;
	default:
		TRY(query_open(s, "UPDATE records SET used = ?1 WHERE id = ?2", &q));
		query_int(&q, 2, str_to_u64(name, &row) ? (int64_t)row : 0);
		break;
	}
	query_int(&q, 1, now);
	return query_run(&q);
}

struct err *store_touch_flush(struct store *s)
{
	if (map_len(s->touches) == 0)
		return NULL;
	int64_t now = clock_now();
	struct str line;
	void *value;
	for (size_t i = 0; map_next(s->touches, &i, &line, &value);)
		TRY(touch_one(s, line, now));
	map_free(s->touches);
	s->touches = map_new(NULL);
	return NULL;
}

struct err *store_note_uses(struct store *s)
{
	pthread_mutex_lock(&s->mu);
	bool any = !s->read_only && map_len(s->touches) > 0;
	pthread_mutex_unlock(&s->mu);
	if (!any)
		return NULL;
	/* The beginning of a transaction does it. */
	TRY(store_tx_begin(s));
	return store_tx_end(s, NULL);
}
