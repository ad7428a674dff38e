/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blob into the store. Small ones through memory; others into a partial file named by their digest, which
 * a later try, or a later process, goes on from.
 */
#include "base/mem.h"
#include "remote/relay.h"
#include "remote/remote_internal.h"
#include "sys/file.h"

#include <inttypes.h>
#include <string.h>

#define SMALL ((uint64_t)1 << 20)
#define UNKNOWN UINT64_MAX
/* A try that got less than this beyond all before it counts as a failure in a row. */
#define HEADWAY ((uint64_t)256 << 10)

static const struct transfer_io no_io;

struct fetch {
	struct store *store;
	const struct descriptor *blob;
	uint64_t size;                 /* of the blob; UNKNOWN until an answer tells */
	const struct remote_relay *to; /* NULL: nobody reads along */
	const struct transfer_io *io;
	struct progress progress;
	struct store_partial *partial;
	const struct http_response *r; /* of the try that runs */
	uint64_t from;                 /* where the try that runs was asked to begin */
	bool begun;                    /* its answer was looked at */
	bool resumed;                  /* bytes of an earlier try are part of the file */
	bool own_status; /* the answer, not the network, is to blame: no further try at this place */
};

/* Who said how many bytes there are to be. */
static const char *namer(const struct fetch *f)
{
	return f->to ? "the registry named before" : "the manifest names";
}

static struct err *too_much(const struct fetch *f)
{
	return err_new(ERR_CORRUPT, "more bytes come than the %" PRIu64 " that %s", f->size, namer(f));
}

static struct err *begin_anew(struct fetch *f)
{
	if (f->to)
		f->to->anew(f->to->ctx);
	return store_partial_truncate(f->partial, 0);
}

/* ---- small ---- */

static struct err *put_small(struct fetch *f, const struct http_response *r)
{
	const struct digest *want = &f->blob->digest;
	TRY(answer_unpacked(r));
	if (r->body.len != f->blob->size)
		return err_new(ERR_CORRUPT, "%zu bytes came and the manifest names %" PRIu64, r->body.len,
			f->blob->size);
	AUTO(store_blob_abandonp) struct store_blob_writer *w = NULL;
	TRY(store_blob_begin(f->store, &w));
	store_blob_expect(w, want->algo);
	TRY(store_blob_write(w, buf_cstr(&r->body), r->body.len));
	return store_blob_commit(steal(&w), want, NULL);
}

static struct err *fetch_small(struct fetch *f, const struct call *base)
{
	struct call c = *base;
	c.max_body = (size_t)SMALL;
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	if (r.status != 200)
		return answer_error(&c, &r);
	TRY(put_small(f, &r));
	progress_set(&f->progress, f->blob->size);
	return NULL;
}

/* ---- large ---- */

/* Of "bytes 100-199/200". */
static bool parse_content_range(const char *text, uint64_t *first, uint64_t *total)
{
	struct str rest = str_c(text), range, start;
	if (!str_starts(rest, "bytes "))
		return false;
	rest = str_skip(rest, 6);
	if (!str_split(&rest, '/', &range) || !str_split(&range, '-', &start))
		return false;
	*total = UINT64_MAX;
	return str_to_u64(start, first) && (str_eq_c(rest, "*") || str_to_u64(rest, total));
}

/* The head of the answer decides where its bytes go. */
static struct err *look_at_answer(struct fetch *f)
{
	uint64_t first = 0, total = UNKNOWN, length;
	const char *range = http_response_header(f->r, "Content-Range", 0);
	const char *text = http_response_header(f->r, "Content-Length", 0);
	f->begun = true;
	TRY(answer_unpacked(f->r));
	if (f->r->status == 206) {
		if (!range || !parse_content_range(range, &first, &total) || first != f->from) {
			/* The next try asks for all of it. */
			TRY(begin_anew(f));
			return err_new(ERR_UNAVAILABLE,
				"bytes from %" PRIu64 " were asked for and '%.60s' came", f->from,
				range ? range : "no Content-Range");
		}
	} else if (f->from) {
		/* The range was ignored: all of it comes again. */
		TRY(begin_anew(f));
		f->resumed = false;
	}
	if (f->r->status == 200 && text && str_to_u64(str_c(text), &length))
		total = length;
	if (f->size == UNKNOWN)
		f->size = total;
	if (total != UNKNOWN && total != f->size)
		return err_new(ERR_CORRUPT, "the registry has %" PRIu64 " bytes and %s %" PRIu64, total,
			namer(f), f->size);
	if (store_partial_size(f->partial) > f->size) {
		TRY(begin_anew(f));
		return err_new(ERR_CORRUPT, "more bytes came before than the %" PRIu64 " that %s", f->size,
			namer(f));
	}
	if (f->to)
		f->to->begun(
			f->to->ctx, store_partial_fd(f->partial), store_partial_size(f->partial), f->size);
	return NULL;
}

