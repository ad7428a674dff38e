/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "release/run_json.h"
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
	bad(parse_token("{\"name\":\"n\",\"scopes\":[\"push\"],\"repositories\":[]}"), ERR_INVALID,
		"\"repositories\" is empty");
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

static void test_run_paths(void **state)
{
	(void)state;
	struct api_path p;
	assert_string_equal(
		found("GET", "/api/v1/runs/12/jobs/0/log", &p), "/api/v1/runs/{run}/jobs/{index}/log");
	assert_true(p.run == 12 && p.index == 0 && p.job == 0);
	assert_string_equal(found("POST", "/api/v1/jobs/claim", &p), "/api/v1/jobs/claim");
	assert_string_equal(found("POST", "/api/v1/jobs/7/log", &p), "/api/v1/jobs/{job}/log");
	assert_int_equal(p.job, 7);
	static const char *const unknown[] = {"/api/v1/runs/0", "/api/v1/runs/01", "/api/v1/runs/-1",
		"/api/v1/runs/+1", "/api/v1/runs/1x", "/api/v1/runs/9223372036854775808",
		"/api/v1/runs/1/jobs/4294967296/log", "/api/v1/runs/1/jobs//log",
		"/api/v1/runs/1/jobs/00/log", "/api/v1/runs/ 1", "/api/v1/jobs/claim/log"};
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		assert_string_equal(found("GET", unknown[i], &p), "");
	assert_string_equal(found("GET", "/api/v1/runs/9223372036854775807", &p), "/api/v1/runs/{run}");
}

#define JOB "{\"kind\":\"nix\",\"version\":\"1\",\"tag\":\"t\",\"reference\":\"r\",\"label\":\"l\"}"

static struct err *parse(
	const char *text, struct run *run, struct claim_request *claim, struct job_result *result)
{
	AUTO_JSON json_t *o = NULL;
	good(json_parse(str_c(text), "test", &o));
	return run ? body_run(o, run) : claim ? body_claim(o, claim) : body_result(o, result);
}

static void test_run_bodies(void **state)
{
	(void)state;
	AUTO(run_fini) struct run r = {0};
	good(parse("{\"container\":\"web\",\"commit\":\"c\",\"no_cache\":true,\"jobs\":[" JOB "," JOB "]}",
		&r, NULL, NULL));
	assert_true(r.via == RUN_VIA_SERVER && r.no_cache && r.jobs.len == 2);
	assert_string_equal(((struct job *)vec_at(&r.jobs, 1))->label, "l");
	static const char *const wrong[][2] = {
		{"{}", "container is missing"},
		{"{\"container\":\"web\",\"commit\":\"c\"}", "jobs must be 1 to 16"},
		{"{\"container\":\"web\",\"commit\":\"c\",\"jobs\":[5]}", "jobs[0] must be an object"},
		{"{\"container\":\"web\",\"commit\":\"c\",\"jobs\":[" JOB ",{}]}",
			"jobs[1]: kind is missing"},
		{"{\"container\":\"web\",\"commit\":\"c\",\"jobs\":{}}", "jobs"},
		{"{\"container\":\"web\",\"commit\":\"c\",\"via\":\"local\"}", "unknown key \"via\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct run none = {0};
		bad(parse(wrong[i][0], &none, NULL, NULL), ERR_INVALID, wrong[i][1]);
		assert_null(none.jobs.ptr);
	}
}

static void test_runner_bodies(void **state)
{
	(void)state;
	AUTO(claim_request_fini) struct claim_request c = {0};
	AUTO(job_result_fini) struct job_result r = {0};
	good(parse("{\"runner\":\"r\",\"labels\":[\"a\",\"b\"],\"wait_seconds\":3}", NULL, &c, NULL));
	assert_true(c.labels.len == 2 && c.wait == INT64_C(3000000000) && !c.repository);
	good(parse("{\"status\":\"failure\",\"error\":\"why\",\"digest\":null}", NULL, NULL, &r));
	assert_true(r.status == JOB_FAILURE && !r.digest && !r.already);
	struct claim_request none = {0};
	struct job_result nothing = {0};
	bad(parse("{\"runner\":\"r\",\"labels\":[]}", NULL, &none, NULL), ERR_INVALID,
		"labels must be 1 to 64");
	bad(parse("{\"runner\":\"r\",\"labels\":[5]}", NULL, &none, NULL), ERR_INVALID, "labels");
	bad(parse("{\"runner\":\"r\",\"labels\":[\"a\"],\"wait_seconds\":-1}", NULL, &none, NULL),
		ERR_INVALID, "from 0 to 60");
	bad(parse("{\"labels\":[\"a\"]}", NULL, &none, NULL), ERR_INVALID, "runner is missing");
	bad(parse("{\"status\":\"running\"}", NULL, NULL, &nothing), ERR_INVALID,
		"success, failure or cancelled");
	bad(parse("{}", NULL, NULL, &nothing), ERR_INVALID, "status is missing");
}

static struct job some_job(void)
{
	return (struct job){.id = 5,
		.run = 3,
		.index = 1,
		.kind = mem_strdup("nix"),
		.version = mem_strdup("1"),
		.tag = mem_strdup("v1-0123456-nix"),
		.reference = mem_strdup("r/x:v1-0123456-nix"),
		.label = mem_strdup("nix"),
		.runner = mem_strdup("me"),
		.status = JOB_FAILURE,
		.tries = 2,
		.created = INT64_C(1767323045123456789),
		.error = mem_strdup("\"why\" \xff"),
		.log_size = 77,
		.log_gone = true};
}

static void test_answers(void **state)
{
	(void)state;
	AUTO(run_fini)
	struct run r = {.number = 3,
		.container = mem_strdup("web"),
		.commit = mem_strdup("c"),
		.status = JOB_FAILURE,
		.created = 1,
		.jobs = VEC_OF(struct job)};
	AUTO(run_fini) struct run again = {0};
	struct job j = some_job();
	vec_push_copy(&r.jobs, &j);
	AUTO_JSON json_t *o = run_to_json(&r);
	good(run_from_json(o, "test", &again));
	const struct job *k = vec_at(&again.jobs, 0);
	assert_true(again.number == 3 && again.status == JOB_FAILURE && again.created == 1 && !again.ended);
	assert_true(k->id == 5 && k->index == 1 && k->tries == 2 && k->log_size == 77 && k->log_gone &&
		    !k->digest);
	assert_int_equal(k->created, INT64_C(1767323045123456789));
	assert_string_equal(k->error, "\"why\" \xef\xbf\xbd");

	struct run none = {0};
	json_object_set_new(o, "status", json_string("odd"));
	bad(run_from_json(o, "test", &none), ERR_INVALID, "unknown status \"odd\"");
	json_object_del(o, "status");
	bad(run_from_json(o, "test", &none), ERR_INVALID, "test: status is missing");
	AUTO_JSON json_t *claimed =
		json_pack("{s:s,s:i,s:i}", "lease", "l", "lease_seconds", 0, "log_base", 0);
	struct claimed_job c = {0};
	int64_t lease = 0;
	bad(claimed_from_json(claimed, "test", &c, &lease), ERR_INVALID, "out of range");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_token_bodies),
		cmocka_unit_test(test_run_paths),
		cmocka_unit_test(test_run_bodies),
		cmocka_unit_test(test_runner_bodies),
		cmocka_unit_test(test_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
