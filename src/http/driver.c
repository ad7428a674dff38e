/* SPDX-License-Identifier: Apache-2.0 */
#include "http/driver.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* Of a body; two can be on their way at once. */
#define PIECE ((size_t)512 << 10)
#define CONNECTIONS_KEPT 16L
#define HELD_UP_WAIT (CLOCK_SECOND / 20)

enum {
	ORDER_RESUME = 1,
	ORDER_DROP = 2,
};

struct flow {
	struct transfer *t;
	struct driver *driver;
	struct buf taken; /* of the request's thread */
	/* Of the driver's lock. */
	pthread_cond_t changed;
	unsigned orders;
	struct buf in;
	bool receive_paused;
	bool multiplexed; /* known once it is paused */
	bool ended;
	struct err *failure; /* of the driver; then there is no code */
	CURLcode code;
};

struct driver {
	const struct curl_lib *lib;
	CURLM *multi;
	pthread_t thread;
	/* Of the thread. */
	struct vec active; /* struct flow * */
	struct vec waits;  /* struct curl_waitfd */
	/* Of the lock. */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct vec fresh; /* struct flow * */
	bool ending;
};

/* ---- the request's side; locked ---- */

static void wake(struct driver *d)
{
	pthread_cond_signal(&d->work);
	(void)d->lib->curl_multi_wakeup(d->multi);
}

static void order(struct flow *f, unsigned what)
{
	f->orders |= what;
	wake(f->driver);
}

static void swap(struct buf *a, struct buf *b)
{
	struct buf was = *a;
	*a = *b;
	*b = was;
}

static struct err *take(struct flow *f)
{
	const struct http_request *rq = f->t->rq;
	swap(&f->in, &f->taken);
	if (f->receive_paused) {
		f->receive_paused = false;
		order(f, ORDER_RESUME);
	}
	pthread_mutex_unlock(&f->driver->lock);
	struct err *e = rq->write_body(rq->write_ctx, f->taken.ptr, f->taken.len);
	buf_clear(&f->taken);
	pthread_mutex_lock(&f->driver->lock);
	return e;
}

/* Until the driver let go of it and what came was taken. */
static struct err *attend(struct flow *f)
{
	struct err *e = NULL;
	while (!f->ended || (f->in.len && !e)) {
		if (e || !f->in.len) {
			pthread_cond_wait(&f->changed, &f->driver->lock);
			continue;
		}
		e = take(f);
		if (e)
			order(f, ORDER_DROP);
	}
	return e;
}

/* ---- libcurl's callbacks, on the driver's thread ---- */

static bool is_multiplexed(const struct flow *f)
{
	long version = CURL_HTTP_VERSION_NONE;
	(void)f->driver->lib->curl_easy_getinfo(f->t->easy, CURLINFO_HTTP_VERSION, &version);
	return version == CURL_HTTP_VERSION_2_0;
}

size_t flow_receive(struct flow *f, const void *p, size_t len)
{
	f->t->last_active = clock_monotonic();
	pthread_mutex_lock(&f->driver->lock);
	f->receive_paused = f->in.len > 0 && f->in.len + len > PIECE;
	if (f->receive_paused)
		f->multiplexed = is_multiplexed(f);
	else
		buf_add(&f->in, p, len);
	size_t result = f->receive_paused ? CURL_WRITEFUNC_PAUSE : len;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->driver->lock);
	return result;
}

/* ---- the driver's thread ---- */

/* Its request goes on: f is gone after this. */
static void end(struct driver *d, struct flow *f, struct err *failure, CURLcode code)
{
	(void)d->lib->curl_multi_remove_handle(d->multi, f->t->easy);
	struct flow **all = d->active.ptr;
	for (size_t i = 0; i < d->active.len; i++)
		if (all[i] == f) {
			all[i] = all[--d->active.len];
			break;
		}
	pthread_mutex_lock(&d->lock);
	f->failure = failure;
	f->code = code;
	f->ended = true;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&d->lock);
}

static void begin(struct driver *d, struct flow *f)
{
	*(struct flow **)vec_push(&d->active) = f;
	f->t->last_active = clock_monotonic();
	(void)d->lib->curl_easy_setopt(f->t->easy, CURLOPT_PRIVATE, f);
	if (d->lib->curl_multi_add_handle(d->multi, f->t->easy) != CURLM_OK)
		end(d, f, err_new(ERR_IO, "libcurl took no further transfer"), CURLE_OK);
}

static void obey(struct driver *d, struct flow *f)
{
	pthread_mutex_lock(&d->lock);
	unsigned orders = f->orders;
	int still = f->receive_paused ? CURLPAUSE_RECV : CURLPAUSE_CONT;
	f->orders = 0;
	pthread_mutex_unlock(&d->lock);
	if (orders & ORDER_DROP)
		end(d, f, NULL, CURLE_ABORTED_BY_CALLBACK);
	else if (orders & ORDER_RESUME)
		(void)d->lib->curl_easy_pause(f->t->easy, still);
}

/* False: there is nothing to do any more. */
static bool take_orders(struct driver *d)
{
	pthread_mutex_lock(&d->lock);
	while (!d->ending && !d->fresh.len && !d->active.len)
		pthread_cond_wait(&d->work, &d->lock);
	bool over = d->ending;
	struct vec fresh = d->fresh;
	d->fresh = (struct vec){.size = fresh.size};
	pthread_mutex_unlock(&d->lock);
	for (size_t i = d->active.len; i-- > 0;)
		obey(d, ((struct flow **)d->active.ptr)[i]);
	for (size_t i = 0; i < fresh.len; i++)
		begin(d, ((struct flow **)fresh.ptr)[i]);
	vec_fini(&fresh);
	return !over;
}

