/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "registry/registry_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *digest_key(const char *repository, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	return mem_printf("%s@%s", repository, digest_text(d, text));
}

/* ---- descriptors as values ---- */

static char *encode(const struct descriptor *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_JSON json_t *o = json_object();
	json_object_set_new(o, "mediaType", json_text(d->media_type));
	json_object_set_new(o, "digest", json_text(digest_text(&d->digest, text)));
	json_object_set_new(o, "size", json_integer((json_int_t)d->size));
	json_object_set_new(o, "at", json_integer(clock_now()));
	return json_dump(o, false);
}

static struct err *get_descriptor(
	struct store *s, const char *space, const char *key, struct descriptor *out, bool *found)
{
	AUTO_BUF struct buf value = {0};
	TRY(store_record_get(s, space, key, &value, found));
	if (!*found)
		return NULL;
	AUTO_JSON json_t *o = NULL;
	TRY(json_parse(buf_str(&value), key, &o));
	return descriptor_parse(o, key, out);
}

static struct err *put(
	struct store *s, const char *space, const char *key, const char *value, const struct digest *keeps)
{
	char text[DIGEST_TEXT_MAX];
	struct store_ref ref = {STORE_REF_BLOB, digest_text(keeps, text)};
	return store_record_put(s, &(struct store_record){space, key, str_c(value), &ref, 1});
}

/* ---- tags ---- */

static char *tag_key(const char *repository, const char *tag)
{
	return mem_printf("%s:%s", repository, tag);
}

struct err *records_tag_get(
	struct store *s, const char *repository, const char *tag, struct descriptor *out, bool *found)
{
	AUTO_FREE char *key = tag_key(repository, tag);
	return get_descriptor(s, SPACE_TAG, key, out, found);
}

struct err *records_tag_put(
	struct store *s, const char *repository, const char *tag, const struct descriptor *d)
{
	AUTO_FREE char *key = tag_key(repository, tag);
	/* With the time, so that a tag is young again when it is set to what it was. */
	AUTO_FREE char *value = encode(d);
	return put(s, SPACE_TAG, key, value, &d->digest);
}

struct err *records_tag_delete(struct store *s, const char *repository, const char *tag, bool *deleted)
{
	AUTO_FREE char *key = tag_key(repository, tag);
	return store_record_delete(s, SPACE_TAG, key, deleted);
}

static struct err *push_tag(void *ctx, const struct store_record_row *row)
{
	strvec_push(ctx, strrchr(row->key, ':') + 1);
	return NULL;
}

struct err *records_tags(
	struct store *s, const char *repository, const char *after, size_t limit, struct strvec *out)
{
	AUTO_FREE char *prefix = tag_key(repository, "");
	AUTO_FREE char *from = after ? tag_key(repository, after) : NULL;
	return store_record_each(s, SPACE_TAG, prefix, from, limit, push_tag, out);
}

/* ---- manifests and referrers ---- */

struct err *records_manifest_get(
	struct store *s, const char *repository, const struct digest *d, struct descriptor *out, bool *found)
{
	AUTO_FREE char *key = digest_key(repository, d);
	return get_descriptor(s, SPACE_MANIFEST, key, out, found);
}

static char *referrer_key(const char *repository, const struct digest *subject, const struct digest *d)
{
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	return mem_printf("%s@%s/%s", repository, digest_text(subject, a), digest_text(d, b));
}

static struct err *put_referrer(
	struct store *s, const char *repository, const struct descriptor *d, const struct manifest *m)
{
	struct descriptor entry = *d;
	entry.has_platform = false;
	entry.urls = (struct strvec){0};
	entry.annotations = m->annotations;
	entry.artifact_type = m->artifact_type;
	AUTO_JSON json_t *o = descriptor_json(&entry);
	AUTO_FREE char *value = json_dump(o, false);
	AUTO_FREE char *key = referrer_key(repository, &m->subject.digest, &d->digest);
	return put(s, SPACE_REFERRER, key, value, &d->digest);
}

static struct err *put_state(struct store *s, const char *key, const char *value)
{
	return store_record_put(s, &(struct store_record){SPACE_STATE, key, str_c(value), NULL, 0});
}

/* Of the last LAST_PUTS puts each has a place, which a later one takes over. */
static void last_put_key(int64_t generation, char out[32])
{
	snprintf(out, 32, "put:%03lld", (long long)(generation % LAST_PUTS));
}

static struct err *raise_generation(struct store *s, const char *manifest)
{
	int64_t n = 0;
	char text[24], place[32];
	TRY(records_generation(s, &n));
	snprintf(text, sizeof(text), "%lld", (long long)++n);
	last_put_key(n, place);
	AUTO_FREE char *put = mem_printf("%s %s", text, manifest);
	TRY(put_state(s, place, put));
	return put_state(s, KEY_GENERATION, text);
}

