/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct err {
	enum err_kind kind;
	int sysno;
	int exit_code;  /* -1: none */
	unsigned tries; /* UINT_MAX: not said */
	int line;
	const char *file; /* static */
	char *message;
	char *hint;
	char *subject;
	struct err *cause;
};

static const struct {
	const char *name;
	int exit_status;
	int http_status;
} kinds[] = {
	[ERR_NONE] = {"none", 0, 200},
	[ERR_INVALID] = {"invalid", 1, 400},
	[ERR_USAGE] = {"usage", 2, 400},
	[ERR_NOT_FOUND] = {"not_found", 1, 404},
	[ERR_EXISTS] = {"exists", 1, 409},
	[ERR_DENIED] = {"denied", 1, 403},
	[ERR_UNAVAILABLE] = {"unavailable", 1, 503},
	[ERR_TIMEOUT] = {"timeout", 1, 504},
	[ERR_CANCELED] = {"canceled", 1, 500},
	[ERR_CORRUPT] = {"corrupt", 1, 500},
	[ERR_EXITED] = {"exited", 1, 500},
	[ERR_UNSUPPORTED] = {"unsupported", 1, 501},
	[ERR_IO] = {"io", 1, 500},
	[ERR_NO_SPACE] = {"no_space", 1, 507},
	[ERR_VIOLATION] = {"violation", 3, 422},
	[ERR_BUG] = {"bug", 1, 500},
};

static enum err_kind kind_of_sysno(int sysno)
{
	switch (sysno) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EINTR:
	case ECANCELED:
		return ERR_CANCELED;
	case ECONNREFUSED:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EAGAIN:
	case ECONNRESET:
		return ERR_UNAVAILABLE;
	case ENOSYS:
	case EOPNOTSUPP:
		return ERR_UNSUPPORTED;
	default:
		return ERR_IO;
	}
}

static struct err *err_make(const char *file, int line, enum err_kind kind, char *message)
{
	struct err *e = mem_new(struct err);
	e->kind = kind;
	e->exit_code = -1;
	e->tries = UINT_MAX;
	e->file = file;
	e->line = line;
	e->message = message;
	return e;
}

struct err *err_new_at(const char *file, int line, enum err_kind kind, const char *fmt, ...)
{
	assert(kind != ERR_NONE);
	va_list ap;
	va_start(ap, fmt);
	char *message = mem_vprintf(fmt, ap);
	va_end(ap);
	return err_make(file, line, kind, message);
}

struct err *err_sys_at(const char *file, int line, int sysno, const char *fmt, ...)
{
	struct buf text = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	buf_addf(&text, ": %s", strerror(sysno));
	struct err *e = err_make(file, line, kind_of_sysno(sysno), buf_steal(&text));
	e->sysno = sysno;
	return e;
}

struct err *err_wrap_at(const char *file, int line, struct err *why, const char *fmt, ...)
{
	assert(why);
	va_list ap;
	va_start(ap, fmt);
	char *message = mem_vprintf(fmt, ap);
	va_end(ap);
	struct err *e = err_make(file, line, why->kind, message);
	e->cause = why;
	return e;
}

struct err *err_hint(struct err *e, const char *fmt, ...)
{
	if (!e)
		return NULL;
	va_list ap;
	va_start(ap, fmt);
	/* Formatted before the old one goes: the new hint may quote it. */
	char *hint = mem_vprintf(fmt, ap);
	va_end(ap);
	free(e->hint);
	e->hint = hint;
	return e;
}

struct err *err_with_exit_code(struct err *e, int code)
{
	if (e)
		e->exit_code = code;
	return e;
}

struct err *err_with_tries(struct err *e, unsigned tries)
{
	if (e)
		e->tries = tries;
	return e;
}

enum err_kind err_kind(const struct err *e)
{
	return e ? e->kind : ERR_NONE;
}

int err_sysno(const struct err *e)
{
	for (; e; e = e->cause)
		if (e->sysno)
			return e->sysno;
	return 0;
}

int err_exit_code(const struct err *e)
{
	for (; e; e = e->cause)
		if (e->exit_code >= 0)
			return e->exit_code;
	return -1;
}

unsigned err_tries(const struct err *e)
{
	unsigned least = UINT_MAX;
	for (; e; e = e->cause)
		least = e->tries < least ? e->tries : least;
	return least;
}

const char *err_message(const struct err *e)
{
	return e ? e->message : "";
}

const struct err *err_cause(const struct err *e)
{
	return e ? e->cause : NULL;
}

struct err *err_with_subject(struct err *e, const char *subject)
{
	if (e) {
		free(e->subject);
		e->subject = mem_strdup(subject);
	}
	return e;
}

const char *err_subject(const struct err *e)
{
	for (; e; e = e->cause)
		if (e->subject)
			return e->subject;
	return NULL;
}

const char *err_hint_text(const struct err *e)
{
	for (; e; e = e->cause)
		if (e->hint)
			return e->hint;
	return NULL;
}

const char *err_kind_name(enum err_kind kind)
{
	return (size_t)kind < ARRAY_LEN(kinds) ? kinds[kind].name : "unknown";
}

char *err_text(const struct err *e)
{
	struct buf text = {0};
	for (const struct err *at = e; at; at = at->cause) {
		if (at != e)
			buf_adds(&text, ": ");
		buf_adds(&text, at->message);
	}
	return buf_steal(&text);
}

/* The build runs beside the tree, so __FILE__ may begin with "../". */
static const char *source_name(const char *file)
{
	while (strncmp(file, "../", 3) == 0)
		file += 3;
	return file;
}

char *err_trace(const struct err *e)
{
	struct buf text = {0};
	for (const struct err *at = e; at; at = at->cause) {
		if (at != e)
			buf_addc(&text, '\n');
		buf_addf(&text, "%s:%d: %s", source_name(at->file), at->line, at->message);
	}
	return buf_steal(&text);
}

int err_exit_status(const struct err *e)
{
	enum err_kind kind = err_kind(e);
	return (size_t)kind < ARRAY_LEN(kinds) ? kinds[kind].exit_status : 1;
}

int err_http_status(const struct err *e)
{
	enum err_kind kind = err_kind(e);
	return (size_t)kind < ARRAY_LEN(kinds) ? kinds[kind].http_status : 500;
}

void err_free(struct err *e)
{
	int saved = errno;
	while (e) {
		struct err *cause = e->cause;
		free(e->message);
		free(e->hint);
		free(e->subject);
		free(e);
		e = cause;
	}
	errno = saved;
}

void err_freep(struct err **e)
{
	err_free(*e);
	*e = NULL;
}

void err_ignore(struct err *e, const char *reason)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_text(e);
	log_debug("msg=\"error ignored\" reason=\"%s\" error=\"%s\"", reason, text);
	err_free(e);
}

struct err *err_first(struct err *first, struct err *second)
{
	if (!first)
		return second;
	err_free(second);
	return first;
}
