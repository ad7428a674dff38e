/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "remote/remote_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

struct pool {
	size_t n, next, running;
	struct err *(*fn)(void *ctx, size_t i, const struct transfer_io *io);
	void *ctx;
	struct transfer_io io;
	struct cancel *stop; /* of all workers */
	struct err *first;
	int done_fd; /* closed by nobody: a byte comes when a worker ends */
	pthread_mutex_t lock;
};

static void *worker(void *arg)
{
	struct pool *p = arg;
	pthread_mutex_lock(&p->lock);
	while (!p->first && p->next < p->n) {
		size_t i = p->next++;
		pthread_mutex_unlock(&p->lock);
		struct err *e = p->fn(p->ctx, i, &p->io);
		pthread_mutex_lock(&p->lock);
		if (e) {
			p->first = err_first(p->first, e);
			cancel_set(p->stop);
		}
	}
	p->running--;
	pthread_mutex_unlock(&p->lock);
	ssize_t n;
	do {
		n = write(p->done_fd, "x", 1);
	} while (n < 0 && errno == EINTR);
	return NULL;
}

/* Workers watch one token of their own, so the caller's is passed on here. */
static void supervise(struct pool *p, int in, const struct cancel *outer)
{
	for (;;) {
		pthread_mutex_lock(&p->lock);
		bool over = p->running == 0;
		pthread_mutex_unlock(&p->lock);
		if (over)
			return;
		bool watch = outer && !cancel_is_set(p->stop);
		struct pollfd fds[2] = {{.fd = in, .events = POLLIN},
			{.fd = watch ? cancel_fd(outer) : -1, .events = POLLIN}};
		(void)poll(fds, 2, -1);
		char waste[64];
		if (fds[0].revents)
			(void)!read(in, waste, sizeof(waste));
		if (watch && cancel_is_set(outer))
			cancel_set(p->stop);
	}
}

static struct err *run_inline(size_t n, const struct transfer_io *io,
	struct err *(*fn)(void *ctx, size_t i, const struct transfer_io *io), void *ctx)
{
	for (size_t i = 0; i < n; i++)
		TRY(fn(ctx, i, io));
	return NULL;
}

static void run_threads(struct pool *p, unsigned limit, int in, const struct cancel *outer)
{
	size_t count = 0;
	AUTO_FREE pthread_t *threads = mem_array(limit, sizeof(pthread_t));
	while (count < limit && count < p->n) {
		pthread_mutex_lock(&p->lock);
		p->running++;
		pthread_mutex_unlock(&p->lock);
		if (pthread_create(&threads[count], NULL, worker, p) != 0) {
			pthread_mutex_lock(&p->lock);
			p->running--;
			if (count == 0)
				p->first = err_new(ERR_IO, "starting a thread for transfers");
			pthread_mutex_unlock(&p->lock);
			break;
		}
		count++;
	}
	supervise(p, in, outer);
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

struct err *parallel_run(size_t n, unsigned limit, const struct transfer_io *io,
	struct err *(*fn)(void *ctx, size_t i, const struct transfer_io *io), void *ctx)
{
	if (n <= 1 || limit <= 1)
		return run_inline(n, io, fn, ctx);
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe for transfers");
	in = ends[0];
	out = ends[1];
	AUTO(cancel_freep) struct cancel *stop = cancel_new();
	struct pool p = {.n = n, .fn = fn, .ctx = ctx, .io = *io, .stop = stop, .done_fd = out};
	p.io.cancel = stop;
	pthread_mutex_init(&p.lock, NULL);
	run_threads(&p, limit, in, io->cancel);
	pthread_mutex_destroy(&p.lock);
	struct err *outer = cancel_check(io->cancel);
	return err_first(outer, p.first);
}
