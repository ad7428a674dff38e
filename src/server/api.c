/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "http/client.h"
#include "server/api_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Whose host is it that a browser's page or an address names? "host:port" of a URL, or of a Host header. */
static struct str authority(const char *text)
{
	const char *sep = strstr(text, "://");
	const char *host = sep ? sep + 3 : text;
	return str_n(host, strcspn(host, "/?#"));
}

static bool is_loopback(const char *host_header)
{
	AUTO(url_fini) struct url u = {0};
	AUTO_FREE char *text = mem_printf("http://%s/", host_header ? host_header : "");
	struct err *e = url_parse(text, &u);
	bool yes = !e && host_is_loopback(u.host);
	err_free(e);
	return yes;
}

/*
 * Pages of other sites can make a browser send requests here, and an open server would obey: they are known
 * by their Origin; and where a site lets its own name lead to this machine, by the Host. False when it was
 * refused, and answered.
 */
static bool permit_site(struct api_call *c)
{
	const struct auth *auth = c->api->auth;
	const char *origin = http_header(c->x, "Origin"), *host = http_header(c->x, "Host");
	if (origin && (!host || !str_eq(authority(origin), str_c(host))))
		api_error(c->x, 403, NULL, "requests from pages of other sites are not taken");
	else if (c->caller->open && auth->loopback && !is_loopback(host))
		api_error(c->x, 403, "make a token: cooper token create NAME --scope admin",
			"without any token the server is for this machine alone, not for the name \"%.100s\"",
			host ? host : "");
	else
		return true;
	return false;
}

static bool is_type(const char *type, const char *wanted)
{
	struct str s = str_c(type);
	struct str name;
	return str_split(&s, ';', &name) && str_eq_nocase(str_trim(name), wanted);
}

/* False when it was refused, and answered. */
static bool permit(struct api_call *c)
{
	const struct api_route *r = c->route;
	if (!permit_site(c))
		return false;
	/* What is signed for the registry opens nothing here. */
	if (!r->scopes || (!c->caller->limited && c->caller->token.scopes & r->scopes))
		return true;
	AUTO_FREE char *wanted = token_scopes_text(r->scopes);
	if (c->caller->state == CALLER_KNOWN) {
		api_error(c->x, 403, NULL, "the token %s has none of the scopes that this takes: %s",
			c->caller->token.name, wanted);
		return false;
	}
	http_set_header(c->x, "WWW-Authenticate", "Bearer realm=\"cooper\"");
	AUTO_FREE char *text = c->caller->state == CALLER_WRONG
				       ? mem_strdup("the token is not valid: wrong, deleted or expired")
				       : mem_printf("this takes a token with one of the scopes %s", wanted);
	api_error(c->x, 401, "log in with cooper login, or set COOPER_TOKEN", "%s", text);
	return false;
}

struct err *api_still_may(const struct api *api, const struct http_exchange *x, unsigned scopes, bool *yes)
{
	AUTO(caller_fini) struct caller c = {0};
	TRY(auth_check(api->auth, x, &c));
	*yes = !c.limited && c.token.scopes & scopes;
	return NULL;
}

/* False when it was refused, and answered. */
static bool permit_body(struct api_call *c)
{
	const struct api_route *r = c->route;
	int64_t length = http_content_length(c->x);
	if (r->body == API_JSON && !is_type(http_header(c->x, "Content-Type"), "application/json")) {
		api_error(c->x, 415, NULL, "send JSON, with Content-Type: application/json");
		return false;
	}
	if (r->body == API_FORM &&
		!is_type(http_header(c->x, "Content-Type"), "application/x-www-form-urlencoded")) {
		api_error(
			c->x, 415, NULL, "send a form, with Content-Type: application/x-www-form-urlencoded");
		return false;
	}
	if (length > (int64_t)r->max) {
		if (r->body == API_NO_BODY)
			api_error(c->x, 400, NULL, "this takes no body");
		else
			api_error(c->x, 413, NULL, "a body may have at most %zu bytes here", r->max);
		return false;
	}
	return true;
}

