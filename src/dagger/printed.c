/* SPDX-License-Identifier: Apache-2.0 */
#include "dagger/printed.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

/* What is longer is broken up. */
#define LINE_LIMIT (64u << 10)

struct printed {
	struct event_stream *events;
	struct cancel *over;
	pthread_t thread;
	int from;
	struct buf line;
};

static void emit(struct printed *p, struct str text)
{
	event_info(p->events, STR_FMT, STR_ARG(text));
}

static void take(struct printed *p, struct str bytes)
{
	struct str line;

	buf_addstr(&p->line, bytes);
	struct str rest = buf_str(&p->line);
	while (str_index(rest, '\n') >= 0 && str_split(&rest, '\n', &line))
		emit(p, str_ends(line, "\r") ? str_n(line.ptr, line.len - 1) : line);
	buf_consume(&p->line, p->line.len - rest.len);
	if (p->line.len < LINE_LIMIT)
		return;
	emit(p, buf_str(&p->line));
	buf_clear(&p->line);
}

/* False at the end. */
static bool read_some(struct printed *p)
{
	char bytes[16384];
	ssize_t n = read(p->from, bytes, sizeof(bytes));

	if (n > 0)
		take(p, str_n(bytes, (size_t)n));
	return n > 0 || (n < 0 && (errno == EINTR || (errno == EAGAIN && !cancel_is_set(p->over))));
}

static void *relay(void *arg)
{
	struct printed *p = arg;
	struct pollfd fds[] = {
		{.fd = p->from, .events = POLLIN}, {.fd = cancel_fd(p->over), .events = POLLIN}};

	do
		poll(fds, 2, -1);
	while (read_some(p));
	if (p->line.len)
		emit(p, buf_str(&p->line));
	return NULL;
}

static void printed_free(struct printed *p)
{
	fd_closep(&p->from);
	cancel_free(p->over);
	buf_fini(&p->line);
	mem_freep(&p);
}

struct err *printed_start(struct event_stream *events, struct printed **out, int *fd)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	AUTO_FD int to = ends[1];
	struct printed *p = mem_new(struct printed);
	p->events = events;
	p->from = ends[0];
	p->over = cancel_new();
	int failed = fcntl(p->from, F_SETFL, O_NONBLOCK) < 0 ? errno : 0;
	if (!failed)
		failed = pthread_create(&p->thread, NULL, relay, p);
	if (failed) {
		printed_free(p);
		return err_sys(failed, "relaying what is printed");
	}
	*out = p;
	*fd = steal_fd(&to);
	return NULL;
}

void printed_end(struct printed *p)
{
	if (!p)
		return;
	cancel_set(p->over);
	pthread_join(p->thread, NULL);
	printed_free(p);
}
