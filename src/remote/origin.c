/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of space "origin": the digest of a blob -> the repositories known to have it, a line each, the
 * latest first. What they say is a hint: the registry is always asked.
 */
#include "base/mem.h"
#include "remote/remote_internal.h"

#define SPACE "origin"
#define PLACES_MAX 8

struct err *origin_get(struct store *s, const struct digest *d, struct strvec *out)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_BUF struct buf value = {0};
	bool found = false;
	TRY(store_record_get(s, SPACE, digest_text(d, text), &value, &found));
	struct str rest = buf_str(&value), line;
	while (found && str_split(&rest, '\n', &line))
		if (line.len)
			strvec_push_str(out, line);
	return NULL;
}

static struct err *add_one(struct store *s, const char *place, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_STRVEC struct strvec old = {0};
	TRY(origin_get(s, d, &old));
	if (old.len && cstr_eq(old.ptr[0], place))
		return NULL;
	AUTO_BUF struct buf value = {0};
	buf_adds(&value, place);
	for (size_t i = 0, n = 1; i < old.len && n < PLACES_MAX; i++) {
		if (cstr_eq(old.ptr[i], place))
			continue;
		buf_addf(&value, "\n%s", old.ptr[i]);
		n++;
	}
	const struct store_record record = {
		.space = SPACE, .key = digest_text(d, text), .value = buf_str(&value)};
	return store_record_put(s, &record);
}

static struct err *add_all(struct store *s, const char *place, const struct vec *blobs)
{
	for (size_t i = 0; i < blobs->len; i++) {
		const struct descriptor *d = vec_at(blobs, i);
		TRY(add_one(s, place, &d->digest));
	}
	return NULL;
}

struct err *origin_add(struct store *s, const struct reference *ref, const struct vec *blobs)
{
	if (!blobs->len)
		return NULL;
	AUTO_FREE char *place = mem_printf("%s/%s", ref->registry, ref->repository);
	TRY(store_begin(s));
	struct err *e = add_all(s, place, blobs);
	if (e) {
		store_rollback(s);
		return e;
	}
	return store_commit(s);
}
