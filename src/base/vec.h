/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable arrays: struct vec of equal elements, struct strvec of owned C strings ending with NULL.
 * Zeroed strvec is empty and valid; a vec needs its element size (VEC_OF).
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct vec {
	void *ptr;
	size_t len;
	size_t cap;
	size_t size; /* of one element */
};

#define VEC_OF(type) ((struct vec){.size = sizeof(type)})

void *vec_push(struct vec *v); /* a cleared element at the end; borrowed until the next push */
void vec_push_copy(struct vec *v, const void *element);
void *vec_at(const struct vec *v, size_t i);
void vec_remove(struct vec *v, size_t i); /* keeps the order */
void vec_clear(struct vec *v);
void vec_fini(struct vec *v); /* frees the array, not what elements point to */
void vec_sort(struct vec *v, int (*cmp)(const void *, const void *));

struct strvec {
	char **ptr; /* ptr[len] is NULL once anything was added */
	size_t len;
	size_t cap;
};

void strvec_fini(struct strvec *v);
#define AUTO_STRVEC AUTO(strvec_fini)
void strvec_push(struct strvec *v, const char *s); /* copies */
void strvec_push_str(struct strvec *v, struct str s);
void strvec_push_take(struct strvec *v, char *s); /* takes ownership */
void strvec_pushf(struct strvec *v, const char *fmt, ...) PRINTF(2, 3);
void strvec_push_all(struct strvec *v, const char *const *list); /* NULL-terminated list, may be NULL */
bool strvec_has(const struct strvec *v, const char *s);
void strvec_sort(struct strvec *v); /* bytewise */
void strvec_clear(struct strvec *v);
void strvec_remove(struct strvec *v, size_t i);
const char *const *strvec_list(const struct strvec *v); /* never NULL: an empty list while empty */

/* Environment lists "K=V": set replaces in place or appends; get is NULL if absent. */
void envlist_set(struct strvec *v, const char *key, const char *value);
void envlist_unset(struct strvec *v, const char *key);
const char *envlist_get(const struct strvec *v, const char *key);
