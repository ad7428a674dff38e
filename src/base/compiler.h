/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes and the few macros the code allows itself. */
#pragma once

#include <stddef.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

/* AUTO(fn) runs fn(&variable) when the variable leaves scope. Initialise where declared. clang would call one
 * that is only cleaned up unused. */
#define AUTO(fn) __attribute__((cleanup(fn), unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* steal(&p): take the pointer out of an AUTO variable, leaving NULL behind. */
#define steal(pp)                       \
	({                              \
		__auto_type _pp = (pp); \
		__auto_type _p = *_pp;  \
		*_pp = NULL;            \
		_p;                     \
	})
