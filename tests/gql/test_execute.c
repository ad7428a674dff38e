/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, cancelling and what is handed to resolvers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gql/execute.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char sdl[] = "type Query { a: Int b: Int chain: Chain many: [Chain!]! text: String! }"
			  "type Chain { next: Chain meet: Int id: ID }"
			  "type Mutation { one: Step two: Step }"
			  "type Step { slow: Int value: Int }";

struct world {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int waiting, want; /* "meet", "a", "b" return when so many wait, or after a while with an error */
	struct cancel *cancel;
	int cancel_after; /* calls; 0: never */
	atomic_int calls;
	pthread_t caller;
	atomic_int elsewhere; /* calls in other threads than the caller's */
	struct buf order;
};

static struct err *meet(struct world *w)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&w->lock);
	w->waiting++;
	pthread_cond_broadcast(&w->changed);
	int late = 0;
	while (w->waiting < w->want && !late)
		late = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	pthread_mutex_unlock(&w->lock);
	return late ? err_new(ERR_TIMEOUT, "nobody came") : NULL;
}

static struct err *resolve(void *ctx, const struct gql_call *call, struct gql_out *out)
{
	struct world *w = ctx;
	const char *name = gql_field_name(call->field);
	int calls = atomic_fetch_add(&w->calls, 1) + 1;
	if (!pthread_equal(pthread_self(), w->caller))
		atomic_fetch_add(&w->elsewhere, 1);
	if (w->cancel_after && calls == w->cancel_after)
		cancel_set(w->cancel);
	if (strcmp(name, "chain") == 0 || strcmp(name, "next") == 0) {
		gql_out_object(out, "Chain", w);
	} else if (strcmp(name, "many") == 0) {
		struct gql_out *items = gql_out_list(out, 3);
		for (size_t i = 0; i < 3; i++)
			gql_out_object(&items[i], "Chain", w);
	} else if (strcmp(name, "one") == 0 || strcmp(name, "two") == 0) {
		pthread_mutex_lock(&w->lock);
		buf_addf(&w->order, "%s ", name);
		pthread_mutex_unlock(&w->lock);
		gql_out_object(out, "Step", w);
	} else if (strcmp(name, "slow") == 0) {
		usleep(20000);
		pthread_mutex_lock(&w->lock);
		buf_adds(&w->order, "slow ");
		pthread_mutex_unlock(&w->lock);
		gql_out_int(out, 1);
	} else if (strcmp(name, "text") == 0) {
		struct buf text = {0};
		buf_adds(&text, "moved");
		gql_out_take_string(out, &text);
		assert_null(text.ptr);
	} else if (strcmp(name, "id") == 0 || strcmp(name, "value") == 0) {
		gql_out_int(out, 5);
	} else {
		TRY(meet(w));
		gql_out_int(out, 1);
	}
	return NULL;
}

static struct err *ask(struct world *w, const char *query, unsigned parallel, struct buf *response)
{
	struct gql_schema *s AUTO(gql_schema_freep) = NULL;
	TRY(gql_schema_parse(STR(sdl), "schema", &s));
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->caller = pthread_self();
	struct gql_request rq = {.query = str_c(query)};
	struct gql_hooks h = {.resolve = resolve, .ctx = w, .cancel = w->cancel, .parallel = parallel};
	return gql_execute(s, &rq, &h, response);
}

static void expect(struct world *w, const char *query, unsigned parallel, const char *want)
{
	struct buf response AUTO_BUF = {0};
	assert_null(ask(w, query, parallel, &response));
	assert_string_equal(buf_cstr(&response), want);
}

static void test_siblings_meet(void **state)
{
	(void)state;
	struct world w = {.want = 2};
	expect(&w, "{ a b }", 0, "{\"data\":{\"a\":1,\"b\":1}}");
}

static void test_fields_below_meet(void **state)
{
	(void)state;
	struct world w = {.want = 3};
	expect(&w, "{ chain { next { meet x: meet } } y: chain { meet } }", 3,
		"{\"data\":{\"chain\":{\"next\":{\"meet\":1,\"x\":1}},\"y\":{\"meet\":1}}}");
}

static void test_items_meet(void **state)
{
	(void)state;
	struct world w = {.want = 3};
	expect(&w, "{ many { meet } }", 0, "{\"data\":{\"many\":[{\"meet\":1},{\"meet\":1},{\"meet\":1}]}}");
}

