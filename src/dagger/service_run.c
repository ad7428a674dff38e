/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running services. They share the host's network with steps and with each other, so a port can have one
 * service at a time. Who needs services takes all of them at once or waits with none, so that nobody waits in
 * a circle. A service that nobody needs any more runs on for the next one, until its port is needed.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "dagger/relay.h"
#include "dagger/service_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEALTHY_WITHIN (60 * CLOCK_SECOND)
#define LOOK_AGAIN_US 20000

struct running {
	struct dagger *d;
	const struct service *service;
	pthread_t thread;
	struct cancel *cancel;
	struct vec relays; /* of struct relay * */
	/* Under the lock of d: */
	unsigned refs;  /* the map of running services is one */
	unsigned users; /* calls under way */
	bool kept;      /* somebody started it, and stops it */
	bool launched;  /* somebody is starting it or did */
	bool threaded;  /* the thread is there */
	bool up;        /* it was started: its ports are its own */
	bool leaving;   /* somebody is ending it */
	bool ended;
	struct err *end; /* why; NULL: it came to its end */
};

/* Which services are one: a program is known by what it is, under whatever name. */
static const char *key_of(const struct service *s, char out[DIGEST_TEXT_MAX])
{
	return s->node ? digest_text(node_digest(s->node), out) : s->object.id;
}

static struct running *find(struct dagger *d, const struct service *s)
{
	char key[DIGEST_TEXT_MAX];

	return map_get_c(d->services, key_of(s, key));
}

/* ---- ending ---- */

static void put(struct running *r)
{
	pthread_mutex_t *lock = &r->d->lock;

	pthread_mutex_lock(lock);
	bool last = --r->refs == 0;
	pthread_mutex_unlock(lock);
	if (!last)
		return;
	err_free(r->end);
	cancel_free(r->cancel);
	vec_fini(&r->relays);
	mem_freep(&r);
}

static void set_end(struct running *r, struct err *why)
{
	pthread_mutex_lock(&r->d->lock);
	if (r->ended)
		err_ignore(why, "it had ended before");
	else
		r->end = why;
	r->ended = true;
	pthread_mutex_unlock(&r->d->lock);
}

/* Who starts it is done, or will not begin. */
static void await_launch(struct running *r)
{
	pthread_mutex_lock(&r->d->lock);
	while (r->launched && !r->up) {
		pthread_mutex_unlock(&r->d->lock);
		usleep(LOOK_AGAIN_US);
		pthread_mutex_lock(&r->d->lock);
	}
	r->launched = true;
	pthread_mutex_unlock(&r->d->lock);
}

/* Of one that was marked as leaving. It keeps its ports until it is gone. */
static void end(struct running *r)
{
	char key[DIGEST_TEXT_MAX];

	cancel_set(r->cancel);
	await_launch(r);
	if (r->threaded)
		pthread_join(r->thread, NULL);
	for (size_t i = 0; i < r->relays.len; i++)
		relay_stop(*(struct relay **)vec_at(&r->relays, i));
	vec_clear(&r->relays);
	set_end(r, NULL);
	pthread_mutex_lock(&r->d->lock);
	map_remove(r->d->services, str_c(key_of(r->service, key)));
	pthread_mutex_unlock(&r->d->lock);
	put(r);
}

void service_stop(struct dagger *d, const struct service *s)
{
	pthread_mutex_lock(&d->lock);
	struct running *r = find(d, s);
	bool mine = r && !r->leaving;
	if (mine)
		r->leaving = true;
	pthread_mutex_unlock(&d->lock);
	if (mine)
		end(r);
}

void services_stop(struct dagger *d)
{
	for (;;) {
		struct str key;
		void *r = NULL;
		size_t i = 0;
		if (!map_next(d->services, &i, &key, &r))
			return;
		end(r);
	}
}

/* ---- taking ---- */

