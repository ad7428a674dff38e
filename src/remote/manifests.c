/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for manifests: what a reference stands for, and the bytes. */
#include "base/mem.h"
#include "remote/remote_internal.h"

#include <string.h>

static const struct transfer_io no_io;

/* ---- helpers ---- */

static char *manifest_path(const char *repository, const struct reference *ref, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	const char *what = digest_is_set(d)              ? digest_text(d, text)
			   : digest_is_set(&ref->digest) ? digest_text(&ref->digest, text)
			   : ref->tag                    ? ref->tag
							 : "latest";
	return mem_printf("/v2/%s/manifests/%s", repository, what);
}

static struct call manifest_call(
	const struct route *route, const char *method, const char *path, const struct transfer_io *io)
{
	return (struct call){.endpoint = route->endpoint,
		.repository = route->repository,
		.actions = "pull",
		.method = method,
		.path = path,
		.headers = {TAKES_MANIFESTS},
		.max_body = MANIFEST_MAX,
		.io = io};
}

/* The media type without parameters; NULL if absent. Caller frees. */
static char *content_type(const struct http_response *r)
{
	const char *text = http_response_header(r, "Content-Type", 0);
	if (!text)
		return NULL;
	struct str s = str_c(text);
	ptrdiff_t semicolon = str_index(s, ';');
	s = str_trim(semicolon < 0 ? s : str_n(s.ptr, (size_t)semicolon));
	return mem_strndup(s.ptr, s.len);
}

static void hash(const struct buf *bytes, enum digest_algo algo, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(algo);
	hasher_add(h, bytes->ptr, bytes->len);
	hasher_finish(h, out);
}

/* ---- one route ---- */

static struct err *check_bytes(const struct http_response *r, const struct digest *want, uint64_t size)
{
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	AUTO_FREE char *shown = url_for_message(r->final_url);
	if (size && r->body.len != size)
		return err_new(ERR_CORRUPT, "GET %s: the manifest has %zu bytes and should have %llu", shown,
			r->body.len, (unsigned long long)size);
	struct digest have;
	hash(&r->body, want->algo, &have);
	if (digest_eq(&have, want))
		return NULL;
	return err_new(ERR_CORRUPT, "GET %s: the manifest is %s and should be %s", shown,
		digest_text(&have, a), digest_text(want, b));
}

static struct err *get_bytes(const struct route *route, const struct reference *ref,
	const struct descriptor *d, const struct transfer_io *io, struct buf *out, char **type)
{
	const struct digest *want = d && digest_is_set(&d->digest) ? &d->digest : &ref->digest;
	AUTO_FREE char *path = manifest_path(route->repository, ref, want);
	const struct call c = manifest_call(route, "GET", path, io);
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	if (r.status != 200)
		return answer_error(&c, &r);
	TRY(answer_unpacked(&r));
	if (digest_is_set(want))
		TRY(check_bytes(&r, want, d ? d->size : 0));
	*out = r.body;
	r.body = (struct buf){0};
	*type = content_type(&r);
	return NULL;
}

/* What the headers of a HEAD tell; false when they do not suffice. */
static bool head_suffices(const struct http_response *r, const struct reference *ref, struct descriptor *out)
{
	const char *digest = http_response_header(r, "Docker-Content-Digest", 0);
	const char *length = http_response_header(r, "Content-Length", 0);
	AUTO_FREE char *type = content_type(r);
	struct descriptor d = {0};
	if (!digest || !length || !type || !media_type_is_manifest(type) ||
		strlen(type) >= sizeof(d.media_type))
		return false;
	struct err *e = digest_parse(str_c(digest), &d.digest);
	if (e) {
		err_ignore(e, "the bytes tell the digest too");
		return false;
	}
	if (!str_to_u64(str_c(length), &d.size) || d.size == 0 || d.size > MANIFEST_MAX)
		return false;
	if (digest_is_set(&ref->digest) && !digest_eq(&ref->digest, &d.digest))
		return false;
	memcpy(d.media_type, type, strlen(type));
	*out = d;
	return true;
}

static struct err *resolve_by_bytes(const struct route *route, const struct reference *ref,
	const struct transfer_io *io, struct descriptor *out)
{
	AUTO_BUF struct buf bytes = {0};
	AUTO_FREE char *type = NULL;
	AUTO(manifest_fini) struct manifest m = {0};
	TRY(get_bytes(route, ref, NULL, io, &bytes, &type));
	TRY(manifest_parse(buf_str(&bytes), type, &m));
	*out = (struct descriptor){.size = bytes.len, .digest = ref->digest};
	if (!digest_is_set(&ref->digest))
		hash(&bytes, DIGEST_SHA256, &out->digest);
	memcpy(out->media_type, m.media_type, sizeof(out->media_type));
	return NULL;
}

