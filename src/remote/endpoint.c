/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "remote/access.h"
#include "remote/remote_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* A mirror that did not answer is asked again after so long: servers run for months. */
#define DOWN_FOR (300 * CLOCK_SECOND)

/* ---- settings ---- */

/* The setting whose host is the longest beginning of registry/repository. NULL if none. */
static const struct host_setting *find_setting(
	const struct remote *r, const char *registry, const char *repository)
{
	AUTO_FREE char *whole = mem_printf("%s/%s", registry, repository);
	const struct host_setting *best = NULL;
	for (size_t i = 0; i < r->settings.len; i++) {
		const struct host_setting *s = vec_at(&r->settings, i);
		if (path_below(whole, s->host) && (!best || str_c(s->host).len > str_c(best->host).len))
			best = s;
	}
	return best;
}

/* ---- certificates by host, in the folders of docker and of podman ---- */

static struct err *look_in_certs(const char *dir, struct endpoint *ep, bool *found)
{
	TRY(file_exists(AT_FDCWD, dir, found));
	if (!*found)
		return NULL;
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(AT_FDCWD, dir, &names));
	for (size_t i = 0; i < names.len; i++) {
		const char *name = names.ptr[i];
		if (cstr_ends(name, ".crt") && !ep->ca_file)
			ep->ca_file = mem_strdup(dir); /* all of them */
		if (!cstr_ends(name, ".cert") || ep->client_cert)
			continue;
		AUTO_FREE char *stem = mem_strndup(name, str_c(name).len - 5);
		AUTO_FREE char *key = mem_printf("%s.key", stem);
		if (!strvec_has(&names, key))
			return err_hint(err_new(ERR_INVALID, "%s/%s has no key beside it", dir, name),
				"put its key at %s/%s", dir, key);
		ep->client_cert = path_join(dir, name);
		ep->client_key = path_join(dir, key);
	}
	return NULL;
}

static struct err *find_certs(struct endpoint *ep)
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
	AUTO_FREE char *own = config && *config
				      ? mem_printf("%s/containers/certs.d", config)
				      : mem_printf("%s/.config/containers/certs.d", home ? home : "");
	const char *const roots[] = {own, "/etc/containers/certs.d", "/etc/docker/certs.d"};
	const char *const hosts[] = {ep->authority, ep->name};
	for (size_t i = 0; i < ARRAY_LEN(roots); i++)
		for (size_t k = 0; k < ARRAY_LEN(hosts); k++) {
			AUTO_FREE char *dir = path_join(roots[i], hosts[k]);
			bool found = false;
			struct err *e = look_in_certs(dir, ep, &found);
			if (err_kind(e) == ERR_DENIED) {
				char *text = err_text(e);
				log_warn("certificates for %s are not used: %s", ep->authority, text);
				mem_freep(&text);
				err_ignore(e, "a folder that may not be read does not concern this user");
				continue;
			}
			if (e)
				return err_wrap(e, "reading certificates for %s", ep->authority);
			if (found)
				return NULL;
		}
	return NULL;
}

/* ---- endpoints ---- */

void endpoint_free(void *p)
{
	struct endpoint *ep = p;
	mem_freep(&ep->name);
	mem_freep(&ep->authority);
	mem_freep(&ep->ca_file);
	mem_freep(&ep->client_cert);
	mem_freep(&ep->client_key);
	mem_freep(&ep->base);
	challenge_fini(&ep->challenge);
	map_free(ep->credentials);
	map_free(ep->tokens);
	pthread_mutex_destroy(&ep->scheme_lock);
	pthread_mutex_destroy(&ep->auth_lock);
	mem_freep(&ep);
}

static struct err *make_endpoint(
	struct remote *r, const char *name, const struct host_setting *s, bool mirror, struct endpoint **out)
{
	struct endpoint *ep = mem_new(struct endpoint);
	ep->remote = r;
	ep->name = mem_strdup(name);
	ep->authority = mem_strdup(cstr_eq(name, "docker.io") ? "registry-1.docker.io" : name);
	ep->mirror = mirror;
	ep->credentials = map_new(looked_up_free);
	ep->tokens = map_new(token_free);
	pthread_mutex_init(&ep->scheme_lock, NULL);
	pthread_mutex_init(&ep->auth_lock, NULL);
	if (s) {
		ep->ca_file = mem_strdup(s->ca_file);
		ep->client_cert = mem_strdup(s->client_cert);
		ep->client_key = mem_strdup(s->client_key);
		ep->plain_http = s->plain_http;
		ep->insecure = s->insecure;
	}
	struct err *e = find_certs(ep);
	if (e)
		endpoint_free(ep);
	else
		*out = ep;
	return e;
}