/* The port of this machine that both want; 0: none. */
static int common_port(const struct service *a, const struct service *b)
{
	for (size_t i = 0; a->node && b->node && i < a->ports.len; i++) {
		const struct exposed_port *x = vec_at(&a->ports, i);
		for (size_t k = 0; k < b->ports.len; k++) {
			const struct exposed_port *y = vec_at(&b->ports, k);
			if (x->port == y->port && x->udp == y->udp)
				return x->port;
		}
	}
	return 0;
}

static struct err *two_on(int port)
{
	return err_hint(
		err_new(ERR_UNSUPPORTED, "not supported by cooper: two services on port %d at once", port),
		"steps and services share the host's network: give one another port, or stop the one that "
		"was "
		"started");
}

static struct running *rival_of(struct dagger *d, const struct service *s, int *port)
{
	struct str key;
	void *r;

	for (size_t i = 0; map_next(d->services, &i, &key, &r);) {
		*port = common_port(((struct running *)r)->service, s);
		if (*port)
			return r;
	}
	return NULL;
}

/* What is in the way of s. *gone: one that can go; *busy: one to wait for. */
static struct err *in_the_way(
	struct dagger *d, const struct service *s, struct running **gone, struct running **busy)
{
	struct running *r = find(d, s);
	int port = 0;

	if (r && (r->ended || r->leaving))
		*gone = r;
	struct running *rival = r ? NULL : rival_of(d, s, &port);
	if (rival && (rival->leaving || (!rival->users && (!rival->kept || rival->ended))))
		*gone = rival;
	else if (rival && rival->kept)
		return two_on(port);
	else if (rival)
		*busy = rival;
	return NULL;
}

static struct running *running_new(struct dagger *d, const struct service *s)
{
	struct running *r = mem_new(struct running);
	char key[DIGEST_TEXT_MAX];

	*r = (struct running){
		.d = d, .service = s, .cancel = cancel_new(), .relays = VEC_OF(struct relay *), .refs = 1};
	map_set_c(d->services, key_of(s, key), r);
	return r;
}

/* One look: takes all of list if nothing is in the way. Under the lock of d, which it gives up in between. */
static struct err *try_take(struct call *c, const struct vec *list, bool *taken)
{
	struct running *gone = NULL, *busy = NULL;

	for (size_t i = 0; i < list->len && !gone && !busy; i++)
		TRY(in_the_way(c->d, *(struct service **)vec_at(list, i), &gone, &busy));
	*taken = !gone && !busy;
	if (gone && !gone->leaving) {
		gone->leaving = true;
		pthread_mutex_unlock(&c->d->lock);
		end(gone);
		pthread_mutex_lock(&c->d->lock);
		return NULL;
	}
	if (!*taken) {
		pthread_mutex_unlock(&c->d->lock);
		usleep(LOOK_AGAIN_US);
		pthread_mutex_lock(&c->d->lock);
		return cancel_check(c->cancel);
	}
	for (size_t i = 0; i < list->len; i++) {
		const struct service *s = *(struct service **)vec_at(list, i);
		struct running *r = find(c->d, s);
		r = r ? r : running_new(c->d, s);
		r->refs++;
		r->users++;
		c->held[c->held_count++] = r;
	}
	return NULL;
}

static struct err *take(struct call *c, const struct vec *list)
{
	struct err *e = NULL;
	bool taken = false;

	for (size_t i = 0; i < list->len; i++)
		for (size_t k = 0; k < i; k++) {
			int port = common_port(
				*(struct service **)vec_at(list, i), *(struct service **)vec_at(list, k));
			if (port)
				return two_on(port);
		}
	c->held = arena_array(c->arena, list->len + 1, sizeof(struct running *));
	pthread_mutex_lock(&c->d->lock);
	while (!e && !taken)
		e = try_take(c, list, &taken);
	pthread_mutex_unlock(&c->d->lock);
	return e;
}

void services_release(struct call *c)
{
	for (size_t i = 0; i < c->held_count; i++) {
		pthread_mutex_lock(&c->d->lock);
		c->held[i]->users--;
		pthread_mutex_unlock(&c->d->lock);
		put(c->held[i]);
	}
	c->held_count = 0;
}

/* ---- starting ---- */