static void collect(struct driver *d)
{
	const CURLMsg *m;
	int left;
	while ((m = d->lib->curl_multi_info_read(d->multi, &left))) {
		struct flow *f = NULL;
		CURLcode code = m->data.result;
		(void)d->lib->curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
		end(d, f, NULL, code);
	}
}

static bool any_paused(struct driver *d)
{
	bool paused = false;
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->active.len; i++) {
		const struct flow *f = ((struct flow **)d->active.ptr)[i];
		paused |= f->receive_paused;
	}
	pthread_mutex_unlock(&d->lock);
	return paused;
}

/* One that waits for its own side can hold up the others of its connection: no server is to blame then. */
static void expire(struct driver *d)
{
	bool paused = any_paused(d);
	for (size_t i = d->active.len; i-- > 0;) {
		struct flow *f = ((struct flow **)d->active.ptr)[i];
		if (paused)
			f->t->last_active = clock_monotonic();
		struct err *e = cancel_check(f->t->rq->cancel);
		if (!e)
			e = transfer_stalled(f->t);
		if (e)
			end(d, f, e, CURLE_OK);
	}
}

/*
 * While one has more than its request's thread takes, nothing is read for any: of a stream of HTTP/2 that is
 * paused libcurl keeps what comes along with the others', and ends it when that is 64 MiB.
 */
static bool held_up(struct driver *d)
{
	bool held = false, orders = false;
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->active.len; i++) {
		const struct flow *f = ((struct flow **)d->active.ptr)[i];
		held |= f->receive_paused && f->multiplexed;
		orders |= f->orders != 0;
	}
	/* Whoever cancels does not wake this up. */
	if (held && !orders && !d->fresh.len && !d->ending)
		clock_cond_wait(&d->work, &d->lock, clock_monotonic() + HELD_UP_WAIT);
	pthread_mutex_unlock(&d->lock);
	return held || orders;
}

static CURLMcode wait_for_more(struct driver *d)
{
	d->waits.len = 0;
	for (size_t i = 0; i < d->active.len; i++) {
		int fd = cancel_fd(((struct flow **)d->active.ptr)[i]->t->rq->cancel);
		if (fd >= 0)
			*(struct curl_waitfd *)vec_push(&d->waits) =
				(struct curl_waitfd){.fd = fd, .events = CURL_WAIT_POLLIN};
	}
	return d->lib->curl_multi_poll(d->multi, d->waits.ptr, (unsigned)d->waits.len, POLL_MS, NULL);
}

static void fail_all(struct driver *d, CURLMcode code)
{
	while (d->active.len)
		end(d, *(struct flow **)d->active.ptr,
			err_new(ERR_IO, "libcurl: %s", d->lib->curl_multi_strerror(code)), CURLE_OK);
}

static void *drive(void *ctx)
{
	struct driver *d = ctx;
	while (take_orders(d)) {
		int running = 0;
		if (held_up(d)) {
			expire(d);
			continue;
		}
		CURLMcode rc = d->lib->curl_multi_perform(d->multi, &running);
		collect(d);
		expire(d);
		if (rc == CURLM_OK && d->active.len)
			rc = wait_for_more(d);
		if (rc != CURLM_OK)
			fail_all(d, rc);
	}
	return NULL;
}

/* ---- its life ---- */

static int start(struct driver *d)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int r = pthread_create(&d->thread, NULL, drive, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static void destroy(struct driver *d)
{
	d->lib->curl_multi_cleanup(d->multi);
	vec_fini(&d->active);
	vec_fini(&d->waits);
	vec_fini(&d->fresh);
	pthread_cond_destroy(&d->work);
	pthread_mutex_destroy(&d->lock);
	mem_freep(&d);
}

static struct err *driver_new(const struct curl_lib *lib, struct driver **out)
{
	CURLM *multi = lib->curl_multi_init();
	if (!multi)
		return err_new(ERR_IO, "libcurl has no memory for transfers");
	(void)lib->curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
	struct driver *d = mem_new(struct driver);
	d->lib = lib;
	d->multi = multi;
	d->active = d->fresh = (struct vec){.size = sizeof(struct flow *)};
	d->waits = (struct vec){.size = sizeof(struct curl_waitfd)};
	pthread_mutex_init(&d->lock, NULL);
	clock_cond_init(&d->work);
	int r = start(d);
	if (r) {
		destroy(d);
		return err_sys(r, "a thread for transfers");
	}
	*out = d;
	return NULL;
}

void driver_free(struct driver *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	wake(d);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	destroy(d);
}

static struct err *driver_of(struct http_client *c, struct driver **out)
{
	pthread_mutex_lock(&c->lock);
	struct err *e = c->driver ? NULL : driver_new(c->lib, &c->driver);
	*out = c->driver;
	pthread_mutex_unlock(&c->lock);
	return e;
}

struct err *driver_run(struct transfer *t, CURLcode *code)
{
	struct driver *d;
	TRY(driver_of(t->client, &d));
	struct flow f = {.t = t, .driver = d};
	pthread_cond_init(&f.changed, NULL);
	t->flow = &f;
	pthread_mutex_lock(&d->lock);
	*(struct flow **)vec_push(&d->fresh) = &f;
	wake(d);
	struct err *e = attend(&f);
	pthread_mutex_unlock(&d->lock);
	t->flow = NULL;
	*code = f.code;
	if (e && f.failure)
		err_ignore(f.failure, "this side failed first");
	buf_fini(&f.taken);
	buf_fini(&f.in);
	pthread_cond_destroy(&f.changed);
	return e ? e : f.failure;
}
