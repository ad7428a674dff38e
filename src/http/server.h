/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thin streaming HTTP server over libmicrohttpd (opened when first used).
 *
 * A handler object is made when the headers are in, is fed the body piece by piece, then answers. Each
 * connection has its own thread, so handlers may block. Request bodies may come with Content-Length or
 * chunked (RFC 9112, 7.1).
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct http_server;
struct http_exchange; /* one request and its answer; belongs to its connection's thread */

/* ---- the request; strings are borrowed for the exchange ---- */
const char *http_method(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);                    /* decoded, without query */
const char *http_query(const struct http_exchange *x, const char *name); /* decoded; NULL if absent */
/* Each value of a repeated query parameter: i = 0.. until NULL. */
const char *http_query_at(const struct http_exchange *x, const char *name, unsigned i);
const char *http_header(
	const struct http_exchange *x, const char *name); /* NULL if absent; repeated ones joined with ", " */
int64_t http_content_length(const struct http_exchange *x); /* -1: chunked or none given */
/* The connection's descriptor, to be looked at only: does the peer still listen? */
int http_socket(const struct http_exchange *x);
const char *http_peer(const struct http_exchange *x); /* address text */
/* Did a proxy pass it on, as far as it says so? Then the peer is the proxy. */
bool http_is_forwarded(const struct http_exchange *x);
/* Something of the handler's that goes with the exchange: freed after it, and replaced by the next one. */
void http_set_note(struct http_exchange *x, void *note, void (*free_note)(void *note));
void *http_note(const struct http_exchange *x); /* NULL: none */

/* A form (application/x-www-form-urlencoded) as name, value, name, value..., decoded; also what follows '?'
 * in a target. False: an escape is malformed, or of NUL. */
bool http_parse_form(struct str text, struct strvec *out);

/* ---- the answer: exactly one of the http_answer_* calls, last ---- */
void http_set_header(struct http_exchange *x, const char *name, const char *value);
void http_answer(
	struct http_exchange *x, int status, struct str body); /* body is copied; Content-Length set */
/* Bytes [offset, offset+length) of fd with sendfile; takes fd. A HEAD request gets the headers only. */
void http_answer_file(struct http_exchange *x, int status, int fd, uint64_t offset, uint64_t length);
/* Headers of an answer to HEAD: Content-Length as given, no body. */
void http_answer_head(struct http_exchange *x, int status, uint64_t content_length);
/* A streamed answer: next is called on the connection's thread until it gives 0 bytes; it may block
 * for any time (server-sent events). */
void http_answer_stream(struct http_exchange *x, int status,
	struct err *(*next)(void *ctx, void *p, size_t *len), void (*done)(void *ctx), void *ctx);

/* The same with a length that is told before, for a peer that has to take its bytes in time: it is cut off
 * when it is idle, and when next fails or ends before. length 0 is for http_answer. HEAD is for
 * http_answer_head. */
void http_answer_stream_sized(struct http_exchange *x, int status, uint64_t length,
	struct err *(*next)(void *ctx, void *p, size_t *len), void (*done)(void *ctx), void *ctx);
/* The time that passed in the handler was not the peer's: for how long it was idle counts from now. */
void http_restart_idle(struct http_exchange *x);

/* How an exchange ended. */
struct http_outcome {
	int status;        /* 0: there was no answer */
	uint64_t received; /* bytes of the request's body */
	uint64_t sent;     /* bytes of the answer's body; 0 of one that was cut, unless it was streamed */
	int64_t duration;  /* ns, from the request line to the answer's last byte */
	bool cut;          /* the peer did not get the whole answer */
	bool begun;        /* the handler's begin was called */
};

struct http_handler {
	/*
	 * Headers are in. May answer at once (the body is then refused or skipped), or set *state for the
	 * calls below. An error is answered by on_error.
	 */
	struct err *(*begin)(void *ctx, struct http_exchange *x, void **state);
	struct err *(*body)(void *ctx, struct http_exchange *x, void *state, const void *p,
		size_t len); /* NULL: bodies are skipped */
	struct err *(*end)(
		void *ctx, struct http_exchange *x, void *state); /* must answer unless begin did */
	/* Always after begin, also when the peer went away; state may be NULL. Called before the peer can see
	 * the answer (streamed answers have done). */
	void (*free_state)(void *ctx, void *state);
	/* The exchange is over; what it was asked for can still be looked at. Also of requests that were
	 * refused before begin. NULL: nobody asks. */
	void (*done)(void *ctx, const struct http_exchange *x, const struct http_outcome *how);
	/* Answer with an error (consumed). NULL: {"errors":[{code,message}]} with err_http_status. */
	void (*on_error)(void *ctx, struct http_exchange *x, struct err *e);
	void *ctx;
};

struct http_server_options {
	const char *listen;   /* "127.0.0.1:5000", "[::1]:5000", "0.0.0.0:0" (0: any free port) */
	const char *tls_cert; /* PEM files; NULL: plain */
	const char *tls_key;
	/*
	 * So many are served at once; 0: 512. Above it the one that waits longest for a request is closed to
	 * make room for a new one; when all are busy the new one's request is answered with 429.
	 */
	unsigned max_connections;
	/*
	 * Of one address (of IPv6: of one /64). 0: half of all, and any number from this machine, where a
	 * proxy's connections are those of many. Above it is as above.
	 */
	unsigned max_per_address;
	unsigned idle_timeout_s;   /* 0: 120 */
	unsigned header_timeout_s; /* until a request's headers must be in, a TLS handshake included; 0: 30 */
};
/* Starts serving on threads of its own. Caller closes *out. ERR_EXISTS when the address is in use. */
MUST_USE struct err *http_server_start(
	const struct http_server_options *opt, const struct http_handler *handler, struct http_server **out);
uint16_t http_server_port(const struct http_server *s);
/*
 * To be called now and then, by one thread: looks at the TLS files again. New connections get a certificate
 * that has changed and has been still since the call before (now: at once); those that are open go on and are
 * closed after their present request. A pair that cannot be used changes nothing and is an error, once for
 * each change.
 */
MUST_USE struct err *http_server_renew(struct http_server *s, bool now, bool *renewed);
/* Stops accepting, lets running exchanges finish for up to grace ns, then cuts them; a streamed answer's next
 * that blocks is waited for, whatever the grace. */
void http_server_stop(struct http_server *s, int64_t grace);
