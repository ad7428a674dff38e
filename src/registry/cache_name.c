/* SPDX-License-Identifier: Apache-2.0 */
/* Which repository a request is about, and whether that is a copy of an upstream's. */
#include "base/mem.h"
#include "http/client.h"
#include "registry/cache_internal.h"

#include <stdlib.h>
#include <string.h>

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

static void place_at(struct place *p, struct upstream *u, struct str there)
{
	const struct registry_cache *s = u->setting;
	bool bare = cstr_eq(s->upstream, "docker.io") && there.len && str_index(there, '/') < 0;
	p->upstream = u;
	p->there = mem_printf("%s" STR_FMT, bare ? "library/" : "", STR_ARG(there));
	p->repository = *p->there ? mem_printf("%s/%s", s->prefix, p->there) : mem_strdup(s->prefix);
}

/* By the name alone: nothing that a caller names is ever dialled. */
static void place_by_namespace(
	struct place *p, const struct registry *r, const char *ns, struct str repository)
{
	const char *name = policy_upstream_name(ns);
	for (size_t i = 0; i < r->cache->count; i++) {
		struct upstream *u = &r->cache->upstreams[i];
		struct str rest;
		if (!cstr_eq(u->setting->upstream, name))
			continue;
		/* A client may be told to put the prefix before it, too. */
		bool below = policy_cache(r->policy, repository, &rest) == u->setting;
		place_at(p, u, below ? rest : repository);
		return;
	}
	p->unknown = true;
	p->repository = mem_strndup(repository.ptr, repository.len);
}

static struct err *guess_place(
	struct place *p, const struct registry *r, const struct http_exchange *x, const struct route *route)
{
	bool known = false;
	for (size_t i = 0; i < r->cache->count; i++) {
		struct upstream *u = &r->cache->upstreams[i];
		bool content = route->kind == ROUTE_MANIFEST || route->kind == ROUTE_BLOB ||
			       route->kind == ROUTE_TAGS || route->kind == ROUTE_REFERRERS;
		if (!u->setting->everything_else || !content || !reads(x) ||
			!policy_cache_offers(u->setting, route->repository))
			continue;
		TRY(records_repository_known(r->store, p->repository, &known));
		if (known)
			return NULL;
		mem_freep(&p->repository);
		place_at(p, u, route->repository);
		p->guess = true;
		return NULL;
	}
	return NULL;
}

static struct err *place_of(
	const struct registry *r, const struct http_exchange *x, const struct route *route, struct place *p)
{
	const char *ns = r->cache ? http_query(x, "ns") : NULL;
	struct str there;
	if (!repository_valid(route->repository))
		return NULL;
	if (ns && *ns && !cstr_eq(ns, r->cache->own_name)) {
		place_by_namespace(p, r, ns, route->repository);
		return NULL;
	}
	struct upstream *u =
		r->cache ? upstream_of(r->cache, policy_cache(r->policy, route->repository, &there)) : NULL;
	if (u) {
		place_at(p, u, there);
		return NULL;
	}
	p->repository = mem_strndup(route->repository.ptr, route->repository.len);
	return r->cache ? guess_place(p, r, x, route) : NULL;
}

struct err *registry_repository(
	const struct registry *r, const struct http_exchange *x, const struct route *route, char **out)
{
	AUTO(place_fini) struct place p = {0};
	TRY(place_of(r, x, route, &p));
	*out = steal(&p.repository);
	return NULL;
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

/* A request of this very process came back to it, by a mirror in its settings. */
static bool is_loop(const struct request *q, struct http_exchange *x)
{
	const char *seen = http_header(x, "CDN-Loop");
	return seen && strstr(seen, q->r->cache->mark);
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
			"this registry asks itself for what it is a cache of: one of the mirrors of %s is "
			"itself",
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
	if (!p.upstream)
		return NULL;
	free(q->repository);
	q->repository = steal(&p.repository);
	q->there = steal(&p.there);
	q->upstream = p.upstream;
	q->guess = p.guess;
	if (http_query(x, "ns"))
		http_set_header(x, "OCI-Namespace", http_query(x, "ns"));
	*go_on = may_go_on(q, x, route->kind);
	return NULL;
}
