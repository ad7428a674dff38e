/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blob to a registry: asked for, mounted from a neighbour, else sent. Sent in one PUT; where that is
 * refused in a streamed PATCH; where requests may not be large, in chunks.
 */
#include "base/mem.h"
#include "remote/push_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* ghcr.io takes no more in one chunk; reverse proxies are seldom stricter. */
#define CHUNK ((uint64_t)4 << 20)
/* Smaller blobs are sent anew after a failure. */
#define RESUME_MIN ((uint64_t)4 << 20)
/* A try that got less than this beyond all before it counts as a failure in a row. */
#define HEADWAY ((uint64_t)256 << 10)
#define OCTETS "Content-Type: application/octet-stream"

enum upload_way { WAY_PUT, WAY_STREAM, WAY_CHUNKS };

struct upload {
	struct push *push;
	const struct descriptor *blob;
	const struct transfer_io *io;
	struct progress progress;
	int fd;
	uint64_t first, end; /* of the part that the next request carries */
	uint64_t at;
	char *location; /* of the session; the latest that was named */
};

/* ---- the body ---- */

static struct err *read_part(void *ctx, void *p, size_t *len)
{
	struct upload *u = ctx;
	size_t want = u->end - u->at < *len ? (size_t)(u->end - u->at) : *len;
	ssize_t n = want ? pread(u->fd, p, want, (off_t)u->at) : 0;
	if (n < 0)
		return err_sys(errno, "reading the blob");
	if (n == 0 && want)
		return err_hint(err_new(ERR_CORRUPT, "the blob in the store is shorter than its size"),
			"run 'cooper store verify'");
	*len = (size_t)n;
	u->at += (uint64_t)n;
	progress_set(&u->progress, u->at);
	return NULL;
}

static struct err *rewind_part(void *ctx)
{
	struct upload *u = ctx;
	u->at = u->first;
	return NULL;
}

static void carry(struct upload *u, struct call *c, uint64_t first, uint64_t end, bool chunked)
{
	u->first = u->at = first;
	u->end = end;
	if (first == end)
		return;
	c->read_body = read_part;
	c->rewind_body = rewind_part;
	c->body_ctx = u;
	c->body_size = chunked ? -1 : (int64_t)(end - first);
}

/* ---- sessions ---- */

/*
 * Some send a host without its scheme, and registries behind a proxy that ends TLS say http where they are
 * reached by https: the request stays on the origin then.
 */
static struct err *mend_location(struct upload *u, const char *from, const char *text, char **out)
{
	AUTO(url_fini) struct url base = {0}, to = {0};
	AUTO_FREE char *resolved = NULL, *fixed = NULL;
	TRY(url_parse(from, &base));
	AUTO_FREE char *bare = mem_printf("%s/", u->push->route.endpoint->authority);
	if (cstr_starts(text, bare))
		fixed = mem_printf("%s://%s", base.scheme, text);
	TRY(url_resolve(from, fixed ? fixed : text, &resolved));
	TRY(url_parse(resolved, &to));
	bool same_port = to.port == base.port || (!to.explicit_port && !base.explicit_port);
	if (cstr_eq(base.scheme, "https") && cstr_eq(to.scheme, "http") && cstr_eq(base.host, to.host) &&
		same_port) {
		mem_freep(&fixed);
		fixed = mem_printf("https%s", resolved + 4);
		mem_freep(&resolved);
		resolved = steal(&fixed);
	}
	*out = steal(&resolved);
	return NULL;
}

/* An answer without Location leaves the session where it was. */
static struct err *take_location(struct upload *u, const struct http_response *r)
{
	const char *text = http_response_header(r, "Location", 0);
	if (!text && u->location)
		return NULL;
	if (!text)
		return err_new(
			ERR_INVALID, "the registry opened an upload and did not say where (no Location)");
	char *next = NULL;
	TRY(mend_location(u, r->final_url, text, &next));
	mem_freep(&u->location);
	u->location = next;
	return NULL;
}

static char *closing_url(const struct upload *u)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_BUF struct buf out = {0};
	buf_addf(&out, "%s%cdigest=", u->location, strchr(u->location, '?') ? '&' : '?');
	url_encode(&out, str_c(digest_text(&u->blob->digest, text)));
	return buf_steal(&out);
}

