/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/images.h"
#include "registry/registry_internal.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_DEPTH_MAX 4

/* What a publication makes visible, gathered before the transaction: that one only writes records. */
struct seen_manifest {
	struct descriptor d;
	struct manifest m;
};

struct publication {
	struct store *s;
	const char *repository, *tag;
	const struct descriptor *image;
	bool overwrite, already;
	struct vec manifests; /* of struct seen_manifest, children before parents */
	struct vec blobs;     /* of struct descriptor, borrowed from the manifests */
};

static void publication_fini(struct publication *p)
{
	for (size_t i = 0; i < p->manifests.len; i++) {
		struct seen_manifest *seen = vec_at(&p->manifests, i);
		manifest_fini(&seen->m);
	}
	vec_fini(&p->manifests);
	vec_fini(&p->blobs);
}

static struct err *need_blob(struct publication *p, const struct descriptor *d)
{
	int64_t size = -1;
	char text[DIGEST_TEXT_MAX];
	TRY(store_blob_stat(p->s, &d->digest, &size));
	if (size < 0 && media_type_is_foreign_layer(d->media_type))
		return NULL;
	if (size < 0)
		return err_new(ERR_NOT_FOUND, "blob %s of the image is not in the store",
			digest_text(&d->digest, text));
	struct descriptor *b = vec_push(&p->blobs);
	b->digest = d->digest;
	b->size = (uint64_t)size;
	return NULL;
}

static struct err *gather(struct publication *p, const struct descriptor *d, int depth)
{
	char text[DIGEST_TEXT_MAX];
	if (depth > INDEX_DEPTH_MAX)
		return err_new(ERR_INVALID, "indexes are nested deeper than %d", INDEX_DEPTH_MAX);
	AUTO_BUF struct buf bytes = {0};
	AUTO(manifest_fini) struct manifest m = {0};
	TRY(store_blob_read(p->s, &d->digest, MANIFEST_MAX, &bytes));
	struct err *e = manifest_parse(buf_str(&bytes), d->media_type, &m);
	if (e)
		return err_wrap(e, "manifest %s", digest_text(&d->digest, text));
	if (m.kind == MANIFEST_IMAGE)
		TRY(need_blob(p, &m.config));
	for (size_t i = 0; i < m.entries.len; i++) {
		const struct descriptor *child = vec_at(&m.entries, i);
		if (m.kind == MANIFEST_INDEX && media_type_is_manifest(child->media_type))
			TRY(gather(p, child, depth + 1));
		else
			TRY(need_blob(p, child));
	}
	struct seen_manifest *seen = vec_push(&p->manifests);
	descriptor_of(buf_str(&bytes), m.media_type, &seen->d);
	seen->d.digest = d->digest;
	seen->m = m;
	m = (struct manifest){0};
	return NULL;
}

static struct err *check_tag(struct publication *p)
{
	AUTO(descriptor_fini) struct descriptor have = {0};
	bool found = false;
	char is[DIGEST_TEXT_MAX], wanted[DIGEST_TEXT_MAX];
	TRY(records_tag_get(p->s, p->repository, p->tag, &have, &found));
	p->already = found && digest_eq(&have.digest, &p->image->digest);
	if (!found || p->already || p->overwrite)
		return NULL;
	return err_new(ERR_EXISTS, "tag %s of %s exists and is %s, not %s", p->tag, p->repository,
		digest_text(&have.digest, is), digest_text(&p->image->digest, wanted));
}

static struct err *publish_in_tx(void *ctx)
{
	struct publication *p = ctx;
	TRY(check_tag(p));
	for (size_t i = 0; i < p->blobs.len; i++) {
		const struct descriptor *b = vec_at(&p->blobs, i);
		TRY(records_blob_put(p->s, p->repository, &b->digest, b->size));
	}
	const struct descriptor *top = NULL;
	for (size_t i = 0; i < p->manifests.len; i++) {
		struct seen_manifest *seen = vec_at(&p->manifests, i);
		TRY(records_manifest_put(p->s, p->repository, &seen->d, &seen->m));
		top = &seen->d;
	}
	return records_tag_put(p->s, p->repository, p->tag, top);
}

static struct err *publish(struct publication *p)
{
	if (!repository_valid(str_c(p->repository)))
		return err_new(ERR_INVALID, "\"%s\" is not a repository name", p->repository);
	if (!tag_valid(str_c(p->tag)))
		return err_new(ERR_INVALID, "\"%s\" is not a tag", p->tag);
	TRY(gather(p, p->image, 0));
	for (size_t i = 0; i < p->manifests.len; i++) {
		struct seen_manifest *seen = vec_at(&p->manifests, i);
		TRY(images_link_manifest(p->s, &seen->d.digest, &seen->m));
	}
	return records_atomically(p->s, publish_in_tx, p);
}

struct err *registry_publish(struct store *s, const char *repository, const char *tag,
	const struct descriptor *image, bool overwrite, bool *already)
{
	AUTO(publication_fini)
	struct publication p = {
		.s = s,
		.repository = repository,
		.tag = tag,
		.image = image,
		.overwrite = overwrite,
		.manifests = VEC_OF(struct seen_manifest),
		.blobs = VEC_OF(struct descriptor),
	};
	struct err *e = publish(&p);
	if (e)
		return err_wrap(e, "publishing %s:%s", repository, tag);
	if (already)
		*already = p.already;
	return NULL;
}

struct err *registry_tags(struct store *s, const char *repository, struct strvec *out)
{
	return records_tags(s, repository, NULL, 0, out);
}

struct err *registry_get(
	struct store *s, const char *repository, const char *tag, struct descriptor *out, bool *found)
{
	return records_tag_get(s, repository, tag, out, found);
}

struct err *registry_get_digest(
	struct store *s, const char *repository, const struct digest *d, struct descriptor *out, bool *found)
{
	return records_manifest_get(s, repository, d, out, found);
}

struct err *registry_usage(struct store *s, const char *repository, uint64_t *out)
{
	return quota_usage(s, repository, out);
}

/* ---- repositories ---- */

struct first_key {
	char *repository;
	char separator;
};

static struct err *take_repository(void *ctx, const struct store_record_row *row)
{
	struct first_key *f = ctx;
	const char *end = strchr(row->key, f->separator);
	free(f->repository);
	f->repository = mem_strndup(row->key, end ? (size_t)(end - row->key) : strlen(row->key));
	return NULL;
}

/* One look-up for each repository: from its last possible key on to the next one's first. */
static struct err *add_repositories(struct store *s, const char *space, char separator, struct strvec *out)
{
	AUTO_FREE char *after = NULL;
	for (;;) {
		struct first_key f = {.separator = separator};
		struct err *e = store_record_each(s, space, "", after, 1, take_repository, &f);
		if (e || !f.repository) {
			free(f.repository);
			return e;
		}
		strvec_push(out, f.repository);
		free(after);
		after = mem_printf("%s%c\xff", f.repository, separator);
		free(f.repository);
	}
}

struct err *registry_repositories(struct store *s, struct strvec *out)
{
	AUTO_STRVEC struct strvec all = {0};
	TRY(add_repositories(s, SPACE_TAG, ':', &all));
	TRY(add_repositories(s, SPACE_MANIFEST, '@', &all));
	strvec_sort(&all);
	for (size_t i = 0; i < all.len; i++)
		if (i == 0 || !cstr_eq(all.ptr[i], all.ptr[i - 1]))
			strvec_push(out, all.ptr[i]);
	return NULL;
}
