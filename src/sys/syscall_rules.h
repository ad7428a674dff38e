/* SPDX-License-Identifier: Apache-2.0 */
/* The filter's data: which calls are allowed. Numbers are looked up by name, for each architecture. */
#pragma once

#include <stddef.h>
#include <stdint.h>

extern const char *const syscalls_allowed[]; /* ends with NULL */

/* Calls too new for the library that knows the names; equal numbers on all architectures. Ends with NULL. */
struct syscall_number {
	const char *name;
	int number;
};
extern const struct syscall_number syscalls_allowed_new[];

/* Allowed depending on one argument (its low 32 bits). */
enum syscall_test {
	SYSCALL_NO_BITS, /* none of the values' bits are set */
	SYSCALL_ONE_OF,  /* equal to one of the values */
	SYSCALL_NONE_OF, /* equal to none */
};
struct syscall_condition {
	const char *name;
	unsigned arg;
	enum syscall_test test;
	uint32_t values[6];
	size_t count;
};
extern const struct syscall_condition syscall_conditions[]; /* ends with name NULL */

/* Answered with ENOSYS: programs then use the older call, which can be looked into. Ends with NULL. */
extern const char *const syscalls_absent[];