static void *run(void *arg)
{
	struct running *r = arg;
	AUTO(snapshot_fini) struct snapshot made = {0};

	set_end(r, session_solve(r->d->session, r->service->node, r->cancel, &made));
	return NULL;
}

static struct err *connects(int port, bool *ok)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return err_sys(errno, "asking whether a service is up");
	*ok = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
	close(fd);
	return NULL;
}

/* Else the other program would be taken for the service. */
static struct err *ports_are_free(const struct service *s)
{
	bool taken = false;

	for (size_t i = 0; i < s->ports.len; i++) {
		const struct exposed_port *p = vec_at(&s->ports, i);
		if (!p->udp)
			TRY(connects(p->port, &taken));
		if (taken)
			return err_hint(
				err_new(ERR_UNAVAILABLE,
					"port %d of this machine is in use by another program", p->port),
				"steps and services share the host's network");
	}
	return NULL;
}

static struct err *launch_program(struct running *r)
{
	TRY(ports_are_free(r->service));
	if (pthread_create(&r->thread, NULL, run, r))
		return err_new(ERR_UNAVAILABLE, "no thread for the service %s", r->service->hostname);
	r->threaded = true;
	return NULL;
}

static struct err *launch_relays(struct running *r)
{
	for (size_t i = 0; i < r->service->forwards.len; i++) {
		const struct forward *f = vec_at(&r->service->forwards, i);
		struct relay *relay = NULL;
		TRY(relay_start(f->frontend, f->host, f->backend, &relay));
		vec_push_copy(&r->relays, &relay);
	}
	return NULL;
}

static void launch(struct running *r)
{
	pthread_mutex_lock(&r->d->lock);
	bool mine = !r->launched;
	r->launched = true;
	pthread_mutex_unlock(&r->d->lock);
	if (!mine)
		return;
	struct err *e = r->service->node ? launch_program(r) : launch_relays(r);
	if (e)
		set_end(r, e);
	pthread_mutex_lock(&r->d->lock);
	r->up = true;
	pthread_mutex_unlock(&r->d->lock);
}

/* Its end, told to one of those who need it. */
static struct err *end_of(const struct running *r)
{
	AUTO_FREE char *why = r->end ? err_text(r->end) : mem_strdup("it came to its end");
	bool exited = err_kind(r->end) == ERR_EXITED;
	struct err *e = err_new(exited ? ERR_EXITED : ERR_UNAVAILABLE, "the service %s is not running: %s",
		r->service->hostname, why);

	if (exited)
		e = err_with_exit_code(e, err_exit_code(r->end));
	if (r->end && err_subject(r->end))
		e = err_with_subject(e, err_subject(r->end));
	return e;
}

static struct err *look(struct running *r, bool *up)
{
	pthread_mutex_lock(&r->d->lock);
	struct err *e = r->ended ? end_of(r) : NULL;
	*up = r->up;
	pthread_mutex_unlock(&r->d->lock);
	return e;
}

/* On all of its ports. */
static struct err *answers(const struct service *s, bool *ok)
{
	for (size_t i = 0; i < s->ports.len && *ok; i++) {
		const struct exposed_port *p = vec_at(&s->ports, i);
		if (!p->skip_health && !p->udp)
			TRY(connects(p->port, ok));
	}
	return NULL;
}

static struct err *wait_healthy(struct call *c, const struct service *s, struct running *r)
{
	int64_t until = clock_monotonic() + HEALTHY_WITHIN;

	for (;;) {
		bool ok = false;
		TRY(cancel_check(c->cancel));
		TRY(look(r, &ok));
		TRY(answers(s, &ok));
		if (ok)
			return look(r, &ok);
		if (clock_monotonic() > until)
			return err_new(
				ERR_TIMEOUT, "the service %s does not answer on its ports", s->hostname);
		usleep(LOOK_AGAIN_US);
	}
}

static struct err *take_and_start(struct call *c, const struct vec *list)
{
	TRY(take(c, list));
	for (size_t i = 0; i < list->len; i++) {
		launch(c->held[i]);
		TRY(wait_healthy(c, *(struct service **)vec_at(list, i), c->held[i]));
	}
	return NULL;
}

