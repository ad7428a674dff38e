/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/reference.h"
#include "registry/route.h"
#include "server/routes_internal.h"

#include <ctype.h>
#include <string.h>

static bool is_reading(const struct http_exchange *x)
{
	return cstr_eq(http_method(x), "GET") || cstr_eq(http_method(x), "HEAD");
}

static void refuse(struct http_exchange *x, int status, const char *code, const char *text)
{
	AUTO_BUF struct buf body = {0};
	buf_addf(&body, "{\"errors\":[{\"code\":\"%s\",\"message\":", code);
	buf_add_json(&body, str_c(text));
	buf_adds(&body, "}]}\n");
	http_set_header(x, "Docker-Distribution-API-Version", "registry/2.0");
	http_set_header(x, "Content-Type", "application/json");
	if (cstr_eq(http_method(x), "HEAD"))
		http_answer_head(x, status, body.len);
	else
		http_answer(x, status, buf_str(&body));
}

/* What a request wants: a right at a repository ("": the catalog). */
struct wish {
	enum route_kind kind;
	char *repository; /* NULL: none, or no valid name; the registry answers those itself */
	char *named; /* as the path has it, which clients ask tokens for: of a mirror it is the upstream's */
	char *other; /* the copy that named leads to when it is not here; NULL: it leads to none */
	unsigned right;
};

static void wish_fini(struct wish *w)
{
	mem_freep(&w->repository);
	mem_freep(&w->named);
	mem_freep(&w->other);
}

static struct err *wish_of(const struct routes *r, const struct http_exchange *x, struct wish *w)
{
	struct route route;
	registry_route(http_path(x), &route);
	*w = (struct wish){.kind = route.kind, .right = RIGHT_PUSH};
	if (is_reading(x))
		w->right = RIGHT_PULL;
	else if (cstr_eq(http_method(x), "DELETE") && route.kind != ROUTE_UPLOAD)
		w->right = RIGHT_DELETE;
	if (route.kind == ROUTE_CATALOG)
		w->repository = mem_strdup("");
	else
		TRY(registry_repository(r->registry, x, &route, &w->repository));
	if (repository_valid(route.repository))
		w->named = mem_strndup(route.repository.ptr, route.repository.len);
	if (w->named && w->kind != ROUTE_CATALOG)
		w->other = registry_default_copy(r->registry, x, &route);
	return NULL;
}

/* ",scope=..." of what is wanted; "" where no repository is named. Caller frees. */
static char *scope_of(const struct wish *w)
{
	if (w->kind == ROUTE_CATALOG)
		return mem_strdup(",scope=\"registry:catalog:*\"");
	/* Both, as which of them is meant would say whether this registry has the first. */
	if (w->other)
		return mem_printf(",scope=\"repository:%s:pull repository:%s:pull\"", w->named, w->other);
	if (!w->repository)
		return mem_strdup("");
	return mem_printf(",scope=\"repository:%s:%s\"", w->repository,
		w->right == RIGHT_PULL   ? "pull"
		: w->right == RIGHT_PUSH ? "pull,push"
					 : "pull,push,delete");
}

/* A proxy that speaks TLS for the server and does not say so leaves open how clients reach it. */
static bool scheme_known(const struct routes *r, const struct http_exchange *x)
{
	return r->tls || http_header(x, "X-Forwarded-Proto") || !http_is_forwarded(x);
}

