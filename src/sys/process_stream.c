/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/process_stream.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/process_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* How long a program may take to end after it was asked to. */
#define GRACE (5 * CLOCK_SECOND)
/* Of its standard error, for the message. */
#define TAIL_BYTES 4096
#define CHUNK (16u << 10)
/* More than a pipe holds, yet whoever never stops writing does not keep us from looking elsewhere. */
#define CHUNKS 64

struct process_stream {
	struct process_stream_request rq;
	struct strvec argv;
	struct spawned child;
	int out, err; /* our ends; -1 when closed */
	bool ended;
	struct buf tail;
};

static struct err *open_pipe(int *ours, int *theirs)
{
	TRY(process_pipe(ours, theirs));
	return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? err_sys(errno, "preparing a pipe") : NULL;
}

static struct err *start(struct process_stream *s)
{
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	AUTO_FD int err = -1;

	TRY(file_open(AT_FDCWD, "/dev/null", O_RDONLY, 0, &in));
	TRY(open_pipe(&s->out, &out));
	TRY(open_pipe(&s->err, &err));
	const struct spawn_request rq = {
		.argv = strvec_list(&s->argv),
		.env = s->rq.env,
		.unset = s->rq.unset,
		.dir = s->rq.dir,
		.in = in,
		.out = out,
		.err = err,
		.death_signal = SIGTERM,
		.as_outer_user = s->rq.as_outer_user,
	};
	return spawn(&rq, &s->child);
}

struct err *process_stream_start(const struct process_stream_request *rq, struct process_stream **out)
{
	AUTO(process_stream_freep) struct process_stream *s = mem_new(struct process_stream);

	s->rq = *rq;
	s->child = NOT_SPAWNED;
	s->out = s->err = -1;
	strvec_push_all(&s->argv, rq->argv);
	TRY(cancel_check(rq->cancel));
	TRY(start(s));
	*out = steal(&s);
	return NULL;
}

/* *got 0 when there is nothing now, or never more: then *fd is closed. */
static struct err *take(const struct process_stream *s, int *fd, void *p, size_t room, size_t *got)
{
	*got = 0;
	if (*fd < 0)
		return NULL;
	ssize_t n = read(*fd, p, room);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return err_sys(errno, "reading what %s wrote", s->argv.ptr[0]);
	if (n == 0)
		fd_closep(fd);
	*got = n > 0 ? (size_t)n : 0;
	return NULL;
}

static struct err *take_errout(struct process_stream *s)
{
	char chunk[CHUNK];
	size_t n;

	for (int i = 0; i < CHUNKS; i++) {
		TRY(take(s, &s->err, chunk, sizeof(chunk), &n));
		if (n == 0)
			return NULL;
		buf_add(&s->tail, chunk, n);
		if (s->tail.len > TAIL_BYTES)
			buf_consume(&s->tail, s->tail.len - TAIL_BYTES);
		if (s->rq.on_errout)
			s->rq.on_errout(s->rq.ctx, str_n(chunk, n));
	}
	return NULL;
}

static void wait_for_more(const struct process_stream *s)
{
	struct pollfd p[] = {
		{.fd = s->out, .events = POLLIN},
		{.fd = s->err, .events = POLLIN},
		{.fd = s->child.pidfd, .events = POLLIN},
		{.fd = cancel_fd(s->rq.cancel), .events = POLLIN},
	};

	/* Interrupted or not: whoever calls looks again. */
	(void)poll(p, ARRAY_LEN(p), s->child.pidfd < 0 ? 50 : -1);
}

struct err *process_stream_read(void *stream, void *p, size_t *len)
{
	struct process_stream *s = stream;
	size_t room = *len;

	*len = 0;
	while (!s->ended) {
		TRY(cancel_check(s->rq.cancel));
		/* Looked at before its pipes: what it wrote before it ended is in them. What it left running
		 * may hold them for ever. */
		bool gone = spawned_is_gone(&s->child);
		TRY(take_errout(s));
		TRY(take(s, &s->out, p, room, len));
		if (*len > 0)
			return NULL;
		s->ended = gone;
		if (!gone)
			wait_for_more(s);
	}
	spawned_reap(&s->child);
	return spawned_error(&s->child, strvec_list(&s->argv), buf_str(&s->tail));
}

/* What it still says is read, though nobody wants it: a program that cannot write would not end in order. */
static bool discard(struct process_stream *s)
{
	char chunk[CHUNK];
	size_t n = 0, m = 0;
	struct err *e = take(s, &s->out, chunk, sizeof(chunk), &n);

	e = err_first(e, take(s, &s->err, chunk, sizeof(chunk), &m));
	bool failed = e != NULL;
	err_ignore(e, "it is being ended");
	return !failed && n + m > 0;
}

static void end(struct process_stream *s)
{
	int64_t deadline = clock_monotonic() + GRACE;

	if (s->child.pid <= 0 || s->child.reaped)
		return;
	spawned_signal(&s->child, SIGTERM);
	while (!spawned_is_gone(&s->child)) {
		int64_t left = deadline - clock_monotonic();
		if (left <= 0)
			return;
		if (discard(s))
			continue;
		struct pollfd p[] = {
			{.fd = s->out, .events = POLLIN},
			{.fd = s->err, .events = POLLIN},
			{.fd = s->child.pidfd, .events = POLLIN},
		};
		(void)poll(p, ARRAY_LEN(p), s->child.pidfd < 0 ? 50 : (int)(left / 1000000) + 1);
	}
}

void process_stream_free(struct process_stream *s)
{
	if (!s)
		return;
	end(s);
	spawned_fini(&s->child);
	fd_closep(&s->out);
	fd_closep(&s->err);
	strvec_fini(&s->argv);
	buf_fini(&s->tail);
	mem_freep(&s);
}

void process_stream_freep(struct process_stream **s)
{
	process_stream_free(*s);
	*s = NULL;
}