static struct err *open_session(struct upload *u)
{
	AUTO_FREE char *path = mem_printf("/v2/%s/blobs/uploads/", u->push->route.repository);
	const struct call c = push_call(u->push, "POST", path, u->io);
	AUTO(http_response_fini) struct http_response r = {0};
	mem_freep(&u->location);
	TRY(call_run(&c, &r));
	if (r.status != 202)
		return answer_error(&c, &r);
	return take_location(u, &r);
}

/* Best effort: registries drop what is left over by themselves. */
static void cancel_session(struct upload *u)
{
	if (!u->location)
		return;
	const struct call c = push_call(u->push, "DELETE", u->location, u->io);
	AUTO(http_response_fini) struct http_response r = {0};
	struct err *e = call_once(&c, &r);
	if (e)
		err_ignore(e, "an upload that stays behind expires");
}

/* ---- ways to send ---- */

/* Was it refused because of its form, so that another may do? *way is then the next to try. */
static bool other_way(const struct http_response *r, enum upload_way *way)
{
	AUTO_FREE char *code = answer_code(r);
	bool form =
		r->status == 404 || r->status == 405 || r->status == 411 || r->status == 415 ||
		r->status == 501 ||
		(r->status == 400 && (cstr_eq(code, "UNSUPPORTED") || cstr_eq(code, "BLOB_UPLOAD_INVALID")));
	if (r->status == 413 && *way != WAY_CHUNKS)
		*way = WAY_CHUNKS;
	else if (form && *way == WAY_PUT)
		*way = WAY_STREAM;
	else
		return false;
	return true;
}

/* ok: the status that means "go on". Other answers: an error, or *way changed. */
static struct err *send_part(
	struct upload *u, struct call *c, bool last, enum upload_way *way, struct http_response *r)
{
	enum upload_way before = *way;
	TRY(call_once(c, r));
	bool good = last ? r->status == 201 || r->status == 200 || r->status == 204
			 : r->status >= 200 && r->status < 300;
	if (good)
		return last ? NULL : take_location(u, r);
	if (other_way(r, way) && *way != before)
		return NULL;
	return answer_error(c, r);
}

static struct err *close_session(
	struct upload *u, enum upload_way *way, struct http_response *r, bool with_body)
{
	AUTO_FREE char *url = closing_url(u);
	struct call c = push_call(u->push, "PUT", url, u->io);
	c.headers[0] = OCTETS;
	carry(u, &c, 0, with_body ? u->blob->size : 0, false);
	return send_part(u, &c, true, way, r);
}

static struct err *patch(
	struct upload *u, enum upload_way *way, uint64_t first, uint64_t end, struct http_response *r)
{
	AUTO_FREE char *range = NULL;
	struct call c = push_call(u->push, "PATCH", u->location, u->io);
	c.headers[0] = OCTETS;
	if (*way == WAY_CHUNKS) {
		range = mem_printf("Content-Range: %" PRIu64 "-%" PRIu64, first, end - 1);
		c.headers[1] = range;
	}
	carry(u, &c, first, end, *way == WAY_STREAM);
	return send_part(u, &c, false, way, r);
}

/* Part by part from a byte on, then the closing PUT. */
static struct err *send_from(struct upload *u, uint64_t first, enum upload_way *way, struct http_response *r)
{
	enum upload_way mine = *way;
	uint64_t step = mine == WAY_CHUNKS ? CHUNK : u->blob->size;
	for (; first < u->blob->size; first += step) {
		uint64_t end = u->blob->size - first < step ? u->blob->size : first + step;
		http_response_fini(r);
		TRY(patch(u, way, first, end, r));
		if (*way != mine)
			return NULL;
	}
	http_response_fini(r);
	return close_session(u, way, r, false);
}

static struct err *send_by(struct upload *u, enum upload_way *way, struct http_response *r)
{
	return *way == WAY_PUT ? close_session(u, way, r, true) : send_from(u, 0, way, r);
}

/* ---- going on after a failure ---- */

