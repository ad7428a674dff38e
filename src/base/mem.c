/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static NORETURN void out_of_memory(void)
{
	static const char text[] = "cooper: out of memory\n";
	/* Plain write: stdio may want memory of its own. */
	ssize_t n UNUSED = write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

void *mem_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_zalloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_realloc(void *p, size_t count, size_t size)
{
	size_t total = 0;
	if (__builtin_mul_overflow(count, size, &total) || total > PTRDIFF_MAX)
		out_of_memory();
	void *q = realloc(p, total ? total : 1);
	if (!q)
		out_of_memory();
	return q;
}

char *mem_strdup(const char *s)
{
	return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *mem_strndup(const char *s, size_t len)
{
	char *p = mem_alloc(len + 1);
	if (len > 0)
		memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

void *mem_dup(const void *p, size_t len)
{
	void *q = mem_alloc(len);
	if (len > 0)
		memcpy(q, p, len);
	return q;
}

char *mem_vprintf(const char *fmt, va_list ap)
{
	char *p = NULL;
	if (vasprintf(&p, fmt, ap) < 0)
		out_of_memory();
	return p;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *p = mem_vprintf(fmt, ap);
	va_end(ap);
	return p;
}

void mem_freep(void *pp)
{
	int saved = errno;
	void *p = NULL;
	memcpy(&p, pp, sizeof(p));
	free(p);
	memset(pp, 0, sizeof(p));
	errno = saved;
}
