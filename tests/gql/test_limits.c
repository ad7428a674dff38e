/* SPDX-License-Identifier: Apache-2.0 */
/* Big, deep and hostile documents: answered, or refused in bounded time and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gql/execute.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char sdl[] =
	"type Query { c: C echo(s: String, l: [Any], o: Any): Int s(s: String): String many(n: Int!): [C!] }"
	"type C { c: C id: ID! n: Int! many(n: Int!): [C!] i: I }"
	"interface I { i: I v: Int } type A implements I { i: I v: Int a: Int }"
	"type B implements I { i: I v: Int b: Int } scalar Any";

struct seen {
	size_t string_len, calls;
	const char *string; /* where the argument's bytes are */
};

static struct err *resolve(void *ctx, const struct gql_call *call, struct gql_out *out)
{
	struct seen *seen = ctx;
	const char *name = gql_field_name(call->field);
	__atomic_fetch_add(&seen->calls, 1, __ATOMIC_RELAXED);
	if (strcmp(name, "c") == 0) {
		gql_out_object(out, "C", NULL);
	} else if (strcmp(name, "echo") == 0) {
		seen->string_len = call->args[0].s.len;
		seen->string = call->args[0].s.ptr;
		gql_out_int(out, (int64_t)(call->args[0].kind == GQL_STRING ? call->args[0].s.len : 0));
	} else if (strcmp(name, "s") == 0) {
		struct buf text = {0};
		buf_addstr(&text, call->args[0].s);
		gql_out_take_string(out, &text);
	} else if (strcmp(name, "id") == 0) {
		gql_out_string(out, STR("x"));
	} else if (strcmp(name, "many") == 0) {
		struct gql_out *items = gql_out_list(out, (size_t)call->args[0].i);
		for (int64_t i = 0; i < call->args[0].i; i++)
			gql_out_object(&items[i], "C", NULL);
	}
	return NULL;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Sanitizers make everything slower: times count without them. */
static bool is_slow_build(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#else
	return false;
#endif
}

static double ask(struct str query, struct seen *seen, struct buf *response)
{
	struct gql_schema *s AUTO(gql_schema_freep) = NULL;
	assert_null(gql_schema_parse(STR(sdl), "schema", &s));
	struct gql_request rq = {.query = query};
	struct gql_hooks h = {.resolve = resolve, .ctx = seen};
	double begin = now();
	assert_null(gql_execute(s, &rq, &h, response));
	return now() - begin;
}

static void expect_refused(const struct buf *query, const char *message, double seconds)
{
	struct seen seen = {0};
	struct buf response AUTO_BUF = {0};
	double took = ask(buf_str(query), &seen, &response);
	assert_int_equal(seen.calls, 0);
	assert_true(str_starts(buf_str(&response), "{\"errors\":["));
	if (!strstr(buf_cstr(&response), message))
		fail_msg("%.300s\n is not: %s", buf_cstr(&response), message);
	if (!is_slow_build())
		assert_true(took < seconds);
}

static void chain(struct buf *q, const char *open, size_t depth, const char *leaf)
{
	for (size_t i = 0; i < depth; i++)
		buf_adds(q, open);
	buf_adds(q, leaf);
	for (size_t i = 0; i < depth; i++)
		buf_addc(q, '}');
}

static size_t count_of(const struct buf *b, const char *what)
{
	size_t n = 0;
	for (const char *p = buf_cstr(b); (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static void test_deep_chain(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0}, response AUTO_BUF = {0};
	struct seen seen = {0};
	buf_adds(&q, "{");
	chain(&q, "c{", 19999, "id");
	buf_adds(&q, "}");
	double took = ask(buf_str(&q), &seen, &response);
	assert_int_equal(seen.calls, 20000);
	assert_int_equal(count_of(&response, "{\"c\":"), 19999);
	assert_non_null(strstr(buf_cstr(&response), "{\"id\":\"x\"}"));
	assert_null(strstr(buf_cstr(&response), "errors"));
	if (!is_slow_build())
		assert_true(took < 2);
}

/* The null of the innermost field goes all the way up to the nearest field that may be null. */
static void test_deep_error(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0}, response AUTO_BUF = {0};
	struct seen seen = {0};
	buf_adds(&q, "{");
	chain(&q, "c{", 5000, "n");
	buf_adds(&q, "}");
	ask(buf_str(&q), &seen, &response);
	assert_int_equal(count_of(&response, "{\"c\":"), 5000);
	assert_int_equal(count_of(&response, "\"c\","), 5000);
	assert_non_null(strstr(buf_cstr(&response), "{\"c\":null}"));
	assert_non_null(strstr(buf_cstr(&response), "Cannot return null for non-nullable field C.n."));
}

static void test_too_deep(void **state)
{
	(void)state;
	struct buf fields AUTO_BUF = {0}, inlines AUTO_BUF = {0}, lists AUTO_BUF = {0}, types AUTO_BUF = {0};
	buf_adds(&fields, "{");
	chain(&fields, "c{", 100000, "id");
	expect_refused(&fields, "Selections are nested deeper than 20000 levels.", 0.5);
	chain(&inlines, "{...", 100000, "{c{id}}");
	expect_refused(&inlines, "Selections are nested deeper than 20000 levels.", 0.5);
	buf_adds(&lists, "{echo(l:");
	for (int i = 0; i < 100000; i++)
		buf_adds(&lists, i % 2 ? "[" : "{a:");
	expect_refused(&lists, "Values are nested deeper than 100.", 0.5);
	buf_adds(&types, "query($a: ");
	for (int i = 0; i < 100000; i++)
		buf_adds(&types, "[");
	expect_refused(&types, "Types are nested deeper than 100.", 0.5);
}

/* Each fragment is short; spread, they are deep. */
static void test_deep_through_fragments(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0};
	buf_adds(&q, "{c{...F0}}");
	for (int i = 0; i < 20000; i++)
		buf_addf(&q, "fragment F%d on C{c{...F%d}}", i, i + 1);
	buf_adds(&q, "fragment F20000 on C{id}");
	expect_refused(&q, "nested deeper than 20000 levels with its fragments spread", 1);
}

static void test_fragment_bombs(void **state)
{
	(void)state;
	struct buf wide AUTO_BUF = {0}, same AUTO_BUF = {0}, response AUTO_BUF = {0};
	buf_adds(&wide, "{c{...F0}}");
	for (int i = 0; i < 60; i++)
		buf_addf(&wide, "fragment F%d on C{a:c{...F%d}b:c{...F%d}}", i, i + 1, i + 1);
	buf_adds(&wide, "fragment F60 on C{id}");
	expect_refused(&wide, "more than 1000000 fields with its fragments spread", 0.5);
	/* Spreads alone, without fields between, come to little: each fragment counts once a level. */
	buf_adds(&same, "{c{...F0}}");
	for (int i = 0; i < 17; i++)
		buf_addf(&same, "fragment F%d on C{...F%d...F%d}", i, i + 1, i + 1);
	buf_adds(&same, "fragment F17 on C{id}");
	struct seen seen = {0};
	ask(buf_str(&same), &seen, &response);
	assert_string_equal(buf_cstr(&response), "{\"data\":{\"c\":{\"id\":\"x\"}}}");
}

static void test_cycles(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0};
	buf_adds(&q, "{c{...F0}}");
	for (int i = 0; i < 30000; i++)
		buf_addf(&q, "fragment F%d on C{...F%d}", i, (i + 1) % 30000);
	expect_refused(&q, "Cannot spread fragment \\\"F0\\\" within itself.", 1);
}

