/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/images_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE "image"

void stored_image_fini(struct stored_image *i)
{
	free(i->name);
	free(i->origin);
	*i = (struct stored_image){0};
}

/* ---- names ---- */

static char *name_key(const struct reference *name)
{
	char text[DIGEST_TEXT_MAX];
	if (!name->tag && digest_is_set(&name->digest))
		return mem_printf(
			"%s/%s@%s", name->registry, name->repository, digest_text(&name->digest, text));
	return mem_printf("%s/%s:%s", name->registry, name->repository, name->tag ? name->tag : "latest");
}

static struct err *image_decode(const char *key, struct str value, struct stored_image *out)
{
	AUTO_FREE char *what = mem_printf("image record %s", key);
	AUTO_JSON json_t *o = NULL;
	TRY(json_parse(value, what, &o));
	const char *media_type = NULL, *digest = NULL, *origin = NULL;
	int64_t size = 0, created = 0;
	TRY(json_get_string(o, "mediaType", what, &media_type));
	TRY(json_get_string(o, "digest", what, &digest));
	TRY(json_get_string(o, "origin", what, &origin));
	TRY(json_get_int(o, "size", what, &size));
	TRY(json_get_int(o, "created", what, &created));
	struct stored_image i = {.size = (uint64_t)size, .created = created};
	if (!media_type || strlen(media_type) >= sizeof(i.media_type))
		return err_new(ERR_CORRUPT, "%s: bad media type", what);
	TRY(digest_parse(str_c(digest), &i.digest));
	snprintf(i.media_type, sizeof(i.media_type), "%s", media_type);
	i.name = mem_strdup(key);
	i.origin = mem_strdup(origin);
	*out = i;
	return NULL;
}

struct err *images_set_name(
	struct store *s, const struct reference *name, const struct descriptor *target, const char *origin)
{
	char digest[DIGEST_TEXT_MAX];
	AUTO_FREE char *key = name_key(name);
	if (digest_is_set(&name->digest) && !digest_eq(&name->digest, &target->digest))
		return err_new(ERR_INVALID, "naming %s: its digest is %s", key,
			digest_text(&target->digest, digest));
	AUTO_JSON json_t *o = json_object();
	json_object_set_new(o, "mediaType", json_text(target->media_type));
	json_object_set_new(o, "digest", json_text(digest_text(&target->digest, digest)));
	json_object_set_new(o, "size", json_integer((json_int_t)target->size));
	json_object_set_new(o, "created", json_integer(clock_now()));
	json_set_text(o, "origin", origin);
	AUTO_FREE char *value = json_dump(o, false);
	struct store_ref ref = {STORE_REF_BLOB, digest};
	struct err *e = store_record_put(s, &(struct store_record){SPACE, key, str_c(value), &ref, 1});
	return e ? err_wrap(e, "naming image %s", key) : NULL;
}

struct find_digest {
	const struct digest *want;
	struct stored_image *out;
	bool found;
};

static struct err *find_digest_row(void *ctx, const struct store_record_row *row)
{
	struct find_digest *f = ctx;
	if (f->found)
		return NULL;
	struct stored_image i;
	TRY(image_decode(row->key, row->value, &i));
	f->found = digest_eq(&i.digest, f->want);
	if (f->found)
		*f->out = i;
	else
		stored_image_fini(&i);
	return NULL;
}

/* Any name of the repository that stands for the digest. */
static struct err *get_by_digest(
	struct store *s, const struct reference *name, struct stored_image *out, bool *found)
{
	AUTO_FREE char *prefix = mem_printf("%s/%s:", name->registry, name->repository);
	struct find_digest f = {.want = &name->digest, .out = out};
	TRY(store_record_each(s, SPACE, prefix, NULL, 0, find_digest_row, &f));
	*found = f.found;
	return NULL;
}

struct err *images_get(struct store *s, const struct reference *name, struct stored_image *out, bool *found)
{
	AUTO_FREE char *key = name_key(name);
	AUTO_BUF struct buf value = {0};
	bool there = false;
	TRY(store_record_get(s, SPACE, key, &value, &there));
	bool pinned = digest_is_set(&name->digest);
	if (there) {
		struct stored_image i;
		TRY(image_decode(key, buf_str(&value), &i));
		if (!pinned || digest_eq(&i.digest, &name->digest)) {
			*out = i;
			*found = true;
			return NULL;
		}
		stored_image_fini(&i);
	}
	*found = false;
	if (pinned)
		TRY(get_by_digest(s, name, out, found));
	return *found ? NULL : images_published_get(s, name, out, found);
}

struct err *images_remove(struct store *s, const struct reference *name, bool *removed)
{
	AUTO_FREE char *key = name_key(name);
	return store_record_delete(s, SPACE, key, removed);
}

static struct err *list_row(void *ctx, const struct store_record_row *row)
{
	struct stored_image i;
	TRY(image_decode(row->key, row->value, &i));
	vec_push_copy(ctx, &i);
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	const struct stored_image *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static bool is_set(struct store *s, const char *name, struct err **e)
{
	AUTO_BUF struct buf value = {0};
	bool found = false;
	if (!*e)
		*e = store_record_get(s, SPACE, name, &value, &found);
	return found;
}

/* A name that was set hides the published one, as it does in images_get. */
static struct err *add_published(struct store *s, struct vec *out)
{
	struct vec published = VEC_OF(struct stored_image);
	struct err *e = images_published_list(s, &published);
	for (size_t i = 0; i < published.len; i++) {
		struct stored_image *one = vec_at(&published, i);
		if (is_set(s, one->name, &e) || e)
			stored_image_fini(one);
		else
			vec_push_copy(out, one);
	}
	vec_fini(&published);
	return e;
}

struct err *images_list(struct store *s, struct vec *out)
{
	TRY(store_record_each(s, SPACE, "", NULL, 0, list_row, out));
	TRY(add_published(s, out));
	vec_sort(out, by_name);
	return NULL;
}

/* ---- manifests ---- */

static struct err *link_all(struct store *s, const struct digest *d, const struct manifest *m)
{
	if (m->kind == MANIFEST_IMAGE)
		TRY(store_blob_link(s, d, &m->config.digest));
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *entry = vec_at(&m->entries, i);
		TRY(store_blob_link(s, d, &entry->digest));
	}
	return NULL;
}

