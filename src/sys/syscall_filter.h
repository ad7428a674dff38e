/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system call filter of steps: deny what is not known to be harmless, in the manner of Docker's default
 * profile. A call newer than the profile is ENOSYS, so that programs fall back; a known one that is denied is
 * EPERM. Programs of the machine's 32-bit kind may run too.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* BPF; plain data that lives as long as the process. */
struct syscall_filter {
	void *code; /* struct sock_filter[len] */
	size_t len;
};

/* Made when first asked for. *out is borrowed for good. Threads: any. */
MUST_USE struct err *syscall_filter_default(const struct syscall_filter **out);

/* Async-signal-safe; 0 or -errno. Needs no_new_privs or CAP_SYS_ADMIN. */
int syscall_filter_apply(const struct syscall_filter *p);
