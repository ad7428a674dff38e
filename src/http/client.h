/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thin streaming HTTP client over libcurl, which is opened when first used.
 * Threads: a client may be shared. Each request blocks the thread that makes it, and its callbacks run there.
 * Connections are reused; over TLS requests without a body share them (HTTP/2 where the server offers it).
 * A process that talks TLS ignores SIGPIPE: the TLS library writes to sockets a peer has closed.
 * Errors: name method and URL (without credentials or query). ERR_UNAVAILABLE for what a retry may help (with
 * err_sysno ECONNREFUSED, ENETUNREACH or EHOSTUNREACH where nobody was reached), ERR_TIMEOUT, ERR_CANCELED.
 * HTTP statuses are not errors here: the caller looks at response.status.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct http_client;

struct http_client_options {
	const char *ca_file;    /* PEM bundle used besides the system's; NULL: SSL_CERT_FILE/CURL_CA_BUNDLE or
				   the system's */
	const char *user_agent; /* NULL: cooper/<version> */
	int64_t connect_timeout; /* ns; 0: 30 s */
	int64_t stall_timeout;   /* ns without a byte; 0: 60 s */
};
/* Proxies come from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY in both cases), as curl does. */
MUST_USE struct err *http_client_new(const struct http_client_options *opt, struct http_client **out);
void http_client_free(struct http_client *c);
void http_client_freep(struct http_client **c);

/* How the other end of a connection is known, and this one shows itself. */
struct http_trust {
	bool insecure;                        /* do not check the certificate */
	const char *ca_file;                  /* NULL: the client's. A folder: its *.crt */
	const char *client_cert, *client_key; /* PEM files; NULL: none */
};

struct http_request {
	const char *method;         /* "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" */
	const char *url;            /* absolute; http or https */
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	/* Body: fixed bytes, or read_body with its size (-1: unknown, sent chunked). rewind_body restarts it
	 * for a replay; may be NULL. */
	struct str body;
	struct err *(*read_body)(void *ctx, void *p, size_t *len);
	struct err *(*rewind_body)(void *ctx);
	void *body_ctx;
	int64_t body_size;
	/* Where a body of a 2xx answer goes; NULL: into response.body. Other answers always go to
	 * response.body (bounded). Before its first call response status and headers are complete. */
	struct err *(*write_body)(void *ctx, const void *p, size_t len);
	void *write_ctx;
	size_t max_body;        /* of response.body; 0: 4 MiB; more is ERR_INVALID. Of an answer other than
				   2xx at most 1 MiB is kept */
	unsigned max_redirects; /* 0: redirects are returned as they are */
	bool keep_auth_on_redirect; /* default: Authorization is dropped when the host changes */
	struct http_trust trust;    /* of the origin of url */
	/* Of another origin that a redirect leads to: sets *out, which is zeroed; strings stay the callee's
	 * and live as long as the request. NULL: nothing is known of others. */
	struct err *(*trust_of)(void *ctx, const char *url, struct http_trust *out);
	void *trust_ctx;
	const struct cancel *cancel;
};

struct http_response {
	int status;
	struct strvec headers; /* "Name: value" of the last answer */
	struct buf body;
	char *final_url; /* after redirects; of an error, where it happened */
};
void http_response_fini(struct http_response *r);
/* Borrowed; NULL if absent; name without case. The n-th of several. */
const char *http_response_header(const struct http_response *r, const char *name, unsigned n);

/* r must be zeroed. */
MUST_USE struct err *http_send(struct http_client *c, const struct http_request *rq, struct http_response *r);

/* URL helpers. */
struct url {
	char *scheme, *host, *path; /* host without brackets or port; path with query, "/" at least */
	char *userinfo;             /* NULL if none */
	uint16_t port;              /* default filled in */
	bool explicit_port;
};
void url_fini(struct url *u);
MUST_USE struct err *url_parse(const char *text, struct url *out);
/* A Location or other reference resolved against base. Caller frees *out. */
MUST_USE struct err *url_resolve(const char *base, const char *ref, char **out);
void url_encode(struct buf *out, struct str s); /* everything but unreserved */
/* Without userinfo and query, for messages. Caller frees. */
char *url_for_message(const char *text);
bool host_is_loopback(const char *host); /* localhost, 127.0.0.0/8, ::1 */
