/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/token.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

#include <string.h>

#define ANSWER_MAX ((size_t)1 << 20)
#define TOKEN_MAX ((size_t)128 << 10)
/* Registries that name less, or nothing, mean this. */
#define LIFETIME_MIN 60
#define LIFETIME_MAX (24 * 3600)

/*
 * Whoever answers for a registry chooses the realm, so it may not lead credentials onto a network in the
 * clear unless the registry itself was allowed that and is the one that gets them.
 */
static struct err *check_realm(const struct token_request *rq)
{
	AUTO(url_fini) struct url realm = {0}, base = {0};
	struct err *e = url_parse(rq->challenge->realm, &realm);
	if (e)
		return err_wrap(e, "the registry names a token server");
	TRY(url_parse(rq->base, &base));
	if (cstr_eq(realm.scheme, "https") || !credential_found(rq->credential) ||
		host_is_loopback(realm.host))
		return NULL;
	if (cstr_eq(base.scheme, "http") && cstr_eq(base.host, realm.host))
		return NULL;
	e = err_new(ERR_DENIED, "%s wants credentials sent to http://%s, which would carry them in the clear",
		rq->base, realm.host);
	return err_hint(e, "the registry's token server must be reached by https");
}

static void add_pair(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	if (out->len && !str_ends(buf_str(out), "?"))
		buf_addc(out, '&');
	buf_addf(out, "%s=", name);
	url_encode(out, str_c(value));
}

static char *get_url(const struct token_request *rq)
{
	AUTO_BUF struct buf query = {0};
	add_pair(&query, "account", rq->credential->user);
	add_pair(&query, "service", rq->challenge->service);
	for (size_t i = 0; i < rq->scopes->len; i++)
		add_pair(&query, "scope", rq->scopes->ptr[i]);
	const char *realm = rq->challenge->realm;
	if (!query.len)
		return mem_strdup(realm);
	return mem_printf("%s%c%s", realm, strchr(realm, '?') ? '&' : '?', buf_cstr(&query));
}

static char *form(const struct token_request *rq)
{
	AUTO_BUF struct buf out = {0}, scopes = {0};
	for (size_t i = 0; i < rq->scopes->len; i++)
		buf_addf(&scopes, "%s%s", i ? " " : "", rq->scopes->ptr[i]);
	add_pair(&out, "grant_type", "refresh_token");
	add_pair(&out, "refresh_token", rq->credential->identity_token);
	add_pair(&out, "service", rq->challenge->service);
	add_pair(&out, "client_id", "cooper");
	add_pair(&out, "scope", scopes.len ? buf_cstr(&scopes) : NULL);
	return buf_steal(&out);
}

static char *basic(const struct credential *c)
{
	if (!c->user || !c->password)
		return NULL;
	AUTO_FREE char *pair = mem_printf("%s:%s", c->user, c->password);
	AUTO_BUF struct buf out = {0};
	buf_adds(&out, "Authorization: Basic ");
	base64_add(&out, str_c(pair));
	explicit_bzero(pair, strlen(pair));
	return buf_steal(&out);
}

/* A token server often has its certificate from the registry's own CA. */
static struct err *realm_trust(const struct token_request *rq, struct http_trust *out)
{
	TRY(endpoint_trust_at(rq->endpoint, rq->base, rq->challenge->realm, out));
	if (!out->ca_file)
		out->ca_file = rq->endpoint->ca_file;
	return NULL;
}

static struct err *send_once(const struct token_request *rq, struct http_response *r)
{
	struct endpoint *ep = rq->endpoint;
	struct http_client *http;
	struct http_trust trust;
	TRY(remote_http(ep->remote, &http));
	TRY(realm_trust(rq, &trust));
	bool refresh = rq->credential->identity_token != NULL;
	AUTO_FREE char *url = refresh ? mem_strdup(rq->challenge->realm) : get_url(rq);
	AUTO_FREE char *body = refresh ? form(rq) : NULL;
	AUTO_FREE char *authorization = refresh ? NULL : basic(rq->credential);
	const char *const headers[] = {
		refresh ? "Content-Type: application/x-www-form-urlencoded" : authorization, NULL};
	const struct http_request hr = {.method = refresh ? "POST" : "GET",
		.url = url,
		.headers = headers,
		.body = str_c(body),
		.max_body = ANSWER_MAX,
		.max_redirects = refresh ? 0 : 3,
		.trust = trust,
		.trust_of = remote_trust_of,
		.trust_ctx = ep->remote,
		.cancel = rq->io->cancel};
	return http_send(http, &hr, r);
}

