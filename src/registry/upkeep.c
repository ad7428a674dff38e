/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/upkeep.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/collect.h"
#include "registry/scrub.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

/* Of what requests were told: what has to stay longer has a record of its own by then. */
#define LEASE_AGE (600 * CLOCK_SECOND)
/* Short enough that the disk is never long at the scrub's disposal, long enough to cost nothing. */
#define SCRUB_STEP (10 * CLOCK_SECOND)

struct registry_upkeep {
	struct registry_upkeep_options opt;
	struct cancel *cancel;
	pthread_t thread;
	pthread_mutex_t lock;
	struct registry_upkeep_counts counts; /* under lock */
};

static void note_failure(struct err *e, const char *what)
{
	if (e && err_kind(e) != ERR_CANCELED) {
		AUTO_FREE char *text = err_text(e);
		log_warn("registry: %s: %s", what, text);
	}
	err_free(e);
}

/* ---- collecting ---- */

static struct err *gather_pins(struct registry_upkeep *u, struct map *pins, bool *known)
{
	*known = !u->opt.policy->pinned_in.len;
	if (*known || !u->opt.pins)
		return NULL;
	TRY(u->opt.pins(u->opt.ctx, pins));
	*known = true;
	return NULL;
}

static void log_removed(void *ctx, const char *name, const char *why)
{
	(void)ctx;
	log_info("registry: %s is let go: %s", name, why);
}

static struct err *let_go(struct registry_upkeep *u, struct store *s)
{
	AUTO(map_freep) struct map *pins = map_new(NULL);
	bool known = false;
	/* Without them nothing is deleted by a rule; blobs that nobody names go all the same. */
	note_failure(gather_pins(u, pins, &known), "reading what manifests pin: retention waits");
	struct registry_collect_options opt = {
		.policy = u->opt.policy, .pinned = known ? pins : NULL, .report = log_removed};
	struct registry_collected did = {0};
	TRY(registry_collect(s, &opt, u->cancel, &did));
	if (did.tags || did.manifests || did.blobs)
		log_info("registry: %llu tags, %llu manifests and %llu blobs of repositories were let go",
			(unsigned long long)did.tags, (unsigned long long)did.manifests,
			(unsigned long long)did.blobs);
	return NULL;
}

static int64_t lease_age(const struct registry_upkeep *u)
{
	return u->opt.policy->grace < LEASE_AGE ? u->opt.policy->grace : LEASE_AGE;
}

static struct err *trim_lease(struct registry_upkeep *u)
{
	/* Where pulls are all that happens nothing else writes it down. */
	TRY(store_note_uses(u->opt.served));
	struct err *e = store_lease_trim(u->opt.served, clock_now() - lease_age(u));
	/* On a full disk a lease holds all there is, and nothing could be freed by anybody. */
	if (err_kind(e) != ERR_NO_SPACE || !store_reserve_release(u->opt.served))
		return e;
	err_ignore(e, "tried again with what was kept aside for collecting");
	return store_lease_trim(u->opt.served, clock_now() - lease_age(u));
}

static struct err *collect_in(struct registry_upkeep *u, struct store_gc_result *did)
{
	AUTO(store_closep) struct store *s = NULL;
	char size[CLOCK_TEXT_MAX];
	TRY(store_open(store_home(u->opt.served), NULL, &s));
	TRY(store_note_uses(u->opt.served));
	TRY(let_go(u, s));
	TRY(trim_lease(u));
	/* The lease of this handle keeps what it has just read. */
	TRY(store_lease_trim(s, clock_now()));
	TRY(store_gc(s, &u->opt.gc, u->cancel, did));
	if (did->blobs || did->layers)
		log_info("registry: gc freed %s: %llu blobs, %llu layers", size_text(did->bytes, size),
			(unsigned long long)did->blobs, (unsigned long long)did->layers);
	return store_sync_trees(s);
}

static struct err *collect(struct registry_upkeep *u)
{
	struct store_gc_result did = {0};
	struct err *e = collect_in(u, &did);
	if (err_kind(e) == ERR_NO_SPACE && store_reserve_release(u->opt.served)) {
		err_ignore(e, "tried again with what was kept aside for this");
		e = collect_in(u, &did);
	}
	pthread_mutex_lock(&u->lock);
	u->counts.runs++;
	u->counts.failures += e != NULL;
	u->counts.freed += did.bytes;
	u->counts.ended = clock_now();
	pthread_mutex_unlock(&u->lock);
	return e;
}

void registry_upkeep_counted(struct registry_upkeep *u, struct registry_upkeep_counts *out)
{
	pthread_mutex_lock(&u->lock);
	*out = u->counts;
	pthread_mutex_unlock(&u->lock);
}

/* ---- scrub ---- */

static int64_t scrub_interval(int64_t every)
{
	return every / 4 < SCRUB_STEP ? every / 4 : SCRUB_STEP;
}

static struct err *scrub(struct registry_upkeep *u)
{
	AUTO(store_closep) struct store *s = NULL;
	int64_t every = u->opt.policy->scrub_every;
	TRY(store_open(store_home(u->opt.served), NULL, &s));
	return scrub_step(s, every, scrub_interval(every), u->cancel);
}

/* ---- the thread ---- */

struct duty {
	int64_t every, next; /* every 0: never */
	struct err *(*fn)(struct registry_upkeep *u);
	const char *what;
};

static int wait_ms(const struct duty *duties, size_t n)
{
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < n; i++)
		if (duties[i].every && duties[i].next < next)
			next = duties[i].next;
	if (next == INT64_MAX)
		return -1;
	int64_t left = (next - clock_monotonic()) / 1000000 + 1;
	return left < 0 ? 0 : left > 3600 * 1000 ? 3600 * 1000 : (int)left;
}

static void *run(void *arg)
{
	struct registry_upkeep *u = arg;
	const struct registry_policy *p = u->opt.policy;
	int64_t now = clock_monotonic(), step = scrub_interval(p->scrub_every);
	struct duty duties[] = {
		{p->gc_every, now, collect, "collecting"},
		{lease_age(u), now + lease_age(u), trim_lease, "trimming the lease"},
		{p->scrub_every ? step : 0, now + step, scrub, "scrub"},
	};
	struct pollfd stop = {.fd = cancel_fd(u->cancel), .events = POLLIN};
	while (!cancel_is_set(u->cancel)) {
		for (size_t i = 0; i < ARRAY_LEN(duties) && !cancel_is_set(u->cancel); i++) {
			struct duty *d = &duties[i];
			if (!d->every || clock_monotonic() < d->next)
				continue;
			note_failure(d->fn(u), d->what);
			d->next = clock_monotonic() + d->every;
		}
		if (poll(&stop, 1, wait_ms(duties, ARRAY_LEN(duties))) < 0 && errno != EINTR)
			break;
	}
	return NULL;
}

struct err *registry_upkeep_start(const struct registry_upkeep_options *opt, struct registry_upkeep **out)
{
	struct registry_upkeep *u = mem_new(struct registry_upkeep);
	u->opt = *opt;
	u->cancel = cancel_new();
	pthread_mutex_init(&u->lock, NULL);
	int r = pthread_create(&u->thread, NULL, run, u);
	if (r) {
		cancel_free(u->cancel);
		free(u);
		return err_sys(r, "starting the registry's upkeep");
	}
	*out = u;
	return NULL;
}

void registry_upkeep_stop(struct registry_upkeep *u)
{
	if (!u)
		return;
	cancel_set(u->cancel);
	pthread_join(u->thread, NULL);
	cancel_free(u->cancel);
	free(u);
}