static void test_hostile_overlap(void **state)
{
	(void)state;
	struct buf same AUTO_BUF = {0}, types AUTO_BUF = {0}, response AUTO_BUF = {0};
	struct seen seen = {0};
	buf_adds(&same, "{");
	for (int i = 0; i < 200000; i++)
		buf_adds(&same, "c{id}");
	buf_adds(&same, "}");
	double took = ask(buf_str(&same), &seen, &response);
	assert_string_equal(buf_cstr(&response), "{\"data\":{\"c\":{\"id\":\"x\"}}}");
	if (!is_slow_build())
		assert_true(took < 2);
	/* Each level doubles what has to be compared. */
	buf_adds(&types, "{c{i{");
	for (int i = 0; i < 5000; i++)
		buf_adds(&types, "...on A{i{v}}...on B{i{v}}i{");
	buf_adds(&types, "v");
	for (int i = 0; i < 5003; i++)
		buf_adds(&types, "}");
	expect_refused(&types, "The document is too complex to be checked.", 5);
}

static void test_document_limits(void **state)
{
	(void)state;
	struct buf tokens AUTO_BUF = {0}, big AUTO_BUF = {0}, name AUTO_BUF = {0};
	buf_adds(&tokens, "{");
	for (int i = 0; i < 1000001; i++)
		buf_adds(&tokens, "c id ");
	expect_refused(&tokens, "more than 2000000 tokens", 3);
	buf_reserve(&big, ((size_t)256 << 20) + 1);
	memset(big.ptr, ' ', ((size_t)256 << 20) + 1);
	big.len = ((size_t)256 << 20) + 1;
	expect_refused(&big, "The document is larger than 268435456 bytes.", 0.1);
	buf_adds(&name, "{");
	for (int i = 0; i < 1001; i++)
		buf_addc(&name, 'n');
	buf_adds(&name, "}");
	expect_refused(&name, "A name is longer than 1000 bytes.", 0.1);
}

