/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from byte strings to pointers. Iteration is in order of insertion, so that output never
 * depends on hashing. Keys are copied; values are the caller's (freed by free_value if given).
 * Threads: one at a time.
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct map;

struct map *map_new(void (*free_value)(void *));
void map_free(struct map *m);
void map_freep(struct map **m);

void *map_get(const struct map *m, struct str key); /* NULL if absent */
void *map_get_c(const struct map *m, const char *key);
bool map_has(const struct map *m, struct str key);
/* Replaces (freeing the old value) or appends. */
void map_set(struct map *m, struct str key, void *value);
void map_set_c(struct map *m, const char *key, void *value);
bool map_remove(struct map *m, struct str key);
size_t map_len(const struct map *m);

/* for (size_t i = 0; map_next(m, &i, &key, &value);) — key is NUL-terminated too. */
bool map_next(const struct map *m, size_t *i, struct str *key, void **value);
