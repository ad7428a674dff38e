/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token address of the distribution API: clients show a token here and get one that is for what they
 * want to do now alone. Those that show none get, where the registry may be read without, one that stands for
 * nobody. So docker, which sends no password it was not asked for, can both read as nobody and push as
 * somebody.
 */
#include "base/clock.h"
#include "server/api_internal.h"

#include <string.h>

static void refuse(struct api_call *c)
{
	http_set_header(c->x, "WWW-Authenticate", "Basic realm=\"cooper\"");
	api_error(c->x, 401, NULL, "a valid token as the password is needed");
}

/* end: of the token; refresh: what the client may show in place of a password from now on; NULL: none was
 * asked for. */
static void answer(struct api_call *c, const char *token, int64_t end, const char *refresh)
{
	int64_t issued = clock_now() / CLOCK_SECOND * CLOCK_SECOND;
	char now[CLOCK_TEXT_MAX];
	AUTO_JSON json_t *o = json_object();
	json_set_text(o, "token", token);
	json_set_text(o, "access_token", token);
	json_object_set_new(o, "expires_in", json_integer((end - issued) / CLOCK_SECOND));
	json_set_text(o, "issued_at", clock_rfc3339(issued, now));
	if (refresh)
		json_set_text(o, "refresh_token", refresh);
	api_reply(c->x, 200, o);
}

/* Half an hour, but not longer than the token. */
static int64_t end_of(const struct token *t)
{
	int64_t end = clock_now() + BEARER_LASTS;
	return t->expires && t->expires < end ? t->expires : end;
}

static struct err *issue(
	struct api_call *c, const struct caller *who, const struct grants *grants, const char *refresh)
{
	AUTO_BUF struct buf text = {0};
	struct bearer_key key;
	bool nobody = who->state == CALLER_NOBODY && c->api->auth->anonymous_pull;
	if (who->open || nobody) {
		answer(c, AUTH_NOBODY, clock_now() + BEARER_LASTS, NULL);
	} else if (who->state != CALLER_KNOWN || who->limited) {
		refuse(c);
	} else {
		TRY(auth_key(c->api->auth, &key));
		int64_t end = end_of(&who->token);
		bearer_write(&key, who->token.id, end, grants, &text);
		answer(c, buf_cstr(&text), end, refresh);
	}
	return NULL;
}

static const struct token *token_of(const struct caller *who)
{
	return who->state == CALLER_KNOWN && !who->open ? &who->token : NULL;
}

static void buf_wipe(struct buf *b)
{
	if (b->ptr)
		explicit_bzero(b->ptr, b->cap);
	buf_fini(b);
}

struct err *api_registry_token(struct api_call *c)
{
	AUTO(grants_fini) struct grants grants;
	grants_init(&grants);
	const char *scope;
	for (unsigned i = 0; (scope = http_query_at(c->x, "scope", i)); i++)
		grants_add_scope(&grants, token_of(c->caller), str_c(scope));
	bool offline = cstr_eq(http_query(c->x, "offline_token"), "true");
	AUTO(buf_wipe) struct buf shown = {0};
	if (offline && !auth_read_header(http_header(c->x, "Authorization"), &shown))
		offline = false;
	return issue(c, c->caller, &grants, offline && shown.len ? buf_cstr(&shown) : NULL);
}

static const char *field(const struct strvec *form, const char *name)
{
	for (size_t i = 0; i + 1 < form->len; i += 2)
		if (cstr_eq(form->ptr[i], name))
			return form->ptr[i + 1];
	return NULL;
}

static void wipe(struct strvec *form)
{
	for (size_t i = 0; i < form->len; i++)
		explicit_bzero(form->ptr[i], strlen(form->ptr[i]));
	strvec_fini(form);
}

/* The same by a form (OAuth 2, RFC 6749, 4.3 and 6), with the token as the password or the refresh token. */
struct err *api_registry_token_form(struct api_call *c)
{
	AUTO(wipe) struct strvec form = {0};
	AUTO(caller_fini) struct caller who;
	AUTO(grants_fini) struct grants grants;
	caller_init(&who);
	grants_init(&grants);
	if (!http_parse_form(buf_str(&c->body), &form))
		return err_new(ERR_INVALID, "the form has a malformed escape");
	if (c->body.len)
		explicit_bzero(c->body.ptr, c->body.len);
	const char *kind = field(&form, "grant_type"), *shown = NULL;
	if (cstr_eq(kind, "password"))
		shown = field(&form, "password");
	else if (cstr_eq(kind, "refresh_token"))
		shown = field(&form, "refresh_token");
	else
		return err_new(ERR_INVALID, "grant_type must be password or refresh_token");
	if (shown && *shown)
		who.state = CALLER_WRONG;
	TRY(auth_judge(c->api->auth, str_c(shown ? shown : ""), &who));
	for (size_t i = 0; i + 1 < form.len; i += 2)
		if (cstr_eq(form.ptr[i], "scope"))
			grants_add_scope(&grants, token_of(&who), str_c(form.ptr[i + 1]));
	return issue(c, &who, &grants, cstr_eq(field(&form, "access_type"), "offline") ? shown : NULL);
}
