/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "cli/cmds.h"
#include "http/client.h"
#include "registry/policy.h"
#include "server/server.h"

#include <signal.h>
#include <string.h>

struct serve_args {
	const char *listen, *cert, *key, *url, *access_log;
	bool anonymous_pull, insecure_open;
	uint64_t lease, connections, per_address;
};

#define LEASE_MAX_S 86400
/* Each has a thread. */
#define CONNECTIONS_MAX 16384
#define OPT(field) offsetof(struct serve_args, field)

static const struct option options[] = {
	{"listen", 'l', OPTION_TEXT, "ADDRESS", OPT(listen),
		"where (default: 127.0.0.1:5000; port 0: any free one)"},
	{"tls-cert", 0, OPTION_TEXT, "FILE", OPT(cert), "certificate chain (PEM); with --tls-key"},
	{"tls-key", 0, OPTION_TEXT, "FILE", OPT(key), "its private key (PEM)"},
	{"url", 0, OPTION_TEXT, "URL", OPT(url),
		"how clients reach it, when a proxy does not pass on the name they use"},
	{"access-log", 0, OPTION_TEXT, "FILE", OPT(access_log),
		"a line of JSON for each request; -: to the standard output"},
	{"anonymous-pull", 0, OPTION_FLAG, NULL, OPT(anonymous_pull),
		"let everybody read the registry, without a token"},
	{"lease", 0, OPTION_NUMBER, "SECONDS", OPT(lease),
		"how long a runner may be silent before its job goes to another (default: 60)"},
	{"max-connections", 0, OPTION_NUMBER, "N", OPT(connections),
		"served at once (default: 512); above it the one that is idle longest gives way"},
	{"max-connections-per-address", 0, OPTION_NUMBER, "N", OPT(per_address),
		"of them, of one address or one /64 of IPv6 (default: half, and any number from loopback)"},
	{"insecure-open", 0, OPTION_FLAG, NULL, OPT(insecure_open),
		"let everybody do everything as long as there is no token, also elsewhere than on loopback"},
};

struct listening {
	struct cli *c;
	const struct registry_policy *policy;
	const struct serve_args *args;
};

static volatile sig_atomic_t hung_up;

static void on_hangup(int sig)
{
	(void)sig;
	hung_up = 1;
}

static bool reload(void *ctx)
{
	(void)ctx;
	bool yes = hung_up;
	hung_up = 0;
	return yes;
}

static void on_ready(void *ctx, uint16_t port)
{
	const struct listening *l = ctx;
	const char *colon = strrchr(l->args->listen, ':');

	fprintf(l->c->out, "listening on %s://%.*s:%u\n", l->args->cert ? "https" : "http",
		(int)(colon - l->args->listen), l->args->listen, port);
	for (size_t i = 0; i < l->policy->caches.len; i++) {
		const struct registry_cache *cache = vec_at(&l->policy->caches, i);
		fprintf(l->c->out, "caching %s as %s/%s\n", cache->upstream, cache->prefix,
			cache->everything_else ? ", and for all names that are not here" : "");
	}
	fflush(l->c->out);
}

static struct err *check_url(const struct serve_args *sa)
{
	AUTO(url_fini) struct url u = {0};
	if (!sa->url)
		return NULL;
	struct err *e = url_parse(sa->url, &u);
	size_t scheme = cstr_starts(sa->url, "https://") ? 8 : 7;
	bool ok = !e && !strpbrk(sa->url + scheme, "/?#@\"\\ ");
	err_free(e);
	return ok ? NULL
		  : err_new(ERR_USAGE, "--url takes https://HOST or http://HOST:PORT, not \"%s\"", sa->url);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct serve_args *sa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct listening l = {c, NULL, sa};

	(void)operands;
	if (!sa->listen)
		sa->listen = IMAGES_OWN_REGISTRY;
	if (!strrchr(sa->listen, ':'))
		return err_new(ERR_USAGE, "--listen takes HOST:PORT, not \"%s\"", sa->listen);
	if (!sa->cert != !sa->key)
		return err_new(ERR_USAGE, "--tls-cert and --tls-key go together");
	if (sa->lease > LEASE_MAX_S)
		return err_new(ERR_USAGE, "--lease takes at most %d seconds", LEASE_MAX_S);
	if (sa->connections > CONNECTIONS_MAX || sa->per_address > CONNECTIONS_MAX)
		return err_new(ERR_USAGE,
			"--max-connections and --max-connections-per-address take at most %d",
			CONNECTIONS_MAX);
	TRY(check_url(sa));
	TRY(engine_open(&c->engine, &eng));
	l.policy = engine_registry_policy(eng);
	/* Here it is no end, as a service has no terminal. */
	signal(SIGHUP, on_hangup);
	const struct server_options opt = {
		.listen = sa->listen,
		.tls_cert = sa->cert,
		.tls_key = sa->key,
		.url = sa->url,
		.access_log = sa->access_log,
		.max_connections = (unsigned)sa->connections,
		.max_per_address = (unsigned)sa->per_address,
		.reload = reload,
		.lease_time = (int64_t)sa->lease * CLOCK_SECOND,
		.anonymous_pull = sa->anonymous_pull,
		.insecure_open = sa->insecure_open,
		.ready = on_ready,
		.ready_ctx = &l,
		.cancel = c->cancel,
	};
	return server_run(eng, &opt);
}

const struct command cmd_serve = {
	.name = "serve",
	.summary = "serve the store as a container registry and a queue of releases",
	.operands = "",
	.details = "Prints \"listening on URL\" once it does. Ends on SIGTERM or SIGINT, after the running "
		   "requests. SIGHUP has it open its access log again; a renewed certificate is noticed "
		   "anyway.\n\nAs long as there is no token it listens on loopback only, and everybody "
		   "there may do "
		   "everything; see cooper token create.",
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct serve_args),
	.run = run,
};
