/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate and its key in two files that somebody else renews. Threads: one. */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* What changes when a file is written or replaced, also by a link that leads elsewhere. */
struct tls_stamp {
	struct {
		dev_t dev;
		ino_t ino;
		off_t size;
		struct timespec mtime, ctime;
	} file[2];
};

struct tls_files {
	char *cert, *key; /* NULL: no TLS */
	struct tls_stamp used, seen;
};
/* Both or none: ERR_INVALID. */
MUST_USE struct err *tls_files_init(struct tls_files *t, const char *cert, const char *key);
void tls_files_fini(struct tls_files *t);
/* Have they changed since they were read, and are they still (now: or not) as they were at the call before?
 * One that is missing is no change: it is being replaced. */
bool tls_files_changed(struct tls_files *t, bool now);
/* Both; what is read counts as seen. */
MUST_USE struct err *tls_files_read(struct tls_files *t, struct buf *cert, struct buf *key);
