/* SPDX-License-Identifier: Apache-2.0 */
/* What the server says of itself: /healthz (it runs), /readyz (its store takes writes), /metrics. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "http/server.h"
#include "registry/cache.h"
#include "registry/upkeep.h"
#include "release/runs.h"
#include "server/access_log.h"
#include "server/auth_internal.h"
#include "server/metrics.h"
#include "store/store.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct status {
	/* set by the caller, borrowed */
	struct store *store;
	struct runs *runs;
	struct auth *auth;
	struct registry_upkeep *upkeep;
	const struct registry *registry;
	struct access_log *log; /* NULL: none */
	const struct cancel *stopping;

	struct metrics *metrics;
	int64_t started;
	pthread_mutex_t lock; /* what is below: found out at most every other second */
	int64_t ready_at, totals_at;
	char *unready; /* why not; NULL: it is */
	uint64_t blobs, bytes, uploads, upload_bytes;
};
void status_init(struct status *s);
void status_fini(struct status *s);
/* Is it one of these paths? Then it is answered. */
MUST_USE struct err *status_answer(struct status *s, struct http_exchange *x, bool *answered);
