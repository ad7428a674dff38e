/* SPDX-License-Identifier: Apache-2.0 */
/* Which repository a request is about, and whether that is a copy of an upstream's. */
#include "base/mem.h"
#include "http/client.h"
#include "registry/cache_internal.h"

#include <stdlib.h>
#include <string.h>

#define VIA_MAX 512

struct place {
	char *repository; /* here; NULL: it is no valid name */
	struct upstream *upstream;
	char *there;  /* its name at the upstream; "": none */
	bool unknown; /* ns names what is no upstream */
	bool guess;   /* it is looked for at the default upstream because it is not here */
};

static void place_fini(struct place *p)
{
	free(p->repository);
	free(p->there);
}

static bool reads(const struct http_exchange *x)
{
	return cstr_eq(http_method(x), "GET") || is_head(x);
}

static struct upstream *upstream_of(const struct cache *c, const struct registry_cache *setting)
{
	for (size_t i = 0; setting && i < c->count; i++)
		if (c->upstreams[i].setting == setting)
			return &c->upstreams[i];
	return NULL;
}

static struct upstream *default_upstream(const struct cache *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->upstreams[i].setting->everything_else)
			return &c->upstreams[i];
	return NULL;
}

/* Who pulls asks for a manifest first. Who pushes something new asks for blobs, of which the upstream need
 * not hear. */
static struct err *guess_place(
	struct place *p, const struct registry *r, const struct http_exchange *x, const struct route *route)
{
	struct upstream *u = default_upstream(r->cache);
	AUTO(place_fini) struct place copy = {.upstream = u, .guess = true};
	bool list =
		route->kind == ROUTE_MANIFEST || route->kind == ROUTE_TAGS || route->kind == ROUTE_REFERRERS;
	bool known = false;
	if (!u || !reads(x) || (!list && route->kind != ROUTE_BLOB))
		return NULL;
	policy_copy_names(u->setting, route->repository, &copy.there, &copy.repository);
	if (!policy_cache_offers(u->setting, str_c(copy.there)))
		return NULL;
	TRY(records_repository_known(r->store, p->repository, &known));
	if (known)
		return NULL;
	if (!list)
		TRY(records_repository_known(r->store, copy.repository, &known));
	if (!list && !known)
		return NULL;
	free(p->repository);
	*p = copy;
	copy = (struct place){0};
	return NULL;
}

static struct err *place_of(
	const struct registry *r, const struct http_exchange *x, const struct route *route, struct place *p)
{
	const char *ns = http_query(x, "ns");
	const struct registry_cache *setting = NULL;
	if (!repository_valid(route->repository))
		return NULL;
	if (!r->cache) {
		p->repository = mem_strndup(route->repository.ptr, route->repository.len);
		return NULL;
	}
	if (cstr_eq(ns, r->cache->own_name))
		ns = NULL;
	/* By the name alone: nothing that a caller names is ever dialled. */
	p->unknown = !policy_place(r->policy, route->repository, ns, &setting, &p->there, &p->repository);
	if (p->unknown)
		p->repository = mem_strndup(route->repository.ptr, route->repository.len);
	if (p->unknown)
		return NULL;
	p->upstream = upstream_of(r->cache, setting);
	return p->upstream ? NULL : guess_place(p, r, x, route);
}

struct err *registry_repository(
	const struct registry *r, const struct http_exchange *x, const struct route *route, char **out)
{
	AUTO(place_fini) struct place p = {0};
	TRY(place_of(r, x, route, &p));
	*out = steal(&p.repository);
	return NULL;
}

char *registry_default_copy(
	const struct registry *r, const struct http_exchange *x, const struct route *route)
{
	AUTO(place_fini) struct place named = {0}, copy = {0};
	const struct registry_cache *setting = NULL;
	struct upstream *u = r->cache ? default_upstream(r->cache) : NULL;
	if (!u || !reads(x) || http_query(x, "ns") || !repository_valid(route->repository) ||
		!policy_place(
			r->policy, route->repository, NULL, &setting, &named.there, &named.repository) ||
		setting)
		return NULL;
	policy_copy_names(u->setting, route->repository, &copy.there, &copy.repository);
	return policy_cache_offers(u->setting, str_c(copy.there)) ? steal(&copy.repository) : NULL;
}

