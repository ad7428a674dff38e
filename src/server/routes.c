/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "server/routes_internal.h"

#include <stdlib.h>

#define FRONT_PAGE                                                                              \
	"cooper " COOPER_VERSION "\n\nThis is a container image registry, its API is at /v2/; " \
	"and a queue of releases: /api/v1/openapi.json says what it offers.\n"

/* Which part a request went to, and what that part keeps of it. */
struct routed {
	const struct http_handler *to; /* NULL: answered here */
	void *state;
};

static bool is_registry(const char *path)
{
	return cstr_eq(path, "/v2") || cstr_starts(path, "/v2/");
}

static bool is_api(const char *path)
{
	return cstr_eq(path, "/api") || cstr_starts(path, "/api/");
}

static void answer_text(struct http_exchange *x, int status, const char *text)
{
	struct str body = str_c(text);
	http_set_header(x, "Content-Type", "text/plain; charset=utf-8");
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	if (cstr_eq(http_method(x), "HEAD"))
		http_answer_head(x, status, body.len);
	else
		http_answer(x, status, body);
}

static void answer_own(struct http_exchange *x)
{
	const char *path = http_path(x), *method = http_method(x);
	if (!cstr_eq(path, "/")) {
		answer_text(x, 404, "There is nothing here.\n");
	} else if (!cstr_eq(method, "GET") && !cstr_eq(method, "HEAD")) {
		http_set_header(x, "Allow", "GET, HEAD");
		answer_text(x, 405, "Only GET and HEAD are offered here.\n");
	} else {
		answer_text(x, 200, FRONT_PAGE);
	}
}

static struct err *on_begin(void *ctx, struct http_exchange *x, void **state)
{
	struct routes *r = ctx;
	const struct http_handler *to = NULL;
	bool answered = false;
	metrics_begin(r->status->metrics, metric_route_of(http_path(x)));
	TRY(status_answer(r->status, x, &answered));
	if (answered)
		return NULL;
	if (is_registry(http_path(x))) {
		TRY(gate_registry(r, x, &to));
		if (!to)
			return NULL;
	} else if (is_api(http_path(x))) {
		to = r->api;
	} else {
		answer_own(x);
		return NULL;
	}
	struct routed *at = mem_new(struct routed);
	at->to = to;
	*state = at;
	return at->to->begin(at->to->ctx, x, &at->state);
}

static struct err *on_body(void *ctx, struct http_exchange *x, void *state, const void *p, size_t len)
{
	(void)ctx;
	struct routed *at = state;
	if (!at || !at->to->body)
		return NULL;
	return at->to->body(at->to->ctx, x, at->state, p, len);
}

static struct err *on_end(void *ctx, struct http_exchange *x, void *state)
{
	(void)ctx;
	struct routed *at = state;
	return at ? at->to->end(at->to->ctx, x, at->state) : NULL;
}

static void on_free(void *ctx, void *state)
{
	(void)ctx;
	struct routed *at = state;
	if (at && at->to->free_state)
		at->to->free_state(at->to->ctx, at->state);
	free(at);
}

static void on_done(void *ctx, const struct http_exchange *x, const struct http_outcome *how)
{
	struct routes *r = ctx;
	const struct caller *c = http_note(x);
	metrics_done(r->status->metrics, metric_route_of(http_path(x)), http_method(x), how);
	if (!r->status->log)
		return;
	const struct access_entry e = {
		.time = clock_now(),
		.duration = how->duration,
		.peer = http_peer(x),
		.method = http_method(x),
		/* without the query, which may hold what was signed for somebody */
		.path = http_path(x),
		.agent = http_header(x, "User-Agent"),
		.token = c ? c->token.name : NULL,
		.status = how->status,
		.received = how->received,
		.sent = how->sent,
		.cut = how->cut,
	};
	access_log_add(r->status->log, &e);
}

static void on_error(void *ctx, struct http_exchange *x, struct err *e)
{
	struct routes *r = ctx;
	const struct http_handler *of = is_registry(http_path(x)) ? registry_handler(r->registry)
					: is_api(http_path(x))    ? r->api
								  : NULL;
	if (of) {
		of->on_error(of->ctx, x, e);
		return;
	}
	AUTO_FREE char *text = err_text(e);
	int status = err_http_status(e);
	err_free(e);
	answer_text(x, status, text);
}

void routes_init(struct routes *r)
{
	gate_init(r);
	r->handler = (struct http_handler){
		.begin = on_begin,
		.body = on_body,
		.end = on_end,
		.free_state = on_free,
		.done = on_done,
		.on_error = on_error,
		.ctx = r,
	};
}
