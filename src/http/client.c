/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "http/client_internal.h"
#include "http/driver.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CA_MAX ((size_t)8 << 20)

/* ---- the client ---- */

static void free_bundle(void *p)
{
	struct buf *b = p;
	buf_fini(b);
	mem_freep(&b);
}

static const char *ca_from_environment(void)
{
	const char *const names[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *file = getenv(names[i]);
		if (file && *file)
			return file;
	}
	return NULL;
}

struct err *http_client_new(const struct http_client_options *opt, struct http_client **out)
{
	struct http_client_options none = {0};
	if (!opt)
		opt = &none;
	const struct curl_lib *lib;
	TRY(curl_lib_get(&lib));
	struct http_client *c = mem_new(struct http_client);
	c->lib = lib;
	c->ca_file = mem_strdup(opt->ca_file ? opt->ca_file : ca_from_environment());
	c->ca_alone = !opt->ca_file;
	c->user_agent = mem_strdup(opt->user_agent ? opt->user_agent : "cooper/" COOPER_VERSION);
	c->connect_timeout = opt->connect_timeout ? opt->connect_timeout : 30 * CLOCK_SECOND;
	c->stall_timeout = opt->stall_timeout ? opt->stall_timeout : 60 * CLOCK_SECOND;
	c->bundles = map_new(free_bundle);
	pthread_mutex_init(&c->lock, NULL);
	*out = c;
	return NULL;
}

static void free_slot(struct http_client *c, struct slot *s)
{
	c->lib->curl_easy_cleanup(s->easy);
	c->lib->curl_multi_cleanup(s->multi);
	mem_freep(&s->origin);
	mem_freep(&s);
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	driver_free(c->driver);
	for (size_t i = 0; i < c->idle_count; i++)
		free_slot(c, c->idle[i]);
	map_free(c->bundles);
	pthread_mutex_destroy(&c->lock);
	mem_freep(&c->ca_file);
	mem_freep(&c->user_agent);
	mem_freep(&c);
}

void http_client_freep(struct http_client **c)
{
	http_client_free(*c);
	*c = NULL;
}

/* ---- transfers at rest: each keeps its connections, so one that talked to the same origin is the best ----
 */

static char *origin_of(const struct url *u)
{
	return mem_printf("%s://%s:%u", u->scheme, u->host, u->port);
}

struct err *client_take_slot(struct http_client *c, const char *url, struct slot **out)
{
	AUTO(url_fini) struct url u = {0};
	TRY(url_parse(url, &u));
	char *origin = origin_of(&u);
	struct slot *s = NULL;
	pthread_mutex_lock(&c->lock);
	for (size_t i = c->idle_count; i-- > 0;) {
		if (!cstr_eq(c->idle[i]->origin, origin) && i > 0)
			continue;
		/* The oldest serves another origin too: its connections stay good for theirs. */
		s = c->idle[i];
		memmove(c->idle + i, c->idle + i + 1, (c->idle_count - i - 1) * sizeof(c->idle[0]));
		c->idle_count--;
		break;
	}
	pthread_mutex_unlock(&c->lock);
	if (!s) {
		s = mem_new(struct slot);
		s->multi = c->lib->curl_multi_init();
		s->easy = c->lib->curl_easy_init();
	}
	mem_freep(&s->origin);
	s->origin = origin;
	if (!s->multi || !s->easy) {
		free_slot(c, s);
		return err_new(ERR_IO, "libcurl has no memory for a transfer");
	}
	*out = s;
	return NULL;
}

void client_give_slot(struct http_client *c, struct slot *s, bool keep)
{
	c->lib->curl_easy_reset(s->easy);
	pthread_mutex_lock(&c->lock);
	if (keep && c->idle_count < SLOTS_MAX) {
		c->idle[c->idle_count++] = s;
		s = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	if (s)
		free_slot(c, s);
}

/* ---- certificates ---- */

static struct err *add_file(const char *file, struct buf *out)
{
	TRY(file_read(AT_FDCWD, file, CA_MAX, out));
	buf_addc(out, '\n');
	return NULL;
}

static struct err *add_folder(const char *folder, struct buf *out)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(AT_FDCWD, folder, &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *file = path_join(folder, names.ptr[i]);
		if (cstr_ends(file, ".crt"))
			TRY(add_file(file, out));
	}
	return NULL;
}

static struct err *add_pem(const char *path, struct buf *out)
{
	struct stat st;
	bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	struct err *e = folder ? add_folder(path, out) : add_file(path, out);
	return e ? err_wrap(e, "reading CA certificates") : NULL;
}

