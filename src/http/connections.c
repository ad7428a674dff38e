/* SPDX-License-Identifier: Apache-2.0 */
#include "http/connections.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Closed ones go when their threads are done. When so many are about to, the thread that accepts leaves the
 * processor to them for a moment, so that their number has a bound.
 */
#define CROWD 8
/* Nobody is kept waiting by those that are only to be told that there are too many. */
#define TURNED_AWAY_MAX 32
#define YIELD_US 1000

struct connection {
	struct connections *all;
	struct connection *prev, *next;
	int fd;
	struct in6_addr peer; /* what counts as one address; of IPv4 in its mapped form */
	bool exempt;          /* no number of its address is too many */
	bool fresh;           /* it has had no answer yet */
	bool busy, closed, surplus;
	int64_t since, until; /* waits since; has to ask by then */
};

struct connections {
	struct connections_options opt;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	struct connection *first; /* under lock, as all that is below */
	unsigned live, surplus, closing;
	bool stopping;
};

/* ---- addresses ---- */

static void address_of(const struct sockaddr *peer, struct in6_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (peer && peer->sa_family == AF_INET) {
		struct sockaddr_in four;
		memcpy(&four, peer, sizeof(four));
		out->s6_addr[10] = out->s6_addr[11] = 0xff;
		memcpy(out->s6_addr + 12, &four.sin_addr, 4);
	} else if (peer && peer->sa_family == AF_INET6) {
		struct sockaddr_in6 six;
		memcpy(&six, peer, sizeof(six));
		*out = six.sin6_addr;
	}
}