static char *endpoint_key(const char *registry, const struct host_setting *s, bool mirror)
{
	return mem_printf("%s %s %d", registry, s ? s->host : "", mirror);
}

static struct err *get_endpoint(
	struct remote *r, const char *registry, const char *repository, bool mirror, struct endpoint **out)
{
	const struct host_setting *s = find_setting(r, registry, repository);
	AUTO_FREE char *key = endpoint_key(registry, s, mirror);
	struct err *e = NULL;
	pthread_mutex_lock(&r->lock);
	struct endpoint *ep = map_get_c(r->endpoints, key);
	if (!ep) {
		e = make_endpoint(r, registry, s, mirror, &ep);
		if (!e)
			map_set_c(r->endpoints, key, ep);
	}
	pthread_mutex_unlock(&r->lock);
	*out = ep;
	return e;
}

/* ---- whom to trust ---- */

char *authority_of(const char *url)
{
	AUTO(url_fini) struct url u = {0};
	struct err *bad = url_parse(url, &u);
	if (bad) {
		err_ignore(bad, "the request reports a bad URL itself");
		return NULL;
	}
	const char *before = strchr(u.host, ':') ? "[" : "", *behind = *before ? "]" : "";
	uint16_t usual = cstr_eq(u.scheme, "http") ? 80 : 443;
	return u.port == usual ? mem_printf("%s%s%s", before, u.host, behind)
			       : mem_printf("%s%s%s:%u", before, u.host, behind, u.port);
}

struct http_trust endpoint_trust(const struct endpoint *ep)
{
	return (struct http_trust){ep->insecure, ep->ca_file, ep->client_cert, ep->client_key};
}

/* Kept only where something is said of the host: a server may lead to any number of others. */
static struct err *known_endpoint(struct remote *r, const char *name, struct endpoint **out)
{
	const struct host_setting *s = find_setting(r, name, "");
	AUTO_FREE char *key = endpoint_key(name, s, false);
	struct err *e = NULL;
	pthread_mutex_lock(&r->lock);
	struct endpoint *ep = map_get_c(r->endpoints, key);
	if (!ep) {
		e = make_endpoint(r, name, s, false, &ep);
		if (!e && (s || ep->ca_file || ep->client_cert)) {
			map_set_c(r->endpoints, key, ep);
		} else if (!e) {
			endpoint_free(ep);
			ep = NULL;
		}
	}
	pthread_mutex_unlock(&r->lock);
	*out = ep;
	return e;
}

struct err *remote_trust_of(void *ctx, const char *url, struct http_trust *out)
{
	AUTO_FREE char *name = authority_of(url);
	struct endpoint *ep = NULL;
	if (name && cstr_starts(url, "https:"))
		TRY(known_endpoint(ctx, name, &ep));
	*out = ep ? endpoint_trust(ep) : (struct http_trust){0};
	return NULL;
}

struct err *endpoint_trust_at(struct endpoint *ep, const char *base, const char *url, struct http_trust *out)
{
	if (!base || !urls_same_origin(url, base))
		return remote_trust_of(ep->remote, url, out);
	*out = endpoint_trust(ep);
	return NULL;
}

/* ---- routes ---- */

void route_fini(struct route *route)
{
	mem_freep(&route->repository);
}

void routes_fini(struct vec *routes)
{
	for (size_t i = 0; i < routes->len; i++)
		route_fini(vec_at(routes, i));
	vec_fini(routes);
}

struct err *route_for_push(struct remote *r, const struct reference *ref, struct route *out)
{
	struct endpoint *ep;
	TRY(get_endpoint(r, ref->registry, ref->repository, false, &ep));
	*out = (struct route){.endpoint = ep, .repository = mem_strdup(ref->repository)};
	return NULL;
}

/* A mirror is "host[:port][/path]"; the path comes before the repository. */
static struct err *add_mirror(
	struct remote *r, const char *mirror, const struct reference *ref, struct vec *out)
{
	struct str text = str_c(mirror);
	ptrdiff_t slash = str_index(text, '/');
	struct str host = slash < 0 ? text : str_n(text.ptr, (size_t)slash);
	struct str path = slash < 0 ? STR("") : str_skip(text, (size_t)slash + 1);
	AUTO_FREE char *name = mem_strndup(host.ptr, host.len);
	AUTO_FREE char *prefix = mem_strndup(path.ptr, path.len);
	AUTO_FREE char *repository =
		path.len ? path_join(prefix, ref->repository) : mem_strdup(ref->repository);
	if (!host.len || !repository_valid(str_c(repository)))
		return err_new(ERR_INVALID, "'%s' is no mirror: write host[:port][/path]", mirror);
	struct endpoint *ep;
	TRY(get_endpoint(r, name, repository, true, &ep));
	struct route *route = vec_push(out);
	*route = (struct route){.endpoint = ep, .repository = steal(&repository)};
	return NULL;
}

