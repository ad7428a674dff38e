/* SPDX-License-Identifier: Apache-2.0 */
/* "cooper serve": what must listen, on one port. Today the registry and a health check; runs and pages will
 * join it. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"

#include <stdint.h>

struct server_options {
	const char *listen;
	const char *tls_cert, *tls_key;
	/* Told once it listens, with the port. May be NULL. */
	void (*ready)(void *ctx, uint16_t port);
	void *ready_ctx;
	const struct cancel *cancel;
};
/* Serves until cancel is set; then lets running exchanges finish and returns. */
MUST_USE struct err *server_run(struct engine *e, const struct server_options *opt);
