/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error type: returned, with a chain of causes. NULL is success.
 *
 * Ownership: whoever holds a struct err * owns it; err_wrap consumes its cause.
 * A message says what was attempted, on which object; lower case, no full stop.
 * Results go through out-parameters, written only on success.
 * Threads: an err belongs to one thread at a time; it may be handed over.
 */
#pragma once

#include "base/compiler.h"

#include <stdio.h>

struct err;

/* What a caller may act on. A wrap inherits the kind of its cause. */
enum err_kind {
	ERR_NONE,
	ERR_INVALID,     /* the user's or a peer's input is wrong */
	ERR_USAGE,       /* the command line is wrong */
	ERR_NOT_FOUND,   /* the named thing does not exist */
	ERR_EXISTS,      /* it exists already and may not be replaced */
	ERR_DENIED,      /* permission or credentials */
	ERR_UNAVAILABLE, /* a retry may help */
	ERR_TIMEOUT,     /* */
	ERR_CANCELED,    /* the user or a failed sibling stopped it */
	ERR_CORRUPT,     /* bytes do not match their name or form */
	ERR_EXITED,      /* a program ended with another status than accepted: err_exit_code */
	ERR_UNSUPPORTED, /* understood, not offered */
	ERR_IO,          /* the operating system refused */
	ERR_NO_SPACE,    /* disk, quota or limit reached */
	ERR_VIOLATION,   /* a check found what it looks for */
	ERR_BUG,         /* cooper's own fault */
};

MUST_USE struct err *err_new_at(const char *file, int line, enum err_kind kind, const char *fmt, ...)
	PRINTF(4, 5);
MUST_USE struct err *err_sys_at(const char *file, int line, int sysno, const char *fmt, ...) PRINTF(4, 5);
MUST_USE struct err *err_wrap_at(const char *file, int line, struct err *why, const char *fmt, ...)
	PRINTF(4, 5);

/* err_new(kind, fmt, ...): a fresh error. */
#define err_new(kind, ...) err_new_at(__FILE__, __LINE__, kind, __VA_ARGS__)
/* err_sys(errno, fmt, ...): kind from the errno; the message ends with its text. */
#define err_sys(sysno, ...) err_sys_at(__FILE__, __LINE__, sysno, __VA_ARGS__)
/* err_wrap(why, fmt, ...): context around why, which is consumed and must not be NULL. */
#define err_wrap(why, ...) err_wrap_at(__FILE__, __LINE__, why, __VA_ARGS__)

/* Say what the user can do about it; shown on a line of its own. Returns e. Replaces an earlier hint. */
MUST_USE struct err *err_hint(struct err *e, const char *fmt, ...) PRINTF(2, 3);
/* Attach the status a program exited with (128+signal if killed). Returns e. */
MUST_USE struct err *err_with_exit_code(struct err *e, int code);
/* What failed so is worth at most this many tries in all, though its kind says that a retry may help. Returns
 * e. */
MUST_USE struct err *err_with_tries(struct err *e, unsigned tries);

/* Name what failed for those who keep more about it (a digest, an id). Returns e. */
MUST_USE struct err *err_with_subject(struct err *e, const char *subject);

enum err_kind err_kind(const struct err *e); /* ERR_NONE for NULL */
int err_sysno(const struct err *e);          /* 0 if the chain holds none */
int err_exit_code(const struct err *e);      /* of the program that failed; -1 if none */
unsigned err_tries(const struct err *e); /* the least that the chain allows; UINT_MAX if it says nothing */
/* Borrowed, live as long as e. err_message is the outermost text only. */
const char *err_message(const struct err *e);
const struct err *err_cause(const struct err *e);
const char *err_hint_text(const struct err *e); /* the outermost hint of the chain or NULL */
const char *err_subject(const struct err *e);   /* the outermost of the chain or NULL */
const char *err_kind_name(enum err_kind kind);

/* "outer: middle: inner" on one line; caller frees. */
char *err_text(const struct err *e);
/* The same with file:line of each frame, a line a frame; caller frees. */
char *err_trace(const struct err *e);

/* The process exit status and the HTTP status for a kind: each one table. */
int err_exit_status(const struct err *e);
int err_http_status(const struct err *e);

void err_free(struct err *e);
void err_freep(struct err **e);
/* Drop an error on purpose, saying why. */
void err_ignore(struct err *e, const char *reason);
/* Keep the first of several: returns first if set (dropping second), else second. */
MUST_USE struct err *err_first(struct err *first, struct err *second);

#define TRY(call)                        \
	do {                             \
		struct err *_e = (call); \
		if (_e)                  \
			return _e;       \
	} while (0)
