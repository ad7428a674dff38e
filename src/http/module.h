/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared libraries opened when first used. A table of function pointers is filled from the library's exported
 * names; it stays for the life of the process.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct module_symbol {
	const char *name;
	size_t offset; /* of the pointer in the table */
};

struct module {
	const char *file;    /* "libcurl.so.4" */
	const char *package; /* Debian's, for the hint */
	const struct module_symbol *symbols;
	size_t count;
	pthread_mutex_t lock;
	bool ready;
};

/* Fill table once; later calls are cheap. ERR_UNSUPPORTED naming file and package when it cannot be opened.
 * Threads: any. */
MUST_USE struct err *module_load(struct module *m, void *table);
