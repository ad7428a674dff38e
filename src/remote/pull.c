/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "remote/remote_internal.h"

#include <string.h>

/* Indexes within indexes beyond this are nothing that anybody makes. */
#define DEPTH_MAX 4
#define ITEMS_MAX 20000

static const struct transfer_io no_io;

static struct err *wrap_pull(struct err *e, const struct reference *ref)
{
	if (!e)
		return NULL;
	AUTO_FREE char *text = reference_text(ref);
	return err_wrap(e, "pulling %s", text);
}

static struct err *read_manifest(struct store *s, const struct descriptor *d, struct manifest *out)
{
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(s, &d->digest, MANIFEST_MAX, &bytes));
	return manifest_parse(buf_str(&bytes), d->media_type, out);
}

static void list_blobs(const struct manifest *m, struct vec *out)
{
	if (digest_is_set(&m->config.digest))
		descriptors_add_brief(out, &m->config);
	for (size_t i = 0; i < m->entries.len; i++)
		descriptors_add_brief(out, vec_at(&m->entries, i));
}

/* ---- lazily ---- */

static struct err *no_platform(const struct manifest *m, const struct platform *want)
{
	char text[128];
	AUTO_BUF struct buf have = {0};
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *d = vec_at(&m->entries, i);
		if (d->has_platform && !cstr_eq(d->platform.os, "unknown"))
			buf_addf(&have, "%s%s", have.len ? ", " : "", platform_text(&d->platform, text));
	}
	struct err *e = err_new(ERR_NOT_FOUND, "there is no image for %s", platform_text(want, text));
	return have.len ? err_hint(e, "it is offered for %s", buf_cstr(&have)) : e;
}

/* From top down to one image manifest, each in the store. */
static struct err *descend(struct remote *r, const struct reference *ref, const struct platform *want,
	const struct transfer_io *io, struct descriptor *at, struct manifest *m)
{
	for (int depth = 0;; depth++) {
		TRY(read_manifest(r->store, at, m));
		if (m->kind == MANIFEST_IMAGE)
			return NULL;
		if (depth == DEPTH_MAX)
			return err_new(ERR_INVALID, "its indexes are nested more than %d deep", DEPTH_MAX);
		const struct descriptor *pick = manifest_pick(m, want);
		if (!pick)
			return no_platform(m, want);
		struct descriptor next = {0};
		TRY(remote_fetch_manifest(r, ref, pick, io, &next));
		manifest_fini(m);
		*m = (struct manifest){0};
		*at = next;
	}
}

static struct err *pull_lazy(struct remote *r, const struct reference *ref, const struct platform *want,
	const struct transfer_io *io, struct descriptor *top, struct descriptor *manifest)
{
	struct descriptor found = {0}, first = {0}, at = {0};
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(descriptors_fini) struct vec blobs = VEC_OF(struct descriptor);
	TRY(remote_resolve(r, ref, io, &found));
	TRY(remote_fetch_manifest(r, ref, &found, io, &first));
	at = first;
	TRY(descend(r, ref, want, io, &at, &m));
	list_blobs(&m, &blobs);
	TRY(origin_add(r->store, ref, &blobs));
	if (digest_is_set(&m.config.digest))
		TRY(remote_fetch_blob(r, ref, &m.config, io));
	*top = first;
	*manifest = at;
	return NULL;
}

struct err *remote_pull_lazy(struct remote *r, const struct reference *ref, const struct platform *want,
	const struct transfer_io *io, struct descriptor *top, struct descriptor *manifest)
{
	struct platform host = {0};
	if (!want) {
		platform_host(&host);
		want = &host;
	}
	return wrap_pull(pull_lazy(r, ref, want, io ? io : &no_io, top, manifest), ref);
}

/* ---- everything ---- */

struct pull {
	struct remote *remote;
	const struct reference *ref;
	struct vec *routes;
	struct vec level;  /* of struct descriptor: manifests to fetch */
	struct vec *blobs; /* of struct descriptor */
	bool without_foreign;
};

static struct err *fetch_one_manifest(void *ctx, size_t i, const struct transfer_io *io)
{
	struct pull *p = ctx;
	struct descriptor got = {0};
	return remote_fetch_manifest(p->remote, p->ref, vec_at(&p->level, i), io, &got);
}

