/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/relay.h"

#include "base/mem.h"
#include "remote/remote_internal.h"

static const struct transfer_io no_io;

static struct err *wrap(struct err *e, const char *doing, const struct reference *ref, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	if (!e)
		return NULL;
	return err_wrap(e, "%s %s/%s@%s", doing, ref->registry, ref->repository, digest_text(d, text));
}

struct err *remote_relay_blob(struct remote *r, const struct reference *ref, const struct digest *d,
	const struct remote_relay *to, const struct transfer_io *io, uint64_t *size)
{
	AUTO(routes_fini) struct vec routes = VEC_OF(struct route);
	struct err *e = routes_for_pull(r, ref, &routes);
	if (!e)
		e = relay_blob_from(r, &routes, d, to, io ? io : &no_io, size);
	return wrap(e, "fetching", ref, d);
}

static struct err *look_at(
	const struct route *route, const struct digest *d, const struct transfer_io *io, uint64_t *size)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = mem_printf("/v2/%s/blobs/%s", route->repository, digest_text(d, text));
	const struct call c = {.endpoint = route->endpoint,
		.repository = route->repository,
		.actions = "pull",
		.method = "HEAD",
		.path = path,
		.io = io};
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	if (r.status != 200)
		return answer_error(&c, &r);
	const char *length = http_response_header(&r, "Content-Length", 0);
	if (!length || !str_to_u64(str_c(length), size))
		*size = UINT64_MAX;
	return NULL;
}

struct err *look_at_blob_from(
	const struct vec *routes, const struct digest *d, const struct transfer_io *io, uint64_t *size)
{
	AUTO_BUF struct buf tried = {0};
	for (size_t i = 0; i < routes->len; i++) {
		const struct route *route = vec_at(routes, i);
		if (route_is_down(route))
			continue;
		struct err *e = look_at(route, d, io, size);
		if (!e || !route_next(route, &e, &tried))
			return e;
	}
	return err_new(ERR_BUG, "no route for a blob");
}

struct err *remote_look_at_blob(struct remote *r, const struct reference *ref, const struct digest *d,
	const struct transfer_io *io, uint64_t *size)
{
	AUTO(routes_fini) struct vec routes = VEC_OF(struct route);
	struct err *e = routes_for_pull(r, ref, &routes);
	if (!e)
		e = look_at_blob_from(&routes, d, io ? io : &no_io, size);
	return wrap(e, "looking for", ref, d);
}
