/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread drives the transfers of a client that go over TLS (but large uploads), so that they share one
 * pool of connections, and one connection with each server that talks HTTP/2. A body's bytes pass through a
 * bounded buffer: what takes or gives them (write_body, read_body) runs on the thread of its request, and
 * when that is slow its transfer pauses. Only rewind_body may run on the driver's thread, never at the same
 * time as read_body.
 */
#pragma once

#include "http/transfer_internal.h"

/* Runs t, whose handle is set up, to its end; *code says how libcurl saw it. An error comes from this side:
 * write_body, read_body, cancellation, a stall. */
MUST_USE struct err *driver_run(struct transfer *t, CURLcode *code);
/* NULL: nothing. No transfer of it is under way. */
void driver_free(struct driver *d);

/* For libcurl's callbacks, as their results. */
size_t flow_receive(struct flow *f, const void *p, size_t len);
size_t flow_send(struct flow *f, void *p, size_t len);
struct err *flow_rewind(struct flow *f);
