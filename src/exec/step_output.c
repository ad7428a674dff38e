/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cancel.h"
#include "exec/step_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define CHUNK 65536
/* What is kept of one stream for those who ask for it; all of it is passed on as events. */
#define CAPTURE_MAX (256u << 20)

enum { PIPE_OUT, PIPE_ERR, PROCESS, CANCEL, WATCHED };

static void show(struct step *s, int stream, const char *p, size_t len)
{
	struct buf *kept[] = {&s->written[stream - 1], &s->written[2]};
	for (size_t i = 0; s->capture && i < ARRAY_LEN(kept); i++)
		if (kept[i]->len + len <= CAPTURE_MAX)
			buf_add(kept[i], p, len);
	event_emit(s->io->events, (struct event){
					  .type = EVENT_OUTPUT,
					  .step = s->io->step,
					  .stream = stream,
					  .text = str_n(p, len),
				  });
}

static void emit(struct step *s, int stream, const char *p, size_t len, bool last)
{
	if (!s->masked.len) {
		if (len)
			show(s, stream, p, len);
		return;
	}
	AUTO_BUF struct buf shown = {0};
	step_mask(s, stream, str_n(p, len), last, &shown);
	if (shown.len)
		show(s, stream, shown.ptr, shown.len);
}

/* One read; closes *fd at its end. */
static struct err *pass_chunk(struct step *s, int *fd, int stream)
{
	char chunk[CHUNK];
	ssize_t n = read(*fd, chunk, sizeof chunk);
	if (n > 0)
		emit(s, stream, chunk, (size_t)n, false);
	else if (n == 0)
		fd_closep(fd);
	else if (errno != EINTR && errno != EAGAIN)
		return err_sys(errno, "reading the output of a step");
	return NULL;
}

/* What is in the pipe already. The program's whole namespace is dead, so nothing more comes but from
 * elsewhere. */
static struct err *drain(struct step *s, int *fd, int stream)
{
	while (*fd >= 0) {
		struct pollfd f = {.fd = *fd, .events = POLLIN};
		if (poll(&f, 1, 0) <= 0)
			return NULL;
		TRY(pass_chunk(s, fd, stream));
	}
	return NULL;
}

static struct err *pass_until_end(struct step *s, struct sandbox_process *p, int *out, int *errout)
{
	for (;;) {
		struct pollfd f[WATCHED] = {
			[PIPE_OUT] = {.fd = *out, .events = POLLIN},
			[PIPE_ERR] = {.fd = *errout, .events = POLLIN},
			[PROCESS] = {.fd = p->pidfd, .events = POLLIN},
			[CANCEL] = {.fd = cancel_fd(s->io->cancel), .events = POLLIN},
		};
		if (poll(f, WATCHED, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(errno, "waiting for a step");
		}
		if (f[CANCEL].revents)
			return cancel_check(s->io->cancel);
		if (f[PIPE_OUT].revents)
			TRY(pass_chunk(s, out, 1));
		if (f[PIPE_ERR].revents)
			TRY(pass_chunk(s, errout, 2));
		if (f[PROCESS].revents)
			return NULL;
	}
}

struct err *step_output_pass(
	struct step *s, struct sandbox_process *p, int out, int errout, struct step_end *end)
{
	AUTO_FD int o = out;
	AUTO_FD int e = errout;
	struct err *bad = pass_until_end(s, p, &o, &e);
	if (bad)
		sandbox_kill(p);
	struct err *waited = sandbox_wait(p, &end->code, &end->signal);
	bad = err_first(bad, waited);
	if (!bad)
		bad = drain(s, &o, 1);
	if (!bad)
		bad = drain(s, &e, 2);
	emit(s, 1, "", 0, true);
	emit(s, 2, "", 0, true);
	return bad;
}
