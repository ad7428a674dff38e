/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/vec.h"
#include "oci/images.h"
#include "registry/cache_internal.h"
#include "registry/registry_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tags that one PUT may set by ?tag=; the distribution-spec asks for ten at least. */
#define TAGS_MAX 100

/* A name with a colon is a digest, never a tag. False when it was refused, and answered. */
static bool parse_reference(struct request *q, struct http_exchange *x, bool writing)
{
	if (strchr(q->reference, ':')) {
		struct err *e = digest_parse(str_c(q->reference), &q->digest);
		if (e)
			reply_err(x, e, "DIGEST_INVALID");
		return !e;
	}
	if (tag_valid(str_c(q->reference)))
		return true;
	if (writing)
		reply_error(x, 400, "MANIFEST_INVALID",
			"a tag has letters, digits, '_', '.' and '-', begins with none of the last two and "
			"has "
			"at most 128 characters");
	else
		reply_error(x, 404, "MANIFEST_UNKNOWN", "there is no such tag");
	return false;
}

static void unknown(struct request *q, struct http_exchange *x)
{
	reply_error(x, 404, "MANIFEST_UNKNOWN", "%s has no manifest %s", q->repository, q->reference);
}

static struct err *find(struct request *q, struct descriptor *out, bool *found)
{
	if (digest_is_set(&q->digest))
		return records_manifest_get(q->s, q->repository, &q->digest, out, found);
	return records_tag_get(q->s, q->repository, q->reference, out, found);
}

struct err *manifest_send(struct request *q, struct http_exchange *x, const struct descriptor *d)
{
	AUTO_BUF struct buf bytes = {0};
	bool same = client_has(x, &d->digest);
	if (!same && !is_head(x))
		TRY(small_contents_read(q->r->small, q->s, &d->digest, MANIFEST_MAX, &bytes));
	http_set_header(x, "Content-Type", d->media_type);
	if (digest_is_set(&q->digest))
		http_set_header(x, "Cache-Control", CACHE_FOREVER);
	reply_digest_headers(x, &d->digest);
	if (same || is_head(x))
		http_answer_head(x, same ? 304 : 200, d->size);
	else
		http_answer(x, 200, buf_str(&bytes));
	return NULL;
}

static struct err *manifest_get(struct request *q, struct http_exchange *x)
{
	AUTO(descriptor_fini) struct descriptor d = {0};
	bool found = false;
	TRY(find(q, &d, &found));
	if (!found) {
		unknown(q, x);
		return NULL;
	}
	/* Who is told that it is there will not send it again: then it must be. */
	int64_t size = -1;
	TRY(store_blob_stat(q->s, &d.digest, &size));
	if (size < 0) {
		unknown(q, x);
		return NULL;
	}
	return manifest_send(q, x, &d);
}

struct deletion {
	struct request *q;
	bool deleted;
};

static struct err *delete_in_tx(void *ctx)
{
	struct deletion *d = ctx;
	struct request *q = d->q;
	if (digest_is_set(&q->digest))
		return records_manifest_delete(q->s, q->repository, &q->digest, &d->deleted);
	return records_tag_delete(q->s, q->repository, q->reference, &d->deleted);
}

static struct err *manifest_delete(struct request *q, struct http_exchange *x)
{
	struct deletion d = {.q = q};
	TRY(records_atomically(q->s, delete_in_tx, &d));
	if (d.deleted)
		reply_empty(x, 202);
	else
		unknown(q, x);
	return NULL;
}

struct err *manifest_begin(struct request *q, struct http_exchange *x)
{
	const char *method = http_method(x);
	bool put = cstr_eq(method, "PUT");
	if (!put && !cstr_eq(method, "GET") && !is_head(x) && !cstr_eq(method, "DELETE")) {
		reply_method(x, "GET, HEAD, PUT, DELETE");
		return NULL;
	}
	if (!parse_reference(q, x, put))
		return NULL;
	if (cstr_eq(method, "DELETE") && q->create_only) {
		reply_may_not_delete(x);
		return NULL;
	}
	if (cstr_eq(method, "DELETE"))
		return manifest_delete(q, x);
	bool answered = false;
	if (!put && q->upstream)
		TRY(cache_manifest(q, x, &answered));
	if (answered)
		return NULL;
	if (!put)
		return manifest_get(q, x);
	if (http_content_length(x) > (int64_t)MANIFEST_MAX) {
		reply_error(x, 413, "SIZE_INVALID", "a manifest may have at most %u MiB", MANIFEST_MAX >> 20);
		return NULL;
	}
	q->use = BODY_MANIFEST;
	return NULL;
}