static struct err *take_bytes(void *ctx, const void *p, size_t len)
{
	struct fetch *f = ctx;
	if (!f->begun) {
		struct err *e = look_at_answer(f);
		if (e)
			return e;
	}
	if (len > f->size - store_partial_size(f->partial))
		return too_much(f);
	TRY(store_partial_append(f->partial, p, len));
	if (f->to)
		f->to->grew(f->to->ctx, store_partial_size(f->partial));
	progress_set(&f->progress, store_partial_size(f->partial));
	return NULL;
}

/* One request for what is missing. */
static struct err *fetch_rest(struct fetch *f, const struct call *base, struct http_response *r)
{
	AUTO_FREE char *range = NULL;
	struct call c = *base;
	f->from = store_partial_size(f->partial);
	f->resumed |= f->from > 0;
	f->begun = false;
	f->r = r;
	if (f->from) {
		range = mem_printf("Range: bytes=%" PRIu64 "-", f->from);
		c.headers[0] = range;
	}
	c.write_body = take_bytes;
	c.write_ctx = f;
	TRY(call_once(&c, r));
	if (r->status == 200 || r->status == 206) {
		if (!f->begun)
			TRY(look_at_answer(f));
		/* Whose length is not told ends where the answer ends; the digest tells whether that is so.
		 */
		if (f->size == UNKNOWN)
			f->size = store_partial_size(f->partial);
		if (store_partial_size(f->partial) == f->size)
			return NULL;
		return err_new(ERR_UNAVAILABLE, "GET %s ended after %" PRIu64 " of %" PRIu64 " bytes",
			base->path, store_partial_size(f->partial), f->size);
	}
	if (r->status == 416 && f->from) {
		TRY(begin_anew(f));
		return err_new(ERR_UNAVAILABLE, "GET %s: the rest of the bytes was refused", base->path);
	}
	f->own_status = true;
	return answer_error(&c, r);
}

static struct err *fetch_large(struct fetch *f, const struct call *base)
{
	struct retry retry = {.endpoint = base->endpoint, .io = f->io};
	/* The same first bytes again and again are no headway, though each time they come anew. */
	uint64_t best = store_partial_size(f->partial);
	while (f->size == UNKNOWN || store_partial_size(f->partial) < f->size) {
		AUTO(http_response_fini) struct http_response r = {0};
		f->own_status = false;
		struct err *e = fetch_rest(f, base, &r);
		if (!e)
			return NULL;
		uint64_t got = store_partial_size(f->partial);
		if (got > best + HEADWAY)
			retry.tried = 0;
		best = got > best ? got : best;
		bool again = false;
		struct err *stop = retry_wait(&retry, &r, f->own_status ? NULL : e, &again);
		if (stop || !again)
			return err_first(stop, e);
		err_free(e);
	}
	return NULL;
}

/* Consumes the partial unless the failure leaves bytes to go on from. */
static struct err *finish(struct fetch *f, bool *worth_anew)
{
	struct digest have;
	*worth_anew = false;
	struct err *e = f->to ? store_partial_check(f->partial, &f->blob->digest) : NULL;
	if (f->to && (err_kind(e) == ERR_CORRUPT || (!e && f->to->keep && !f->to->keep(f->to->ctx, f->size))))
		e = err_first(e, store_partial_delete(f->partial));
	else if (!e)
		e = store_partial_commit(f->partial, &f->blob->digest, &have);
	if (!e || err_kind(e) == ERR_CORRUPT)
		f->partial = NULL;
	if (err_kind(e) == ERR_CORRUPT && f->to)
		f->to->anew(f->to->ctx);
	/* Bytes kept from an earlier process may be what is wrong. */
	*worth_anew = err_kind(e) == ERR_CORRUPT && f->resumed;
	return e;
}

