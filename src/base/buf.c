/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/mem.h"
#include "base/str_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 64

void buf_fini(struct buf *b)
{
	int saved = errno;
	free(b->ptr);
	*b = (struct buf){0};
	errno = saved;
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t need = 0;
	if (__builtin_add_overflow(b->len, more, &need) || __builtin_add_overflow(need, 1, &need))
		need = SIZE_MAX; /* refused by mem_realloc */
	if (need <= b->cap)
		return;
	size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap <= SIZE_MAX / 2 ? b->cap * 2 : SIZE_MAX;
	if (cap < need)
		cap = need;
	b->ptr = mem_realloc(b->ptr, cap, 1);
	b->cap = cap;
	b->ptr[b->len] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t len)
{
	buf_reserve(b, len);
	if (len > 0)
		memcpy(b->ptr + b->len, p, len);
	b->len += len;
	b->ptr[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addstr(struct buf *b, struct str s)
{
	buf_add(b, s.ptr, s.len);
}

void buf_addc(struct buf *b, char c)
{
	buf_reserve(b, 1);
	b->ptr[b->len++] = c;
	b->ptr[b->len] = '\0';
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	buf_reserve(b, BUF_FIRST);
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(b->ptr + b->len, b->cap - b->len, fmt, ap);
	assert(n >= 0);
	if ((size_t)n >= b->cap - b->len) {
		buf_reserve(b, (size_t)n);
		n = vsnprintf(b->ptr + b->len, b->cap - b->len, fmt, again);
	}
	va_end(again);
	b->len += (size_t)n;
}

/* The same escapes as jansson, so that both ways to write JSON give the same bytes. */
static void add_escaped(struct buf *b, char c)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	const char *p = strchr(from, c);
	if (p)
		buf_addf(b, "\\%c", to[p - from]);
	else
		buf_addf(b, "\\u%04X", (unsigned)c);
}

void buf_add_json(struct buf *b, struct str s)
{
	buf_reserve(b, s.len + 2);
	buf_addc(b, '"');
	size_t plain = 0; /* length of the run at the front of s that can be copied as it is */
	while (plain < s.len) {
		char c = s.ptr[plain];
		size_t n = str_utf8_next(str_skip(s, plain), NULL);
		if (n > 0 && (unsigned char)c >= 0x20 && c != '"' && c != '\\') {
			plain += n;
			continue;
		}
		buf_add(b, s.ptr, plain);
		if (n == 0 || c == '\0')
			buf_adds(b, "\xef\xbf\xbd");
		else
			add_escaped(b, c);
		s = str_skip(s, plain + 1);
		plain = 0;
	}
	buf_addstr(b, s);
	buf_addc(b, '"');
}

void buf_add_replaced(struct buf *b, const char *text, const char *what, const char *with)
{
	assert(*what);
	for (const char *p; (p = strstr(text, what)); text = p + strlen(what)) {
		buf_add(b, text, (size_t)(p - text));
		buf_adds(b, with);
	}
	buf_adds(b, text);
}

void buf_truncate(struct buf *b, size_t len)
{
	if (len >= b->len)
		return;
	b->len = len;
	b->ptr[len] = '\0';
}

void buf_consume(struct buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (n == 0)
		return;
	b->len -= n;
	memmove(b->ptr, b->ptr + n, b->len + 1);
}

void buf_clear(struct buf *b)
{
	buf_truncate(b, 0);
}

struct str buf_str(const struct buf *b)
{
	return (struct str){buf_cstr(b), b->len};
}

const char *buf_cstr(const struct buf *b)
{
	return b->ptr ? b->ptr : "";
}

char *buf_steal(struct buf *b)
{
	buf_reserve(b, 0);
	char *p = b->ptr;
	*b = (struct buf){0};
	return p;
}
