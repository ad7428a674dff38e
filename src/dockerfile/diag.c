/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/diag.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdlib.h>

#define MESSAGE_MAX 600

void diag_fini(struct diag *d)
{
	for (size_t i = 0; i < d->items.len; i++)
		free(((struct diag_item *)vec_at(&d->items, i))->text);
	vec_fini(&d->items);
}

static void add_place(struct buf *b, const char *path, struct pos at)
{
	buf_adds(b, path ? path : "Dockerfile");
	if (at.line)
		buf_addf(b, ":%u", (unsigned)at.line);
	if (at.line && at.column)
		buf_addf(b, ":%u", (unsigned)at.column);
}

/* Cut to max bytes, not inside a character. */
static void shorten(struct buf *b, size_t max)
{
	if (b->len <= max)
		return;
	while (max && ((unsigned char)b->ptr[max] & 0xc0) == 0x80)
		max--;
	buf_truncate(b, max);
	buf_adds(b, "...");
}

void diag_quote(struct buf *out, const char *text)
{
	struct buf b AUTO_BUF = {0};
	buf_adds(&b, text);
	shorten(&b, DIAG_TEXT_MAX);
	buf_addf(out, "\"%s\"", buf_cstr(&b));
}

void diag_add(struct diag *d, struct pos at, const char *fmt, ...)
{
	if (d->count++ >= DIAG_KEPT_MAX)
		return;
	if (d->override.line)
		at = d->override;
	struct buf b AUTO_BUF = {0};
	add_place(&b, d->path, at);
	buf_adds(&b, ": ");
	if (d->about)
		buf_adds(&b, d->about);
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	shorten(&b, MESSAGE_MAX);
	d->items.size = sizeof(struct diag_item);
	struct diag_item item = {at, d->count, buf_steal(&b)};
	vec_push_copy(&d->items, &item);
}

static int by_place(const void *a, const void *b)
{
	const struct diag_item *x = a, *y = b;
	if (x->at.line != y->at.line)
		return x->at.line < y->at.line ? -1 : 1;
	if (x->at.column != y->at.column)
		return x->at.column < y->at.column ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

struct err *diag_err(struct diag *d)
{
	if (d->count == 0)
		return NULL;
	vec_sort(&d->items, by_place);
	size_t shown = d->items.len < DIAG_SHOWN_MAX ? d->items.len : DIAG_SHOWN_MAX;
	struct buf b AUTO_BUF = {0};
	for (size_t i = 0; i < shown; i++)
		buf_addf(&b, "%s%s", i ? "\n" : "", ((struct diag_item *)vec_at(&d->items, i))->text);
	if (d->count > shown)
		buf_addf(&b, "\n%s: and %zu more", d->path ? d->path : "Dockerfile", d->count - shown);
	return err_new(ERR_INVALID, "%s", buf_cstr(&b));
}

struct err *diag_place(const char *path, struct pos at, struct err *why)
{
	struct buf b AUTO_BUF = {0};
	add_place(&b, path, at);
	return err_wrap(why, "%s", buf_cstr(&b));
}
