/* SPDX-License-Identifier: Apache-2.0 */
/* "cooper serve": what must listen, on one port: the registry, the API and a health check. Pages will join.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stdint.h>

struct server_options {
	const char *listen;
	const char *tls_cert, *tls_key;
	unsigned max_connections, max_per_address; /* http/server.h */
	const char
		*url; /* as clients reach it, "https://registry.example"; NULL: by the name that they send */
	int64_t lease_time;  /* ns a runner may be silent before its job goes to another; 0: RUN_LEASE_TIME */
	bool anonymous_pull; /* the registry may be read without a token */
	bool insecure_open;  /* elsewhere than on loopback, too, everybody may do everything while there is no
				token */
	/* Told once it listens, with the port. May be NULL. */
	void (*ready)(void *ctx, uint16_t port);
	void *ready_ctx;
	const char *access_log; /* a file, or "-"; NULL: none */
	/* Asked now and then, on the serving thread: is the access log to be opened again, and the
	 * certificate to be looked at, now? NULL: never. */
	bool (*reload)(void *ctx);
	void *reload_ctx;
	const struct cancel *cancel;
};
/* Serves until cancel is set; then lets running exchanges finish and returns. ERR_DENIED when it would be
 * open to others. */
MUST_USE struct err *server_run(struct engine *e, const struct server_options *opt);
