/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server counts, and its text form for Prometheus (text format 0.0.4). Counting is a few atomic
 * additions. Threads: any.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "http/server.h"

#include <stdint.h>

enum metric_route {
	METRIC_PING,
	METRIC_CATALOG,
	METRIC_TAGS,
	METRIC_MANIFESTS,
	METRIC_REFERRERS,
	METRIC_BLOBS,
	METRIC_UPLOADS,
	METRIC_TOKEN,
	METRIC_API,
	METRIC_HEALTH,
	METRIC_METRICS,
	METRIC_OTHER,
	METRIC_ROUTES
};
/* The class of a path: there are few, whatever clients ask for. */
enum metric_route metric_route_of(const char *path);

struct metrics;
struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
void metrics_begin(struct metrics *m, enum metric_route route);
/* how->begun: metrics_begin was called for it. */
void metrics_done(
	struct metrics *m, enum metric_route route, const char *method, const struct http_outcome *how);
/* Requests of a class that are being answered. */
int64_t metrics_in_flight(const struct metrics *m, enum metric_route route);

void metrics_write(const struct metrics *m, struct buf *out);
/* "# HELP", "# TYPE" and one value without labels. */
void metric_head(struct buf *out, const char *name, const char *type, const char *help);
void metric_number(struct buf *out, const char *name, const char *type, const char *help, uint64_t value);
/* Nanoseconds, as seconds. */
void metric_seconds(struct buf *out, const char *name, const char *type, const char *help, int64_t ns);
