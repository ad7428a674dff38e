/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "server/routes_internal.h"

#include <ctype.h>
#include <string.h>

static bool is_reading(const struct http_exchange *x)
{
	return cstr_eq(http_method(x), "GET") || cstr_eq(http_method(x), "HEAD");
}

static bool is_ping(const struct http_exchange *x)
{
	return cstr_eq(http_path(x), "/v2") || cstr_eq(http_path(x), "/v2/");
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

/* "repository:<name>:pull,push" of a path; "" where none is named. Caller frees. */
static char *scope_of(const struct http_exchange *x)
{
	static const char *const endpoints[] = {"/manifests/", "/blobs/", "/tags/", "/referrers/"};
	const char *name = http_path(x), *end = NULL;
	if (!cstr_starts(name, "/v2/"))
		return mem_strdup("");
	name += strlen("/v2/");
	for (const char *p = name; *p; p++)
		for (size_t i = 0; i < ARRAY_LEN(endpoints); i++)
			if (cstr_starts(p, endpoints[i]))
				end = p;
	for (const char *p = name; end && p < end; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && !strchr("._-/", *p))
			end = NULL;
	if (!end)
		return mem_strdup("");
	return mem_printf(",scope=\"repository:%.*s:%s\"", (int)(end - name), name,
		is_reading(x) ? "pull" : "pull,push");
}

/* Where clients without credentials may read, they must be sent to a token address: a client that is asked
 * for a password and has none gives up. NULL when this request does not say by which name it came. */
static char *bearer_challenge(const struct routes *r, const struct http_exchange *x)
{
	const char *host = http_header(x, "Host"), *proto = http_header(x, "X-Forwarded-Proto");
	if (!host || !*host)
		return NULL;
	for (const char *p = host; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".-:[]_", *p))
			return NULL;
	AUTO_FREE char *scope = scope_of(x);
	return mem_printf("Bearer realm=\"%s://%s/api/v1/registry/token\",service=\"cooper\"%s",
		r->tls || cstr_eq(proto, "https") ? "https" : "http", host, scope);
}

static void challenge(const struct routes *r, struct http_exchange *x, const struct caller *c)
{
	AUTO_FREE char *bearer = r->auth->anonymous_pull ? bearer_challenge(r, x) : NULL;
	http_set_header(x, "WWW-Authenticate", bearer ? bearer : "Basic realm=\"cooper\"");
	refuse(x, 401, "UNAUTHORIZED",
		c->state == CALLER_WRONG ? "the token is not valid: wrong, deleted or expired"
					 : "log in: any user, with a token as the password");
}

static bool may(const struct routes *r, const struct http_exchange *x, const struct caller *c)
{
	/* Whoever can log in can find that out. */
	if (is_ping(x))
		return c->state == CALLER_KNOWN || (r->auth->anonymous_pull && c->state == CALLER_NOBODY &&
							   http_header(x, "Authorization"));
	if (r->auth->anonymous_pull && c->state == CALLER_NOBODY)
		return is_reading(x);
	return c->scopes & (is_reading(x) ? SCOPE_PULL | SCOPE_PUSH : SCOPE_PUSH);
}

struct err *gate_registry(const struct routes *r, struct http_exchange *x, const struct http_handler **out)
{
	AUTO(caller_fini) struct caller c = {0};
	*out = NULL;
	TRY(auth_check(r->auth, x, &c));
	/* Of a page in a browser: no client of registries sends it, and an open registry would obey. */
	if (c.open && !is_reading(x) && http_header(x, "Origin")) {
		refuse(x, 403, "DENIED", "pages in browsers may not write to the registry");
		return NULL;
	}
	if (may(r, x, &c)) {
		*out = c.scopes & SCOPE_ADMIN ? registry_handler(r->registry)
					      : registry_handler_create_only(r->registry);
	} else if (c.state == CALLER_KNOWN) {
		AUTO_FREE char *text = mem_printf(
			"the token %s has not the scope %s", c.name, is_reading(x) ? "pull" : "push");
		refuse(x, 403, "DENIED", text);
	} else {
		challenge(r, x, &c);
	}
	return NULL;
}
