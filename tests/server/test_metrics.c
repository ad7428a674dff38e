/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "server/metrics.h"

#include <string.h>

static void test_routes(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		enum metric_route route;
	} table[] = {
		{"/v2/", METRIC_PING},
		{"/v2", METRIC_PING},
		{"/v2/_catalog", METRIC_CATALOG},
		{"/v2/a/b/tags/list", METRIC_TAGS},
		{"/v2/a/manifests/v1", METRIC_MANIFESTS},
		{"/v2/a/referrers/sha256:0", METRIC_REFERRERS},
		{"/v2/a/blobs/sha256:0", METRIC_BLOBS},
		{"/v2/a/blobs/uploads/", METRIC_UPLOADS},
		{"/v2/a/blobs/uploads/0", METRIC_UPLOADS},
		{"/v2/a", METRIC_OTHER},
		{"/v2x", METRIC_OTHER},
		{"/api/v1/registry/token", METRIC_TOKEN},
		{"/api/v1/runs", METRIC_API},
		{"/healthz", METRIC_HEALTH},
		{"/readyz", METRIC_HEALTH},
		{"/metrics", METRIC_METRICS},
		{"/metrics/", METRIC_OTHER},
		{"/", METRIC_OTHER},
		{"*", METRIC_OTHER},
		{NULL, METRIC_OTHER},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (metric_route_of(table[i].path) != table[i].route)
			fail_msg("%s", table[i].path);
}

static void has(struct buf *text, const char *line)
{
	if (!strstr(buf_cstr(text), line))
		fail_msg("%s is not in\n%s", line, buf_cstr(text));
}

static void done(struct metrics *m, const char *method, int status, int64_t ns)
{
	const struct http_outcome how = {
		.status = status, .received = 10, .sent = 100, .duration = ns, .begun = true, .cut = !status};
	metrics_begin(m, METRIC_TAGS);
	metrics_done(m, METRIC_TAGS, method, &how);
}

static void test_counting(void **state)
{
	(void)state;
	AUTO_BUF struct buf text = {0};
	struct metrics *m = metrics_new();
	done(m, "GET", 200, 0);
	done(m, "GET", 200, CLOCK_SECOND / 1000);
	done(m, "GET", 200, CLOCK_SECOND / 1000 + 1);
	done(m, "GET", 299, 3600 * CLOCK_SECOND);
	done(m, "PROPFIND", 0, CLOCK_SECOND / 2);
	metrics_begin(m, METRIC_TAGS);
	/* refused before it was begun */
	metrics_done(m, METRIC_OTHER, "GET", &(struct http_outcome){.status = 400});
	metrics_write(m, &text);
	has(&text, "cooper_http_requests_total{route=\"tags\",method=\"GET\",status=\"200\"} 3\n");
	has(&text, "cooper_http_requests_total{route=\"tags\",method=\"GET\",status=\"other\"} 1\n");
	has(&text, "cooper_http_requests_total{route=\"tags\",method=\"other\",status=\"0\"} 1\n");
	has(&text, "cooper_http_request_duration_seconds_bucket{route=\"tags\",le=\"0.001\"} 2\n");
	has(&text, "cooper_http_request_duration_seconds_bucket{route=\"tags\",le=\"0.005\"} 3\n");
	has(&text, "cooper_http_request_duration_seconds_bucket{route=\"tags\",le=\"60\"} 4\n");
	has(&text, "cooper_http_request_duration_seconds_bucket{route=\"tags\",le=\"+Inf\"} 5\n");
	has(&text, "cooper_http_request_duration_seconds_sum{route=\"tags\"} 3600.502000001\n");
	has(&text, "cooper_http_request_duration_seconds_count{route=\"tags\"} 5\n");
	has(&text, "cooper_http_received_bytes_total{route=\"tags\"} 50\n");
	has(&text, "cooper_http_sent_bytes_total{route=\"tags\"} 500\n");
	has(&text, "cooper_http_cut_total{route=\"tags\"} 1\n");
	has(&text, "cooper_http_requests_in_flight{route=\"tags\"} 1\n");
	has(&text, "cooper_http_requests_in_flight{route=\"other\"} 0\n");
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_counting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
