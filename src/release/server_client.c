/* SPDX-License-Identifier: Apache-2.0 */
#include "release/server_client.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/settings.h"
#include "http/client.h"
#include "release/run_json.h"
#include "release/server_client_internal.h"
#include "remote/auth.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT (10 * CLOCK_SECOND)
/* Of calls that are answered at once: a connection that was cut must not be waited for. */
#define STALL_QUICK (15 * CLOCK_SECOND)
/* Of those that the server lets wait: claims for 20 s, and a log that is silent is asked for again. */
#define STALL_PATIENT (45 * CLOCK_SECOND)
#define ANSWER_MAX ((size_t)16 << 20)

/* ---- opening ---- */

static struct err *check_url(const char *url, struct url *u)
{
	struct err *e = url_parse(url, u);
	if (!e && u->userinfo)
		e = err_hint(err_new(ERR_INVALID, "it holds credentials"),
			"log in with cooper login, or set COOPER_TOKEN");
	if (!e && strpbrk(u->path, "?#"))
		e = err_new(ERR_INVALID, "it has a query");
	if (!e)
		return NULL;
	AUTO_FREE char *shown = url_for_message(url);
	return err_wrap(e, "the server's address \"%s\"", shown);
}

static char *host_of(const struct url *u)
{
	bool v6 = strchr(u->host, ':') != NULL;
	AUTO_FREE char *host = mem_printf("%s%s%s", v6 ? "[" : "", u->host, v6 ? "]" : "");
	return u->explicit_port ? mem_printf("%s:%u", host, u->port) : steal(&host);
}

static struct err *find_token(struct server_client *c, const char *auth_file)
{
	AUTO(credential_fini) struct credential found = {0};
	AUTO_STRVEC struct strvec looked = {0};
	const char *given = getenv("COOPER_TOKEN");
	if (given && *given) {
		c->token = mem_strdup(given);
	} else {
		TRY(auth_lookup(auth_file, c->host, NULL, c->cancel, &found, &looked));
		c->token = found.registry_token ? steal(&found.registry_token) : steal(&found.password);
	}
	for (const char *p = c->token; p && *p; p++)
		if (*p <= ' ' || *p == 0x7f)
			return err_new(
				ERR_INVALID, "the token for %s has a blank or control character", c->host);
	return NULL;
}

static struct err *open_clients(struct server_client *c)
{
	struct http_client_options o = {.connect_timeout = CONNECT_TIMEOUT, .stall_timeout = STALL_QUICK};
	TRY(http_client_new(&o, &c->quick));
	o.stall_timeout = STALL_PATIENT;
	return http_client_new(&o, &c->patient);
}

static void take_settings(struct server_client *c, const struct settings *s)
{
	for (size_t i = 0; i < s->hosts.len; i++) {
		const struct settings_host *h = vec_at(&s->hosts, i);
		if (!cstr_eq(h->host, c->host))
			continue;
		c->ca_file = h->ca_file;
		c->client_cert = h->client_cert;
		c->client_key = h->client_key;
		c->insecure = h->insecure;
	}
}

struct err *server_client_new(
	struct engine *e, const char *url, const struct cancel *cancel, struct server_client **out)
{
	AUTO(url_fini) struct url u = {0};
	const struct settings *s = engine_settings(e);
	TRY(check_url(url, &u));
	AUTO(server_client_freep) struct server_client *c = mem_new(struct server_client);
	c->base = mem_strdup(url);
	while (cstr_ends(c->base, "/"))
		c->base[strlen(c->base) - 1] = '\0';
	c->host = host_of(&u);
	c->cancel = cancel;
	take_settings(c, s);
	TRY(find_token(c, s->auth_file));
	TRY(open_clients(c));
	*out = steal(&c);
	return NULL;
}

void server_client_free(struct server_client *c)
{
	if (!c)
		return;
	http_client_free(c->quick);
	http_client_free(c->patient);
	free(c->base);
	free(c->host);
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	free(c);
}

void server_client_freep(struct server_client **c)
{
	server_client_free(*c);
	*c = NULL;
}

const char *server_client_host(const struct server_client *c)
{
	return c->host;
}

const char *server_client_token(const struct server_client *c)
{
	return c->token;
}

/* ---- answers ---- */

static enum err_kind kind_of(int status)
{
	switch (status) {
	case 401:
	case 403:
		return ERR_DENIED;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_EXISTS;
	case 507:
		return ERR_NO_SPACE;
	case 408:
	case 425:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INVALID;
	}
}

static struct err *hint_for(const struct server_client *c, int status, const char *hint, struct err *e)
{
	if (status == 401)
		return err_hint(e, "log in with: cooper login %s, or set COOPER_TOKEN", c->host);
	return hint ? err_hint(e, "%s", hint) : e;
}