struct err *routes_for_pull(struct remote *r, const struct reference *ref, struct vec *out)
{
	const struct host_setting *s = find_setting(r, ref->registry, ref->repository);
	for (size_t i = 0; s && i < s->mirrors.len; i++) {
		struct err *e = add_mirror(r, s->mirrors.ptr[i], ref, out);
		if (e)
			return err_wrap(e, "the mirrors of %s", s->host);
	}
	struct route origin = {0};
	TRY(route_for_push(r, ref, &origin));
	vec_push_copy(out, &origin);
	return NULL;
}

bool route_is_down(const struct route *route)
{
	return clock_monotonic() < atomic_load(&route->endpoint->down_until);
}

bool route_next(const struct route *route, struct err **e, struct buf *tried)
{
	if (!route->endpoint->mirror || err_kind(*e) == ERR_CANCELED) {
		if (tried->len)
			*e = err_wrap(*e, "%s", buf_cstr(tried));
		return false;
	}
	if (error_may_pass(*e))
		atomic_store(&route->endpoint->down_until, clock_monotonic() + DOWN_FOR);
	AUTO_FREE char *text = err_text(*e);
	log_info("mirror %s: %s", route->endpoint->name, text);
	buf_addf(tried, "%smirror %s failed (%s)", tried->len ? ", " : "", route->endpoint->name, text);
	err_ignore(*e, "the next mirror, or the registry itself, is asked");
	*e = NULL;
	return true;
}

/* ---- plain or TLS ---- */

/* tls: only whether TLS is spoken matters here, the certificate is checked by the requests that follow. */
static struct err *probe(
	struct endpoint *ep, const char *base, bool tls, const struct transfer_io *io, bool *answers)
{
	struct http_client *http;
	TRY(remote_http(ep->remote, &http));
	AUTO_FREE char *url = mem_printf("%s/v2/", base);
	AUTO(http_response_fini) struct http_response r = {0};
	struct http_request rq = {.method = "GET",
		.url = url,
		.cancel = io->cancel,
		.max_body = 64u << 10,
		.trust = {.insecure = tls}};
	struct err *e = http_send(http, &rq, &r);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		err_ignore(e, "the request that follows meets it again and tells");
	/* What servers say to plain HTTP on a TLS port is 400. */
	*answers = !e && (tls || r.status != 400);
	return NULL;
}

/* decided: worth remembering. */
static struct err *choose_loopback(
	struct endpoint *ep, const struct transfer_io *io, char **out, bool *decided)
{
	AUTO_FREE char *plain = mem_printf("http://%s", ep->authority);
	AUTO_FREE char *tls = mem_printf("https://%s", ep->authority);
	bool is_plain = false, is_tls = false;
	TRY(probe(ep, plain, false, io, &is_plain));
	if (!is_plain)
		TRY(probe(ep, tls, true, io, &is_tls));
	*decided = is_plain || is_tls;
	*out = is_tls ? steal(&tls) : steal(&plain);
	return NULL;
}

static struct err *choose_base(struct endpoint *ep, const struct transfer_io *io, char **out, bool *decided)
{
	AUTO(url_fini) struct url u = {0};
	AUTO_FREE char *tls = mem_printf("https://%s", ep->authority);
	TRY(url_parse(tls, &u));
	*decided = true;
	if (ep->plain_http)
		*out = mem_printf("http://%s", ep->authority);
	else if (host_is_loopback(u.host))
		TRY(choose_loopback(ep, io, out, decided));
	else
		*out = steal(&tls);
	return NULL;
}

struct err *endpoint_base(struct endpoint *ep, const struct transfer_io *io, char **out)
{
	struct err *e = NULL;
	pthread_mutex_lock(&ep->scheme_lock);
	if (ep->base) {
		*out = mem_strdup(ep->base);
	} else {
		bool decided = false;
		e = choose_base(ep, io, out, &decided);
		if (!e && decided)
			ep->base = mem_strdup(*out);
	}
	pthread_mutex_unlock(&ep->scheme_lock);
	return e;
}
