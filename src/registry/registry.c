/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/registry.h"

#include "base/mem.h"
#include "registry/cache_internal.h"
#include "registry/registry_internal.h"

#include <stdlib.h>

/* The handler's ctx: the registry as some may use it. */
struct face {
	struct registry *r;
	bool create_only;
	struct http_handler handler;
};

struct registry_server {
	struct registry shared;
	struct face whole, create_only;
	struct registry_policy defaults;
};

static void request_free(void *ctx, void *state)
{
	(void)ctx;
	struct request *q = state;
	if (!q)
		return;
	store_blob_abandon(q->blob);
	if (q->partial)
		store_partial_pause(q->partial);
	buf_fini(&q->manifest);
	free(q->repository);
	free(q->reference);
	free(q->there);
	free(q->via);
	free(q);
}

static struct err *ping(struct http_exchange *x)
{
	if (!cstr_eq(http_method(x), "GET") && !is_head(x)) {
		reply_method(x, "GET, HEAD");
		return NULL;
	}
	AUTO_JSON json_t *empty = json_object();
	reply_json(x, "application/json", empty);
	return NULL;
}

static struct err *dispatch(struct request *q, struct http_exchange *x, enum route_kind kind)
{
	switch (kind) {
	case ROUTE_TAGS:
		return tags_begin(q, x);
	case ROUTE_MANIFEST:
		return manifest_begin(q, x);
	case ROUTE_REFERRERS:
		return referrers_begin(q, x);
	case ROUTE_BLOB:
		return blob_begin(q, x);
	case ROUTE_UPLOAD_START:
		return upload_start_begin(q, x);
	case ROUTE_UPLOAD:
		return upload_begin(q, x);
	case ROUTE_CATALOG:
		return catalog_begin(q, x);
	case ROUTE_PING:
		return ping(x);
	case ROUTE_UNKNOWN:
		break;
	}
	reply_error(x, 404, "UNSUPPORTED", "the registry has nothing at this path");
	return NULL;
}

static struct err *on_begin(void *ctx, struct http_exchange *x, void **state)
{
	struct face *face = ctx;
	http_set_header(x, "Docker-Distribution-API-Version", "registry/2.0");
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	struct route route;
	registry_route(http_path(x), &route);
	bool named = route.kind != ROUTE_PING && route.kind != ROUTE_CATALOG && route.kind != ROUTE_UNKNOWN;
	if (named && !repository_valid(route.repository)) {
		reply_error(x, 400, "NAME_INVALID",
			"a repository name has parts of a-z and 0-9 joined by one '.', one or two '_' or any "
			"number of '-', split by '/', and at most 255 characters");
		return NULL;
	}
	struct request *q = mem_new(struct request);
	q->r = face->r;
	q->s = face->r->store;
	q->create_only = face->create_only;
	q->room = UINT64_MAX;
	q->repository = mem_strndup(route.repository.ptr, route.repository.len);
	q->reference = mem_strndup(route.reference.ptr, route.reference.len);
	*state = q;
	bool go_on = true;
	TRY(cache_begin(q, x, &route, &go_on));
	if (!go_on)
		return NULL;
	return dispatch(q, x, route.kind);
}

static struct err *on_body(void *ctx, struct http_exchange *x, void *state, const void *p, size_t len)
{
	(void)ctx;
	struct request *q = state;
	if (!q)
		return NULL;
	q->received += len;
	if (q->use == BODY_MANIFEST) {
		if (q->received > MANIFEST_MAX)
			reply_error(x, 413, "SIZE_INVALID", "a manifest may have at most %u MiB",
				MANIFEST_MAX >> 20);
		else
			buf_add(&q->manifest, p, len);
		return NULL;
	}
	return upload_body(q, x, p, len);
}

static struct err *on_end(void *ctx, struct http_exchange *x, void *state)
{
	(void)ctx;
	struct request *q = state;
	return q->use == BODY_MANIFEST ? manifest_end(q, x) : upload_end(q, x);
}

static void on_error(void *ctx, struct http_exchange *x, struct err *e)
{
	(void)ctx;
	http_set_header(x, "Docker-Distribution-API-Version", "registry/2.0");
	reply_err(x, e, "UNSUPPORTED");
}

static void face_init(struct face *f, struct registry *r, bool create_only)
{
	*f = (struct face){
		.r = r,
		.create_only = create_only,
		.handler =
			{
				.begin = on_begin,
				.body = on_body,
				.end = on_end,
				.free_state = request_free,
				.on_error = on_error,
				.ctx = f,
			},
	};
}

struct err *registry_new(struct store *s, const struct registry_policy *policy, struct registry **out)
{
	struct registry_server *rs = mem_new(struct registry_server);
	registry_policy_init(&rs->defaults);
	rs->shared.store = s;
	rs->shared.small = small_contents_new();
	rs->shared.policy = policy ? policy : &rs->defaults;
	face_init(&rs->whole, &rs->shared, false);
	face_init(&rs->create_only, &rs->shared, true);
	*out = &rs->shared;
	return NULL;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	struct registry_server *rs = container_of(r, struct registry_server, shared);
	cache_free(r->cache);
	small_contents_free(r->small);
	registry_policy_fini(&rs->defaults);
	free(rs);
}

void registry_limit(struct registry *r, const struct registry_limits *limits)
{
	r->limits = *limits;
}

bool may_read(const struct request *q, const struct http_exchange *x, const char *repository)
{
	const struct registry_limits *l = &q->r->limits;
	return !l->may_read || l->may_read(l->ctx, x, repository);
}

const struct http_handler *registry_handler(struct registry *r)
{
	return &container_of(r, struct registry_server, shared)->whole.handler;
}

const struct http_handler *registry_handler_create_only(struct registry *r)
{
	return &container_of(r, struct registry_server, shared)->create_only.handler;
}
