/* SPDX-License-Identifier: Apache-2.0 */
#include "server/status_internal.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/client.h"
#include "store/maintain.h"

#include <string.h>
#include <sys/statvfs.h>

#define PROBE_BYTES ((size_t)64 << 10)
#define LOOK_EVERY (2 * CLOCK_SECOND)
#define TOTALS_EVERY (15 * CLOCK_SECOND)
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void status_init(struct status *s)
{
	s->metrics = metrics_new();
	s->started = clock_now();
	s->ready_at = -LOOK_EVERY;
	s->totals_at = -TOTALS_EVERY;
	pthread_mutex_init(&s->lock, NULL);
}

void status_fini(struct status *s)
{
	metrics_free(s->metrics);
	mem_freep(&s->unready);
	pthread_mutex_destroy(&s->lock);
}

static void answer(struct http_exchange *x, int status, const char *type, struct str body)
{
	http_set_header(x, "Content-Type", type);
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	http_set_header(x, "Cache-Control", "no-store");
	if (cstr_eq(http_method(x), "HEAD"))
		http_answer_head(x, status, body.len);
	else
		http_answer(x, status, body);
}

static void answer_text(struct http_exchange *x, int status, const char *text)
{
	answer(x, status, "text/plain; charset=utf-8", str_c(text));
}

/* ---- /readyz ---- */

/* As an upload does: bytes in a file of their own, as a file that is there has its place on a full disk. */
static struct err *try_file(struct store *s)
{
	static const char bytes[PROBE_BYTES];
	char id[17];
	struct store_partial *p = NULL;
	random_hex(id, 8);
	AUTO_FREE char *name = mem_printf("ready.%s", id);
	TRY(store_partial_open(s, name, true, &p));
	struct err *e = store_partial_append(p, bytes, sizeof(bytes));
	return err_first(e, store_partial_delete(p));
}

static struct err *try_writing(struct store *s)
{
	char when[CLOCK_TEXT_MAX];
	TRY(try_file(s));
	const struct store_record r = {
		.space = "server", .key = "ready", .value = str_c(clock_rfc3339(clock_now(), when))};
	return store_record_put(s, &r);
}

/* Not asked more often, however often probes come. */
static char *find_unready(struct status *s)
{
	if (cancel_is_set(s->stopping))
		return mem_strdup("the server is about to stop");
	pthread_mutex_lock(&s->lock);
	if (clock_monotonic() - s->ready_at >= LOOK_EVERY) {
		struct err *e = try_writing(s->store);
		mem_freep(&s->unready);
		s->unready = e ? err_text(e) : NULL;
		if (e)
			log_warn("server: not ready: %s", s->unready);
		err_free(e);
		s->ready_at = clock_monotonic();
	}
	char *why = mem_strdup(s->unready);
	pthread_mutex_unlock(&s->lock);
	return why;
}

static void answer_ready(struct status *s, struct http_exchange *x)
{
	AUTO_FREE char *why = find_unready(s);
	/* Paths of the machine are for its log. */
	answer_text(x, why ? 503 : 200,
		!why                         ? "ready\n"
		: cancel_is_set(s->stopping) ? "not ready: the server is about to stop\n"
					     : "not ready: its store takes no writes; its log says why\n");
}

/* ---- /metrics ---- */

static struct err *write_store(struct status *s, struct buf *out)
{
	struct statvfs fs;
	uint64_t blobs, bytes, uploads, upload_bytes;
	pthread_mutex_lock(&s->lock);
	struct err *e = NULL;
	if (clock_monotonic() - s->totals_at >= TOTALS_EVERY) {
		e = store_blob_totals(s->store, &s->blobs, &s->bytes);
		if (!e)
			e = store_partial_totals(s->store, REGISTRY_UPLOADS, &s->uploads, &s->upload_bytes);
		s->totals_at = clock_monotonic();
	}
	blobs = s->blobs;
	bytes = s->bytes;
	uploads = s->uploads;
	upload_bytes = s->upload_bytes;
	pthread_mutex_unlock(&s->lock);
	TRY(e);
	metric_number(out, "cooper_store_blobs", "gauge", "Blobs in the store.", blobs);
	metric_number(out, "cooper_store_blob_bytes", "gauge", "Bytes of the blobs in the store.", bytes);
	metric_number(
		out, "cooper_upload_sessions", "gauge", "Uploads of blobs that are not finished.", uploads);
	metric_number(out, "cooper_upload_session_bytes", "gauge", "Bytes that came for them.", upload_bytes);
	if (fstatvfs(store_dirfd(s->store), &fs) == 0)
		metric_number(out, "cooper_store_free_bytes", "gauge",
			"Bytes that are free on the store's disk.", (uint64_t)fs.f_bavail * fs.f_frsize);
	return NULL;
}

static void write_upkeep(const struct status *s, struct buf *out)
{
	struct registry_upkeep_counts n = {0};
	registry_upkeep_counted(s->upkeep, &n);
	metric_number(out, "cooper_gc_runs_total", "counter", "Collections that were begun beside serving.",
		n.runs);
	metric_number(out, "cooper_gc_failures_total", "counter", "Collections that ended with an error.",
		n.failures);
	metric_number(
		out, "cooper_gc_freed_bytes_total", "counter", "Bytes that collections freed.", n.freed);
	metric_seconds(out, "cooper_gc_last_end_seconds", "gauge",
		"When a collection ended last, since the epoch; 0: not yet.", n.ended);
}

