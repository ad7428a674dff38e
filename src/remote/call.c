/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "remote/access.h"
#include "remote/remote_internal.h"

#include <string.h>

#define REDIRECTS_MAX 10

static struct err *rewind_body(const struct call *c)
{
	if (!c->read_body)
		return NULL;
	if (!c->rewind_body)
		return err_new(ERR_UNAVAILABLE, "the body cannot be sent a second time");
	return c->rewind_body(c->body_ctx);
}

static struct err *send_with(const struct call *c, const char *base, const char *url,
	const char *authorization, struct http_response *r)
{
	struct endpoint *ep = c->endpoint;
	struct http_client *http;
	bool ours = !c->foreign;
	struct http_trust trust;
	TRY(remote_http(ep->remote, &http));
	TRY(endpoint_trust_at(ep, c->foreign ? NULL : base, url, &trust));
	AUTO_STRVEC struct strvec headers = {0};
	strvec_push_all(&headers, c->headers);
	/* Digests and ranges are of the bytes as they are. */
	strvec_push(&headers, "Accept-Encoding: identity");
	if (ours && c->io->header)
		strvec_push(&headers, c->io->header);
	if (authorization)
		strvec_push(&headers, authorization);
	const struct http_request rq = {.method = c->method,
		.url = url,
		.headers = strvec_list(&headers),
		.body = c->body,
		.read_body = c->read_body,
		.rewind_body = c->rewind_body,
		.body_ctx = c->body_ctx,
		.body_size = c->body_size,
		.write_body = c->write_body,
		.write_ctx = c->write_ctx,
		.max_body = c->max_body,
		.max_redirects = c->no_redirects ? 0 : REDIRECTS_MAX,
		.trust = trust,
		.trust_of = remote_trust_of,
		.trust_ctx = ep->remote,
		.cancel = c->io->cancel};
	return http_send(http, &rq, r);
}

struct err *hint_at_setting(const struct endpoint *ep, const char *base, const char *url, struct err *e)
{
	if (!error_may_pass(e) && err_kind(e) != ERR_INVALID)
		return e;
	if (!url || !cstr_starts(url, "https:"))
		return e;
	AUTO_FREE char *other = urls_same_origin(url, base) ? NULL : authority_of(url);
	const char *name = other ? other : ep->name;
	AUTO_FREE char *text = err_text(e);
	if (err_kind(e) == ERR_INVALID && strstr(text, "certificate"))
		return err_hint(e,
			"if %s has a certificate of your own CA, put its PEM file at "
			"/etc/containers/certs.d/%s/ca.crt, or name it in config.yaml: registries: {\"%s\": "
			"{ca: FILE}}",
			name, name, name);
	if (strstr(text, "SSL") || strstr(text, "TLS"))
		return err_hint(e,
			"if %s speaks plain HTTP, say so in config.yaml: registries: {\"%s\": {plain-http: "
			"true}}",
			name, name);
	return e;
}

struct err *call_once(const struct call *c, struct http_response *r)
{
	AUTO_FREE char *base = NULL, *url = NULL, *asked = NULL;
	if (c->io->refusal)
		*c->io->refusal = (struct remote_refusal){0};
	TRY(endpoint_base(c->endpoint, c->io, &base));
	url = c->path[0] == '/' ? mem_printf("%s%s", base, c->path) : mem_strdup(c->path);
	/* A place that the registry named elsewhere gets its bytes, never its credentials. */
	bool ours = !c->foreign && urls_same_origin(url, base);
	for (int tries = 0;; tries++) {
		AUTO_FREE char *authorization = NULL;
		if (ours)
			TRY(access_header(c, base, asked, &authorization));
		struct err *e = send_with(c, base, url, authorization, r);
		if (e)
			return hint_at_setting(c->endpoint, base, r->final_url, e);
		atomic_store(&c->endpoint->answered, true);
		bool again = false;
		if (r->status != 401 || tries == 2 || !ours)
			return NULL;
		mem_freep(&asked);
		TRY(access_refused(c, base, r, authorization, &again, &asked));
		/* A token that was good a moment ago is renewed once; then the answer stands. */
		if (!again || (authorization && tries == 1))
			return NULL;
		TRY(rewind_body(c));
		http_response_fini(r);
	}
}

struct err *call_run(const struct call *c, struct http_response *r)
{
	struct retry retry = {.endpoint = c->endpoint, .io = c->io, .most = c->tries};
	for (;;) {
		struct err *e = call_once(c, r);
		if (!e && !status_may_pass(r->status))
			return NULL;
		bool again = false;
		struct err *stop = retry_wait(&retry, r, e, &again);
		if (stop || !again)
			return stop ? err_first(stop, e) : e;
		err_free(e);
		http_response_fini(r);
		TRY(rewind_body(c));
	}
}