static struct err *open_partial(struct fetch *f)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = mem_printf("pull-%s", digest_text(&f->blob->digest, text));
	TRY(store_partial_open(f->store, name, true, &f->partial));
	store_partial_expect(f->partial, f->blob->digest.algo);
	f->resumed = store_partial_size(f->partial) > 0;
	/* Another place may say otherwise. */
	if (f->to && !f->resumed)
		f->size = UNKNOWN;
	/* It may be all there is, and a range from its end is one that some get wrong beyond a plain 416. */
	if (f->size == UNKNOWN && f->resumed)
		TRY(store_partial_truncate(f->partial, store_partial_size(f->partial) - 1));
	return store_partial_size(f->partial) > f->size ? begin_anew(f) : NULL;
}

static struct err *fetch_at(struct fetch *f, const struct call *base)
{
	if (f->size <= SMALL && !f->to)
		return fetch_small(f, base);
	/* Another place may say otherwise. */
	if (f->to)
		f->size = UNKNOWN;
	for (int round = 0;; round++) {
		bool anew = false;
		if (!f->partial)
			TRY(open_partial(f));
		TRY(fetch_large(f, base));
		struct err *e = finish(f, &anew);
		if (!e || !anew || round)
			return e;
		err_ignore(e, "it is fetched once more from its first byte");
	}
}

/* ---- places ---- */

static struct err *fetch_route(struct fetch *f, const struct route *route)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *path =
		mem_printf("/v2/%s/blobs/%s", route->repository, digest_text(&f->blob->digest, text));
	const struct call c = {.endpoint = route->endpoint,
		.repository = route->repository,
		.actions = "pull",
		.method = "GET",
		.path = path,
		.io = f->io};
	struct err *e = fetch_at(f, &c);
	return e ? err_wrap(e, "fetching blob %s from %s", text, route->endpoint->name) : NULL;
}

/* Layers that may not be distributed name where they are. No credentials go there. */
static struct err *fetch_url(struct fetch *f, const struct route *route, const char *url)
{
	const struct call c = {.endpoint = route->endpoint,
		.method = "GET",
		.path = url,
		.foreign = true,
		.tries = 2,
		.io = f->io};
	struct err *e = fetch_at(f, &c);
	return e ? err_wrap(e, "fetching a foreign layer") : NULL;
}

/* Layers whose registry lacks them are asked for where their descriptor says. */
static struct err *fetch_urls(struct fetch *f, const struct route *origin, struct err *last)
{
	AUTO_BUF struct buf tried = {0};
	for (size_t i = 0; i < f->blob->urls.len && err_kind(last) == ERR_NOT_FOUND; i++) {
		struct err *e = fetch_url(f, origin, f->blob->urls.ptr[i]);
		if (!e || err_kind(e) == ERR_CANCELED) {
			err_free(last);
			return e;
		}
		AUTO_FREE char *text = err_text(e);
		buf_addf(&tried, "%s%s", tried.len ? "; " : "", text);
		err_ignore(e, "it is told with what the registry said");
	}
	return tried.len ? err_wrap(last, "%s", buf_cstr(&tried)) : last;
}

static struct err *fetch_routes(struct fetch *f, const struct vec *routes)
{
	AUTO_BUF struct buf tried = {0};
	for (size_t i = 0; i < routes->len; i++) {
		const struct route *route = vec_at(routes, i);
		if (route_is_down(route))
			continue;
		struct err *e = fetch_route(f, route);
		if (!e || !route_next(route, &e, &tried))
			return e ? fetch_urls(f, route, e) : NULL;
	}
	return err_new(ERR_BUG, "no route for a blob");
}

static struct err *present(struct store *s, const struct digest *d, bool *out)
{
	int64_t size = -1;
	TRY(store_blob_stat(s, d, &size));
	*out = size >= 0;
	return NULL;
}