/* ---- PUT ---- */

struct putting {
	struct request *q;
	struct manifest m;
	struct descriptor d;
	struct strvec tags;
	struct strvec missing; /* digests of children that the repository lacks */
	const char *taken;     /* a tag that may not be moved from another digest; of tags */
	bool immutable;        /* taken may not be moved by anybody */
	bool over_quota;
};

static void putting_fini(struct putting *p)
{
	manifest_fini(&p->m);
	strvec_fini(&p->tags);
	strvec_fini(&p->missing);
}

static struct err *check_child(struct putting *p, const struct descriptor *d)
{
	bool found = false;
	char text[DIGEST_TEXT_MAX];
	TRY(records_child_has(p->q->s, p->q->repository, &d->digest, &found));
	if (!found)
		strvec_push(&p->missing, digest_text(&d->digest, text));
	return NULL;
}

/* The subject is not asked for: signatures may come before what they sign. */
static struct err *check_children(struct putting *p)
{
	strvec_clear(&p->missing);
	if (p->q->r->policy->sparse)
		return NULL;
	if (p->m.kind == MANIFEST_IMAGE)
		TRY(check_child(p, &p->m.config));
	for (size_t i = 0; i < p->m.entries.len; i++) {
		const struct descriptor *d = vec_at(&p->m.entries, i);
		if (!media_type_is_foreign_layer(d->media_type))
			TRY(check_child(p, d));
	}
	return NULL;
}

static struct err *check_tags(struct putting *p)
{
	for (size_t i = 0; i < p->tags.len; i++) {
		AUTO(descriptor_fini) struct descriptor present = {0};
		bool found = false;
		bool immutable = policy_immutable(p->q->r->policy, str_c(p->tags.ptr[i]));
		if (!immutable && !p->q->create_only)
			continue;
		TRY(records_tag_get(p->q->s, p->q->repository, p->tags.ptr[i], &present, &found));
		if (!found || digest_eq(&present.digest, &p->d.digest))
			continue;
		p->taken = p->tags.ptr[i];
		p->immutable = immutable;
	}
	return NULL;
}

static struct err *check_quota(struct putting *p)
{
	AUTO(descriptor_fini) struct descriptor present = {0};
	bool found = false;
	uint64_t room = 0;
	TRY(quota_room(p->q, &room));
	if (p->d.size <= room)
		return NULL;
	TRY(records_manifest_get(p->q->s, p->q->repository, &p->d.digest, &present, &found));
	p->over_quota = !found;
	return NULL;
}

/* All is looked at again where nobody can change it before the records are written. */
static struct err *put_in_tx(void *ctx)
{
	struct putting *p = ctx;
	TRY(check_children(p));
	TRY(check_tags(p));
	TRY(check_quota(p));
	if (p->missing.len || p->taken || p->over_quota)
		return NULL;
	/* A gc can take it while this request sleeps, but not once this transaction has begun. */
	int64_t size = -1;
	TRY(store_blob_stat(p->q->s, &p->d.digest, &size));
	if (size < 0)
		return err_new(ERR_UNAVAILABLE, "the manifest was collected before it was recorded");
	TRY(records_manifest_put(p->q->s, p->q->repository, &p->d, &p->m));
	for (size_t i = 0; i < p->tags.len; i++)
		TRY(records_tag_put(p->q->s, p->q->repository, p->tags.ptr[i], &p->d));
	return NULL;
}

static void reply_missing(struct putting *p, struct http_exchange *x)
{
	AUTO_JSON json_t *body = json_object();
	json_t *errors = json_array();
	json_object_set_new(body, "errors", errors);
	for (size_t i = 0; i < p->missing.len && i < 100; i++) {
		json_t *e = json_object(), *detail = json_object();
		AUTO_FREE char *message = mem_printf(
			"%s has no blob or manifest %s: push it first", p->q->repository, p->missing.ptr[i]);
		json_object_set_new(e, "code", json_text("MANIFEST_BLOB_UNKNOWN"));
		json_object_set_new(e, "message", json_text(message));
		json_object_set_new(detail, "digest", json_text(p->missing.ptr[i]));
		json_object_set_new(e, "detail", detail);
		json_array_append_new(errors, e);
	}
	AUTO_FREE char *text = json_dump(body, false);
	http_set_header(x, "Content-Type", "application/json");
	http_answer(x, 400, str_c(text));
}

