/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lives and dies together: parse trees, graphs, plans.
 * Threads: one at a time. Everything returned lives until arena_free.
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
void arena_freep(struct arena **a);

void *arena_alloc(struct arena *a, size_t size); /* cleared, aligned for any type */
void *arena_array(struct arena *a, size_t count, size_t size);
void *arena_dup(struct arena *a, const void *p, size_t len);
char *arena_strdup(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_str(struct arena *a, struct str s); /* NUL-terminated copy */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);

#define arena_new_of(a, type) ((type *)arena_alloc(a, sizeof(type)))
