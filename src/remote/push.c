/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "remote/push_internal.h"

#include <string.h>

#define DEPTH_MAX 4
#define ITEMS_MAX 20000

static const struct transfer_io no_io;

/* ---- what is to be pushed ---- */

static struct err *in_store(struct store *s, const struct digest *d, bool *out)
{
	int64_t size = -1;
	TRY(store_blob_stat(s, d, &size));
	*out = size >= 0;
	return NULL;
}

/* A layer that may not be distributed stays where its URLs say, unless its bytes were brought in. */
static struct err *gather_blob(struct push *p, const struct descriptor *d)
{
	bool here = false;
	if (d->urls.len)
		TRY(in_store(p->remote->store, &d->digest, &here));
	if (!d->urls.len || here)
		descriptors_add_brief(&p->blobs, d);
	return NULL;
}

/* An index of which not every image is in the store may be pushed only where the rest is already. */
static struct err *check_missing(struct push *p, const struct descriptor *d, const struct transfer_io *io)
{
	char text[DIGEST_TEXT_MAX];
	bool there = false;
	TRY(push_exists(p, "manifests", digest_text(&d->digest, text), io, &there, NULL));
	if (there)
		return NULL;
	struct err *e = err_new(ERR_NOT_FOUND,
		"manifest %s is named by the index but is neither in the store nor at the registry", text);
	return err_hint(e, "pull the image for all platforms first, or push one platform of it");
}

static struct err *gather(struct push *p, const struct descriptor *d, int depth, const struct transfer_io *io)
{
	bool here = false;
	AUTO_BUF struct buf bytes = {0};
	AUTO(manifest_fini) struct manifest m = {0};
	if (descriptors_have(&p->manifests, &d->digest))
		return NULL;
	if (depth > DEPTH_MAX || p->manifests.len + p->blobs.len > ITEMS_MAX)
		return err_new(ERR_INVALID, "its indexes are nested too deep, or name too much");
	TRY(in_store(p->remote->store, &d->digest, &here));
	if (!here && depth)
		return check_missing(p, d, io);
	TRY(store_blob_read(p->remote->store, &d->digest, MANIFEST_MAX, &bytes));
	TRY(manifest_parse(buf_str(&bytes), *d->media_type ? d->media_type : NULL, &m));
	if (m.kind == MANIFEST_IMAGE && digest_is_set(&m.config.digest))
		TRY(gather_blob(p, &m.config));
	for (size_t i = 0; i < m.entries.len; i++) {
		const struct descriptor *child = vec_at(&m.entries, i);
		bool nested = m.kind == MANIFEST_INDEX && media_type_is_manifest(child->media_type);
		TRY(nested ? gather(p, child, depth + 1, io) : gather_blob(p, child));
	}
	struct descriptor mine = {.digest = d->digest, .size = bytes.len};
	memcpy(mine.media_type, m.media_type, sizeof(mine.media_type));
	descriptors_add_brief(&p->manifests, &mine);
	return NULL;
}

/* ---- manifests ---- */

static struct err *put_manifest(
	struct push *p, const struct descriptor *d, const char *name, const struct transfer_io *io)
{
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(p->remote->store, &d->digest, MANIFEST_MAX, &bytes));
	AUTO_FREE char *path = mem_printf("/v2/%s/manifests/%s", p->route.repository, name);
	AUTO_FREE char *type = mem_printf("Content-Type: %s", d->media_type);
	struct call c = push_call(p, "PUT", path, io);
	c.headers[0] = type;
	c.body = buf_str(&bytes);
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	if (r.status < 200 || r.status > 299)
		return answer_error(&c, &r);
	char have[DIGEST_TEXT_MAX];
	const char *said = http_response_header(&r, "Docker-Content-Digest", 0);
	if (said && d->digest.algo == DIGEST_SHA256 && cstr_starts(said, "sha256:") &&
		!cstr_eq(said, digest_text(&d->digest, have)))
		return err_new(ERR_CORRUPT, "the registry took manifest %s in as %.80s", have, said);
	return NULL;
}

