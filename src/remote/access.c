/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/access.h"

#include "base/clock.h"
#include "base/mem.h"
#include "remote/token.h"

#include <string.h>

#define SCOPES_MAX 4
/* Repositories whose credentials and tokens are kept: a cache is asked for any number. */
#define KEPT_MAX 2000

void token_free(void *p)
{
	struct token *t = p;
	if (t->value)
		explicit_bzero(t->value, strlen(t->value));
	mem_freep(&t->value);
	mem_freep(&t);
}

void looked_up_free(void *p)
{
	struct looked_up *l = p;
	credential_fini(&l->credential);
	strvec_fini(&l->looked);
	mem_freep(&l);
}

bool urls_same_origin(const char *a, const char *b)
{
	AUTO(url_fini) struct url x = {0}, y = {0};
	struct err *bad = url_parse(a, &x);
	if (!bad)
		bad = url_parse(b, &y);
	if (bad) {
		err_ignore(bad, "what cannot be read is another origin");
		return false;
	}
	return cstr_eq(x.scheme, y.scheme) && cstr_eq(x.host, y.host) && x.port == y.port;
}

/* ---- credentials; under auth_lock ---- */

static bool take_given(struct endpoint *ep, struct credential *out)
{
	pthread_mutex_lock(&ep->remote->lock);
	const struct credential *given = map_get_c(ep->remote->given, ep->name);
	if (given)
		*out = (struct credential){.user = mem_strdup(given->user),
			.password = mem_strdup(given->password),
			.source = mem_strdup(given->source)};
	pthread_mutex_unlock(&ep->remote->lock);
	return given != NULL;
}

static struct err *look_up(const struct call *c, const struct looked_up **out)
{
	struct endpoint *ep = c->endpoint;
	const char *key = c->repository ? c->repository : "";
	struct looked_up *l = map_get_c(ep->credentials, key);
	if (!l) {
		l = mem_new(struct looked_up);
		if (take_given(ep, &l->credential)) {
			map_set_c(ep->credentials, key, l);
			*out = l;
			return NULL;
		}
		struct err *e = auth_lookup(ep->remote->auth_file, ep->name, c->repository, c->io->cancel,
			&l->credential, &l->looked);
		if (e) {
			looked_up_free(l);
			return e;
		}
		map_set_c(ep->credentials, key, l);
	}
	*out = l;
	return NULL;
}

static char *basic_header(const struct credential *cred)
{
	AUTO_FREE char *pair = mem_printf("%s:%s", cred->user, cred->password);
	AUTO_BUF struct buf text = {0};
	buf_adds(&text, "Authorization: Basic ");
	base64_add(&text, str_c(pair));
	explicit_bzero(pair, strlen(pair));
	return buf_steal(&text);
}

/* ---- scopes ---- */

/* Does one of the scopes grant all that asked names, of the same thing? */
static bool covered(const struct strvec *scopes, struct str asked)
{
	ptrdiff_t colon = str_rindex(asked, ':');
	if (colon < 0)
		return true; /* nothing to ask for */
	for (size_t i = 0; i < scopes->len; i++) {
		struct str have = str_c(scopes->ptr[i]);
		if (have.len <= (size_t)colon || memcmp(have.ptr, asked.ptr, (size_t)colon + 1) != 0)
			continue;
		struct str wanted = str_skip(asked, (size_t)colon + 1), action;
		bool all = true;
		while (str_split(&wanted, ',', &action)) {
			struct str granted = str_skip(have, (size_t)colon + 1), one;
			bool found = false;
			while (str_split(&granted, ',', &one))
				found |= str_cmp(one, action) == 0;
			all &= found;
		}
		if (all)
			return true;
	}
	return false;
}

static void scopes_of(const struct call *c, const char *asked, struct strvec *out)
{
	if (c->repository && c->actions)
		strvec_pushf(out, "repository:%s:%s", c->repository, c->actions);
	if (c->from)
		strvec_pushf(out, "repository:%s:pull", c->from);
	struct str rest = str_c(asked), scope;
	while (str_split(&rest, ' ', &scope))
		if (scope.len && out->len < SCOPES_MAX && !covered(out, scope))
			strvec_push_str(out, scope);
}

static char *token_key(const struct challenge *ch, const struct strvec *scopes)
{
	AUTO_BUF struct buf key = {0};
	buf_addf(&key, "%s\n%s", ch->realm, ch->service ? ch->service : "");
	for (size_t i = 0; i < scopes->len; i++)
		buf_addf(&key, "\n%s", scopes->ptr[i]);
	return buf_steal(&key);
}

/* ---- headers; under auth_lock ---- */

static struct err *bearer(
	const struct call *c, const char *base, const char *asked, const struct looked_up *l, char **out)
{
	struct endpoint *ep = c->endpoint;
	if (l->credential.registry_token) {
		*out = mem_printf("Authorization: Bearer %s", l->credential.registry_token);
		return NULL;
	}
	AUTO_STRVEC struct strvec scopes = {0};
	scopes_of(c, asked, &scopes);
	AUTO_FREE char *key = token_key(&ep->challenge, &scopes);
	struct token *t = map_get_c(ep->tokens, key);
	if (!t || t->expires <= clock_monotonic()) {
		t = mem_new(struct token);
		const struct token_request rq = {.endpoint = ep,
			.base = base,
			.challenge = &ep->challenge,
			.scopes = &scopes,
			.credential = &l->credential,
			.io = c->io};
		struct err *e = token_fetch(&rq, t);
		if (e) {
			token_free(t);
			return e;
		}
		map_set_c(ep->tokens, key, t);
	}
	*out = mem_printf("Authorization: Bearer %s", t->value);
	return NULL;
}

