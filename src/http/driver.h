/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread drives the transfers of a client that go over TLS (but those with a body), so that they share
 * one pool of connections, and one connection with each server that talks HTTP/2. What takes an answer's
 * bytes (write_body) runs on the thread of its request, behind a bounded buffer; while it is slow its
 * transfer pauses, and over HTTP/2 all of the client do.
 */
#pragma once

#include "http/transfer_internal.h"

/* Runs t, whose handle is set up, to its end; *code says how libcurl saw it. An error comes from this side:
 * write_body, cancellation, a stall. */
MUST_USE struct err *driver_run(struct transfer *t, CURLcode *code);
/* NULL: nothing. No transfer of it is under way. */
void driver_free(struct driver *d);

/* For libcurl's callback, as its result. */
size_t flow_receive(struct flow *f, const void *p, size_t len);
