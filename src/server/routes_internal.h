/* SPDX-License-Identifier: Apache-2.0 */
/* The one handler of the server: each request goes to the part whose path it is. */
#pragma once

#include "base/compiler.h"
#include "http/server.h"

struct routes {
	const struct http_handler *registry; /* /v2/ and below; borrowed */
	struct http_handler handler;
};

/* r must stay where it is while it serves. */
void routes_init(struct routes *r, const struct http_handler *registry);
