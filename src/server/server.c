/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/server.h"
#include "registry/cache.h"
#include "registry/registry.h"
#include "registry/upkeep.h"
#include "release/pinned.h"
#include "release/runs.h"
#include "server/api_internal.h"
#include "server/routes_internal.h"
#include "server/status_internal.h"
#include "store/maintain.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define STOP_GRACE (10 * CLOCK_SECOND)
#define TICK_MS 1000
#define UPKEEP_EVERY (3600 * CLOCK_SECOND)
#define LEASE_AGE (24 * 3600 * CLOCK_SECOND)

/* What one server is made of. */
struct server {
	struct store *store;
	struct store *registry_store; /* opened once more: what it is told of is let go soon, what runs use is
					 not */
	struct registry *registry;
	struct registry_upkeep *upkeep;
	struct runs *runs;
	struct auth auth;
	struct api api;
	struct access_log *log;
	struct status status;
	struct routes routes;
	struct cancel *stopping; /* set before it stops: requests that wait for something look at it */
};

static void server_fini(struct server *s)
{
	status_fini(&s->status);
	access_log_close(s->log);
	registry_upkeep_stop(s->upkeep);
	registry_free(s->registry);
	store_close(s->registry_store);
	runs_close(s->runs);
	auth_fini(&s->auth);
	cancel_free(s->stopping);
}

/* What fails here is tried again; it never stops the serving. */
static void note_failure(struct err *e)
{
	if (e && err_kind(e) != ERR_CANCELED) {
		AUTO_FREE char *text = err_text(e);
		log_warn("server: %s", text);
	}
	err_free(e);
}

static void upkeep(struct server *s)
{
	/* what was told to clients a day ago they have used or never will */
	note_failure(store_lease_trim(s->store, clock_now() - LEASE_AGE));
}

/* What others renew under the server: its certificate, and where its access log was. */
static void renew(struct server *s, struct http_server *http, const struct server_options *opt)
{
	bool renewed = false, now = opt->reload && opt->reload(opt->reload_ctx);
	if (now)
		access_log_reopen(s->log);
	note_failure(http_server_renew(http, now, &renewed));
	if (renewed)
		log_info("server: new connections get the new TLS certificate");
}

static struct err *wait_for_cancel(
	struct server *s, struct http_server *http, const struct server_options *opt)
{
	const struct cancel *cancel = opt->cancel;
	struct pollfd p = {.fd = cancel_fd(cancel), .events = POLLIN};
	int64_t next_upkeep = 0;
	while (!cancel_is_set(cancel)) {
		if (clock_monotonic() >= next_upkeep) {
			upkeep(s);
			next_upkeep = clock_monotonic() + UPKEEP_EVERY;
		}
		renew(s, http, opt);
		note_failure(auth_flush(&s->auth));
		note_failure(runs_expire(s->runs));
		if (poll(&p, 1, TICK_MS) < 0 && errno != EINTR)
			return err_sys(errno, "waiting for requests");
	}
	return NULL;
}

/* What everybody could do here, everybody who can reach the address would be able to do. */
static struct err *check_open(struct server *s, const struct server_options *opt)
{
	bool any = false;
	s->auth.loopback = auth_listen_is_loopback(opt->listen);
	s->auth.open_allowed = s->auth.loopback || opt->insecure_open;
	s->auth.anonymous_pull = opt->anonymous_pull;
	if (s->auth.open_allowed)
		return NULL;
	TRY(tokens_exist(s->store, &any));
	if (any)
		return NULL;
	return err_hint(
		err_new(ERR_DENIED,
			"listening on %s: there is no token, so everybody who reaches it could release, "
			"replace and delete",
			opt->listen),
		"make one first: cooper token create NAME --scope admin (or say --insecure-open)");
}

