/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session over HTTP, as clients expect it: POST /query with a JSON body, Basic authorization whose user
 * is the token. A client that goes away has its work cancelled: one thread watches the sockets of all
 * requests under way.
 */
#include "base/base64.h"
#include "base/mem.h"
#include "dagger/resolve_internal.h"
#include "http/server.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)256 << 20)
#define WATCH_MS 100

struct dagger_server {
	struct dagger *d;
	struct http_server *http;
	char *authorization; /* the header that lets in */
	struct cancel *stopping;
	pthread_t watcher;
	bool watching;
	pthread_mutex_t lock;
	struct vec active; /* of struct posted *; under lock */
};

struct posted {
	struct dagger_server *server;
	struct buf body;
	struct cancel *cancel;
	int socket;
};

/* ---- clients that go away ---- */

static void watch_once(struct dagger_server *s)
{
	pthread_mutex_lock(&s->lock);
	size_t count = s->active.len;
	AUTO_FREE struct pollfd *fds = mem_array(count + 1, sizeof(*fds));
	for (size_t i = 0; i < count; i++) {
		const struct posted *p = *(struct posted **)vec_at(&s->active, i);
		fds[i] = (struct pollfd){.fd = p->socket, .events = POLLRDHUP};
	}
	if (count && poll(fds, count, 0) > 0)
		for (size_t i = 0; i < count; i++)
			if (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR))
				cancel_set((*(struct posted **)vec_at(&s->active, i))->cancel);
	pthread_mutex_unlock(&s->lock);
}

static void *watch(void *arg)
{
	struct dagger_server *s = arg;
	struct pollfd stop = {.fd = cancel_fd(s->stopping), .events = POLLIN};

	while (poll(&stop, 1, WATCH_MS) == 0)
		watch_once(s);
	return NULL;
}

static void enlist(struct posted *p)
{
	pthread_mutex_lock(&p->server->lock);
	vec_push_copy(&p->server->active, &p);
	pthread_mutex_unlock(&p->server->lock);
}

static void delist(struct posted *p)
{
	struct vec *active = &p->server->active;

	pthread_mutex_lock(&p->server->lock);
	for (size_t i = active->len; i-- > 0;)
		if (*(struct posted **)vec_at(active, i) == p)
			vec_remove(active, i);
	pthread_mutex_unlock(&p->server->lock);
}

/* ---- requests ---- */

/* In a time that does not tell how much of it is right. */
static bool same_secret(const char *a, const char *b)
{
	size_t n = strlen(b);
	unsigned char differs = strlen(a) != n;

	for (size_t i = 0; i < n && a[i]; i++)
		differs |= (unsigned char)(a[i] ^ b[i]);
	return !differs;
}

static struct err *begin(void *ctx, struct http_exchange *x, void **state)
{
	struct dagger_server *s = ctx;
	const char *given = http_header(x, "Authorization");

	if (!given || !same_secret(given, s->authorization)) {
		http_set_header(x, "WWW-Authenticate", "Basic realm=\"cooper session\"");
		http_answer(x, 401, (struct str){"", 0});
		return NULL;
	}
	if (!cstr_eq(http_path(x), "/query")) {
		http_answer(x, 404, STR("there is only /query\n"));
		return NULL;
	}
	if (!cstr_eq(http_method(x), "POST")) {
		http_set_header(x, "Allow", "POST");
		http_answer(x, 405, STR("use POST\n"));
		return NULL;
	}
	if (http_content_length(x) > (int64_t)BODY_MAX) {
		http_answer(x, 413, STR("a query may have 256 MiB\n"));
		return NULL;
	}
	struct posted *p = mem_new(struct posted);
	p->server = s;
	p->cancel = cancel_new();
	p->socket = http_socket(x);
	*state = p;
	return NULL;
}

static struct err *body(void *ctx, struct http_exchange *x, void *state, const void *bytes, size_t len)
{
	struct posted *p = state;
	(void)ctx;

	if (p->body.len + len > BODY_MAX) {
		http_answer(x, 413, STR("a query may have 256 MiB\n"));
		return NULL;
	}
	if (!p->body.len && http_content_length(x) > 0)
		buf_reserve(&p->body, (size_t)http_content_length(x) + 1);
	buf_add(&p->body, bytes, len);
	return NULL;
}

