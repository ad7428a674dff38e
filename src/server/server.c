/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/server.h"
#include "registry/registry.h"
#include "server/routes_internal.h"
#include "store/maintain.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define STOP_GRACE (10 * CLOCK_SECOND)
#define UPKEEP_EVERY_MS (3600 * 1000)
#define LEASE_AGE (24 * 3600 * CLOCK_SECOND)

static void registry_freep(struct registry **r)
{
	registry_free(*r);
}

/* Upkeep that fails is tried again an hour later; it never stops the serving. */
static void upkeep(struct store *s, const struct cancel *cancel)
{
	uint64_t dropped = 0;
	struct err *e = registry_prune(s, 0, cancel, &dropped);
	/* what was told to clients a day ago they have used or never will */
	if (!e)
		e = store_lease_trim(s, clock_now() - LEASE_AGE);
	if (!e)
		e = store_sync_trees(s);
	if (e && err_kind(e) != ERR_CANCELED) {
		AUTO_FREE char *text = err_text(e);
		log_warn("server: %s", text);
	} else if (dropped) {
		log_info(
			"server: %llu blobs that no manifest names were let go", (unsigned long long)dropped);
	}
	err_free(e);
}

static struct err *wait_for_cancel(struct store *s, const struct cancel *cancel)
{
	struct pollfd p = {.fd = cancel_fd(cancel), .events = POLLIN};
	while (!cancel_is_set(cancel)) {
		upkeep(s, cancel);
		if (poll(&p, 1, UPKEEP_EVERY_MS) < 0 && errno != EINTR)
			return err_sys(errno, "waiting for requests");
	}
	return NULL;
}

struct err *server_run(struct engine *e, const struct server_options *opt)
{
	AUTO(registry_freep) struct registry *registry = NULL;
	struct store *store = engine_store(e);
	TRY(registry_new(store, &registry));
	struct routes routes;
	routes_init(&routes, registry_handler(registry));
	struct http_server_options http = {
		.listen = opt->listen,
		.tls_cert = opt->tls_cert,
		.tls_key = opt->tls_key,
	};
	struct http_server *server = NULL;
	TRY(http_server_start(&http, &routes.handler, &server));
	if (opt->ready)
		opt->ready(opt->ready_ctx, http_server_port(server));
	struct err *err = wait_for_cancel(store, opt->cancel);
	http_server_stop(server, STOP_GRACE);
	return err;
}
