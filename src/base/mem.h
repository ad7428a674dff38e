/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory. Small allocations abort when there is none; a size that came from input is bounded by the
 * caller first.
 */
#pragma once

#include "base/compiler.h"

#include <stdarg.h>
#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1)));  /* not cleared */
void *mem_zalloc(size_t size) __attribute__((malloc, alloc_size(1))); /* cleared */
void *mem_array(size_t count, size_t size) __attribute__((malloc));   /* cleared, overflow checked */
void *mem_realloc(void *p, size_t count, size_t size);                /* overflow checked */
char *mem_strdup(const char *s);                                      /* NULL gives NULL */
char *mem_strndup(const char *s, size_t len);
void *mem_dup(const void *p, size_t len);
char *mem_printf(const char *fmt, ...) PRINTF(1, 2);
char *mem_vprintf(const char *fmt, va_list ap) PRINTF(1, 0);

/* For AUTO(mem_freep): frees what the pointer variable holds and clears it; keeps errno. */
void mem_freep(void *pp);
#define AUTO_FREE AUTO(mem_freep)

/* mem_new(struct x): a cleared struct x. */
#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))