static bool is_loopback(const struct in6_addr *a)
{
	return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

/* Whoever has one address of IPv6 has the rest of its /64, too. */
static void widen(struct in6_addr *a)
{
	if (!IN6_IS_ADDR_V4MAPPED(a) && !IN6_IS_ADDR_LOOPBACK(a))
		memset(a->s6_addr + 8, 0, 8);
}

/* ---- giving way; with the lock held ---- */

/* The peer's thread sees the end of its input. Its descriptor stays open until it is removed. */
static void close_one(struct connection *c, const char *why)
{
	struct connections *all = c->all;
	c->closed = true;
	*(c->surplus ? &all->surplus : &all->live) -= 1;
	all->closing++;
	(void)shutdown(c->fd, SHUT_RDWR);
	log_debug("http: a connection is closed: %s", why);
}

static bool same_address(const struct connection *a, const struct connection *b)
{
	return memcmp(&a->peer, &b->peer, sizeof(a->peer)) == 0;
}

static unsigned count_like(const struct connection *one)
{
	unsigned n = 0;
	for (const struct connection *c = one->all->first; c; c = c->next)
		n += !c->closed && !c->surplus && same_address(c, one);
	return n;
}

enum among { SERVED, OF_ITS_ADDRESS, TURNED_AWAY };

/* The one that waits longest, never the newcomer. */
static struct connection *longest_waiting(const struct connection *newcomer, enum among among)
{
	struct connection *found = NULL;
	for (struct connection *c = newcomer->all->first; c; c = c->next) {
		if (c == newcomer || c->busy || c->closed || c->surplus != (among == TURNED_AWAY) ||
			(among == OF_ITS_ADDRESS && !same_address(c, newcomer)))
			continue;
		if (!found || c->since < found->since)
			found = c;
	}
	return found;
}

/* It is let in only to be told so. */
static void turn_away(struct connection *newcomer)
{
	struct connections *all = newcomer->all;
	struct connection *c =
		all->surplus >= TURNED_AWAY_MAX ? longest_waiting(newcomer, TURNED_AWAY) : NULL;
	if (c)
		close_one(c, "there are too many");
	newcomer->surplus = true;
	all->live--;
	all->surplus++;
}

static void make_room(struct connection *newcomer)
{
	struct connections *all = newcomer->all;
	bool of_address = !newcomer->exempt && count_like(newcomer) > all->opt.per_address;
	if (!of_address && all->live <= all->opt.most)
		return;
	struct connection *c = longest_waiting(newcomer, of_address ? OF_ITS_ADDRESS : SERVED);
	if (c)
		close_one(c, "there are many, and a new one came");
	else
		turn_away(newcomer);
}

/* ---- those that take too long ---- */

static void close_overdue(struct connections *all)
{
	int64_t now = clock_monotonic();
	for (struct connection *c = all->first; c; c = c->next)
		if (!c->busy && !c->closed && c->until <= now)
			close_one(c, "no request came in time");
}

static void *watch(void *arg)
{
	struct connections *all = arg;
	int64_t step = all->opt.headers / 8 + 1;
	pthread_mutex_lock(&all->lock);
	while (!all->stopping) {
		if (!all->first) {
			pthread_cond_wait(&all->changed, &all->lock);
			continue;
		}
		/* Woken early it looks early, which does no harm. */
		clock_cond_wait(&all->changed, &all->lock, clock_monotonic() + step);
		close_overdue(all);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* ---- the life of one ---- */

struct connection *connection_add(struct connections *all, int fd, const struct sockaddr *peer)
{
	struct connection *c = mem_new(struct connection);
	c->all = all;
	c->fd = fd;
	c->fresh = true;
	address_of(peer, &c->peer);
	c->exempt = !all->opt.per_address || (all->opt.loopback_exempt && is_loopback(&c->peer));
	widen(&c->peer);
	c->since = clock_monotonic();
	c->until = c->since + all->opt.headers;
	pthread_mutex_lock(&all->lock);
	if (!all->first)
		pthread_cond_signal(&all->changed);
	c->next = all->first;
	if (c->next)
		c->next->prev = c;
	all->first = c;
	all->live++;
	make_room(c);
	bool crowd = all->closing > CROWD;
	pthread_mutex_unlock(&all->lock);
	if (crowd)
		usleep(YIELD_US);
	return c;
}

void connection_remove(struct connection *c)
{
	struct connections *all = c->all;
	pthread_mutex_lock(&all->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		all->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	*(c->closed ? &all->closing : c->surplus ? &all->surplus : &all->live) -= 1;
	pthread_mutex_unlock(&all->lock);
	free(c);
}

void connection_asks(struct connection *c)
{
	pthread_mutex_lock(&c->all->lock);
	/* Of the first request all is due by when it was said at its beginning. */
	if (!c->fresh)
		c->until = clock_monotonic() + c->all->opt.headers;
	pthread_mutex_unlock(&c->all->lock);
}

enum connection_verdict connection_begins(struct connection *c)
{
	pthread_mutex_lock(&c->all->lock);
	enum connection_verdict v = c->closed    ? CONNECTION_CLOSED
				    : c->surplus ? CONNECTION_TOO_MANY
						 : CONNECTION_GO;
	c->busy = true;
	pthread_mutex_unlock(&c->all->lock);
	return v;
}

void connection_waits(struct connection *c)
{
	pthread_mutex_lock(&c->all->lock);
	c->busy = c->fresh = false;
	c->since = clock_monotonic();
	c->until = c->since + c->all->opt.idle;
	pthread_mutex_unlock(&c->all->lock);
}

/* ---- all of them ---- */

static void fini(struct connections *all)
{
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

struct err *connections_new(const struct connections_options *opt, struct connections **out)
{
	struct connections *all = mem_new(struct connections);
	all->opt = *opt;
	pthread_mutex_init(&all->lock, NULL);
	clock_cond_init(&all->changed);
	int r = pthread_create(&all->thread, NULL, watch, all);
	if (r) {
		fini(all);
		return err_sys(r, "watching connections");
	}
	*out = all;
	return NULL;
}

void connections_free(struct connections *all)
{
	if (!all)
		return;
	pthread_mutex_lock(&all->lock);
	all->stopping = true;
	pthread_cond_signal(&all->changed);
	pthread_mutex_unlock(&all->lock);
	pthread_join(all->thread, NULL);
	fini(all);
}