static const char *system_bundle(const struct http_client *c)
{
	const curl_version_info_data *info = c->lib->curl_version_info(CURLVERSION_NOW);
	const char *const places[] = {info ? info->cainfo : NULL, "/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (places[i] && access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}

static struct err *build_bundle(struct http_client *c, const char *ca_file, struct buf *out)
{
	TRY(add_pem(ca_file, out));
	const char *usual[] = {ca_from_environment(), NULL};
	if (c->ca_file && !cstr_eq(c->ca_file, usual[0]))
		usual[1] = c->ca_file;
	if (!usual[0])
		usual[0] = system_bundle(c);
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (usual[i] && !cstr_eq(usual[i], ca_file))
			TRY(add_pem(usual[i], out));
	return NULL;
}

struct err *client_ca_bundle(struct http_client *c, const char *ca_file, struct str *out)
{
	pthread_mutex_lock(&c->lock);
	struct buf *b = map_get_c(c->bundles, ca_file);
	struct err *e = NULL;
	if (!b) {
		b = mem_new(struct buf);
		e = build_bundle(c, ca_file, b);
		if (e)
			free_bundle(b);
		else
			map_set_c(c->bundles, ca_file, b);
	}
	if (!e)
		*out = buf_str(b);
	pthread_mutex_unlock(&c->lock);
	return e;
}

/* ---- responses ---- */

void http_response_fini(struct http_response *r)
{
	strvec_fini(&r->headers);
	buf_fini(&r->body);
	mem_freep(&r->final_url);
	*r = (struct http_response){0};
}

const char *http_response_header(const struct http_response *r, const char *name, unsigned n)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < r->headers.len; i++) {
		const char *h = r->headers.ptr[i];
		if (strncasecmp(h, name, len) != 0 || h[len] != ':' || n-- > 0)
			continue;
		h += len + 1;
		return h + strspn(h, " \t");
	}
	return NULL;
}

/* ---- requests with redirects ---- */

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* May what was meant for the first origin go to the second? The step from plain HTTP to HTTPS on one host is
 * no other origin. */
static bool same_origin(const char *from, const char *to)
{
	AUTO(url_fini) struct url a = {0}, b = {0};
	struct err *bad = err_first(url_parse(from, &a), url_parse(to, &b));
	if (bad) {
		err_ignore(bad, "what cannot be read is another origin");
		return false;
	}
	if (!cstr_eq(a.host, b.host))
		return false;
	if (cstr_eq(a.scheme, b.scheme))
		return a.port == b.port;
	return cstr_eq(a.scheme, "http") && a.port == 80 && b.port == 443;
}

static struct err *rewind_request_body(const struct http_request *rq)
{
	if (!rq->read_body)
		return NULL;
	if (!rq->rewind_body)
		return err_new(ERR_UNAVAILABLE, "the body cannot be sent a second time");
	return rq->rewind_body(rq->body_ctx);
}

/* The next hop after a redirect. *url (the present one) is replaced. */
static struct err *follow(
	const struct http_request *rq, const struct http_response *r, struct hop *hop, char **url)
{
	const char *location = http_response_header(r, "Location", 0);
	char *next = NULL;
	TRY(url_resolve(*url, location, &next));
	mem_freep(url);
	*url = next;
	hop->url = next;
	hop->same_origin = hop->same_origin && same_origin(rq->url, next);
	if (!hop->same_origin)
		hop->trust = (struct http_trust){0};
	if (!hop->same_origin && rq->trust_of)
		TRY(rq->trust_of(rq->trust_ctx, next, &hop->trust));
	bool was_post = cstr_eq(hop->method, "POST");
	if (r->status == 303 || (was_post && (r->status == 301 || r->status == 302))) {
		hop->method = cstr_eq(hop->method, "HEAD") ? "HEAD" : "GET";
		hop->with_body = false;
	}
	return hop->with_body ? rewind_request_body(rq) : NULL;
}

/* The server that led there is well, and it is no news that nobody listens there. */
static struct err *gone_astray(struct err *e)
{
	int sysno = err_sysno(e);
	bool nobody = sysno == ECONNREFUSED || sysno == ENETUNREACH || sysno == EHOSTUNREACH;
	return nobody ? err_with_tries(e, 2) : e;
}

static struct err *send_hops(
	struct http_client *c, const struct http_request *rq, struct http_response *r, char **url)
{
	struct hop hop = {.url = *url,
		.method = rq->method,
		.with_body = true,
		.same_origin = true,
		.trust = rq->trust};
	for (unsigned hops = 0;; hops++) {
		struct err *e = transfer_run(c, rq, &hop, r);
		if (e)
			return hops ? gone_astray(e) : e;
		if (!rq->max_redirects || !is_redirect(r->status) || !http_response_header(r, "Location", 0))
			return NULL;
		if (hops == rq->max_redirects)
			return err_new(ERR_INVALID, "more than %u redirects", rq->max_redirects);
		TRY(follow(rq, r, &hop, url));
		strvec_clear(&r->headers);
		buf_clear(&r->body);
	}
}

struct err *http_send(struct http_client *c, const struct http_request *rq, struct http_response *r)
{
	AUTO_FREE char *url = mem_strdup(rq->url);
	struct err *e = cancel_check(rq->cancel);
	if (!e)
		e = send_hops(c, rq, r, &url);
	mem_freep(&r->final_url);
	r->final_url = steal(&url);
	if (!e)
		return NULL;
	AUTO_FREE char *shown = url_for_message(r->final_url);
	return err_wrap(e, "%s %s", rq->method, shown);
}
