/* SPDX-License-Identifier: Apache-2.0 */
/* The one handler of the server: each request goes to the part whose path it is, if who asks may. */
#pragma once

#include "base/compiler.h"
#include "http/server.h"
#include "registry/registry.h"
#include "server/auth_internal.h"
#include "server/status_internal.h"

struct routes {
	/* set by the caller, borrowed */
	struct registry *registry;      /* /v2/ and below */
	const struct http_handler *api; /* /api/ and below; asks who it is itself */
	struct auth *auth;
	struct status *status;
	bool tls;
	const char *url; /* of the server as its clients reach it; NULL: by the name they send */

	struct http_handler handler;
};

/* r must stay where it is while it serves. */
void routes_init(struct routes *r);

/* By routes_init: the registry asks the gate what a request may see. */
void gate_init(struct routes *r);
/* The handler of the registry for this request, or NULL: it was refused, and answered. */
MUST_USE struct err *gate_registry(
	const struct routes *r, struct http_exchange *x, const struct http_handler **out);
