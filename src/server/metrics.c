/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics.h"

#include "base/clock.h"
#include "base/mem.h"
#include "registry/route.h"

#include <stdatomic.h>
#include <stdlib.h>

static const char *const route_names[METRIC_ROUTES] = {"ping", "catalog", "tags", "manifests", "referrers",
	"blobs", "uploads", "token", "api", "health", "metrics", "other"};
static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"};
/* 0: there was no answer. */
static const int statuses[] = {0, 200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 409, 411, 412, 413,
	415, 416, 429, 500, 501, 502, 503, 504, 507, 508, -1};
static const int64_t buckets[] = {CLOCK_SECOND / 1000, CLOCK_SECOND / 200, CLOCK_SECOND / 40,
	CLOCK_SECOND / 10, CLOCK_SECOND / 2, 2 * CLOCK_SECOND + CLOCK_SECOND / 2, 10 * CLOCK_SECOND,
	60 * CLOCK_SECOND, INT64_MAX};

struct of_route {
	atomic_uint_fast64_t requests[ARRAY_LEN(methods)][ARRAY_LEN(statuses)];
	atomic_uint_fast64_t took[ARRAY_LEN(buckets)]; /* each in one bucket; summed up when written */
	atomic_uint_fast64_t nanoseconds, received, sent, cut;
	atomic_int_fast64_t in_flight;
};

struct metrics {
	struct of_route routes[METRIC_ROUTES];
};

struct metrics *metrics_new(void)
{
	return mem_new(struct metrics);
}

void metrics_free(struct metrics *m)
{
	free(m);
}

static enum metric_route registry_route_of(const char *path)
{
	struct route r;
	registry_route(path, &r);
	switch (r.kind) {
	case ROUTE_PING:
		return METRIC_PING;
	case ROUTE_CATALOG:
		return METRIC_CATALOG;
	case ROUTE_TAGS:
		return METRIC_TAGS;
	case ROUTE_MANIFEST:
		return METRIC_MANIFESTS;
	case ROUTE_REFERRERS:
		return METRIC_REFERRERS;
	case ROUTE_BLOB:
		return METRIC_BLOBS;
	case ROUTE_UPLOAD_START:
	case ROUTE_UPLOAD:
		return METRIC_UPLOADS;
	case ROUTE_UNKNOWN:
		break;
	}
	return METRIC_OTHER;
}

enum metric_route metric_route_of(const char *path)
{
	if (!path)
		return METRIC_OTHER;
	if (cstr_starts(path, "/v2"))
		return registry_route_of(path);
	if (cstr_eq(path, "/api/v1/registry/token"))
		return METRIC_TOKEN;
	if (cstr_starts(path, "/api/"))
		return METRIC_API;
	if (cstr_eq(path, "/healthz") || cstr_eq(path, "/readyz"))
		return METRIC_HEALTH;
	return cstr_eq(path, "/metrics") ? METRIC_METRICS : METRIC_OTHER;
}

void metrics_begin(struct metrics *m, enum metric_route route)
{
	atomic_fetch_add_explicit(&m->routes[route].in_flight, 1, memory_order_relaxed);
}

static size_t method_index(const char *method)
{
	size_t i = 0;
	while (i + 1 < ARRAY_LEN(methods) && !cstr_eq(methods[i], method))
		i++;
	return i;
}

static size_t status_index(int status)
{
	size_t i = 0;
	while (i + 1 < ARRAY_LEN(statuses) && statuses[i] != status)
		i++;
	return i;
}

static void count(atomic_uint_fast64_t *a, uint64_t n)
{
	if (n)
		atomic_fetch_add_explicit(a, n, memory_order_relaxed);
}

void metrics_done(
	struct metrics *m, enum metric_route route, const char *method, const struct http_outcome *how)
{
	struct of_route *r = &m->routes[route];
	size_t bucket = 0;
	while (how->duration > buckets[bucket])
		bucket++;
	count(&r->requests[method_index(method)][status_index(how->status)], 1);
	count(&r->took[bucket], 1);
	count(&r->nanoseconds, (uint64_t)how->duration);
	count(&r->received, how->received);
	count(&r->sent, how->sent);
	count(&r->cut, how->cut);
	if (how->begun)
		atomic_fetch_sub_explicit(&r->in_flight, 1, memory_order_relaxed);
}

int64_t metrics_in_flight(const struct metrics *m, enum metric_route route)
{
	return atomic_load_explicit(&m->routes[route].in_flight, memory_order_relaxed);
}