struct err *fetch_blob_from(struct remote *r, const struct vec *routes, const struct descriptor *blob,
	const struct transfer_io *io)
{
	bool there = false;
	TRY(present(r->store, &blob->digest, &there));
	if (there)
		return NULL;
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = mem_printf("pull %s", digest_text(&blob->digest, text));
	AUTO(store_unlockp) struct store_lock *lock = NULL;
	bool waited = false;
	TRY(store_lock(r->store, name, false, io->cancel, &waited, &lock));
	if (waited)
		TRY(present(r->store, &blob->digest, &there));
	if (there)
		return NULL;
	struct fetch f = {.store = r->store, .blob = blob, .size = blob->size, .io = io};
	progress_start(&f.progress, io, "pulling", &blob->digest, blob->size);
	struct err *e = fetch_routes(&f, routes);
	/* On a full disk bytes to go on from would be what keeps everything else from working. */
	if (f.partial && err_kind(e) == ERR_NO_SPACE)
		return err_first(e, store_partial_delete(f.partial));
	store_partial_close(f.partial);
	return e;
}

struct err *relay_blob_from(struct remote *r, const struct vec *routes, const struct digest *d,
	const struct remote_relay *to, const struct transfer_io *io, uint64_t *size)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = mem_printf("pull %s", digest_text(d, text));
	AUTO(store_unlockp) struct store_lock *lock = NULL;
	const struct descriptor blob = {.digest = *d};
	int64_t stored = -1;
	TRY(store_lock(r->store, name, false, io->cancel, NULL, &lock));
	TRY(store_blob_stat(r->store, d, &stored));
	/* It came while this waited, from wherever: whether the registry has it is for the registry to say.
	 */
	if (stored >= 0) {
		AUTO_FD int fd = -1;
		TRY(look_at_blob_from(routes, d, io, size));
		TRY(store_blob_open(r->store, d, &fd, size));
		to->begun(to->ctx, fd, *size, *size);
		return NULL;
	}
	struct fetch f = {.store = r->store, .blob = &blob, .size = UNKNOWN, .to = to, .io = io};
	struct err *e = fetch_routes(&f, routes);
	*size = f.size;
	/* What anybody may ask for leaves no empty files. */
	if (f.partial && store_partial_size(f.partial) == 0)
		e = err_first(e, store_partial_delete(f.partial));
	else
		store_partial_close(f.partial);
	return e;
}

/* ---- by reference, or from where it was seen ---- */

static struct err *from_reference(struct remote *r, const struct reference *ref,
	const struct descriptor *blob, const struct transfer_io *io)
{
	AUTO(routes_fini) struct vec routes = VEC_OF(struct route);
	TRY(routes_for_pull(r, ref, &routes));
	return fetch_blob_from(r, &routes, blob, io);
}

static struct err *from_origins(struct remote *r, const struct descriptor *blob, const struct transfer_io *io)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_STRVEC struct strvec places = {0};
	struct err *last = NULL;
	TRY(origin_get(r->store, &blob->digest, &places));
	for (size_t i = 0; i < places.len; i++) {
		AUTO(reference_fini) struct reference ref = {0};
		struct err *e = reference_parse(places.ptr[i], false, &ref);
		if (!e)
			e = from_reference(r, &ref, blob, io);
		if (!e || err_kind(e) == ERR_CANCELED) {
			err_free(last);
			return e;
		}
		last = err_first(last, e);
	}
	if (last)
		return last;
	last = err_new(ERR_NOT_FOUND, "blob %s is not in the store and no repository is known to have it",
		digest_text(&blob->digest, text));
	return err_hint(last, "pull the image that it belongs to again");
}

struct err *remote_fetch_blob(struct remote *r, const struct reference *ref, const struct descriptor *blob,
	const struct transfer_io *io)
{
	bool there = false;
	if (!io)
		io = &no_io;
	TRY(present(r->store, &blob->digest, &there));
	if (there)
		return NULL;
	return ref ? from_reference(r, ref, blob, io) : from_origins(r, blob, io);
}