/* ---- what is needed ---- */

static const struct vec *bound_to(struct dagger *d, const struct node *n)
{
	char key[DIGEST_TEXT_MAX];

	pthread_mutex_lock(&d->lock);
	const struct vec *v = map_get_c(d->bound, digest_text(node_digest(n), key));
	pthread_mutex_unlock(&d->lock);
	return v;
}

static void add_needs_of(struct dagger *d, const struct node *n, struct vec *list);

/* s, after all that it needs itself. */
static void add_need(struct dagger *d, struct service *s, struct vec *list)
{
	char key[DIGEST_TEXT_MAX], other[DIGEST_TEXT_MAX];

	for (size_t i = 0; i < list->len; i++)
		if (cstr_eq(key_of(*(struct service **)vec_at(list, i), other), key_of(s, key)))
			return;
	if (s->target)
		add_need(d, s->target, list);
	if (s->node)
		add_needs_of(d, s->node, list);
	vec_push_copy(list, &s);
}

static void add_needs_of(struct dagger *d, const struct node *n, struct vec *list)
{
	struct vec stack = VEC_OF(const struct node *);
	AUTO(map_freep) struct map *seen = map_new(NULL);

	vec_push_copy(&stack, &n);
	while (stack.len) {
		const struct node *at = *(const struct node **)vec_at(&stack, stack.len - 1);
		vec_remove(&stack, stack.len - 1);
		struct str key = str_n((const char *)&at, sizeof(at));
		if (map_has(seen, key))
			continue;
		map_set(seen, key, d);
		const struct vec *bound = bound_to(d, at);
		for (size_t i = 0; bound && i < bound->len; i++)
			add_need(d, *(struct service **)vec_at(bound, i), list);
		for (size_t i = 0; i < node_input_count(at); i++) {
			const struct node *in = node_input(at, i);
			if (in)
				vec_push_copy(&stack, &in);
		}
	}
	vec_fini(&stack);
}

struct err *services_for(struct call *c, struct node *n)
{
	struct vec list = VEC_OF(struct service *);

	services_release(c);
	pthread_mutex_lock(&c->d->lock);
	bool none = !map_len(c->d->bound);
	pthread_mutex_unlock(&c->d->lock);
	if (none || !n)
		return NULL;
	add_needs_of(c->d, n, &list);
	struct err *e = list.len ? take_and_start(c, &list) : NULL;
	vec_fini(&list);
	return e;
}

struct err *service_use(struct call *c, struct service *s, bool keep)
{
	struct vec list = VEC_OF(struct service *);

	services_release(c);
	add_need(c->d, s, &list);
	struct err *e = take_and_start(c, &list);
	vec_fini(&list);
	pthread_mutex_lock(&c->d->lock);
	for (size_t i = 0; !e && keep && i < c->held_count; i++)
		c->held[i]->kept = true;
	pthread_mutex_unlock(&c->d->lock);
	return e;
}

struct err *service_check(struct dagger *d, const struct service *s)
{
	pthread_mutex_lock(&d->lock);
	const struct running *r = find(d, s);
	struct err *e = !r         ? err_new(ERR_UNAVAILABLE, "the service %s was stopped", s->hostname)
			: r->ended ? end_of(r)
				   : NULL;
	pthread_mutex_unlock(&d->lock);
	return e;
}

void services_bind(struct dagger *d, const struct node *n, struct service *const *services, size_t count)
{
	char key[DIGEST_TEXT_MAX];

	if (!count)
		return;
	pthread_mutex_lock(&d->lock);
	struct vec *bound = arena_new_of(d->arena, struct vec);
	*bound = VEC_OF(struct service *);
	for (size_t i = 0; i < count; i++)
		vec_push_copy(bound, &services[i]);
	vec_push_copy(&d->cleanups, &(struct cleanup){(void (*)(void *))(uintptr_t)vec_fini, bound});
	map_set_c(d->bound, digest_text(node_digest(n), key), bound);
	pthread_mutex_unlock(&d->lock);
}