static struct err *serve(struct server *s, const struct server_options *opt)
{
	struct http_server_options http = {
		.listen = opt->listen,
		.tls_cert = opt->tls_cert,
		.tls_key = opt->tls_key,
		.max_connections = opt->max_connections,
		.max_per_address = opt->max_per_address,
	};
	struct http_server *server = NULL;
	TRY(check_open(s, opt));
	/* Before anybody can ask for a job: who was cut off while no server ran has not lost its own. */
	TRY(runs_extend_leases(s->runs, s->api.lease_time));
	TRY(http_server_start(&http, &s->routes.handler, &server));
	if (opt->ready)
		opt->ready(opt->ready_ctx, http_server_port(server));
	struct err *err = wait_for_cancel(s, server, opt);
	cancel_set(s->stopping);
	registry_cache_stop(s->registry, STOP_GRACE);
	http_server_stop(server, STOP_GRACE);
	return err_first(err, auth_flush(&s->auth));
}

static struct err *gather_pins(void *ctx, struct map *out)
{
	const struct registry_policy *p = ctx;
	return release_pinned(&p->pinned_in, out);
}

struct connecting {
	struct engine *engine;
	struct store *store;
};

static struct err *connect_upstream(void *ctx, const struct registry_cache *c, struct remote **out)
{
	const struct connecting *k = ctx;
	return engine_remote_for(k->engine, k->store, c->timeout, out);
}

static struct err *start_caches(struct server *s, struct engine *e, const char *url)
{
	struct connecting k = {e, s->registry_store};
	const char *host = url ? strstr(url, "://") : NULL;
	const struct registry_caching how = {
		.connect = connect_upstream, .ctx = &k, .own_name = host ? host + 3 : NULL};
	return registry_cache_start(s->registry, &how);
}

static struct err *open_registry(struct server *s, struct engine *e, const char *url)
{
	TRY(store_open(engine_home(e), NULL, &s->registry_store));
	TRY(registry_new(s->registry_store, engine_registry_policy(e), &s->registry));
	TRY(start_caches(s, e, url));
	const struct registry_policy *policy = engine_registry_policy(e);
	struct registry_upkeep_options opt = {
		.served = s->registry_store,
		.policy = policy,
		.pins = gather_pins,
		.ctx = (void *)(uintptr_t)policy,
	};
	engine_gc_defaults(e, &opt.gc);
	return registry_upkeep_start(&opt, &s->upkeep);
}

static struct err *open_parts(struct server *s, struct engine *e, const struct server_options *opt)
{
	if (opt->access_log)
		TRY(access_log_open(opt->access_log, &s->log));
	TRY(runs_open(engine_home(e), &s->runs));
	return open_registry(s, e, opt->url);
}

struct err *server_run(struct engine *e, const struct server_options *opt)
{
	struct server s = {.store = engine_store(e)};
	struct err *err = open_parts(&s, e, opt);
	if (err) {
		access_log_close(s.log);
		registry_upkeep_stop(s.upkeep);
		registry_free(s.registry);
		store_close(s.registry_store);
		runs_close(s.runs);
		return err;
	}
	s.stopping = cancel_new();
	auth_init(&s.auth, s.store);
	s.api = (struct api){.store = s.store,
		.runs = s.runs,
		.auth = &s.auth,
		.lease_time = opt->lease_time ? opt->lease_time : RUN_LEASE_TIME,
		.stopping = s.stopping};
	api_init(&s.api);
	s.status = (struct status){.store = s.store,
		.runs = s.runs,
		.auth = &s.auth,
		.upkeep = s.upkeep,
		.registry = s.registry,
		.log = s.log,
		.stopping = s.stopping};
	status_init(&s.status);
	s.routes = (struct routes){.status = &s.status,
		.registry = s.registry,
		.api = &s.api.handler,
		.auth = &s.auth,
		.tls = opt->tls_cert != NULL,
		.url = opt->url};
	routes_init(&s.routes);
	err = serve(&s, opt);
	server_fini(&s);
	return err;
}
