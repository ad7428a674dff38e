/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The next capacity for an array that must hold need elements. */
static size_t grown(size_t cap, size_t need)
{
	size_t next = cap < 8 ? 8 : cap <= SIZE_MAX / 2 ? cap * 2 : SIZE_MAX;
	return next < need ? need : next;
}

void *vec_push(struct vec *v)
{
	assert(v->size > 0);
	if (v->len == v->cap) {
		v->cap = grown(v->cap, v->len + 1);
		v->ptr = mem_realloc(v->ptr, v->cap, v->size);
	}
	void *p = (char *)v->ptr + v->len++ * v->size;
	memset(p, 0, v->size);
	return p;
}

void vec_push_copy(struct vec *v, const void *element)
{
	void *p = vec_push(v);
	memcpy(p, element, v->size);
}

void *vec_at(const struct vec *v, size_t i)
{
	assert(i < v->len);
	return (char *)v->ptr + i * v->size;
}

void vec_remove(struct vec *v, size_t i)
{
	char *p = vec_at(v, i);
	memmove(p, p + v->size, (v->len - i - 1) * v->size);
	v->len--;
}

void vec_clear(struct vec *v)
{
	v->len = 0;
}

void vec_fini(struct vec *v)
{
	int saved = errno;
	free(v->ptr);
	*v = (struct vec){.size = v->size};
	errno = saved;
}

void vec_sort(struct vec *v, int (*cmp)(const void *, const void *))
{
	if (v->len > 1)
		qsort(v->ptr, v->len, v->size, cmp);
}

void strvec_fini(struct strvec *v)
{
	int saved = errno;
	strvec_clear(v);
	free(v->ptr);
	*v = (struct strvec){0};
	errno = saved;
}

void strvec_push(struct strvec *v, const char *s)
{
	assert(s);
	strvec_push_take(v, mem_strdup(s));
}

void strvec_push_str(struct strvec *v, struct str s)
{
	strvec_push_take(v, mem_strndup(s.ptr, s.len));
}

void strvec_push_take(struct strvec *v, char *s)
{
	assert(s);
	if (v->cap < v->len + 2) {
		v->cap = grown(v->cap, v->len + 2);
		v->ptr = mem_realloc(v->ptr, v->cap, sizeof(*v->ptr));
	}
	v->ptr[v->len++] = s;
	v->ptr[v->len] = NULL;
}

void strvec_pushf(struct strvec *v, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	strvec_push_take(v, mem_vprintf(fmt, ap));
	va_end(ap);
}

void strvec_push_all(struct strvec *v, const char *const *list)
{
	for (; list && *list; list++)
		strvec_push(v, *list);
}

bool strvec_has(const struct strvec *v, const char *s)
{
	for (size_t i = 0; i < v->len; i++)
		if (strcmp(v->ptr[i], s) == 0)
			return true;
	return false;
}

static int cmp_cstr(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strvec_sort(struct strvec *v)
{
	if (v->len > 1)
		qsort(v->ptr, v->len, sizeof(*v->ptr), cmp_cstr);
}

void strvec_clear(struct strvec *v)
{
	for (size_t i = 0; i < v->len; i++)
		free(v->ptr[i]);
	v->len = 0;
	if (v->ptr)
		v->ptr[0] = NULL;
}

void strvec_remove(struct strvec *v, size_t i)
{
	assert(i < v->len);
	free(v->ptr[i]);
	/* The NULL at the end moves along. */
	memmove(v->ptr + i, v->ptr + i + 1, (v->len - i) * sizeof(*v->ptr));
	v->len--;
}

const char *const *strvec_list(const struct strvec *v)
{
	static const char *const none[] = {NULL};
	return v->ptr ? (const char *const *)v->ptr : none;
}

static bool env_is(const char *entry, const char *key, size_t len)
{
	return strncmp(entry, key, len) == 0 && entry[len] == '=';
}

void envlist_set(struct strvec *v, const char *key, const char *value)
{
	assert(value);
	size_t len = strlen(key);
	char *entry = mem_printf("%s=%s", key, value);
	bool placed = false;
	for (size_t i = 0; i < v->len;) {
		if (!env_is(v->ptr[i], key, len)) {
			i++;
		} else if (placed) {
			strvec_remove(v, i); /* a list from elsewhere may hold a name twice */
		} else {
			free(v->ptr[i]);
			v->ptr[i++] = entry;
			placed = true;
		}
	}
	if (!placed)
		strvec_push_take(v, entry);
}

void envlist_unset(struct strvec *v, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < v->len;)
		if (env_is(v->ptr[i], key, len))
			strvec_remove(v, i);
		else
			i++;
}

const char *envlist_get(const struct strvec *v, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < v->len; i++)
		if (env_is(v->ptr[i], key, len))
			return v->ptr[i] + len + 1;
	return NULL;
}
