/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the server. */
#pragma once

#include "base/vec.h"
#include "http/connections.h"
#include "http/mhd_lib.h"
#include "http/server.h"
#include "http/tls_files.h"

#include <pthread.h>
#include <stdatomic.h>

/* One library daemon. A renewed certificate needs another one, on the same socket; the one before goes on
 * with the connections it has. */
struct http_daemon {
	struct http_server *server;
	struct MHD_Daemon *mhd;
	int fd; /* its descriptor of the socket; kept until it is stopped, so that no other file gets the
		   number */
	struct buf cert, key;
	atomic_bool retired;
	struct http_daemon *next;
};

struct http_server {
	const struct mhd_lib *mhd;
	struct connections *connections;
	struct http_daemon *daemon, *retired;
	struct http_handler handler;
	struct tls_files tls;
	char *listen;
	int fd;
	unsigned max_connections;
	uint16_t port;
	unsigned idle_timeout_s;
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned active; /* exchanges begun and not completed; under lock */
};

struct http_exchange {
	struct http_server *server;
	struct http_daemon *daemon;
	struct MHD_Connection *connection;
	struct connection *place; /* among all connections */
	const char *method;
	char *uri;           /* as sent */
	char *path;          /* decoded */
	struct strvec query; /* name, value, name, value...; decoded */
	bool query_parsed;
	struct strvec joined; /* header name, value: for the borrowed results of http_header */
	char *peer;
	int64_t content_length; /* -1: not given */
	bool chunked;
	void *state;
	void *note;
	void (*free_note)(void *note);

	struct strvec set_headers; /* name, value */
	struct MHD_Response *response;
	int status;
	const char *bad_uri; /* why, or NULL */
	bool uri_too_long;
	bool begun;    /* begin was called, or the request refused in its stead */
	bool handled;  /* begin was called and free_state was not */
	bool entered;  /* counted in active */
	bool answered; /* response is set */
	bool queued;
	bool patient; /* a streamed answer: its next may be silent for longer than a connection may be idle */
	bool cut;     /* the rest of the body is left unread: read it off the socket before it is closed */
	bool asked;   /* the handler's begin was called */
	bool failed;  /* no answer can be made: the connection is dropped */
	uint64_t received, length, streamed; /* bytes of bodies; length: of the answer, if it is known */
	int64_t started;
	uint64_t skipped; /* bytes of body after the answer was known */
};

/* The path and, by need, the query. Sets bad_uri. */
void exchange_parse_uri(struct http_exchange *x);
/* Answer with e (consumed) by the handler's on_error. */
void exchange_fail(struct http_exchange *x, struct err *e);
/* Let the handler free its state: once the answer is known, before the peer can see it. */
void exchange_release(struct http_exchange *x);
void exchange_free(struct http_exchange *x);