struct err *server_answer_error(const struct server_client *c, const struct http_response *r)
{
	AUTO_JSON json_t *o = NULL;
	struct err *e = json_parse(buf_str(&r->body), "the answer", &o);
	const json_t *error = e ? NULL : json_object_get(o, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	err_free(e);
	if (message)
		return hint_for(
			c, r->status, hint, err_new(kind_of(r->status), "server %s: %s", c->base, message));
	e = err_new(kind_of(r->status), "server %s: it answered with HTTP status %d", c->base, r->status);
	if (r->status >= 300 && r->status < 400)
		return err_hint(e, "it leads to %s: name that address",
			http_response_header(r, "Location", 0) ? http_response_header(r, "Location", 0)
							       : "another place");
	if (r->status == 404 || r->status == 405)
		return err_hint(e, "is this the address of a cooper server?");
	return e;
}

/* ---- requests ---- */

struct err *server_send(struct server_client *c, const struct server_call *call, struct http_response *r)
{
	AUTO_STRVEC struct strvec headers = {0};
	AUTO_FREE char *url = mem_printf("%s/api/v1%s", c->base, call->path);
	if (c->token)
		strvec_pushf(&headers, "Authorization: Bearer %s", c->token);
	if (call->lease)
		strvec_pushf(&headers, "Cooper-Lease: %s", call->lease);
	strvec_pushf(&headers, "Content-Type: %s", call->plain ? "text/plain" : "application/json");
	const struct http_request rq = {
		.method = call->method,
		.url = url,
		.headers = strvec_list(&headers),
		.body = call->body,
		.write_body = call->write_body,
		.write_ctx = call->write_ctx,
		.max_body = ANSWER_MAX,
		.trust = {c->insecure, c->ca_file, c->client_cert, c->client_key},
		.cancel = call->cancel ? call->cancel : c->cancel,
	};
	struct err *e = http_send(call->patient ? c->patient : c->quick, &rq, r);
	return e ? err_wrap(e, "server %s", c->base) : NULL;
}

struct err *server_ask(struct server_client *c, const struct server_call *call, int *status, json_t **out)
{
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(server_send(c, call, &r));
	bool good = r.status >= 200 && r.status < 300;
	if (!good && r.status != call->also)
		return server_answer_error(c, &r);
	if (status)
		*status = r.status;
	if (!out || r.status == 204)
		return NULL;
	TRY(json_parse(buf_str(&r.body), c->base, out));
	return json_is_object(*out) ? NULL
				    : err_new(ERR_INVALID, "server %s: its answer is no object", c->base);
}

/* ---- clients ---- */

static json_t *spec_json(const struct run *spec)
{
	json_t *o = json_object(), *jobs = json_array();
	json_set_text(o, "repository", spec->repository);
	json_set_text(o, "container", spec->container);
	json_set_text(o, "commit", spec->commit);
	json_set_text(o, "ref", spec->ref);
	json_set_text(o, "subject", spec->subject);
	json_set_text(o, "requested_by", spec->requested_by);
	json_object_set_new(o, "no_cache", json_boolean(spec->no_cache));
	for (size_t i = 0; i < spec->jobs.len; i++) {
		const struct job *j = vec_at(&spec->jobs, i);
		json_t *job = json_object();
		json_set_text(job, "kind", j->kind);
		json_set_text(job, "version", j->version);
		json_set_text(job, "tag", j->tag);
		json_set_text(job, "reference", j->reference);
		json_object_set_new(job, "label", json_text(j->label ? j->label : ""));
		json_array_append_new(jobs, job);
	}
	json_object_set_new(o, "jobs", jobs);
	return o;
}

struct err *server_add_run(struct server_client *c, const struct run *spec, int64_t *number)
{
	AUTO_JSON json_t *body = spec_json(spec), *answer = NULL;
	AUTO(run_fini) struct run made = {0};
	AUTO_FREE char *text = json_dump(body, false);
	const struct server_call call = {.method = "POST", .path = "/runs", .body = str_c(text)};
	TRY(server_ask(c, &call, NULL, &answer));
	TRY(run_from_json(answer, c->base, &made));
	*number = made.number;
	return NULL;
}

static void runs_list_fini(struct vec *list)
{
	for (size_t i = 0; i < list->len; i++)
		run_fini(vec_at(list, i));
	vec_fini(list);
}

#define PAGE_MAX 100

static struct err *get_page(struct server_client *c, int64_t *before, size_t limit, struct vec *out)
{
	AUTO_JSON json_t *answer = NULL;
	AUTO_FREE char *path = *before ? mem_printf("/runs?limit=%zu&before=%lld", limit, (long long)*before)
				       : mem_printf("/runs?limit=%zu", limit);
	json_t *runs = NULL;
	TRY(server_ask(c, &(struct server_call){.method = "GET", .path = path}, NULL, &answer));
	TRY(json_get_array(answer, "runs", c->base, &runs));
	for (size_t i = 0; i < json_array_size(runs); i++) {
		struct run r = {0};
		TRY(run_from_json(json_array_get(runs, i), c->base, &r));
		vec_push_copy(out, &r);
	}
	*before = 0;
	return json_get_int(answer, "next", c->base, before);
}

struct err *server_list_runs(struct server_client *c, int64_t before, size_t limit, struct vec *out)
{
	AUTO(runs_list_fini) struct vec list = VEC_OF(struct run);
	while (list.len < limit) {
		size_t left = limit - list.len, had = list.len;
		TRY(get_page(c, &before, left < PAGE_MAX ? left : PAGE_MAX, &list));
		if (before <= 0 || list.len == had)
			break;
	}
	*out = list;
	list = VEC_OF(struct run);
	return NULL;
}

struct err *server_get_run(struct server_client *c, int64_t number, struct run *out)
{
	AUTO_JSON json_t *answer = NULL;
	AUTO_FREE char *path = mem_printf("/runs/%lld", (long long)number);
	TRY(server_ask(c, &(struct server_call){.method = "GET", .path = path}, NULL, &answer));
	return run_from_json(answer, c->base, out);
}

struct err *server_cancel_run(struct server_client *c, int64_t number)
{
	AUTO_FREE char *path = mem_printf("/runs/%lld/cancel", (long long)number);
	return server_ask(c, &(struct server_call){.method = "POST", .path = path}, NULL, NULL);
}