static struct err *resolve_at(const struct route *route, const struct reference *ref,
	const struct transfer_io *io, struct descriptor *out)
{
	AUTO_FREE char *path = manifest_path(route->repository, ref, &ref->digest);
	const struct call c = manifest_call(route, "HEAD", path, io);
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	if (r.status == 200 && head_suffices(&r, ref, out))
		return NULL;
	/* An answer to HEAD has no words of the registry: those of GET are worth one more request, but for
	 * plain absence. */
	if (r.status == 404 || status_may_pass(r.status))
		return answer_error(&c, &r);
	return resolve_by_bytes(route, ref, io, out);
}

/* ---- all routes ---- */

struct err *fetch_manifest_bytes(const struct vec *routes, const struct reference *ref,
	const struct descriptor *d, const struct transfer_io *io, struct buf *out, char **type)
{
	AUTO_BUF struct buf tried = {0};
	for (size_t i = 0; i < routes->len; i++) {
		const struct route *route = vec_at(routes, i);
		if (route_is_down(route))
			continue;
		struct err *e = get_bytes(route, ref, d, io, out, type);
		if (!e || !route_next(route, &e, &tried))
			return e;
	}
	return err_new(ERR_BUG, "no route for %s", ref->repository);
}

static struct err *wrap_ref(struct err *e, const char *what, const struct reference *ref)
{
	if (!e)
		return NULL;
	AUTO_FREE char *text = reference_text(ref);
	return err_wrap(e, "%s %s", what, text);
}

static struct err *resolve_routes(const struct vec *routes, const struct reference *ref,
	const struct transfer_io *io, struct descriptor *out)
{
	AUTO_BUF struct buf tried = {0};
	for (size_t i = 0; i < routes->len; i++) {
		const struct route *route = vec_at(routes, i);
		if (route_is_down(route))
			continue;
		struct err *e = resolve_at(route, ref, io, out);
		if (!e || !route_next(route, &e, &tried))
			return e;
	}
	return err_new(ERR_BUG, "no route for %s", ref->repository);
}

struct err *remote_resolve(
	struct remote *r, const struct reference *ref, const struct transfer_io *io, struct descriptor *out)
{
	AUTO(routes_fini) struct vec routes = VEC_OF(struct route);
	struct err *e = routes_for_pull(r, ref, &routes);
	if (!e)
		e = resolve_routes(&routes, ref, io ? io : &no_io, out);
	return wrap_ref(e, "looking up", ref);
}

/* ---- into the store ---- */

/* sha512 names are kept as such, beside what images_put_manifest does for sha256. */
static struct err *put_bytes(struct store *s, const struct buf *bytes, const char *type,
	const struct digest *want, struct descriptor *out)
{
	struct descriptor d = {0};
	TRY(images_put_manifest(s, buf_str(bytes), type, &d));
	if (want->algo == DIGEST_SHA512) {
		AUTO(store_blob_abandonp) struct store_blob_writer *w = NULL;
		TRY(store_blob_begin(s, &w));
		store_blob_expect(w, want->algo);
		TRY(store_blob_write(w, bytes->ptr, bytes->len));
		TRY(store_blob_commit(steal(&w), want, &d.digest));
	}
	*out = d;
	return NULL;
}

static struct err *from_store(
	struct store *s, const struct descriptor *d, struct descriptor *out, bool *found)
{
	int64_t size = -1;
	*found = false;
	TRY(store_blob_stat(s, &d->digest, &size));
	if (size < 0)
		return NULL;
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(s, &d->digest, MANIFEST_MAX, &bytes));
	TRY(put_bytes(s, &bytes, *d->media_type ? d->media_type : NULL, &d->digest, out));
	*found = true;
	return NULL;
}

struct err *remote_fetch_manifest(struct remote *r, const struct reference *ref, const struct descriptor *d,
	const struct transfer_io *io, struct descriptor *out)
{
	AUTO(routes_fini) struct vec routes = VEC_OF(struct route);
	AUTO_BUF struct buf bytes = {0};
	AUTO_FREE char *type = NULL;
	bool found;
	struct err *e = from_store(r->store, d, out, &found);
	if (e || found)
		return wrap_ref(e, "reading the manifest of", ref);
	e = routes_for_pull(r, ref, &routes);
	if (!e)
		e = fetch_manifest_bytes(&routes, ref, d, io ? io : &no_io, &bytes, &type);
	if (!e)
		e = put_bytes(r->store, &bytes, *d->media_type ? d->media_type : type, &d->digest, out);
	return wrap_ref(e, "fetching the manifest of", ref);
}