static struct err *on_begin(void *ctx, struct http_exchange *x, void **state)
{
	struct api *api = ctx;
	AUTO_BUF struct buf allowed = {0};
	struct api_path path;
	const struct api_route *route = api_route_find(http_method(x), http_path(x), &path, &allowed);
	if (!route && allowed.len) {
		http_set_header(x, "Allow", buf_cstr(&allowed));
		api_error(x, 405, NULL, "%s is not offered here: %s", http_method(x), buf_cstr(&allowed));
		return NULL;
	}
	if (!route) {
		api_error(x, 404, NULL,
			"there is nothing at this path; " API_ROOT "/openapi.json says what there is");
		return NULL;
	}
	struct api_call *c = mem_new(struct api_call);
	c->api = api;
	c->x = x;
	c->route = route;
	c->path = path;
	*state = c;
	TRY(auth_caller(api->auth, x, &c->caller));
	if (permit(c))
		(void)permit_body(c);
	return NULL;
}

static struct err *on_body(void *ctx, struct http_exchange *x, void *state, const void *p, size_t len)
{
	(void)ctx;
	struct api_call *c = state;
	if (len > c->route->max - c->body.len)
		api_error(x, c->route->max ? 413 : 400, NULL, "a body may have at most %zu bytes here",
			c->route->max);
	else
		buf_add(&c->body, p, len);
	return NULL;
}

static struct err *on_end(void *ctx, struct http_exchange *x, void *state)
{
	(void)ctx;
	(void)x;
	struct api_call *c = state;
	if (c->route->body == API_JSON) {
		TRY(json_parse(buf_str(&c->body), "the body", &c->json));
		if (!json_is_object(c->json))
			return err_new(ERR_INVALID, "the body must be a JSON object");
	}
	return c->route->handle(c);
}

static void on_free(void *ctx, void *state)
{
	(void)ctx;
	struct api_call *c = state;
	if (!c)
		return;
	buf_fini(&c->body);
	json_unrefp(&c->json);
	free(c);
}

static void on_error(void *ctx, struct http_exchange *x, struct err *e)
{
	(void)ctx;
	api_fail(x, e);
}

void api_init(struct api *api)
{
	api->handler = (struct http_handler){
		.begin = on_begin,
		.body = on_body,
		.end = on_end,
		.free_state = on_free,
		.on_error = on_error,
		.ctx = api,
	};
}

/* ---- what the API says of itself ---- */

static json_t *scopes_json(unsigned scopes)
{
	json_t *list = json_array();
	for (unsigned i = 0; token_scope_names[i]; i++)
		if (scopes & 1u << i)
			json_array_append_new(list, json_text(token_scope_names[i]));
	return list;
}

struct err *api_index(struct api_call *c)
{
	AUTO_JSON json_t *o = json_object();
	json_t *routes = json_array(), *caller = json_object();
	for (size_t i = 0; i < api_route_count; i++) {
		json_t *r = json_object();
		json_set_text(r, "method", api_routes[i].method);
		json_set_text(r, "path", api_routes[i].path);
		json_object_set_new(r, "scopes", scopes_json(api_routes[i].scopes));
		json_array_append_new(routes, r);
	}
	json_object_set_new(
		caller, "name", c->caller->token.name ? json_text(c->caller->token.name) : json_null());
	json_object_set_new(caller, "scopes", scopes_json(c->caller->limited ? 0 : c->caller->token.scopes));
	json_set_text(o, "version", COOPER_VERSION);
	json_object_set_new(o, "caller", caller);
	json_object_set_new(o, "routes", routes);
	api_reply(c->x, 200, o);
	return NULL;
}

struct err *api_openapi(struct api_call *c)
{
	struct str text = str_n(openapi_json, openapi_json_len);
	http_set_header(c->x, "Content-Type", "application/json");
	if (cstr_eq(http_method(c->x), "HEAD"))
		http_answer_head(c->x, 200, text.len);
	else
		http_answer(c->x, 200, text);
	return NULL;
}
