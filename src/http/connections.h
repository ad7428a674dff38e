/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections a server has, and which of them is closed when they run short or when a peer is too slow to
 * ask for anything. Only one that waits for a request is ever closed: from the moment its headers are in
 * until its answer is out it is left alone.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct connections;
struct connection;

struct connections_options {
	unsigned most;        /* from there on the one that waits longest gives way to a new one */
	unsigned per_address; /* of one address, or of one /64 of IPv6; 0: any number */
	bool loopback_exempt; /* connections from this machine do not count per address: a proxy's are others'
			       */
	int64_t headers;      /* ns until the headers of a request must be in: since the connection was made
				 (a TLS handshake included) or the request line was in */
	int64_t idle;         /* ns after an answer until the next request line must be in */
};
/* With a thread that closes those that are overdue. Caller frees *out once all connections are removed. */
MUST_USE struct err *connections_new(const struct connections_options *opt, struct connections **out);
void connections_free(struct connections *all); /* NULL is fine */

/* A new one, which may make another give way. fd is borrowed until connection_remove. */
struct connection *connection_add(struct connections *all, int fd, const struct sockaddr *peer);
void connection_remove(struct connection *c);
/* The request line is in. */
void connection_asks(struct connection *c);
/* The headers are in. Anything but GO: the request must not be looked at. */
enum connection_verdict {
	CONNECTION_GO,
	CONNECTION_CLOSED,  /* it was closed before */
	CONNECTION_TOO_MANY /* all that its address, or everybody, may have are busy: say so */
};
enum connection_verdict connection_begins(struct connection *c);
/* The exchange is over: it waits for the next one. */
void connection_waits(struct connection *c);