static void test_too_many_values(void **state)
{
	(void)state;
	struct buf response AUTO_BUF = {0};
	struct seen seen = {0};
	ask(STR("{many(n:1000){many(n:1000){many(n:1000){many(n:1000){id}}}}}"), &seen, &response);
	assert_string_equal(buf_cstr(&response),
		"{\"errors\":[{\"message\":\"The answer has more than 2000000 "
		"values.\"}]}");
}

static void test_many_errors(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0}, response AUTO_BUF = {0}, unknown AUTO_BUF = {0};
	struct seen seen = {0};
	buf_adds(&q, "{");
	for (int i = 0; i < 1000; i++)
		buf_addf(&q, "a%d:c{n}", i);
	buf_adds(&q, "}");
	ask(buf_str(&q), &seen, &response);
	assert_int_equal(count_of(&response, "\"message\""), 100);
	assert_int_equal(count_of(&response, ":null"), 1000);
	buf_adds(&unknown, "{");
	for (int i = 0; i < 300000; i++)
		buf_addf(&unknown, "x%d\n", i);
	buf_adds(&unknown, "}");
	expect_refused(&unknown, "Cannot query field \\\"x99\\\" on type \\\"Query\\\".", 2);
}

#define TEXT_LEN ((size_t)30 << 20)

static void big_string(struct buf *q, const char *piece, const char *head, const char *tail)
{
	size_t len = strlen(piece);
	buf_reserve(q, TEXT_LEN + 100);
	buf_adds(q, head);
	for (size_t i = 0; i < TEXT_LEN / len; i++)
		buf_add(q, piece, len);
	buf_adds(q, tail);
}

static void test_big_plain_string(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0}, response AUTO_BUF = {0};
	struct seen seen = {0};
	big_string(&q, "0123456789abcdef", "{echo(s:\"", "\")}");
	double took = ask(buf_str(&q), &seen, &response);
	assert_int_equal(seen.string_len, TEXT_LEN);
	assert_ptr_equal(seen.string, q.ptr + strlen("{echo(s:\"")); /* not copied */
	if (!is_slow_build())
		assert_true(took < 0.3);
}

static void test_big_escaped_string(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0}, response AUTO_BUF = {0};
	struct seen seen = {0};
	big_string(&q, "0123456789abcd\\n", "{echo(s:\"", "\")}");
	double took = ask(buf_str(&q), &seen, &response);
	assert_int_equal(seen.string_len, TEXT_LEN / 16 * 15);
	if (!is_slow_build())
		assert_true(took < 0.3);
}

static void test_big_block_string(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0}, response AUTO_BUF = {0};
	struct seen seen = {0};
	big_string(&q, "  456789abcdef\n", "{echo(s:\"\"\"\n", "\"\"\")}");
	double took = ask(buf_str(&q), &seen, &response);
	assert_int_equal(seen.string_len, TEXT_LEN / 15 * 13 - 1);
	if (!is_slow_build())
		assert_true(took < 0.5);
}

static void test_big_result(void **state)
{
	(void)state;
	struct buf q AUTO_BUF = {0}, response AUTO_BUF = {0};
	struct seen seen = {0};
	big_string(&q, "0123456789abcdef", "{s(s:\"", "\")}");
	double took = ask(buf_str(&q), &seen, &response);
	assert_int_equal(response.len, TEXT_LEN + strlen("{\"data\":{\"s\":\"\"}}"));
	if (!is_slow_build())
		assert_true(took < 1);
}

int main(void)
{
	/* Depth must not be on the C stack: 8 MiB is what a process usually has. */
	struct rlimit stack = {.rlim_cur = 8 << 20, .rlim_max = 8 << 20};
	setrlimit(RLIMIT_STACK, &stack);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deep_chain),
		cmocka_unit_test(test_deep_error),
		cmocka_unit_test(test_too_deep),
		cmocka_unit_test(test_deep_through_fragments),
		cmocka_unit_test(test_fragment_bombs),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_hostile_overlap),
		cmocka_unit_test(test_document_limits),
		cmocka_unit_test(test_too_many_values),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_big_plain_string),
		cmocka_unit_test(test_big_escaped_string),
		cmocka_unit_test(test_big_block_string),
		cmocka_unit_test(test_big_result),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