struct err *remote_without_foreign(struct err *e, const struct descriptor *blob, const struct transfer_io *io)
{
	if (!e || err_kind(e) == ERR_CANCELED || !media_type_is_foreign_layer(blob->media_type))
		return e;
	AUTO_FREE char *text = err_text(e);
	event_warn(io->events, (struct source_range){0},
		"a layer that may not be distributed is left out: %s", text);
	err_ignore(e, "who takes the image gets it where the layer says");
	return NULL;
}

static struct err *fetch_one_blob(void *ctx, size_t i, const struct transfer_io *io)
{
	struct pull *p = ctx;
	const struct descriptor *d = vec_at(p->blobs, i);
	struct err *e = fetch_blob_from(p->remote, p->routes, d, io);
	return p->without_foreign ? remote_without_foreign(e, d, io) : e;
}

/* The manifests of p->level are in the store: list what they name; the manifests among it are the next level.
 */
static struct err *expand(struct pull *p, struct vec *seen, struct vec *next)
{
	for (size_t i = 0; i < p->level.len; i++) {
		AUTO(manifest_fini) struct manifest m = {0};
		TRY(read_manifest(p->remote->store, vec_at(&p->level, i), &m));
		if (m.kind == MANIFEST_IMAGE) {
			list_blobs(&m, p->blobs);
		} else {
			for (size_t k = 0; k < m.entries.len; k++) {
				const struct descriptor *d = vec_at(&m.entries, k);
				/* Caches of BuildKit have layers as entries of an index. */
				if (!media_type_is_manifest(d->media_type)) {
					descriptors_add_brief(p->blobs, d);
				} else if (!descriptors_have(seen, &d->digest)) {
					descriptors_add_brief(seen, d);
					descriptors_add_brief(next, d);
				}
			}
		}
		if (p->blobs->len + seen->len > ITEMS_MAX)
			return err_new(ERR_INVALID, "it names more than %d manifests and blobs", ITEMS_MAX);
	}
	return NULL;
}

static struct err *gather_all(struct pull *p, const struct descriptor *top, const struct transfer_io *io)
{
	AUTO(descriptors_fini) struct vec seen = VEC_OF(struct descriptor);
	descriptors_add_brief(&seen, top);
	descriptors_add_brief(&p->level, top);
	for (int depth = 0; p->level.len; depth++) {
		if (depth > DEPTH_MAX)
			return err_new(ERR_INVALID, "its indexes are nested more than %d deep", DEPTH_MAX);
		TRY(parallel_run(p->level.len, p->remote->parallel, io, fetch_one_manifest, p));
		struct vec next = VEC_OF(struct descriptor);
		struct err *e = expand(p, &seen, &next);
		descriptors_fini(&p->level);
		p->level = next;
		TRY(e);
	}
	return NULL;
}

static struct err *pull_all(struct remote *r, const struct reference *ref,
	const struct remote_pull_options *how, const struct transfer_io *io, struct descriptor *top)
{
	AUTO(routes_fini) struct vec routes = VEC_OF(struct route);
	AUTO(descriptors_fini) struct vec blobs = VEC_OF(struct descriptor);
	struct pull p = {.remote = r,
		.ref = ref,
		.routes = &routes,
		.level = VEC_OF(struct descriptor),
		.blobs = &blobs,
		.without_foreign = how->without_foreign};
	struct descriptor first = {0}, manifest = {0};
	TRY(routes_for_pull(r, ref, &routes));
	struct err *e = NULL;
	if (how->all_platforms) {
		TRY(remote_resolve(r, ref, io, &first));
		e = gather_all(&p, &first, io);
	} else {
		TRY(pull_lazy(r, ref, how->platform, io, &first, &manifest));
		AUTO(manifest_fini) struct manifest m = {0};
		e = read_manifest(r->store, &manifest, &m);
		if (!e)
			list_blobs(&m, &blobs);
	}
	descriptors_fini(&p.level);
	TRY(e);
	TRY(origin_add(r->store, ref, &blobs));
	TRY(parallel_run(blobs.len, r->parallel, io, fetch_one_blob, &p));
	*top = first;
	return NULL;
}

struct err *remote_pull(struct remote *r, const struct reference *ref, const struct remote_pull_options *how,
	const struct transfer_io *io, struct descriptor *top)
{
	struct platform host = {0};
	struct remote_pull_options all = *how;
	if (!all.platform) {
		platform_host(&host);
		all.platform = &host;
	}
	return wrap_pull(pull_all(r, ref, &all, io ? io : &no_io, top), ref);
}
