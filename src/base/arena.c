/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_FIRST ((size_t)4096)
#define CHUNK_MAX ((size_t)256 * 1024)

struct chunk {
	struct chunk *next;
	alignas(max_align_t) char data[];
};

struct arena {
	struct chunk *chunks; /* the one being filled first */
	char *at;             /* free room in it: at..end, still cleared */
	char *end;
	size_t next_size;
};

struct arena *arena_new(void)
{
	struct arena *a = mem_new(struct arena);
	a->next_size = CHUNK_FIRST;
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	struct chunk *c = a->chunks;
	while (c) {
		struct chunk *next = c->next;
		free(c);
		c = next;
	}
	free(a);
}

void arena_freep(struct arena **a)
{
	arena_free(*a);
	*a = NULL;
}

static struct chunk *chunk_new(size_t size)
{
	size_t total = 0;
	/* An absurd size is left to mem_zalloc to refuse. */
	if (__builtin_add_overflow(sizeof(struct chunk), size, &total))
		total = SIZE_MAX;
	return mem_zalloc(total);
}

static void *arena_grow(struct arena *a, size_t size)
{
	/* A big piece gets a chunk of its own, behind the current one whose room stays usable. */
	if (a->chunks && size > a->next_size / 4) {
		struct chunk *own = chunk_new(size);
		own->next = a->chunks->next;
		a->chunks->next = own;
		return own->data;
	}
	size_t room = size > a->next_size ? size : a->next_size;
	struct chunk *c = chunk_new(room);
	c->next = a->chunks;
	a->chunks = c;
	a->at = c->data + size;
	a->end = c->data + room;
	if (a->next_size < CHUNK_MAX)
		a->next_size *= 2;
	return c->data;
}

static void *arena_take(struct arena *a, size_t size, size_t align)
{
	size_t pad = -(uintptr_t)a->at & (align - 1);
	size_t room = (size_t)(a->end - a->at);
	if (pad > room || size > room - pad)
		return arena_grow(a, size);
	char *p = a->at + pad;
	a->at = p + size;
	return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
	/* At least one byte, so that two pieces never have the same address. */
	return arena_take(a, size ? size : 1, alignof(max_align_t));
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t total = 0;
	if (__builtin_mul_overflow(count, size, &total))
		total = SIZE_MAX;
	return arena_alloc(a, total);
}

void *arena_dup(struct arena *a, const void *p, size_t len)
{
	void *q = arena_alloc(a, len);
	if (len > 0)
		memcpy(q, p, len);
	return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *p = arena_take(a, len + 1, 1);
	if (len > 0)
		memcpy(p, s, len);
	return p;
}

char *arena_str(struct arena *a, struct str s)
{
	return arena_strndup(a, s.ptr, s.len);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	AUTO_FREE char *text = mem_vprintf(fmt, ap);
	va_end(ap);
	return arena_strdup(a, text);
}