static struct err *make_header(const struct call *c, const char *base, const char *asked, char **out)
{
	const struct looked_up *l;
	TRY(look_up(c, &l));
	if (c->endpoint->challenge.scheme == CHALLENGE_BEARER)
		return bearer(c, base, asked, l, out);
	if (l->credential.user)
		*out = basic_header(&l->credential);
	return NULL;
}

/* Under auth_lock. */
static void forget(struct endpoint *ep)
{
	map_free(ep->credentials);
	map_free(ep->tokens);
	ep->credentials = map_new(looked_up_free);
	ep->tokens = map_new(token_free);
}

struct err *access_header(const struct call *c, const char *base, const char *asked, char **out)
{
	struct endpoint *ep = c->endpoint;
	struct err *e = NULL;
	*out = NULL;
	pthread_mutex_lock(&ep->auth_lock);
	if (map_len(ep->credentials) > KEPT_MAX || map_len(ep->tokens) > KEPT_MAX)
		forget(ep);
	if (ep->challenged)
		e = make_header(c, base, asked, out);
	pthread_mutex_unlock(&ep->auth_lock);
	return e;
}

/* ---- refusals ---- */

static void read_challenges(const struct http_response *r, struct vec *out)
{
	const char *value;
	for (unsigned i = 0; i < 16 && (value = http_response_header(r, "WWW-Authenticate", i)); i++) {
		struct err *e = challenge_parse(str_c(value), out);
		if (e)
			err_ignore(
				e, "another header may be well-formed; if none is, the denial is reported");
	}
}

/* Some answer 401 to a request without saying what they want, and say it at /v2/ only. */
static struct err *ping_for_challenge(const struct call *c, const char *base, struct vec *out)
{
	struct http_client *http;
	TRY(remote_http(c->endpoint->remote, &http));
	AUTO_FREE char *url = mem_printf("%s/v2/", base);
	AUTO(http_response_fini) struct http_response r = {0};
	struct http_request rq = {
		.method = "GET", .url = url, .trust = endpoint_trust(c->endpoint), .cancel = c->io->cancel};
	TRY(http_send(http, &rq, &r));
	if (r.status == 401)
		read_challenges(&r, out);
	return NULL;
}

static void drop_token(struct endpoint *ep, const char *header)
{
	size_t i = 0;
	struct str key;
	void *value;
	while (map_next(ep->tokens, &i, &key, &value)) {
		struct token *t = value;
		if (cstr_ends(header, t->value))
			t->expires = 0;
	}
}

static void note(struct endpoint *ep, const struct challenge *ch)
{
	challenge_fini(&ep->challenge);
	ep->challenge = (struct challenge){
		.scheme = ch->scheme, .realm = mem_strdup(ch->realm), .service = mem_strdup(ch->service)};
	ep->challenged = true;
}

struct err *access_refused(const struct call *c, const char *base, const struct http_response *r,
	const char *used, bool *again, char **asked)
{
	struct endpoint *ep = c->endpoint;
	*again = false;
	*asked = NULL;
	/* What another host asks for after a redirect is nothing that this registry's credentials are for. */
	if (!urls_same_origin(r->final_url, base))
		return NULL;
	AUTO(challenges_fini) struct vec list = VEC_OF(struct challenge);
	read_challenges(r, &list);
	if (!challenge_choose(&list) && !used)
		TRY(ping_for_challenge(c, base, &list));
	const struct challenge *ch = challenge_choose(&list);
	if (!ch)
		return NULL;
	pthread_mutex_lock(&ep->auth_lock);
	note(ep, ch);
	if (used)
		drop_token(ep, used);
	pthread_mutex_unlock(&ep->auth_lock);
	*again = !used || ch->scheme == CHALLENGE_BEARER;
	*asked = mem_strdup(ch->scope);
	return NULL;
}

void access_forget(struct endpoint *ep)
{
	pthread_mutex_lock(&ep->auth_lock);
	forget(ep);
	pthread_mutex_unlock(&ep->auth_lock);
}

char *access_story(struct endpoint *ep, const char *repository)
{
	AUTO_BUF struct buf out = {0};
	pthread_mutex_lock(&ep->auth_lock);
	const struct looked_up *l = map_get_c(ep->credentials, repository ? repository : "");
	if (!l) {
		buf_adds(&out, "no credentials were asked for");
	} else if (credential_found(&l->credential)) {
		buf_addf(&out, "the credentials from %s were used", l->credential.source);
	} else {
		buf_adds(&out, "no credentials were found in ");
		for (size_t i = 0; i < l->looked.len; i++)
			buf_addf(&out, "%s%s", i ? ", " : "", l->looked.ptr[i]);
	}
	pthread_mutex_unlock(&ep->auth_lock);
	return buf_steal(&out);
}