static struct err *take_token(struct str body, const char *what, struct token *out)
{
	AUTO_JSON json_t *doc = NULL;
	const char *token = NULL, *access = NULL;
	int64_t lifetime = 0;
	TRY(json_parse(body, what, &doc));
	TRY(json_get_string(doc, "token", what, &token));
	TRY(json_get_string(doc, "access_token", what, &access));
	struct err *odd = json_get_int(doc, "expires_in", what, &lifetime);
	if (odd)
		err_ignore(odd, "a lifetime that cannot be read is the shortest");
	token = token && *token ? token : access;
	if (!token || !*token)
		return err_new(ERR_INVALID, "%s has no token", what);
	size_t len = strlen(token);
	for (size_t i = 0; i < len; i++)
		if (token[i] <= ' ' || token[i] > '~' || len > TOKEN_MAX)
			return err_new(ERR_INVALID, "%s has a token that cannot be sent in a header", what);
	lifetime = lifetime < LIFETIME_MIN ? LIFETIME_MIN : lifetime > LIFETIME_MAX ? LIFETIME_MAX : lifetime;
	out->value = mem_strdup(token);
	/* Renewed in time for a request that is slow to arrive. */
	out->expires = clock_monotonic() + lifetime * CLOCK_SECOND * 9 / 10;
	return NULL;
}

static struct err *refused(const struct token_request *rq, const struct http_response *r)
{
	AUTO_FREE char *shown = url_for_message(rq->challenge->realm);
	AUTO_FREE char *words = answer_words(r);
	const struct credential *c = rq->credential;
	answer_note(rq->io, r);
	bool denied = r->status == 401 || r->status == 403 || (r->status == 400 && c->identity_token);
	enum err_kind kind = denied ? ERR_DENIED : status_may_pass(r->status) ? ERR_UNAVAILABLE : ERR_INVALID;
	struct err *e =
		err_new(kind, "token server %s answered %d%s%s", shown, r->status, *words ? ": " : "", words);
	if (denied && credential_found(c))
		return err_hint(e,
			"the credentials of %s from %s were refused: log in again with 'cooper login %s'",
			rq->endpoint->name, c->source, rq->endpoint->name);
	if (denied)
		return err_hint(e, "log in with 'cooper login %s'", rq->endpoint->name);
	return e;
}

static struct err *fetch(const struct token_request *rq, struct token *out)
{
	AUTO_FREE char *shown = url_for_message(rq->challenge->realm);
	AUTO_FREE char *what = mem_printf("the answer of the token server %s", shown);
	struct retry retry = {.endpoint = rq->endpoint, .io = rq->io};
	for (;;) {
		AUTO(http_response_fini) struct http_response r = {0};
		struct err *e = send_once(rq, &r);
		if (!e && r.status == 200)
			return take_token(buf_str(&r.body), what, out);
		bool again = false;
		struct err *stop = retry_wait(&retry, &r, e, &again);
		if (stop || again) {
			err_free(e);
			if (stop)
				return stop;
			continue;
		}
		if (!e)
			return refused(rq, &r);
		return err_wrap(
			hint_at_setting(rq->endpoint, rq->base, r.final_url, e), "asking for a token");
	}
}

struct err *token_fetch(const struct token_request *rq, struct token *out)
{
	TRY(check_realm(rq));
	/* Tried enough: whoever needs the token tries again what he needs it for. */
	return err_with_tries(fetch(rq, out), 1);
}
