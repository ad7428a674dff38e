/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "http/driver.h"
#include "http/transfer_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_MAX ((size_t)4 << 20)
/* Of an answer that refuses: the rest is not worth reading. */
#define REFUSAL_MAX ((size_t)1 << 20)
#define HEADERS_MAX ((size_t)256 << 10)
#define RECEIVE_BUFFER (512L << 10)
#define SEND_BUFFER (1024L << 10)

static bool is_success(int status)
{
	return status >= 200 && status < 300;
}

/* ---- callbacks ---- */

static bool parse_status(struct str line, int *status)
{
	ptrdiff_t blank = str_index(line, ' ');
	uint64_t number;
	if (blank < 0 || line.len < (size_t)blank + 4)
		return false;
	if (!str_to_u64(str_n(line.ptr + blank + 1, 3), &number) || number < 100)
		return false;
	*status = (int)number;
	return true;
}

static size_t on_header(char *p, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * count;
	struct str line = str_trim(str_n(p, len));
	t->last_active = clock_monotonic();
	t->header_bytes += len;
	if (t->header_bytes > HEADERS_MAX) {
		t->failure =
			err_new(ERR_INVALID, "the answer has more than %zu bytes of headers", HEADERS_MAX);
		return 0;
	}
	if (str_starts(line, "HTTP/")) {
		strvec_clear(&t->r->headers);
		buf_clear(&t->r->body);
		if (!parse_status(line, &t->r->status)) {
			t->failure = err_new(ERR_INVALID, "the answer is not HTTP");
			return 0;
		}
	} else if (line.len && !t->body_begun && !memchr(line.ptr, '\0', line.len)) {
		/* Not those behind the body: by then another thread may be reading what came before. */
		strvec_push_str(&t->r->headers, line);
	}
	return len;
}

static size_t keep_body(struct transfer *t, const void *p, size_t len)
{
	bool good = is_success(t->r->status);
	size_t max = t->rq->max_body ? t->rq->max_body : BODY_MAX;
	max = good || max < REFUSAL_MAX ? max : REFUSAL_MAX;
	if (t->r->body.len + len <= max) {
		buf_add(&t->r->body, p, len);
		return len;
	}
	if (good) {
		t->failure = err_new(ERR_INVALID, "the answer is larger than %zu bytes", max);
	} else {
		buf_add(&t->r->body, p, max - t->r->body.len);
		t->body_full = true;
	}
	return 0;
}

static size_t on_body(char *p, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * count;
	t->body_begun = true;
	if (!t->rq->write_body || !is_success(t->r->status)) {
		t->last_active = clock_monotonic();
		return keep_body(t, p, len);
	}
	if (t->flow)
		return flow_receive(t->flow, p, len);
	t->failure = t->rq->write_body(t->rq->write_ctx, p, len);
	t->last_active = clock_monotonic();
	return t->failure ? 0 : len;
}

static size_t on_read(char *p, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * count;
	if (t->rq->read_body) {
		t->failure = t->rq->read_body(t->rq->body_ctx, p, &len);
		t->last_active = clock_monotonic();
		return t->failure ? CURL_READFUNC_ABORT : len;
	}
	t->last_active = clock_monotonic();
	size_t left = t->rq->body.len - t->sent;
	len = len < left ? len : left;
	if (len)
		memcpy(p, t->rq->body.ptr + t->sent, len);
	t->sent += len;
	return len;
}

/* libcurl starts over when a connection it kept turns out to be dead. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
	struct transfer *t = ctx;
	if (offset != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	if (t->rq->read_body) {
		if (!t->rq->rewind_body)
			return CURL_SEEKFUNC_CANTSEEK;
		t->failure = t->rq->rewind_body(t->rq->body_ctx);
		return t->failure ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
	}
	t->sent = 0;
	return CURL_SEEKFUNC_OK;
}

/* ---- settings ---- */

#define SET(option, value) (void)lib->curl_easy_setopt(easy, option, value)

static void set_body(struct transfer *t, const struct curl_lib *lib, CURL *easy)
{
	const struct http_request *rq = t->rq;
	const char *method = t->hop->method;
	bool carries = cstr_eq(method, "PUT") || cstr_eq(method, "POST") || cstr_eq(method, "PATCH");
	if (cstr_eq(method, "HEAD")) {
		SET(CURLOPT_NOBODY, 1L);
		return;
	}
	if (!t->hop->with_body || (!carries && !rq->read_body && !rq->body.len)) {
		SET(CURLOPT_HTTPGET, 1L);
		SET(CURLOPT_CUSTOMREQUEST, method);
		return;
	}
	SET(CURLOPT_UPLOAD, 1L);
	SET(CURLOPT_CUSTOMREQUEST, method);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, t);
	SET(CURLOPT_SEEKFUNCTION, on_seek);
	SET(CURLOPT_SEEKDATA, t);
	SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)(rq->read_body ? rq->body_size : (int64_t)rq->body.len));
	SET(CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
}

