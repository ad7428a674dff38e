/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_level = LOG_WARN_LEVEL;

void log_open(int fd, enum log_level level)
{
	log_fd = fd;
	log_level = (int)level;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG_LEVEL:
		return "debug";
	case LOG_INFO_LEVEL:
		return "info";
	case LOG_WARN_LEVEL:
	case LOG_OFF_LEVEL:
		break;
	}
	return "warn";
}

/* What a peer said may stand in a line: it must not be able to begin another, or to drive a terminal. */
static void blank_controls(struct buf *b, size_t from)
{
	for (size_t i = from; i < b->len; i++)
		if ((unsigned char)b->ptr[i] < 0x20 || b->ptr[i] == 0x7f)
			b->ptr[i] = ' ';
}

void log_at(enum log_level level, const char *fmt, ...)
{
	if ((int)level < log_level || level >= LOG_OFF_LEVEL)
		return;
	int saved = errno;
	AUTO_BUF struct buf line = {0};
	char time[CLOCK_TEXT_MAX];
	buf_addf(&line, "time=%s level=%s ", clock_rfc3339(clock_now(), time), level_name(level));
	size_t from = line.len;
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&line, fmt, ap);
	va_end(ap);
	blank_controls(&line, from);
	buf_addc(&line, '\n');
	/* One write a line keeps the lines of several threads apart. A log that cannot be written is lost. */
	ssize_t n UNUSED = write(log_fd, line.ptr, line.len);
	errno = saved;
}
