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

void caller_fini(struct caller *c)
{
	mem_freep(&c->name);
	*c = (struct caller){0};
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

static struct err *judge(struct auth *a, struct str shown, struct caller *out)
{
	AUTO(token_fini) struct token t = {0};
	bool found = false, any = true;
	if (shown.len)
		TRY(token_check(a->store, shown, &t, &found));
	if (found) {
		note_use(a, t.id);
		*out = (struct caller){.state = CALLER_KNOWN, .name = steal(&t.name), .scopes = t.scopes};
		if (out->scopes & SCOPE_ADMIN)
			out->scopes = SCOPE_ALL;
		return NULL;
	}
	if (a->open_allowed)
		TRY(tokens_exist(a->store, &any));
	if (!any)
		*out = (struct caller){.state = CALLER_KNOWN, .scopes = SCOPE_ALL, .open = true};
	return NULL;
}

struct err *auth_check(struct auth *a, const struct http_exchange *x, struct caller *out)
{
	AUTO_BUF struct buf token = {0};
	const char *header = http_header(x, "Authorization");
	struct caller c = {.state = CALLER_NOBODY};
	if (header && (!auth_read_header(header, &token) || token.len))
		c.state = CALLER_WRONG;
	struct err *e = judge(a, buf_str(&token), &c);
	if (token.ptr)
		explicit_bzero(token.ptr, token.len);
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