static bool over_tls(const struct transfer *t)
{
	return strncasecmp(t->hop->url, "https:", 6) == 0;
}

static struct err *set_tls(struct transfer *t, const struct curl_lib *lib, CURL *easy)
{
	const struct http_trust *trust = &t->hop->trust;
	if (trust->insecure) {
		SET(CURLOPT_SSL_VERIFYPEER, 0L);
		SET(CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (trust->client_cert) {
		SET(CURLOPT_SSLCERT, trust->client_cert);
		if (trust->client_key)
			SET(CURLOPT_SSLKEY, trust->client_key);
	}
	if (!over_tls(t))
		return NULL;
	const char *ca_file = trust->ca_file ? trust->ca_file : t->client->ca_file;
	if (!ca_file)
		return NULL;
	if (t->client->ca_alone && cstr_eq(ca_file, t->client->ca_file)) {
		SET(CURLOPT_CAINFO, ca_file);
		return NULL;
	}
	struct str pem;
	TRY(client_ca_bundle(t->client, ca_file, &pem));
	struct curl_blob blob = {
		.data = (void *)(uintptr_t)pem.ptr, .len = pem.len, .flags = CURL_BLOB_NOCOPY};
	SET(CURLOPT_CAINFO_BLOB, &blob);
	return NULL;
}

/* libcurl ignores HTTP_PROXY in capitals because a CGI request can set it; outside of CGI people do use it.
 */
static void set_proxy(struct transfer *t, const struct curl_lib *lib, CURL *easy)
{
	AUTO(url_fini) struct url u = {0};
	struct err *e = url_parse(t->hop->url, &u);
	if (e) {
		err_ignore(e, "the transfer itself reports a bad URL");
		return;
	}
	if (host_is_loopback(u.host)) {
		SET(CURLOPT_NOPROXY, "*");
		return;
	}
	const char *proxy = getenv("HTTP_PROXY");
	if (cstr_eq(u.scheme, "http") && !getenv("http_proxy") && !getenv("REQUEST_METHOD") && proxy &&
		*proxy)
		SET(CURLOPT_PROXY, proxy);
}

static void set_headers(struct transfer *t, const struct curl_lib *lib, CURL *easy)
{
	const char *const private[] = {"Authorization:", "Cookie:", "Proxy-Authorization:"};
	for (const char *const *h = t->rq->headers; h && *h; h++) {
		bool drop = false;
		for (size_t i = 0; i < ARRAY_LEN(private); i++)
			drop |= strncasecmp(*h, private[i], strlen(private[i])) == 0;
		if (drop && !t->hop->same_origin && !t->rq->keep_auth_on_redirect)
			continue;
		t->headers = lib->curl_slist_append(t->headers, *h);
	}
	SET(CURLOPT_HTTPHEADER, t->headers);
}

static struct err *set_all(struct transfer *t, const struct curl_lib *lib, CURL *easy)
{
	SET(CURLOPT_URL, t->hop->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)(t->slot ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
	/* Requests that begin together learn first whether one connection carries them all. */
	SET(CURLOPT_PIPEWAIT, 1L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(t->client->connect_timeout / 1000000));
	SET(CURLOPT_USERAGENT, t->client->user_agent);
	SET(CURLOPT_ERRORBUFFER, t->reason);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	set_body(t, lib, easy);
	set_proxy(t, lib, easy);
	set_headers(t, lib, easy);
	return set_tls(t, lib, easy);
}

#undef SET

/* ---- running ---- */

static enum err_kind kind_of(CURLcode code)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return ERR_INVALID;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
		return ERR_IO;
	default:
		return ERR_UNAVAILABLE;
	}
}

/* Nobody listens there, or no way leads there: errno tells callers, who may not want to try for long. NULL if
 * it was something else. */
static struct err *no_connection(const struct transfer *t, const char *general)
{
	long sysno = 0;
	(void)t->client->lib->curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &sysno);
	if (sysno != ECONNREFUSED && sysno != ENETUNREACH && sysno != EHOSTUNREACH)
		return NULL;
	return err_sys((int)sysno, "%s", t->reason[0] ? t->reason : general);
}

static struct err *explain(const struct transfer *t, CURLcode code)
{
	const char *general = t->client->lib->curl_easy_strerror(code);
	struct err *none = code == CURLE_COULDNT_CONNECT ? no_connection(t, general) : NULL;
	if (none)
		return none;
	/* Of OpenSSL: what came was no TLS at all, and trying again does not make it so. */
	if (code == CURLE_SSL_CONNECT_ERROR && strstr(t->reason, "wrong version number"))
		return err_new(ERR_INVALID, "the server does not speak TLS at this port (%s)", t->reason);
	struct err *e = t->reason[0] && strcasecmp(general, t->reason) != 0
				? err_new(kind_of(code), "%s", t->reason)
				: err_new(kind_of(code), "%s", general);
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		e = err_hint(e,
			"if the server's certificate comes from a CA of your own, name its PEM file in "
			"SSL_CERT_FILE or in the setting for this host");
	if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) {
		e = err_hint(e, "check the name, and whether this machine needs a proxy (HTTPS_PROXY)");
		/* The resolver has asked more than once itself, and most such names do not exist. */
		e = err_with_tries(e, 2);
	}
	return e;
}