/* The tags to set. False when it was refused, and answered. */
static bool gather_tags(struct putting *p, struct http_exchange *x)
{
	if (!digest_is_set(&p->q->digest)) {
		strvec_push(&p->tags, p->q->reference);
		return true;
	}
	const char *tag;
	for (unsigned i = 0; (tag = http_query_at(x, "tag", i)); i++) {
		if (i >= TAGS_MAX) {
			reply_error(x, 414, "UNSUPPORTED", "at most %d tags can be set at once", TAGS_MAX);
			return false;
		}
		if (!tag_valid(str_c(tag))) {
			reply_error(x, 400, "MANIFEST_INVALID", "tag parameter %u is not a tag", i + 1);
			return false;
		}
		if (!strvec_has(&p->tags, tag))
			strvec_push(&p->tags, tag);
	}
	return true;
}

static void digest_with(enum digest_algo algo, struct str bytes, struct digest *out)
{
	struct hasher *h = hasher_new(algo);
	hasher_add(h, bytes.ptr, bytes.len);
	hasher_finish(h, out);
	hasher_free(h);
}

/* False when it was refused, and answered. */
static bool understand(struct putting *p, struct http_exchange *x)
{
	struct request *q = p->q;
	struct str bytes = buf_str(&q->manifest);
	struct digest real;
	bool by_digest = digest_is_set(&q->digest);
	digest_with(by_digest ? q->digest.algo : DIGEST_SHA256, bytes, &real);
	if (by_digest && !digest_eq(&real, &q->digest)) {
		char text[DIGEST_TEXT_MAX];
		reply_error(x, 400, "DIGEST_INVALID", "the manifest that was sent has the digest %s",
			digest_text(&real, text));
		return false;
	}
	struct err *e = manifest_parse(bytes, http_header(x, "Content-Type"), &p->m);
	if (e) {
		reply_err(x, e, "MANIFEST_INVALID");
		return false;
	}
	p->d = (struct descriptor){.digest = real, .size = bytes.len};
	snprintf(p->d.media_type, sizeof(p->d.media_type), "%s", p->m.media_type);
	return gather_tags(p, x);
}

static struct err *store_bytes(struct putting *p)
{
	struct request *q = p->q;
	AUTO(store_blob_abandonp) struct store_blob_writer *w = NULL;
	struct digest got;
	TRY(store_blob_begin(q->s, &w));
	store_blob_expect(w, p->d.digest.algo);
	TRY(store_blob_write(w, q->manifest.ptr, q->manifest.len));
	TRY(store_blob_commit(steal(&w), &p->d.digest, &got));
	return images_link_manifest(q->s, &p->d.digest, &p->m);
}

static void reply_created(struct putting *p, struct http_exchange *x)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *location =
		mem_printf("/v2/%s/manifests/%s", p->q->repository, digest_text(&p->d.digest, text));
	http_set_header(x, "Location", location);
	http_set_header(x, "Docker-Content-Digest", text);
	if (p->m.has_subject)
		http_set_header(x, "OCI-Subject", digest_text(&p->m.subject.digest, text));
	for (size_t i = 0; digest_is_set(&p->q->digest) && i < p->tags.len; i++)
		http_set_header(x, "OCI-Tag", p->tags.ptr[i]);
	reply_empty(x, 201);
}

struct err *manifest_end(struct request *q, struct http_exchange *x)
{
	AUTO(putting_fini) struct putting p = {.q = q};
	if (!understand(&p, x))
		return NULL;
	TRY(check_children(&p));
	if (!p.missing.len) {
		TRY(store_bytes(&p));
		TRY(records_atomically(q->s, put_in_tx, &p));
	}
	if (p.missing.len)
		reply_missing(&p, x);
	else if (p.taken)
		reply_error(x, 403, "DENIED",
			p.immutable ? "%s:%s exists with another digest and is immutable: give the new image "
				      "another tag"
				    : "%s:%s exists with another digest, and these credentials may not "
				      "replace it",
			q->repository, p.taken);
	else if (p.over_quota)
		reply_quota(q, x);
	else
		reply_created(&p, x);
	return NULL;
}
