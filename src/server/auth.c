/* SPDX-License-Identifier: Apache-2.0 */
#include "server/auth_internal.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"

#include <string.h>
#include <strings.h>

#define HEADER_MAX 4096

static void free_time(void *p)
{
	mem_freep(&p);
}

void auth_init(struct auth *a, struct store *s)
{
	*a = (struct auth){.store = s, .used = map_new(free_time)};
	pthread_mutex_init(&a->lock, NULL);
}

void auth_fini(struct auth *a)
{
	map_free(a->used);
	explicit_bzero(&a->key, sizeof(a->key));
	pthread_mutex_destroy(&a->lock);
}

static void note_use(struct auth *a, const char *id)
{
	int64_t *when = mem_new(int64_t);
	*when = clock_now();
	pthread_mutex_lock(&a->lock);
	map_set_c(a->used, id, when);
	pthread_mutex_unlock(&a->lock);
}

struct err *auth_flush(struct auth *a)
{
	pthread_mutex_lock(&a->lock);
	AUTO(map_freep) struct map *used = a->used;
	a->used = map_new(free_time);
	pthread_mutex_unlock(&a->lock);
	struct str id;
	void *when;
	for (size_t i = 0; map_next(used, &i, &id, &when);)
		TRY(token_used(a->store, id.ptr, *(int64_t *)when));
	return NULL;
}

void caller_init(struct caller *c)
{
	*c = (struct caller){.state = CALLER_NOBODY};
	grants_init(&c->grants);
}

void caller_fini(struct caller *c)
{
	token_fini(&c->token);
	grants_fini(&c->grants);
	*c = (struct caller){0};
}

static void caller_free(void *p)
{
	struct caller *c = p;
	caller_fini(c);
	mem_freep(&c);
}

unsigned caller_rights(const struct caller *c, const char *repository)
{
	return *repository ? token_rights(&c->token, repository) : token_rights_anywhere(&c->token);
}

unsigned caller_granted(const struct caller *c, const char *repository)
{
	return c->limited ? grants_of(&c->grants, repository) : ~0u;
}

struct err *auth_key(struct auth *a, struct bearer_key *out)
{
	pthread_mutex_lock(&a->lock);
	*out = a->key;
	pthread_mutex_unlock(&a->lock);
	if (*out->text)
		return NULL;
	TRY(bearer_key_get(a->store, out));
	pthread_mutex_lock(&a->lock);
	a->key = *out;
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* "scheme" and what follows its blanks. */
static bool has_scheme(struct str header, const char *scheme, struct str *rest)
{
	size_t len = strlen(scheme);
	if (header.len <= len || !str_eq_nocase(str_n(header.ptr, len), scheme) || header.ptr[len] != ' ')
		return false;
	*rest = str_trim(str_skip(header, len));
	return true;
}

bool auth_read_header(const char *header, struct buf *token)
{
	struct str text = str_trim(str_c(header)), rest;
	if (text.len > HEADER_MAX)
		return false;
	if (has_scheme(text, "Bearer", &rest)) {
		if (!str_eq_c(rest, AUTH_NOBODY))
			buf_addstr(token, rest);
		return true;
	}
	if (!has_scheme(text, "Basic", &rest))
		return false;
	AUTO_BUF struct buf pair = {0};
	struct err *e = base64_decode(rest, &pair);
	if (e) {
		err_free(e);
		return false;
	}
	struct str both = buf_str(&pair);
	ptrdiff_t colon = str_index(both, ':');
	if (colon < 0)
		return false;
	/* Some clients send ":" when they are asked for a password and have none. */
	struct str password = str_skip(both, (size_t)colon + 1);
	if (password.len)
		buf_addstr(token, password);
	else if (colon > 0)
		return false;
	explicit_bzero(pair.ptr, pair.len);
	return true;
}

/* The token behind a bearer token, and what that grants. */
static struct err *judge_bearer(struct auth *a, struct str shown, struct caller *out, bool *found)
{
	char id[TOKEN_ID_LEN + 1];
	struct bearer_key key;
	TRY(auth_key(a, &key));
	*found = false;
	if (bearer_read(&key, shown, clock_now(), id, &out->grants))
		TRY(token_by_id(a->store, id, &out->token, found));
	out->limited = *found;
	return NULL;
}

struct err *auth_judge(struct auth *a, struct str shown, struct caller *out)
{
	bool found = false, any = true;
	if (str_starts(shown, BEARER_PREFIX))
		TRY(judge_bearer(a, shown, out, &found));
	else if (shown.len)
		TRY(token_check(a->store, shown, &out->token, &found));
	if (found) {
		note_use(a, out->token.id);
		out->state = CALLER_KNOWN;
		if (out->token.scopes & SCOPE_ADMIN)
			out->token.scopes = SCOPE_ALL;
		return NULL;
	}
	token_fini(&out->token);
	if (a->open_allowed)
		TRY(tokens_exist(a->store, &any));
	if (!any) {
		out->state = CALLER_KNOWN;
		out->token.scopes = SCOPE_ALL;
		out->open = true;
	}
	return NULL;
}

struct err *auth_check(struct auth *a, const struct http_exchange *x, struct caller *out)
{
	caller_init(out);
	AUTO_BUF struct buf token = {0};
	const char *header = http_header(x, "Authorization");
	if (header && (!auth_read_header(header, &token) || token.len))
		out->state = CALLER_WRONG;
	struct err *e = auth_judge(a, buf_str(&token), out);
	if (token.ptr)
		explicit_bzero(token.ptr, token.len);
	return e;
}

struct err *auth_caller(struct auth *a, struct http_exchange *x, const struct caller **out)
{
	struct caller *c = mem_new(struct caller);
	struct err *e = auth_check(a, x, c);
	http_set_note(x, c, caller_free);
	TRY(e);
	*out = c;
	return NULL;
}

bool auth_listen_is_loopback(const char *listen)
{
	struct str host = str_c(listen);
	ptrdiff_t colon = str_rindex(host, ':');
	if (colon >= 0)
		host.len = (size_t)colon;
	if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = str_n(host.ptr + 1, host.len - 2);
	AUTO_FREE char *name = mem_strndup(host.ptr, host.len);
	return host_is_loopback(name);
}