static void test_chain_stays_here(void **state)
{
	(void)state;
	struct world w = {0};
	expect(&w, "{ __typename chain { __typename next { __typename id } } }", 0,
		"{\"data\":{\"__typename\":\"Query\",\"chain\":{\"__typename\":\"Chain\",\"next\":"
		"{\"__typename\":\"Chain\",\"id\":\"5\"}}}}");
	assert_int_equal(w.calls, 3);
	assert_int_equal(w.elsewhere, 0);
}

static void test_one_at_a_time(void **state)
{
	(void)state;
	struct world w = {0};
	expect(&w, "{ chain { id x: id } many { id y: id } text }", 1,
		"{\"data\":{\"chain\":{\"id\":\"5\",\"x\":\"5\"},\"many\":[{\"id\":\"5\",\"y\":\"5\"},"
		"{\"id\":\"5\",\"y\":\"5\"},{\"id\":\"5\",\"y\":\"5\"}],\"text\":\"moved\"}}");
	assert_int_equal(w.elsewhere, 0);
}

static void test_mutation_is_serial(void **state)
{
	(void)state;
	struct world w = {0};
	expect(&w, "mutation { one { slow } two { value } x: one { value } }", 0,
		"{\"data\":{\"one\":{\"slow\":1},\"two\":{\"value\":5},\"x\":{\"value\":5}}}");
	assert_string_equal(buf_cstr(&w.order), "one slow two one ");
	buf_fini(&w.order);
}

static void test_many_siblings(void **state)
{
	(void)state;
	struct buf query AUTO_BUF = {0}, want AUTO_BUF = {0};
	buf_adds(&want, "{\"data\":{");
	buf_addc(&query, '{');
	for (int i = 0; i < 5000; i++) {
		buf_addf(&query, "f%d: chain { id x: id } ", i);
		buf_addf(&want, "%s\"f%d\":{\"id\":\"5\",\"x\":\"5\"}", i ? "," : "", i);
	}
	buf_addc(&query, '}');
	buf_adds(&want, "}}");
	struct world w = {0};
	expect(&w, buf_cstr(&query), 8, buf_cstr(&want));
	assert_int_equal(w.calls, 15000);
}

static void test_cancel(void **state)
{
	(void)state;
	struct cancel *c AUTO(cancel_freep) = cancel_new();
	struct world w = {.cancel = c, .cancel_after = 3};
	struct buf response AUTO_BUF = {0};
	struct err *e AUTO(err_freep) =
		ask(&w, "{ chain { next { next { next { next { id } } } } } }", 0, &response);
	assert_int_equal(err_kind(e), ERR_CANCELED);
	assert_int_equal(response.len, 0);
	assert_int_equal(w.calls, 3);
}

/* Set only when all was resolved: the answer is there, and worth having. */
static void test_cancel_late(void **state)
{
	(void)state;
	struct cancel *c AUTO(cancel_freep) = cancel_new();
	struct world w = {.cancel = c, .cancel_after = 2};
	expect(&w, "{ chain { id } }", 0, "{\"data\":{\"chain\":{\"id\":\"5\"}}}");
}

static void test_default_explain(void **state)
{
	(void)state;
	struct world w = {.want = 0};
	struct buf response AUTO_BUF = {0};
	struct gql_schema *s AUTO(gql_schema_freep) = NULL;
	assert_null(gql_schema_parse(STR("type Query { a: T } type T { b: Int }"), "schema", &s));
	struct gql_request rq = {.query = STR("{a{b}}")};
	struct gql_hooks h = {.resolve = resolve, .ctx = &w};
	w.caller = pthread_self();
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.changed, NULL);
	assert_null(gql_execute(s, &rq, &h, &response));
	assert_string_equal(buf_cstr(&response),
		"{\"data\":{\"a\":null},\"errors\":[{\"message\":\"\\\"Query.a\\\" is of type \\\"T\\\", but "
		"its "
		"resolver gave an integer\",\"locations\":[{\"line\":1,\"column\":2}],\"path\":[\"a\"]}]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siblings_meet),
		cmocka_unit_test(test_fields_below_meet),
		cmocka_unit_test(test_items_meet),
		cmocka_unit_test(test_chain_stays_here),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_mutation_is_serial),
		cmocka_unit_test(test_many_siblings),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_late),
		cmocka_unit_test(test_default_explain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
