/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer. Invariant: once anything was added ptr[len] is NUL, which is not counted.
 * A zeroed struct buf is empty and valid. ptr may be NULL while empty: use buf_cstr.
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *ptr;
	size_t len;
	size_t cap;
};

void buf_fini(struct buf *b); /* frees, leaves it empty; for AUTO(buf_fini) */
#define AUTO_BUF AUTO(buf_fini)

void buf_add(struct buf *b, const void *p, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addstr(struct buf *b, struct str s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);
/*
 * Append s as a JSON string with its quotes, escaped as json_dump does. Bytes that are not UTF-8, and NUL
 * (which json_parse refuses), become U+FFFD.
 */
void buf_add_json(struct buf *b, struct str s);
/* Append text with every what in it (not empty) replaced. */
void buf_add_replaced(struct buf *b, const char *text, const char *what, const char *with);
void buf_reserve(struct buf *b, size_t more); /* room for more bytes beyond len */
void buf_truncate(struct buf *b, size_t len);
void buf_consume(struct buf *b, size_t n); /* drop n bytes from the front */
void buf_clear(struct buf *b);             /* keeps the memory */
struct str buf_str(const struct buf *b);   /* borrowed until the next change */
const char *buf_cstr(const struct buf *b); /* "" while empty; borrowed likewise */
char *buf_steal(struct buf *b);            /* NUL-terminated, caller frees; b is empty after */