static struct err *result_of(struct transfer *t, CURLcode code)
{
	if (t->failure)
		return steal(&t->failure);
	t->out_of_step = code == CURLE_UNSUPPORTED_PROTOCOL && strstr(t->reason, "HTTP/0.9");
	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && t->body_full))
		return NULL;
	return explain(t, code);
}

struct err *transfer_stalled(const struct transfer *t)
{
	if (clock_monotonic() - t->last_active <= t->client->stall_timeout)
		return NULL;
	return err_new(ERR_TIMEOUT, "nothing was heard for %lld seconds",
		(long long)(t->client->stall_timeout / CLOCK_SECOND));
}

static struct err *loop(struct transfer *t, CURLcode *code)
{
	const struct curl_lib *lib = t->client->lib;
	struct curl_waitfd wait = {.fd = cancel_fd(t->rq->cancel), .events = CURL_WAIT_POLLIN};
	for (;;) {
		int running = 0, left;
		CURLMcode rc = lib->curl_multi_perform(t->slot->multi, &running);
		if (rc == CURLM_OK && running)
			rc = lib->curl_multi_poll(t->slot->multi, &wait, wait.fd >= 0 ? 1 : 0, POLL_MS, NULL);
		if (rc != CURLM_OK)
			return err_new(ERR_IO, "libcurl: %s", lib->curl_multi_strerror(rc));
		if (!running) {
			const CURLMsg *m = lib->curl_multi_info_read(t->slot->multi, &left);
			*code = m && m->msg == CURLMSG_DONE ? m->data.result : CURLE_FAILED_INIT;
			return NULL;
		}
		TRY(cancel_check(t->rq->cancel));
		TRY(transfer_stalled(t));
	}
}

static struct err *run_here(struct transfer *t, CURLcode *code)
{
	const struct curl_lib *lib = t->client->lib;
	if (lib->curl_multi_add_handle(t->slot->multi, t->easy) != CURLM_OK)
		return err_new(ERR_IO, "libcurl took no further transfer");
	struct err *e = loop(t, code);
	(void)lib->curl_multi_remove_handle(t->slot->multi, t->easy);
	return e;
}

static struct err *run_once(struct transfer *t)
{
	CURLcode code = CURLE_OK;
	TRY(t->slot ? run_here(t, &code) : driver_run(t, &code));
	return result_of(t, code);
}

/* Bytes that came after an answer, taken for the beginning of the next one. */
static bool met_leftovers(const struct transfer *t)
{
	long connects = 1;
	if (!t->out_of_step || t->r->status || t->rq->read_body || t->rq->body.len)
		return false;
	t->client->lib->curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
	return connects == 0;
}

/*
 * Plain transfers, which are those within the machine or the house, are driven where they are asked for: that
 * saves a hand-over for each piece. Those with a body too, over HTTP/1.1: over HTTP/2 servers give a stream
 * small windows (nginx 64 KiB), of which no more goes out in one round trip, and an answer that comes before
 * the body was read gets lost (of Go's). All else shares connections.
 */
static bool goes_alone(const struct transfer *t)
{
	return !over_tls(t) || (t->hop->with_body && (t->rq->read_body || t->rq->body.len));
}

static struct err *take_handle(struct transfer *t)
{
	if (goes_alone(t)) {
		TRY(client_take_slot(t->client, t->hop->url, &t->slot));
		t->easy = t->slot->easy;
		return NULL;
	}
	t->easy = t->client->lib->curl_easy_init();
	return t->easy ? NULL : err_new(ERR_IO, "libcurl has no memory for a transfer");
}

static void give_handle(struct transfer *t, bool keep)
{
	if (t->slot)
		client_give_slot(t->client, t->slot, keep);
	else
		t->client->lib->curl_easy_cleanup(t->easy);
}

struct err *transfer_run(
	struct http_client *c, const struct http_request *rq, const struct hop *hop, struct http_response *r)
{
	const struct curl_lib *lib = c->lib;
	struct transfer t = {.client = c, .rq = rq, .hop = hop, .r = r, .last_active = clock_monotonic()};
	TRY(take_handle(&t));
	struct err *e = set_all(&t, lib, t.easy);
	if (!e)
		e = run_once(&t);
	/* Some servers send a body with HEAD, which reaches us after its connection was used again. That is
	 * closed now. */
	if (e && met_leftovers(&t)) {
		err_ignore(e, "on a connection of its own it is the server's own answer");
		t.reason[0] = '\0';
		e = run_once(&t);
	}
	give_handle(&t, !e);
	lib->curl_slist_free_all(t.headers);
	if (t.failure)
		err_ignore(t.failure, "another failure came first");
	return e;
}