static struct err *put_manifests(struct push *p, const struct transfer_io *io)
{
	char text[DIGEST_TEXT_MAX];
	for (size_t i = 0; i < p->manifests.len; i++) {
		const struct descriptor *d = vec_at(&p->manifests, i);
		bool top = i + 1 == p->manifests.len;
		const char *name = top && p->to->tag ? p->to->tag : digest_text(&d->digest, text);
		struct err *e = put_manifest(p, d, name, io);
		if (e)
			return err_wrap(e, "pushing manifest %s", digest_text(&d->digest, text));
	}
	return NULL;
}

/* ---- tags that exist ---- */

/* The digest of the tag at the registry, unset if there is none. */
static struct err *tag_digest(struct push *p, const struct transfer_io *io, struct digest *out)
{
	bool there = false;
	struct descriptor d = {0};
	TRY(push_exists(p, "manifests", p->to->tag, io, &there, out));
	if (!there || digest_is_set(out))
		return NULL;
	const struct reference tag = {
		.registry = p->to->registry, .repository = p->to->repository, .tag = p->to->tag};
	AUTO_BUF struct buf bytes = {0};
	AUTO_FREE char *type = NULL;
	AUTO(routes_fini) struct vec routes = VEC_OF(struct route);
	struct route *route = vec_push(&routes);
	*route = (struct route){.endpoint = p->route.endpoint, .repository = mem_strdup(p->route.repository)};
	TRY(fetch_manifest_bytes(&routes, &tag, &d, io, &bytes, &type));
	digest_of(bytes.ptr, bytes.len, out);
	return NULL;
}

static struct err *check_tag(struct push *p, const struct descriptor *image, bool overwrite,
	const struct transfer_io *io, bool *already)
{
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	struct digest have = {0};
	TRY(tag_digest(p, io, &have));
	if (!digest_is_set(&have))
		return NULL;
	*already = digest_eq(&have, &image->digest);
	if (*already || overwrite)
		return NULL;
	struct err *e = err_new(ERR_EXISTS, "the tag exists with another image: %s, not %s",
		digest_text(&have, a), digest_text(&image->digest, b));
	return err_hint(e, "choose another tag, or ask for it to be replaced");
}

/* ---- all of it ---- */

static struct err *push_one(void *ctx, size_t i, const struct transfer_io *io)
{
	struct push *p = ctx;
	return push_blob(p, vec_at(&p->blobs, i), io);
}

static struct err *run(struct push *p, const struct descriptor *image, bool overwrite,
	const struct transfer_io *io, bool *already)
{
	if (p->to->tag)
		TRY(check_tag(p, image, overwrite, io, already));
	if (*already)
		return NULL;
	TRY(gather(p, image, 0, io));
	TRY(parallel_run(p->blobs.len, p->remote->parallel, io, push_one, p));
	TRY(put_manifests(p, io));
	return origin_add(p->remote->store, p->to, &p->blobs);
}

struct err *remote_push(struct remote *r, const struct descriptor *image, const struct reference *to,
	bool overwrite, const struct transfer_io *io, bool *already)
{
	struct push p = {.remote = r,
		.to = to,
		.blobs = VEC_OF(struct descriptor),
		.manifests = VEC_OF(struct descriptor)};
	bool same = false;
	struct err *e = NULL;
	if (digest_is_set(&to->digest) && !digest_eq(&to->digest, &image->digest))
		e = err_new(ERR_INVALID, "the name has the digest of another image");
	if (!e)
		e = route_for_push(r, to, &p.route);
	if (!e)
		e = run(&p, image, overwrite, io ? io : &no_io, &same);
	descriptors_fini(&p.blobs);
	descriptors_fini(&p.manifests);
	route_fini(&p.route);
	if (e) {
		AUTO_FREE char *text = reference_text(to);
		return err_wrap(e, "pushing %s", text);
	}
	if (already)
		*already = same;
	return NULL;
}