/* How much of the blob the session has, when the registry says so; 0 otherwise. */
static struct err *ask_session(struct upload *u, uint64_t *have)
{
	*have = 0;
	if (!u->location || u->blob->size < RESUME_MIN)
		return NULL;
	const struct call c = push_call(u->push, "GET", u->location, u->io);
	AUTO(http_response_fini) struct http_response r = {0};
	struct err *e = call_once(&c, &r);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e) {
		err_ignore(e, "a new session is opened");
		return NULL;
	}
	const char *range = http_response_header(&r, "Range", 0);
	struct str rest = str_c(range), first;
	uint64_t last = 0;
	if (str_starts(rest, "bytes="))
		rest = str_skip(rest, 6);
	bool good = (r.status == 204 || r.status == 200) && str_split(&rest, '-', &first) &&
		    str_eq_c(first, "0") && str_to_u64(rest, &last);
	/* "0-0" is said of one byte and of none. */
	if (!good || last == 0 || last >= u->blob->size)
		return NULL;
	TRY(take_location(u, &r));
	*have = last + 1;
	return NULL;
}

/* Was it taken in although its answer got lost? What cannot be told is no. */
static struct err *arrived(struct upload *u, bool *out)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *path =
		mem_printf("/v2/%s/blobs/%s", u->push->route.repository, digest_text(&u->blob->digest, text));
	const struct call c = push_call(u->push, "HEAD", path, u->io);
	AUTO(http_response_fini) struct http_response r = {0};
	struct err *e = call_once(&c, &r);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	*out = !e && r.status == 200;
	if (e)
		err_ignore(e, "it is sent once more");
	return NULL;
}

static struct err *explain(struct upload *u, struct err *e, const struct http_response *r)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *code = answer_code(r);
	if (r->status == 400 && cstr_eq(code, "DIGEST_INVALID"))
		return err_hint(e, "the bytes may be damaged in the store: run 'cooper store verify' (%s)",
			digest_text(&u->blob->digest, text));
	return e;
}

struct sending {
	struct retry retry;
	enum upload_way way; /* of whole blobs */
	uint64_t have;       /* that the session has */
	uint64_t best;       /* that any session had */
	bool careful;        /* it was cut, so in chunks: registries keep little of a PUT that was */
	bool anew;           /* no going on: the registry did not take what was to follow */
};

/* One attempt: the rest into the session that has some, else all into a new one. */
static struct err *attempt(struct upload *u, struct sending *s, bool *done, struct http_response *r)
{
	enum upload_way before = s->have ? WAY_CHUNKS : s->way, now = before;
	struct err *e = s->have ? NULL : open_session(u);
	if (e)
		return err_with_tries(e, 1); /* it was tried enough */
	TRY(s->have ? send_from(u, s->have, &now, r) : send_by(u, &now, r));
	*done = now == before;
	if (!*done) {
		cancel_session(u);
		s->way = now;
	}
	return NULL;
}

/* After a failure: wait, and see what the registry has. Consumes e, or returns it when that is all. */
static struct err *look_again(
	struct upload *u, struct sending *s, const struct http_response *r, struct err *e, bool *done)
{
	bool passing = r->status >= 300 ? status_may_pass(r->status) : error_may_pass(e);
	bool again = false;
	if (!passing && (s->have || s->careful) && err_kind(e) != ERR_CANCELED) {
		err_ignore(e, "all of it is sent anew, as at first");
		s->way = s->careful ? WAY_PUT : s->way;
		s->anew = true;
		s->careful = false;
		s->have = 0;
		cancel_session(u);
		return NULL;
	}
	struct err *stop = retry_wait(&s->retry, r, r->status >= 300 ? NULL : e, &again);
	if (stop || !again)
		return stop ? err_first(stop, e) : explain(u, e, r);
	err_free(e);
	TRY(arrived(u, done));
	if (*done)
		return NULL;
	s->have = 0;
	if (!s->anew)
		TRY(ask_session(u, &s->have));
	if (s->have > s->best + HEADWAY)
		s->retry.tried = 0;
	s->best = s->have > s->best ? s->have : s->best;
	if (s->have)
		return NULL;
	cancel_session(u);
	if (r->status < 300 && !s->anew && s->way == WAY_PUT && u->blob->size >= RESUME_MIN) {
		s->careful = true;
		s->way = WAY_CHUNKS;
	}
	return NULL;
}

static struct err *send_blob(struct upload *u)
{
	struct sending s = {.retry = {.endpoint = u->push->route.endpoint, .io = u->io}, .way = WAY_PUT};
	for (bool done = false; !done;) {
		AUTO(http_response_fini) struct http_response r = {0};
		struct err *e = attempt(u, &s, &done, &r);
		if (e)
			TRY(look_again(u, &s, &r, e, &done));
	}
	progress_set(&u->progress, u->blob->size);
	return NULL;
}

/* ---- mounts ---- */

