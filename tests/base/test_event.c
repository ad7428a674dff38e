/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/event.h"
#include "base/json.h"
#include "base/mem.h"

#include <pthread.h>
#include <string.h>

static void json_is(struct event e, const char *want)
{
	AUTO_FREE char *text = event_json(&e);
	assert_string_equal(text, want);
	assert_null(strchr(text, '\n'));
	AUTO_JSON json_t *j = NULL;
	assert_null(json_parse(str_c(text), "event", &j));
}

static void test_json(void **state)
{
	(void)state;
	json_is((struct event){.type = EVENT_INFO}, "{\"type\":\"info\"}");
	json_is((struct event){.type = EVENT_PLAN, .time = INT64_C(1767323045000000000), .total = 12},
		"{\"type\":\"plan\",\"time\":\"2026-01-02T03:04:05Z\",\"total\":12}");
	json_is((struct event){.type = EVENT_STARTED,
			.step = 3,
			.name = "[build 3/7] RUN make \"x\"",
			.digest = "sha256:ab",
			.where = {"Dockerfile", 4, 6}},
		"{\"type\":\"started\",\"step\":3,\"name\":\"[build 3/7] RUN make \\\"x\\\"\","
		"\"digest\":\"sha256:ab\",\"file\":\"Dockerfile\",\"line\":4,\"end_line\":6}");
	json_is((struct event){.type = EVENT_OUTPUT, .step = 1, .stream = 2, .text = STR("a\n\xff\0b")},
		"{\"type\":\"output\",\"step\":1,\"stream\":2,\"text\":\"a\\n\xef\xbf\xbd\xef\xbf\xbd"
		"b\"}");
	json_is((struct event){.type = EVENT_PROGRESS, .step = 1, .total = INT64_MAX, .unit = "bytes"},
		"{\"type\":\"progress\",\"step\":1,\"done\":0,\"total\":9223372036854775807,\"unit\":"
		"\"bytes\"}");
}

static void test_json_end(void **state)
{
	(void)state;
	json_is((struct event){.type = EVENT_DONE, .step = 1, .duration = 1500000000},
		"{\"type\":\"done\",\"step\":1,\"duration\":1.5}");
	json_is(
		(struct event){
			.type = EVENT_DONE, .step = 1, .duration = INT64_C(20000000000), .exit_code = 5},
		"{\"type\":\"done\",\"step\":1,\"duration\":20}");
	json_is((struct event){.type = EVENT_DONE, .step = 1, .duration = 1},
		"{\"type\":\"done\",\"step\":1,\"duration\":0.000000001}");
	json_is((struct event){.type = EVENT_FAILED, .step = 1, .text = STR("no"), .exit_code = 2},
		"{\"type\":\"failed\",\"step\":1,\"text\":\"no\",\"exit_code\":2}");
	json_is((struct event){.type = EVENT_FAILED, .step = 1, .exit_code = -1},
		"{\"type\":\"failed\",\"step\":1}");
	json_is((struct event){.type = EVENT_FAILED, .step = 1, .text = STR("")},
		"{\"type\":\"failed\",\"step\":1,\"text\":\"\",\"exit_code\":0}");
}

static void test_type_names(void **state)
{
	(void)state;
	static const char *const names[] = {
		"plan",
		"started",
		"cached",
		"output",
		"progress",
		"done",
		"failed",
		"canceled",
		"warning",
		"info",
	};
	assert_int_equal(ARRAY_LEN(names), EVENT_INFO + 1);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_string_equal(event_type_name((enum event_type)i), names[i]);
}

static void write_line(void *ctx, const struct event *e)
{
	struct buf *b = ctx;
	assert_true(e->time != 0);
	buf_addf(b, "%s %s:%u " STR_FMT " %d\n", event_type_name(e->type),
		e->where.file ? e->where.file : "-", e->where.line, STR_ARG(e->text), e->exit_code);
}

static void write_mark(void *ctx, const struct event *e)
{
	(void)e;
	buf_adds(ctx, "second\n");
}

static void test_stream(void **state)
{
	(void)state;
	AUTO_BUF struct buf seen = {0};
	event_emit(NULL, (struct event){0});
	event_info(NULL, "nobody");
	event_warn(NULL, (struct source_range){0}, "nobody");
	struct event_stream *s = event_stream_new();
	event_info(s, "no sink yet");
	event_stream_add(s, write_line, &seen);
	event_stream_add(s, write_mark, &seen);
	event_info(s, "%d steps", 4);
	event_warn(s, (struct source_range){"Dockerfile", 7, 7}, "unused %s", "ARG");
	event_stream_free(s);
	event_stream_free(NULL);
	assert_string_equal(
		buf_cstr(&seen), "info -:0 4 steps -1\nsecond\nwarning Dockerfile:7 unused ARG -1\nsecond\n");
}

struct tally {
	int inside; /* unsynchronised on purpose: the stream's lock guards it */
	uint64_t done;
	int64_t last;
};

static void count(void *ctx, const struct event *e)
{
	struct tally *t = ctx;
	assert_int_equal(t->inside++, 0);
	assert_true(e->time >= t->last);
	t->last = e->time;
	t->done += e->done;
	t->inside--;
}

static void *emit_many(void *s)
{
	for (int i = 0; i < 2000; i++)
		event_emit(s, (struct event){.type = EVENT_PROGRESS, .done = 1});
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	struct tally t = {0};
	pthread_t threads[4];
	struct event_stream *s = event_stream_new();
	event_stream_add(s, count, &t);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, emit_many, s), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	event_stream_free(s);
	assert_int_equal(t.done, 8000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_end),
		cmocka_unit_test(test_type_names),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