struct err *records_manifest_put(
	struct store *s, const char *repository, const struct descriptor *d, const struct manifest *m)
{
	AUTO_FREE char *key = digest_key(repository, &d->digest);
	/* With the time, so that what is put again is young again, and a collection under way sees it. */
	AUTO_FREE char *value = encode(d);
	AUTO_BUF struct buf present = {0};
	bool counted = false;
	TRY(store_record_get(s, SPACE_MANIFEST, key, &present, &counted));
	if (!counted)
		TRY(quota_change(s, repository, d->size, 0));
	if (m->has_subject)
		TRY(put_referrer(s, repository, d, m));
	TRY(put(s, SPACE_MANIFEST, key, value, &d->digest));
	return raise_generation(s, key);
}

struct err *records_tags_of(
	struct store *s, const char *repository, const struct digest *d, struct strvec *keys)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *prefix = tag_key(repository, "");
	const struct store_ref ref = {STORE_REF_BLOB, digest_text(d, text)};
	return store_record_naming(s, SPACE_TAG, prefix, &ref, keys);
}

/* The records of a repository that keep this blob: told by the rows, as its bytes may be unreadable by now.
 */
static struct err *delete_naming(
	struct store *s, const char *space, const char *prefix, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_STRVEC struct strvec keys = {0};
	bool gone;
	const struct store_ref ref = {STORE_REF_BLOB, digest_text(d, text)};
	TRY(store_record_naming(s, space, prefix, &ref, &keys));
	for (size_t i = 0; i < keys.len; i++)
		TRY(store_record_delete(s, space, keys.ptr[i], &gone));
	return NULL;
}

struct err *records_manifest_delete(
	struct store *s, const char *repository, const struct digest *d, bool *deleted)
{
	AUTO_FREE char *key = digest_key(repository, d);
	AUTO(descriptor_fini) struct descriptor present = {0};
	TRY(get_descriptor(s, SPACE_MANIFEST, key, &present, deleted));
	if (!*deleted)
		return NULL;
	TRY(quota_begin(s, repository));
	TRY(store_record_delete(s, SPACE_MANIFEST, key, deleted));
	TRY(quota_change(s, repository, 0, present.size));
	AUTO_FREE char *tags = tag_key(repository, "");
	AUTO_FREE char *referrers = mem_printf("%s@", repository);
	TRY(delete_naming(s, SPACE_TAG, tags, d));
	return delete_naming(s, SPACE_REFERRER, referrers, d);
}

struct err *records_generation(struct store *s, int64_t *out)
{
	AUTO_BUF struct buf value = {0};
	bool found = false;
	*out = 0;
	TRY(store_record_get(s, SPACE_STATE, KEY_GENERATION, &value, &found));
	if (found && !str_to_i64(buf_str(&value), out))
		return err_new(ERR_CORRUPT, "record %s/%s is not a number", SPACE_STATE, KEY_GENERATION);
	return NULL;
}

struct err *records_put_between(
	struct store *s, int64_t after, int64_t until, struct strvec *keys, bool *known)
{
	*known = until >= after && until - after <= LAST_PUTS;
	for (int64_t n = after + 1; *known && n <= until; n++) {
		AUTO_BUF struct buf value = {0};
		char place[32];
		int64_t written = 0;
		last_put_key(n, place);
		TRY(store_record_get(s, SPACE_STATE, place, &value, known));
		struct str key = buf_str(&value), number = {0};
		*known = *known && str_split(&key, ' ', &number) && str_to_i64(number, &written) &&
			 written == n;
		if (*known)
			strvec_push_str(keys, key);
	}
	return NULL;
}

/* ---- the rest ---- */

static struct err *any_row(void *ctx, const struct store_record_row *row)
{
	(void)row;
	*(bool *)ctx = true;
	return NULL;
}

struct err *records_repository_known(struct store *s, const char *repository, bool *known)
{
	*known = false;
	AUTO_FREE char *tags = tag_key(repository, "");
	TRY(store_record_each(s, SPACE_TAG, tags, NULL, 1, any_row, known));
	if (*known)
		return NULL;
	AUTO_FREE char *manifests = mem_printf("%s@", repository);
	return store_record_each(s, SPACE_MANIFEST, manifests, NULL, 1, any_row, known);
}

struct err *records_child_has(struct store *s, const char *repository, const struct digest *d, bool *found)
{
	TRY(records_blob_has(s, repository, d, found));
	if (*found)
		return NULL;
	AUTO_FREE char *key = digest_key(repository, d);
	AUTO_BUF struct buf value = {0};
	return store_record_get(s, SPACE_MANIFEST, key, &value, found);
}

struct err *records_atomically(struct store *s, struct err *(*fn)(void *ctx), void *ctx)
{
	TRY(store_begin(s));
	struct err *e = fn(ctx);
	if (!e)
		return store_commit(s);
	store_rollback(s);
	return e;
}