/* A repository of the same registry that is known to have it; NULL if none. Caller frees. */
static struct err *neighbour(struct upload *u, char **out)
{
	AUTO_STRVEC struct strvec places = {0};
	const struct reference *to = u->push->to;
	AUTO_FREE char *prefix = mem_printf("%s/", to->registry);
	*out = NULL;
	TRY(origin_get(u->push->remote->store, &u->blob->digest, &places));
	for (size_t i = 0; i < places.len && !*out; i++) {
		const char *place = places.ptr[i];
		if (cstr_starts(place, prefix) && !cstr_eq(place + str_c(prefix).len, to->repository))
			*out = mem_strdup(place + str_c(prefix).len);
	}
	return NULL;
}

/* Anything but 201 means that the blob is to be sent. */
static struct err *mount(struct upload *u, const char *from, bool *mounted)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_BUF struct buf path = {0};
	buf_addf(&path, "/v2/%s/blobs/uploads/?mount=", u->push->route.repository);
	url_encode(&path, str_c(digest_text(&u->blob->digest, text)));
	buf_adds(&path, "&from=");
	url_encode(&path, str_c(from));
	struct call c = push_call(u->push, "POST", buf_cstr(&path), u->io);
	c.from = from;
	AUTO(http_response_fini) struct http_response r = {0};
	struct err *e = call_run(&c, &r);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		err_ignore(e, "what cannot be mounted is sent");
	*mounted = !e && r.status == 201;
	if (!e && r.status == 202 && http_response_header(&r, "Location", 0)) {
		struct err *bad = take_location(u, &r);
		if (bad)
			err_ignore(bad, "the session is not used");
		else
			cancel_session(u);
	}
	return NULL;
}

/* ---- all of it ---- */

struct call push_call(struct push *p, const char *method, const char *path, const struct transfer_io *io)
{
	return (struct call){.endpoint = p->route.endpoint,
		.repository = p->route.repository,
		.actions = "pull,push",
		.method = method,
		.path = path,
		.io = io};
}

struct err *push_exists(struct push *p, const char *kind, const char *name, const struct transfer_io *io,
	bool *out, struct digest *digest)
{
	AUTO_FREE char *path = mem_printf("/v2/%s/%s/%s", p->route.repository, kind, name);
	struct call c = push_call(p, "HEAD", path, io);
	if (cstr_eq(kind, "manifests"))
		c.headers[0] = TAKES_MANIFESTS;
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	*out = r.status == 200;
	if (r.status == 200 && digest) {
		const char *text = http_response_header(&r, "Docker-Content-Digest", 0);
		struct err *e = text ? digest_parse(str_c(text), digest) : NULL;
		if (e)
			err_ignore(e, "the caller asks for the bytes");
	}
	if (r.status == 200 || r.status == 404)
		return NULL;
	return answer_error(&c, &r);
}

static struct err *send_or_mount(struct upload *u)
{
	char text[DIGEST_TEXT_MAX];
	bool done = false;
	AUTO_FREE char *from = NULL;
	struct store *s = u->push->remote->store;
	TRY(push_exists(u->push, "blobs", digest_text(&u->blob->digest, text), u->io, &done, NULL));
	if (!done)
		TRY(neighbour(u, &from));
	if (from)
		TRY(mount(u, from, &done));
	if (done) {
		progress_set(&u->progress, u->blob->size);
		return NULL;
	}
	int64_t size = -1;
	uint64_t real = 0;
	TRY(store_blob_stat(s, &u->blob->digest, &size));
	if (size < 0)
		TRY(remote_fetch_blob(u->push->remote, NULL, u->blob, u->io));
	TRY(store_blob_open(s, &u->blob->digest, &u->fd, &real));
	if (real != u->blob->size)
		return err_new(ERR_CORRUPT, "the store has %" PRIu64 " bytes and the manifest names %" PRIu64,
			real, u->blob->size);
	return send_blob(u);
}

struct err *push_blob(struct push *p, const struct descriptor *d, const struct transfer_io *io)
{
	char text[DIGEST_TEXT_MAX];
	struct upload u = {.push = p, .blob = d, .io = io, .fd = -1};
	progress_start(&u.progress, io, "pushing", &d->digest, d->size);
	struct err *e = send_or_mount(&u);
	fd_closep(&u.fd);
	mem_freep(&u.location);
	return e ? err_wrap(e, "pushing blob %s", digest_text(&d->digest, text)) : NULL;
}
