/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gql/execute.h"
#include "gql/schema.h"

static const char sdl[] = "directive @slow on FIELD_DEFINITION "
			  "type Query { a(first: Int = 3, second: In!, third: [ID!]): Int @slow b: Int } "
			  "input In { x: Int! = 2, y: String, deep: In2 = {} } input In2 { z: Float = 1 }";

static struct gql_schema *parse(void)
{
	struct gql_schema *s = NULL;
	assert_null(gql_schema_parse(STR(sdl), "schema", &s));
	return s;
}

static void test_accessors(void **state)
{
	(void)state;
	struct gql_schema *s AUTO(gql_schema_freep) = parse();
	const struct gql_field *f = gql_schema_field(s, "Query", "a");
	assert_non_null(f);
	assert_string_equal(gql_field_name(f), "a");
	assert_string_equal(gql_field_type_name(f), "Query");
	assert_int_equal(gql_field_arg_count(f), 3);
	assert_string_equal(gql_field_arg_name(f, 1), "second");
	assert_null(gql_field_arg_name(f, 3));
	assert_true(gql_field_has_directive(f, "slow"));
	assert_false(gql_field_has_directive(f, "fast"));
	assert_false(gql_field_has_directive(gql_schema_field(s, "Query", "b"), "slow"));
	assert_null(gql_schema_field(s, "Query", "c"));
	assert_null(gql_schema_field(s, "Int", "c"));
	assert_null(gql_schema_field(s, "Nothing", "c"));
}

static void test_bind_errors(void **state)
{
	(void)state;
	struct gql_schema *s AUTO(gql_schema_freep) = parse();
	struct err *field AUTO(err_freep) = gql_schema_bind(s, "Query", "zz", s);
	struct err *type AUTO(err_freep) = gql_schema_bind(s, "Quarry", "a", s);
	struct err *scalar AUTO(err_freep) = gql_schema_bind(s, "Int", "a", s);
	assert_int_equal(err_kind(field), ERR_NOT_FOUND);
	assert_int_equal(err_kind(type), ERR_NOT_FOUND);
	assert_int_equal(err_kind(scalar), ERR_NOT_FOUND);
	assert_string_equal(err_message(field), "type \"Query\" of the schema has no field \"zz\"");
}

static struct err *resolve(void *ctx, const struct gql_call *call, struct gql_out *out)
{
	assert_ptr_equal(call->data, ctx);
	assert_null(call->parent);
	assert_string_equal(gql_field_name(call->field), "a");
	assert_int_equal(call->arg_count, 3);
	assert_int_equal(call->args[0].i, 3);
	const struct gql_value *in = &call->args[1];
	assert_int_equal(gql_member(in, "x")->i, 2);
	assert_null(gql_member(in, "y"));
	assert_true(gql_member(gql_member(in, "deep"), "z")->f == 1);
	assert_null(gql_member(&call->args[0], "x"));
	assert_null(gql_member(NULL, "x"));
	assert_int_equal(call->args[2].kind, GQL_NULL);
	gql_out_int(out, 1);
	return NULL;
}

static void test_bound_data(void **state)
{
	(void)state;
	struct gql_schema *s AUTO(gql_schema_freep) = parse();
	int data = 0;
	assert_null(gql_schema_bind(s, "Query", "a", &data));
	struct buf response AUTO_BUF = {0};
	struct gql_request rq = {.query = STR("{a(second:{})}")};
	struct gql_hooks h = {.resolve = resolve, .ctx = &data};
	assert_null(gql_execute(s, &rq, &h, &response));
	assert_string_equal(buf_cstr(&response), "{\"data\":{\"a\":1}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accessors),
		cmocka_unit_test(test_bind_errors),
		cmocka_unit_test(test_bound_data),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