static void add_series(struct buf *out, const char *name, const char *upstream, const char *label,
	const char *value, uint64_t n)
{
	buf_addf(out, "%s{upstream=\"%s\"", name, upstream);
	if (label)
		buf_addf(out, ",%s=\"%s\"", label, value);
	buf_addf(out, "} %llu\n", (unsigned long long)n);
}

static void write_caches(const struct status *s, struct buf *out)
{
	static const char requests[] = "cooper_cache_requests_total", errors[] = "cooper_cache_errors_total",
			  bytes[] = "cooper_cache_upstream_bytes_total", now[] = "cooper_cache_downloads";
	struct registry_cache_counts n;
	if (!registry_cache_counted(s->registry, 0, &n))
		return;
	metric_head(out, requests, "counter", "Requests for copies of upstreams, by what they came to.");
	for (size_t i = 0; registry_cache_counted(s->registry, i, &n); i++)
		for (size_t k = 0; k < CACHE_RESULTS; k++)
			add_series(out, requests, n.upstream, "result", cache_result_names[k], n.requests[k]);
	metric_head(out, errors, "counter", "What went wrong with upstreams.");
	for (size_t i = 0; registry_cache_counted(s->registry, i, &n); i++)
		for (size_t k = 0; k < CACHE_ERRORS; k++)
			add_series(out, errors, n.upstream, "error", cache_error_names[k], n.errors[k]);
	metric_head(out, bytes, "counter", "Bytes of blobs and manifests that came from upstreams.");
	for (size_t i = 0; registry_cache_counted(s->registry, i, &n); i++)
		add_series(out, bytes, n.upstream, NULL, NULL, n.bytes);
	metric_head(out, now, "gauge", "Blobs that are on their way from upstreams.");
	for (size_t i = 0; registry_cache_counted(s->registry, i, &n); i++)
		add_series(out, now, n.upstream, NULL, NULL, n.downloads);
}

static struct err *write_runs(const struct status *s, struct buf *out)
{
	uint64_t waiting = 0, running = 0;
	TRY(runs_count(s->runs, &waiting, &running));
	metric_head(out, "cooper_jobs", "gauge", "Jobs of releases that have not ended.");
	buf_addf(out, "cooper_jobs{status=\"waiting\"} %llu\ncooper_jobs{status=\"running\"} %llu\n",
		(unsigned long long)waiting, (unsigned long long)running);
	return NULL;
}

static struct err *write_all(struct status *s, struct buf *out)
{
	metric_head(out, "cooper_build_info", "gauge", "The program.");
	buf_adds(out, "cooper_build_info{version=\"" COOPER_VERSION "\"} 1\n");
	metric_seconds(out, "process_start_time_seconds", "gauge", "When it was started, since the epoch.",
		s->started);
	metrics_write(s->metrics, out);
	metric_number(out, "cooper_uploads_in_flight", "gauge", "Requests that upload a blob at the moment.",
		(uint64_t)metrics_in_flight(s->metrics, METRIC_UPLOADS));
	metric_number(out, "cooper_access_log_dropped_total", "counter",
		"Lines of the access log that were not written.", access_log_dropped(s->log));
	write_upkeep(s, out);
	write_caches(s, out);
	TRY(write_store(s, out));
	return write_runs(s, out);
}

/* From this machine, by its own name, not for a page of a browser and not for somebody behind a proxy. */
static bool is_local(const struct http_exchange *x)
{
	const char *host = http_header(x, "Host");
	AUTO(url_fini) struct url u = {0};
	AUTO_FREE char *text = mem_printf("http://%s/", host ? host : "");
	struct err *e = url_parse(text, &u);
	bool ok = !e && host_is_loopback(u.host) && host_is_loopback(http_peer(x)) && !http_is_forwarded(x) &&
		  !http_header(x, "Origin");
	err_free(e);
	return ok;
}

static struct err *answer_metrics(struct status *s, struct http_exchange *x)
{
	const struct caller *c = NULL;
	AUTO_BUF struct buf text = {0};
	TRY(auth_caller(s->auth, x, &c));
	/* Open on loopback alone means: to whom is_local lets in. */
	bool known = c->state == CALLER_KNOWN && !c->limited && !(c->open && s->auth->loopback);
	bool allowed =
		(known && c->token.scopes & SCOPE_METRICS) || (c->state != CALLER_WRONG && is_local(x));
	if (!allowed && known) {
		answer_text(x, 403, "The token has not the scope metrics.\n");
		return NULL;
	}
	if (!allowed) {
		http_set_header(x, "WWW-Authenticate", "Bearer realm=\"cooper\"");
		answer_text(x, 401, "This takes a token with the scope metrics.\n");
		return NULL;
	}
	TRY(write_all(s, &text));
	answer(x, 200, METRICS_TYPE, buf_str(&text));
	return NULL;
}

struct err *status_answer(struct status *s, struct http_exchange *x, bool *answered)
{
	const char *path = http_path(x), *method = http_method(x);
	bool health = cstr_eq(path, "/healthz"), ready = cstr_eq(path, "/readyz");
	*answered = health || ready || cstr_eq(path, "/metrics");
	if (!*answered)
		return NULL;
	if (!cstr_eq(method, "GET") && !cstr_eq(method, "HEAD")) {
		http_set_header(x, "Allow", "GET, HEAD");
		answer_text(x, 405, "Only GET and HEAD are offered here.\n");
	} else if (health) {
		answer_text(x, 200, "ok");
	} else if (ready) {
		answer_ready(s, x);
	} else {
		return answer_metrics(s, x);
	}
	return NULL;
}
