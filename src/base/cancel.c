/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cancel.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cancel {
	atomic_bool set;
	int fds[2]; /* a pipe that is never read from, so that it stays readable once set */
};

struct cancel *cancel_new(void)
{
	struct cancel *c = mem_new(struct cancel);
	/* Out of descriptors: the flag still works, and poll passes over a descriptor of -1. */
	if (pipe2(c->fds, O_CLOEXEC | O_NONBLOCK) == 0)
		return c;
	c->fds[0] = c->fds[1] = -1;
	log_warn("msg=\"no descriptor for cancelation\" error=\"%s\"", strerror(errno));
	return c;
}

void cancel_free(struct cancel *c)
{
	if (!c)
		return;
	int saved = errno;
	for (size_t i = 0; i < ARRAY_LEN(c->fds); i++)
		if (c->fds[i] >= 0)
			close(c->fds[i]);
	free(c);
	errno = saved;
}

void cancel_freep(struct cancel **c)
{
	cancel_free(*c);
	*c = NULL;
}

void cancel_set(struct cancel *c)
{
	if (!c || atomic_exchange(&c->set, true) || c->fds[1] < 0)
		return;
	int saved = errno;
	/* Cannot fail: the pipe is empty and only this call writes. */
	ssize_t n UNUSED = write(c->fds[1], "", 1);
	errno = saved;
}

bool cancel_is_set(const struct cancel *c)
{
	return c && atomic_load(&c->set);
}

int cancel_fd(const struct cancel *c)
{
	return c ? c->fds[0] : -1;
}

struct err *cancel_check(const struct cancel *c)
{
	return cancel_is_set(c) ? err_new(ERR_CANCELED, "canceled") : NULL;
}