/* "https://host:port" as the client knows it. NULL when its request does not say. Caller frees. */
static char *public_url(const struct routes *r, const struct http_exchange *x)
{
	const char *host = http_header(x, "Host"), *proto = http_header(x, "X-Forwarded-Proto");
	if (r->url)
		return mem_strdup(r->url);
	if (!host || !*host || (!scheme_known(r, x) && !r->auth->anonymous_pull))
		return NULL;
	for (const char *p = host; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-:[]_", *p))
			return NULL;
	return mem_printf("%s://%s", r->tls || cstr_eq(proto, "https") ? "https" : "http", host);
}

/*
 * Clients are sent to the token address: what they show in each request then is good for this alone, and
 * those without credentials get to know whether they may read. Basic is taken as well, where it is sent. One
 * challenge only: docker gives up on Basic without a password before it asks at a token address.
 */
static void challenge(const struct routes *r, struct http_exchange *x, const struct wish *w, const char *more)
{
	AUTO_FREE char *url = public_url(r, x), *scope = scope_of(w);
	AUTO_FREE char *bearer =
		url ? mem_printf("Bearer realm=\"%s/api/v1/registry/token\",service=\"cooper\"%s%s", url,
			      scope, more)
		    : NULL;
	http_set_header(x, "WWW-Authenticate", bearer ? bearer : "Basic realm=\"cooper\"");
}

static void refuse_nobody(
	const struct routes *r, struct http_exchange *x, const struct wish *w, const struct caller *c)
{
	challenge(r, x, w, "");
	refuse(x, 401, "UNAUTHORIZED",
		c->state == CALLER_WRONG ? "the token is not valid: wrong, deleted or expired"
					 : "log in: any user, with a token as the password");
}

static void refuse_known(struct http_exchange *x, const struct wish *w, const struct caller *c)
{
	const char *scope = w->right == RIGHT_PULL ? "pull" : "push";
	AUTO_FREE char *globs = token_repositories_text(&c->token);
	AUTO_FREE char *text =
		token_rights_anywhere(&c->token) & w->right && w->repository
			? mem_printf("the token %s is not for %s: it is for %s", c->token.name,
				  w->other ? w->named : w->repository, globs)
			: mem_printf("the token %s has not the scope %s", c->token.name, scope);
	refuse(x, 403, "DENIED", text);
}

static unsigned granted(const struct caller *c, const struct wish *w)
{
	return caller_granted(c, w->repository) | (w->named ? caller_granted(c, w->named) : 0);
}

/* Of who is known: has its token the right, and was it granted? */
static bool permit_known(
	const struct routes *r, struct http_exchange *x, const struct wish *w, const struct caller *c)
{
	const char *repository = w->repository ? w->repository : "";
	unsigned rights = caller_rights(c, repository), wanted = w->right;
	/* Whoever can log in can find that out. */
	if (w->kind == ROUTE_PING)
		return true;
	/* The registry itself says that they may only add. */
	if (wanted == RIGHT_DELETE && !(rights & RIGHT_DELETE))
		wanted = RIGHT_PUSH;
	if (!(rights & wanted)) {
		refuse_known(x, w, c);
	} else if (w->repository && !(granted(c, w) & wanted)) {
		challenge(r, x, w, ",error=\"insufficient_scope\"");
		refuse(x, 401, "UNAUTHORIZED", "this bearer token was not asked for with that scope");
	} else {
		return true;
	}
	return false;
}

static struct err *permit(
	const struct routes *r, struct http_exchange *x, const struct caller *c, bool *permitted)
{
	AUTO(wish_fini) struct wish w = {0};
	TRY(wish_of(r, x, &w));
	*permitted = true;
	if (c->state == CALLER_KNOWN) {
		*permitted = permit_known(r, x, &w, c);
		return NULL;
	}
	/* Clients look at the answer to a ping without credentials to learn where to show them. */
	if (r->auth->anonymous_pull && c->state == CALLER_NOBODY && is_reading(x) &&
		(w.kind != ROUTE_PING || http_header(x, "Authorization")))
		return NULL;
	refuse_nobody(r, x, &w, c);
	*permitted = false;
	return NULL;
}

struct err *gate_registry(const struct routes *r, struct http_exchange *x, const struct http_handler **out)
{
	const struct caller *c = NULL;
	*out = NULL;
	TRY(auth_caller(r->auth, x, &c));
	/* Of a page in a browser: no client of registries sends it, and an open registry would obey. */
	if (c->open && !is_reading(x) && http_header(x, "Origin")) {
		refuse(x, 403, "DENIED", "pages in browsers may not write to the registry");
		return NULL;
	}
	bool permitted = false;
	TRY(permit(r, x, c, &permitted));
	if (permitted)
		*out = c->token.scopes & SCOPE_ADMIN ? registry_handler(r->registry)
						     : registry_handler_create_only(r->registry);
	return NULL;
}

/* ---- what else of the registry a request may see ---- */

/*
 * By the token's rights, not by what a bearer token was granted: who mounts without naming a repository, or
 * follows challenges alone, asks for no scope of the source. It takes the digest to get at a blob so.
 */
static bool may_read(void *ctx, const struct http_exchange *x, const char *repository)
{
	const struct routes *r = ctx;
	const struct caller *c = http_note(x);
	return r->auth->anonymous_pull || (c && caller_rights(c, repository) & RIGHT_PULL);
}

void gate_init(struct routes *r)
{
	registry_limit(r->registry, &(struct registry_limits){.may_read = may_read, .ctx = r});
}