struct err *images_link_manifest(struct store *s, const struct digest *d, const struct manifest *m)
{
	TRY(store_begin(s));
	struct err *e = link_all(s, d, m);
	if (e)
		store_rollback(s);
	return e ? e : store_commit(s);
}

struct err *images_put_manifest(
	struct store *s, struct str bytes, const char *media_type, struct descriptor *out)
{
	AUTO(manifest_fini) struct manifest m = {0};
	TRY(manifest_parse(bytes, media_type, &m));
	struct descriptor d;
	descriptor_of(bytes, m.media_type, &d);
	TRY(store_blob_put(s, bytes.ptr, bytes.len, NULL));
	TRY(images_link_manifest(s, &d.digest, &m));
	*out = d;
	return NULL;
}

static struct err *read_manifest(
	struct store *s, const struct digest *d, const char *media_type, struct manifest *out, uint64_t *size)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(s, d, MANIFEST_MAX, &bytes));
	*size = bytes.len;
	struct err *e = manifest_parse(buf_str(&bytes), media_type, out);
	return e ? err_wrap(e, "reading manifest %s", digest_text(d, text)) : NULL;
}

static struct err *read_config(struct store *s, const struct manifest *m, struct image_config *c)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(s, &m->config.digest, CONFIG_MAX, &bytes));
	struct err *e = image_config_parse(buf_str(&bytes), c);
	return e ? err_wrap(e, "reading image config %s", digest_text(&m->config.digest, text)) : NULL;
}

struct err *images_read(
	struct store *s, const struct digest *manifest, struct manifest *m, struct image_config *c)
{
	uint64_t size;
	char text[DIGEST_TEXT_MAX];
	AUTO(manifest_fini) struct manifest read = {0};
	TRY(read_manifest(s, manifest, NULL, &read, &size));
	if (read.kind != MANIFEST_IMAGE)
		return err_new(
			ERR_INVALID, "manifest %s is an index, not an image", digest_text(manifest, text));
	TRY(read_config(s, &read, c));
	*m = read;
	read = (struct manifest){0};
	return NULL;
}

/* ---- from an index to an image ---- */

/* Indexes within indexes are legal; a chain longer than this is hostile. */
#define INDEX_DEPTH_MAX 4

static void list_platforms(const struct manifest *index, struct buf *out)
{
	for (size_t i = 0; i < index->entries.len; i++) {
		const struct descriptor *d = vec_at(&index->entries, i);
		if (!d->has_platform || cstr_eq(d->platform.os, "unknown"))
			continue;
		char text[128];
		buf_addf(out, "%s%s", out->len ? ", " : "", platform_text(&d->platform, text));
	}
}

static struct err *not_offered(const struct platform *want, const char *offered)
{
	char text[128];
	return err_hint(err_new(ERR_NOT_FOUND, "the image has no variant for %s", platform_text(want, text)),
		"it offers %s", *offered ? offered : "none that names a platform");
}

/* An image that stands alone says in its config what it is for; artifacts say nothing. */
static struct err *check_platform(struct store *s, const struct manifest *m, const struct platform *want)
{
	int64_t size = -1;
	TRY(store_blob_stat(s, &m->config.digest, &size));
	if (size < 0 || (!cstr_eq(m->config.media_type, MEDIA_OCI_CONFIG) &&
				!cstr_eq(m->config.media_type, MEDIA_DOCKER_CONFIG)))
		return NULL;
	AUTO(image_config_fini) struct image_config c = {0};
	TRY(read_config(s, m, &c));
	if (!*c.platform.os || !*c.platform.arch || platform_match(want, &c.platform))
		return NULL;
	char text[128];
	return not_offered(want, platform_text(&c.platform, text));
}

struct err *images_resolve_platform(
	struct store *s, const struct digest *d, const struct platform *want, struct descriptor *out)
{
	struct descriptor at = {.digest = *d};
	for (int depth = 0; depth <= INDEX_DEPTH_MAX; depth++) {
		AUTO(manifest_fini) struct manifest m = {0};
		TRY(read_manifest(s, &at.digest, *at.media_type ? at.media_type : NULL, &m, &at.size));
		snprintf(at.media_type, sizeof(at.media_type), "%s", m.media_type);
		if (m.kind == MANIFEST_IMAGE) {
			if (!at.has_platform)
				TRY(check_platform(s, &m, want));
			*out = at;
			return NULL;
		}
		const struct descriptor *pick = manifest_pick(&m, want);
		if (!pick) {
			AUTO_BUF struct buf offered = {0};
			list_platforms(&m, &offered);
			return not_offered(want, buf_cstr(&offered));
		}
		at = (struct descriptor){
			.digest = pick->digest,
			.has_platform = pick->has_platform,
			.platform = pick->platform,
		};
		snprintf(at.media_type, sizeof(at.media_type), "%s", pick->media_type);
	}
	char text[DIGEST_TEXT_MAX];
	return err_new(ERR_INVALID, "index %s: indexes are nested deeper than %d", digest_text(d, text),
		INDEX_DEPTH_MAX);
}