static void refuse(struct http_exchange *x, const char *why)
{
	AUTO_BUF struct buf out = {0};

	buf_adds(&out, "{\"errors\":[{\"message\":");
	buf_add_json(&out, str_c(why));
	buf_adds(&out, "}]}");
	http_set_header(x, "Content-Type", "application/json");
	http_answer(x, 400, buf_str(&out));
}

static struct err *execute(struct posted *p, json_t *request, struct buf *out)
{
	const json_t *query = json_object_get(request, "query");
	const char *operation = json_string_value(json_object_get(request, "operationName"));
	const json_t *variables = json_object_get(request, "variables");

	return dagger_execute(p->server->d, str_n(json_string_value(query), json_string_length(query)),
		str_c(operation), json_is_object(variables) ? variables : NULL, p->cancel, out);
}

static struct err *end(void *ctx, struct http_exchange *x, void *state)
{
	struct posted *p = state;
	AUTO_BUF struct buf out = {0};
	(void)ctx;

	AUTO_JSON json_t *request =
		json_loadb(p->body.ptr ? p->body.ptr : "", p->body.len, JSON_ALLOW_NUL, NULL);
	buf_fini(&p->body);
	if (!json_is_object(request) || !json_is_string(json_object_get(request, "query"))) {
		refuse(x, "the body is not a JSON object with a \"query\"");
		return NULL;
	}
	const json_t *variables = json_object_get(request, "variables");
	if (variables && !json_is_object(variables) && !json_is_null(variables)) {
		refuse(x, "\"variables\" is not an object");
		return NULL;
	}
	enlist(p);
	struct err *e = execute(p, request, &out);
	delist(p);
	TRY(e);
	http_set_header(x, "Content-Type", "application/json");
	http_answer(x, 200, buf_str(&out));
	return NULL;
}

static void free_state(void *ctx, void *state)
{
	struct posted *p = state;
	(void)ctx;

	if (!p)
		return;
	buf_fini(&p->body);
	cancel_free(p->cancel);
	mem_freep(&p);
}

/* ---- life ---- */

static char *basic(const char *token)
{
	AUTO_FREE char *pair = mem_printf("%s:", token);
	AUTO_BUF struct buf b = {0};

	buf_adds(&b, "Basic ");
	base64_add(&b, str_c(pair));
	return buf_steal(&b);
}

struct err *dagger_serve(struct dagger *d, const char *token, struct dagger_server **out)
{
	struct dagger_server *s = mem_new(struct dagger_server);
	const struct http_server_options opt = {.listen = "127.0.0.1:0", .idle_timeout_s = 24 * 3600};
	const struct http_handler handler = {
		.begin = begin, .body = body, .end = end, .free_state = free_state, .ctx = s};

	s->d = d;
	s->authorization = basic(token);
	s->stopping = cancel_new();
	s->active = VEC_OF(struct posted *);
	pthread_mutex_init(&s->lock, NULL);
	struct err *e = http_server_start(&opt, &handler, &s->http);
	if (e) {
		dagger_server_stop(s);
		return e;
	}
	s->watching = pthread_create(&s->watcher, NULL, watch, s) == 0;
	*out = s;
	return NULL;
}

unsigned dagger_server_port(const struct dagger_server *s)
{
	return http_server_port(s->http);
}

void dagger_server_stop(struct dagger_server *s)
{
	if (!s)
		return;
	cancel_set(s->stopping);
	if (s->watching)
		pthread_join(s->watcher, NULL);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->active.len; i++)
		cancel_set((*(struct posted **)vec_at(&s->active, i))->cancel);
	pthread_mutex_unlock(&s->lock);
	if (s->http)
		http_server_stop(s->http, 0);
	vec_fini(&s->active);
	cancel_free(s->stopping);
	pthread_mutex_destroy(&s->lock);
	explicit_bzero(s->authorization, strlen(s->authorization));
	mem_freep(&s->authorization);
	mem_freep(&s);
}