/* ---- the text ---- */

static uint64_t load(const atomic_uint_fast64_t *a)
{
	return atomic_load_explicit(a, memory_order_relaxed);
}

static void add_seconds(struct buf *out, int64_t ns)
{
	buf_addf(out, "%lld.%09lld", (long long)(ns / CLOCK_SECOND), (long long)(ns % CLOCK_SECOND));
}

void metric_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metric_number(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
	metric_head(out, name, type, help);
	buf_addf(out, "%s %llu\n", name, (unsigned long long)value);
}

void metric_seconds(struct buf *out, const char *name, const char *type, const char *help, int64_t ns)
{
	metric_head(out, name, type, help);
	buf_addf(out, "%s ", name);
	add_seconds(out, ns);
	buf_adds(out, "\n");
}

/* Those that there were. */
static void write_requests(const struct metrics *m, struct buf *out)
{
	static const char name[] = "cooper_http_requests_total";
	metric_head(
		out, name, "counter", "Requests that are over. Status 0: the connection went away first.");
	for (size_t r = 0; r < METRIC_ROUTES; r++)
		for (size_t k = 0; k < ARRAY_LEN(methods); k++)
			for (size_t s = 0; s < ARRAY_LEN(statuses); s++) {
				uint64_t n = load(&m->routes[r].requests[k][s]);
				if (!n)
					continue;
				buf_addf(out, "%s{route=\"%s\",method=\"%s\",status=\"", name, route_names[r],
					methods[k]);
				if (statuses[s] < 0)
					buf_adds(out, "other");
				else
					buf_addf(out, "%d", statuses[s]);
				buf_addf(out, "\"} %llu\n", (unsigned long long)n);
			}
}

static void write_one_duration(const char *name, const char *route, const struct of_route *r, struct buf *out)
{
	uint64_t sum = 0;
	for (size_t b = 0; b < ARRAY_LEN(buckets); b++) {
		sum += load(&r->took[b]);
		buf_addf(out, "%s_bucket{route=\"%s\",le=\"", name, route);
		if (buckets[b] == INT64_MAX)
			buf_adds(out, "+Inf");
		else
			buf_addf(out, "%g", (double)buckets[b] / (double)CLOCK_SECOND);
		buf_addf(out, "\"} %llu\n", (unsigned long long)sum);
	}
	buf_addf(out, "%s_sum{route=\"%s\"} ", name, route);
	add_seconds(out, (int64_t)load(&r->nanoseconds));
	buf_addf(out, "\n%s_count{route=\"%s\"} %llu\n", name, route, (unsigned long long)sum);
}

static void write_durations(const struct metrics *m, struct buf *out)
{
	static const char name[] = "cooper_http_request_duration_seconds";
	metric_head(out, name, "histogram", "From the request line to the last byte of the answer.");
	for (size_t r = 0; r < METRIC_ROUTES; r++)
		write_one_duration(name, route_names[r], &m->routes[r], out);
}

static void write_by_route(const struct metrics *m, const char *name, const char *type, const char *help,
	uint64_t (*of)(const struct of_route *r), struct buf *out)
{
	metric_head(out, name, type, help);
	for (size_t r = 0; r < METRIC_ROUTES; r++)
		buf_addf(out, "%s{route=\"%s\"} %llu\n", name, route_names[r],
			(unsigned long long)of(&m->routes[r]));
}

static uint64_t received(const struct of_route *r)
{
	return load(&r->received);
}

static uint64_t sent(const struct of_route *r)
{
	return load(&r->sent);
}

static uint64_t cut(const struct of_route *r)
{
	return load(&r->cut);
}

static uint64_t in_flight(const struct of_route *r)
{
	int64_t n = atomic_load_explicit(&r->in_flight, memory_order_relaxed);
	return n > 0 ? (uint64_t)n : 0;
}

void metrics_write(const struct metrics *m, struct buf *out)
{
	write_requests(m, out);
	write_durations(m, out);
	write_by_route(m, "cooper_http_received_bytes_total", "counter", "Bytes of requests' bodies.",
		received, out);
	write_by_route(m, "cooper_http_sent_bytes_total", "counter",
		"Bytes of answers' bodies that were sent whole, or streamed.", sent, out);
	write_by_route(m, "cooper_http_cut_total", "counter", "Requests whose answer did not arrive whole.",
		cut, out);
	write_by_route(m, "cooper_http_requests_in_flight", "gauge", "Requests that are being answered.",
		in_flight, out);
}
