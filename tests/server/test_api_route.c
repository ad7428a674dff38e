/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "server/api_body.h"
#include "server/api_internal.h"

static const char *found(const char *method, const char *path, struct api_path *p)
{
	AUTO_BUF struct buf allowed = {0};
	const struct api_route *r = api_route_find(method, path, p, &allowed);
	static char text[200];
	snprintf(text, sizeof(text), "%s", r ? r->path : buf_cstr(&allowed));
	return text;
}

static void test_paths(void **state)
{
	(void)state;
	struct api_path p;
	assert_string_equal(found("GET", "/api/v1", &p), "/api/v1");
	assert_string_equal(found("HEAD", "/api/v1/tokens", &p), "/api/v1/tokens");
	assert_string_equal(found("DELETE", "/api/v1/tokens/ci-1", &p), "/api/v1/tokens/{name}");
	assert_true(str_eq_c(p.name, "ci-1"));
	assert_string_equal(found("PUT", "/api/v1/tokens", &p), "GET, HEAD, POST");
	assert_string_equal(found("get", "/api/v1/tokens", &p), "GET, HEAD, POST");
	static const char *const unknown[] = {"/api", "/api/v1/", "/api/v2", "/api/v1/tokens/",
		"/api/v1/tokens/a b", "/api/v1/tokens/..", "/api/v1//tokens", "/api/v1/tokens/a/b", "", "/",
		"api/v1"};
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		assert_string_equal(found("GET", unknown[i], &p), "");
}

static void test_numbers(void **state)
{
	(void)state;
	uint64_t n = 7;
	good(api_number(NULL, "limit", 1, 10, &n));
	assert_int_equal(n, 7);
	good(api_number("10", "limit", 1, 10, &n));
	assert_int_equal(n, 10);
	static const char *const wrong[] = {
		"", "0", "11", "-1", "+1", "1x", " 1", "0x1", "1e1", "99999999999999999999"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		bad(api_number(wrong[i], "limit", 1, 10, &n), ERR_INVALID,
			"limit must be a whole number from 1 to 10");
}

static struct err *parse_token(const char *text)
{
	AUTO_JSON json_t *o = NULL;
	AUTO(token_request_fini) struct token_request t = {0};
	good(json_parse(str_c(text), "test", &o));
	TRY(body_token(o, &t));
	assert_string_equal(t.token.name, "n");
	assert_int_equal(t.token.scopes, SCOPE_PUSH | SCOPE_PULL);
	assert_int_equal(t.lasts, INT64_C(5000000000));
	return NULL;
}

static void test_token_bodies(void **state)
{
	(void)state;
	good(parse_token("{\"name\":\"n\",\"scopes\":[\"pull\",\"push\"],\"expires_seconds\":5}"));
	bad(parse_token("{\"name\":\"n\",\"scopes\":[\"pul\"]}"), ERR_INVALID, "there is no scope \"pul\"");
	bad(parse_token("{\"scopes\":[\"pull\"]}"), ERR_INVALID, "name is missing");
	bad(parse_token("{\"name\":5,\"scopes\":[\"pull\"]}"), ERR_INVALID, "name");
	bad(parse_token("{\"name\":\"n\",\"scopes\":\"pull\"}"), ERR_INVALID, "scopes");
	bad(parse_token("{\"name\":\"n\",\"scopes\":[],\"scope\":[]}"), ERR_INVALID,
		"did you mean \"scopes\"?");
	bad(parse_token("{\"name\":\"n\",\"expires_seconds\":0}"), ERR_INVALID,
		"expires_seconds must be from 1");
	bad(parse_token("{\"name\":\"n\",\"expires_seconds\":9223372036854775807}"), ERR_INVALID,
		"expires_seconds");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_token_bodies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