/* ---- what is refused ---- */

static void refuse_namespace(const struct request *q, struct http_exchange *x)
{
	AUTO_BUF struct buf names = {0};
	const struct cache *c = q->r->cache;
	for (size_t i = 0; i < c->count; i++)
		buf_addf(&names, "%s%s", i ? ", " : "", c->upstreams[i].setting->upstream);
	reply_error(x, 404, "NAME_UNKNOWN", "this registry is no mirror of %.200s; it is one of %s",
		http_query(x, "ns"), buf_cstr(&names));
}

/* A request of this very process came back to it, by a mirror in its settings or by other caches (RFC 8586).
 * No chain of caches is as long as the most. */
static bool is_loop(const struct request *q, struct http_exchange *x)
{
	const char *seen = http_header(x, "CDN-Loop");
	return seen && (strstr(seen, q->r->cache->mark) || strlen(seen) > VIA_MAX);
}

static char *via_of(const struct cache *c, struct http_exchange *x)
{
	const char *before = http_header(x, "CDN-Loop");
	return before && *before ? mem_printf("CDN-Loop: %s, %s", before, c->mark)
				 : mem_printf("CDN-Loop: %s", c->mark);
}

static bool may_go_on(struct request *q, struct http_exchange *x, enum route_kind kind)
{
	const struct registry_cache *s = q->upstream->setting;
	bool deletes = cstr_eq(http_method(x), "DELETE") && (kind == ROUTE_MANIFEST || kind == ROUTE_BLOB);
	if (!reads(x) && !deletes)
		reply_error(x, 403, "DENIED", "%s is a cache of %s/%s: nothing can be pushed to it",
			q->repository, s->upstream, q->there);
	else if (!*q->there)
		reply_error(x, 404, "NAME_UNKNOWN", "%s is where repositories of %s are, and none itself",
			q->repository, s->upstream);
	else if (deletes)
		return true;
	else if (!repository_valid(str_c(q->repository)))
		reply_error(x, 400, "NAME_INVALID", "the name is too long with the prefix %s", s->prefix);
	else if (is_loop(q, x))
		reply_error(x, 508, "UNSUPPORTED",
			"this registry asks itself for what it is a cache of: %s, or one of its mirrors, is "
			"itself or asks it in turn",
			s->upstream);
	else if (!policy_cache_offers(s, str_c(q->there)))
		reply_error(x, 403, "DENIED", "%s is not among what this registry may fetch from %s",
			q->there, s->upstream);
	else
		return true;
	return false;
}

struct err *cache_begin(struct request *q, struct http_exchange *x, const struct route *route, bool *go_on)
{
	AUTO(place_fini) struct place p = {0};
	*go_on = true;
	if (!q->r->cache || route->kind == ROUTE_PING || route->kind == ROUTE_CATALOG ||
		route->kind == ROUTE_UNKNOWN)
		return NULL;
	TRY(place_of(q->r, x, route, &p));
	if (p.unknown) {
		refuse_namespace(q, x);
		*go_on = false;
		return NULL;
	}
	/* What is here may have changed since the server looked whether they may read this. */
	if (reads(x) && p.repository && !may_read(q, x, p.repository)) {
		reply_error(x, 403, "DENIED", "%s is not for this token", p.repository);
		*go_on = false;
		return NULL;
	}
	if (!p.upstream)
		return NULL;
	free(q->repository);
	q->repository = steal(&p.repository);
	q->there = steal(&p.there);
	q->upstream = p.upstream;
	q->guess = p.guess;
	q->via = via_of(q->r->cache, x);
	if (http_query(x, "ns"))
		http_set_header(x, "OCI-Namespace", http_query(x, "ns"));
	*go_on = may_go_on(q, x, route->kind);
	return NULL;
}
