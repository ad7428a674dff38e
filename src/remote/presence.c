/* SPDX-License-Identifier: Apache-2.0 */
/* Is what a reference names in the registry? Asked by one HEAD that changes nothing and goes nowhere else. */
#include "base/mem.h"
#include "remote/access.h"
#include "remote/remote_internal.h"

#include <string.h>
#include <strings.h>

/* A checker asks for many at once: one that does not answer must not cost minutes. */
#define TRIES 2
#define HOPS_MAX 3

static const struct transfer_io no_io;

void presence_fini(struct presence *p)
{
	mem_freep(&p->why);
	mem_freep(&p->hint);
	*p = (struct presence){0};
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* *next: where a redirect within the registry leads; NULL when r is the answer. A redirect elsewhere is an
 * answer with a why. */
static struct err *follow(const struct http_response *r, int hops, char **next, struct presence *out)
{
	*next = NULL;
	const char *location = http_response_header(r, "Location", 0);
	if (!is_redirect(r->status) || !location)
		return NULL;
	AUTO_FREE char *url = NULL;
	TRY(url_resolve(r->final_url, location, &url));
	AUTO_FREE char *shown = url_for_message(url);
	if (!urls_same_origin(url, r->final_url))
		out->why = mem_printf("HTTP %d: a redirect to %s, which is another host and is not followed",
			r->status, shown);
	else if (hops == HOPS_MAX)
		out->why = mem_printf("HTTP %d: more than %d redirects", r->status, HOPS_MAX);
	else
		*next = steal(&url);
	return NULL;
}

static struct err *ask_through(const struct call *first, struct http_response *r, struct presence *out)
{
	struct call c = *first;
	AUTO_FREE char *at = NULL;
	for (int hops = 0;; hops++) {
		char *next = NULL;
		TRY(call_run(&c, r));
		TRY(follow(r, hops, &next, out));
		if (!next)
			return NULL;
		mem_freep(&at);
		c.path = at = next;
		http_response_fini(r);
	}
}

static void told_digest(const struct http_response *r, struct digest *out)
{
	const char *text = http_response_header(r, "Docker-Content-Digest", 0);
	struct err *e = text ? digest_parse(str_c(text), out) : NULL;
	if (e)
		err_ignore(e, "a digest that is none is as if it was not told");
}

/* What an answer other than a redirect elsewhere says. */
static void judge(const struct call *c, const struct http_response *r, struct presence *out)
{
	out->status = r->status;
	const char *type = http_response_header(r, "Content-Type", 0);
	if (out->why || r->status == 404)
		return;
	if (r->status == 200 && type && strncasecmp(type, "text/html", 9) == 0)
		out->why = mem_strdup("the answer is a page of HTML, not a manifest");
	else if (r->status == 200)
		told_digest(r, &out->digest);
	else
		out->why = mem_printf("HTTP %d", r->status);
	if (r->status != 200) {
		struct err *e = answer_error(c, r);
		out->hint = mem_strdup(err_hint_text(e));
		err_free(e);
	}
}

static struct err *look(const struct route *route, const struct reference *ref, const char *method,
	const struct transfer_io *io, struct http_response *r, struct presence *out)
{
	char text[DIGEST_TEXT_MAX];
	const char *what = ref->tag ? ref->tag : digest_text(&ref->digest, text);
	AUTO_FREE char *path = mem_printf("/v2/%s/manifests/%s", route->repository, what);
	const struct call c = {.endpoint = route->endpoint,
		.repository = route->repository,
		.actions = "pull",
		.method = method,
		.path = path,
		.headers = {TAKES_MANIFESTS},
		.no_redirects = true,
		.tries = TRIES,
		.max_body = MANIFEST_MAX,
		.io = io};
	TRY(ask_through(&c, r, out));
	judge(&c, r, out);
	return NULL;
}

static struct err *look_for(const struct route *route, const struct reference *ref, bool want_digest,
	const struct transfer_io *io, struct presence *out)
{
	AUTO(http_response_fini) struct http_response head = {0};
	AUTO(http_response_fini) struct http_response get = {0};
	TRY(look(route, ref, "HEAD", io, &head, out));
	if (out->status != 200 || out->why || !want_digest || digest_is_set(&out->digest))
		return NULL;
	/* The header is optional: then the bytes tell. */
	TRY(look(route, ref, "GET", io, &get, out));
	if (out->status == 200 && !out->why)
		digest_of(get.body.ptr ? get.body.ptr : "", get.body.len, &out->digest);
	return NULL;
}

struct err *remote_presence(struct remote *r, const struct reference *ref, bool want_digest,
	const struct transfer_io *io, struct presence *out)
{
	struct route route = {0};
	struct presence p = {0};
	TRY(route_for_push(r, ref, &route));
	struct err *e = look_for(&route, ref, want_digest, io ? io : &no_io, &p);
	route_fini(&route);
	if (err_kind(e) == ERR_CANCELED) {
		presence_fini(&p);
		return e;
	}
	if (e) {
		presence_fini(&p);
		p.why = err_text(e);
		p.hint = mem_strdup(err_hint_text(e));
		err_free(e);
	}
	*out = p;
	return NULL;
}
