/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/process.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "sys/file.h"
#include "sys/process_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define DEFAULT_OUTPUT ((size_t)64 << 20)

struct run {
	const struct process_request *rq;
	struct spawned child;
	int in, out, err; /* our ends; -1 when closed or not wanted */
	size_t written;
	size_t limit;
	struct buf own_err; /* stderr, kept also when the caller does not want it: failures quote it */
	struct buf *out_to, *err_to;
	size_t out_start, err_start;
	int64_t deadline; /* monotonic ns; 0: none */
};

/* The child's ends. */
struct child_fds {
	int in, out, err;
};

static void child_fds_fini(struct child_fds *c)
{
	fd_closep(&c->in);
	fd_closep(&c->out);
	fd_closep(&c->err);
}

static void run_fini(struct run *r)
{
	spawned_fini(&r->child);
	buf_fini(&r->own_err);
	fd_closep(&r->in);
	fd_closep(&r->out);
	fd_closep(&r->err);
}

static struct err *make_pipes(struct run *r, struct child_fds *c)
{
	if (r->rq->input.len)
		TRY(process_pipe(&c->in, &r->in));
	else
		TRY(file_open(AT_FDCWD, "/dev/null", O_RDONLY, 0, &c->in));
	if (r->out_to)
		TRY(process_pipe(&r->out, &c->out));
	TRY(process_pipe(&r->err, &c->err));
	int ours[] = {r->in, r->out, r->err};
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (ours[i] >= 0 && fcntl(ours[i], F_SETFL, O_NONBLOCK) < 0)
			return err_sys(errno, "preparing a pipe");
	return NULL;
}

static struct err *start(struct run *r)
{
	AUTO(child_fds_fini) struct child_fds c = {-1, -1, -1};
	TRY(make_pipes(r, &c));
	const struct spawn_request rq = {
		.argv = r->rq->argv,
		.env = r->rq->env,
		.unset = r->rq->unset,
		.dir = r->rq->dir,
		.in = c.in,
		.out = c.out,
		.err = c.err,
		.death_signal = SIGKILL,
	};
	return spawn(&rq, &r->child);
}

/* Writing to a child that closed its stdin must not kill us: SIGPIPE is held back in this thread and taken
 * off again. */
static ssize_t write_quietly(int fd, const void *p, size_t len)
{
	sigset_t pipe_set, old;
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	ssize_t n = write(fd, p, len);
	int saved = errno;
	if (n < 0 && saved == EPIPE && !sigismember(&old, SIGPIPE)) {
		struct timespec now = {0};
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return n;
}

static struct err *feed(struct run *r)
{
	struct str in = str_skip(r->rq->input, r->written);
	ssize_t n = write_quietly(r->in, in.ptr, in.len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n < 0 && errno != EPIPE)
		return err_sys(errno, "writing to %s", r->rq->argv[0]);
	r->written += n > 0 ? (size_t)n : 0;
	if (n < 0 || r->written == r->rq->input.len)
		fd_closep(&r->in);
	return NULL;
}

static struct err *drain(struct run *r, int *fd, struct buf *to, size_t start)
{
	char chunk[64 << 10];
	for (;;) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return NULL;
		if (n < 0)
			return err_sys(errno, "reading what %s wrote", r->rq->argv[0]);
		if (n == 0) {
			fd_closep(fd);
			return NULL;
		}
		if (to->len - start + (size_t)n > r->limit)
			return err_new(ERR_INVALID, "%s wrote more than %zu bytes", r->rq->argv[0], r->limit);
		buf_add(to, chunk, (size_t)n);
	}
}

static struct err *drain_both(struct run *r)
{
	if (r->out >= 0)
		TRY(drain(r, &r->out, r->out_to, r->out_start));
	if (r->err >= 0)
		TRY(drain(r, &r->err, r->err_to, r->err_start));
	return NULL;
}

static int wait_ms(const struct run *r)
{
	if (!r->deadline)
		return r->child.pidfd < 0 ? 50 : -1;
	int64_t left = (r->deadline - clock_monotonic()) / 1000000 + 1;
	if (left < 0)
		left = 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/* Ends when the program has ended: what it left running may hold the pipes for ever. */
static struct err *attend(struct run *r)
{
	for (;;) {
		struct pollfd p[] = {
			{.fd = r->in, .events = POLLOUT},
			{.fd = r->out, .events = POLLIN},
			{.fd = r->err, .events = POLLIN},
			{.fd = r->child.pidfd, .events = POLLIN},
			{.fd = cancel_fd(r->rq->cancel), .events = POLLIN},
		};
		int n = poll(p, ARRAY_LEN(p), wait_ms(r));
		if (n < 0 && errno != EINTR)
			return err_sys(errno, "waiting for %s", r->rq->argv[0]);
		TRY(cancel_check(r->rq->cancel));
		if (r->deadline && clock_monotonic() >= r->deadline)
			return err_new(ERR_TIMEOUT, "%s took longer than %lld s", r->rq->argv[0],
				(long long)(r->rq->timeout / CLOCK_SECOND));
		bool gone = spawned_is_gone(&r->child);
		TRY(drain_both(r));
		if (gone)
			return NULL;
		if (r->in >= 0 && n > 0 && (p[0].revents & (POLLOUT | POLLERR | POLLHUP)))
			TRY(feed(r));
	}
}

struct err *process_run(const struct process_request *rq, struct buf *out, struct buf *errout)
{
	assert(rq->argv && rq->argv[0]);
	AUTO(run_fini)
	struct run r = {
		.rq = rq,
		.child = NOT_SPAWNED,
		.in = -1,
		.out = -1,
		.err = -1,
		.limit = rq->max_output ? rq->max_output : DEFAULT_OUTPUT,
		.out_to = out,
		.out_start = out ? out->len : 0,
		.err_start = errout ? errout->len : 0,
		.deadline = rq->timeout ? clock_monotonic() + rq->timeout : 0,
	};
	r.err_to = errout ? errout : &r.own_err;
	TRY(cancel_check(rq->cancel));
	TRY(start(&r));
	TRY(attend(&r));
	spawned_reap(&r.child);
	return spawned_error(
		&r.child, rq->argv, str_n(buf_cstr(r.err_to) + r.err_start, r.err_to->len - r.err_start));
}
