/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the cases in cases/ and reject/. COOPER_UPDATE_CASES=1 writes what came out into them. Sections:
 *   === schema      instead of schema.graphql; in reject/ without a query: it is the schema that is refused
 *   === data        instead of data.json: what resolvers answer (fake_data.h)
 *   === query, variables, operation     the request
 *   === response    cases: the JSON that is answered
 *   === error       reject: "line:column: message" of each error; no resolver may have run
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "case_file.h"
#include "fake_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *name)
{
	char *path AUTO_FREE = mem_printf("%s/%s", TEST_SOURCE_DIR, name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	struct buf text = {0};
	char chunk[4096];
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(&text, chunk, n);
	fclose(f);
	return buf_steal(&text);
}

static char *section_or_file(const struct case_file *c, const char *section, const char *file)
{
	const struct section *s = case_section(c, section);
	return s ? mem_strdup(s->text) : read_file(file);
}

static struct str section_line(const struct case_file *c, const char *name)
{
	const struct section *s = case_section(c, name);
	return str_trim(str_c(s ? s->text : ""));
}

static json_t *parse_json(const char *text)
{
	json_error_t why;
	json_t *j = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
	if (!j)
		fail_msg("no JSON: %s at %d:%d in %s", why.text, why.line, why.column, text);
	return j;
}

static json_t *run_query(const struct case_file *c, const struct gql_schema *s, struct fake_data *d)
{
	struct buf response AUTO_BUF = {0};
	const struct section *variables = case_section(c, "variables");
	json_t *given AUTO_JSON = variables ? parse_json(variables->text) : NULL;
	struct gql_request rq = {.query = str_c(case_section(c, "query")->text),
		.operation_name = section_line(c, "operation"),
		.variables = given};
	struct gql_hooks hooks = {.resolve = fake_resolve, .explain = fake_explain, .ctx = d};
	struct err *e = gql_execute(s, &rq, &hooks, &response);
	assert_null(e);
	return parse_json(buf_cstr(&response));
}

static void print_errors(const json_t *response, struct buf *out)
{
	size_t i = 0;
	json_t *e = NULL;
	json_array_foreach(json_object_get(response, "errors"), i, e)
	{
		json_t *at = json_array_get(json_object_get(e, "locations"), 0);
		buf_addf(out, "%d:%d: %s\n", (int)json_integer_value(json_object_get(at, "line")),
			(int)json_integer_value(json_object_get(at, "column")),
			json_string_value(json_object_get(e, "message")));
	}
}

/* Compares one section; in update mode rewrites it. */
static bool section_ok(struct case_file *c, const char *name, const char *got)
{
	struct section *s = case_section(c, name);
	if (!s)
		return false;
	if (strcmp(s->text, got) == 0)
		return true;
	if (getenv("COOPER_UPDATE_CASES")) {
		free(s->text);
		s->text = mem_strdup(got);
		assert_true(case_write(c));
		return true;
	}
	fprintf(stderr, "%s: section %s differs\n--- expected\n%s--- got\n%s---\n", c->path, name, s->text,
		got);
	return false;
}

static bool run_case(struct case_file *c, const struct gql_schema *s)
{
	char *data AUTO_FREE = section_or_file(c, "data", "data.json");
	struct fake_data d = {.root = parse_json(data)};
	json_t *response AUTO_JSON = run_query(c, s, &d);
	json_decref(d.root);
	struct buf got AUTO_BUF = {0};
	if (case_section(c, "response")) {
		char *text AUTO_FREE = json_dump_pretty(response);
		buf_addf(&got, "%s\n", text);
		return section_ok(c, "response", buf_cstr(&got));
	}
	print_errors(response, &got);
	bool untouched = d.calls == 0 && !json_object_get(response, "data");
	if (!untouched)
		fprintf(stderr, "%s: was not refused\n", c->path);
	return section_ok(c, "error", buf_cstr(&got)) && untouched;
}

static bool run_file(const char *path)
{
	struct case_file c AUTO(case_fini);
	if (!case_read(path, &c)) {
		fprintf(stderr, "%s: no case\n", path);
		return false;
	}
	char *sdl AUTO_FREE = section_or_file(&c, "schema", "schema.graphql");
	struct gql_schema *s AUTO(gql_schema_freep) = NULL;
	struct err *e AUTO(err_freep) = gql_schema_parse(str_c(sdl), "schema", &s);
	if (e) {
		char *text AUTO_FREE = err_text(e), *line AUTO_FREE = mem_printf("%s\n", text);
		return !case_section(&c, "query") ? section_ok(&c, "error", line)
						  : (fprintf(stderr, "%s: %s", path, line), false);
	}
	if (case_section(&c, "query"))
		return run_case(&c, s);
	fprintf(stderr, "%s: the schema was not refused\n", path);
	return false;
}

static void test_cases(void **state)
{
	(void)state;
	case_run_folder("cases", run_file);
}

static void test_reject(void **state)
{
	(void)state;
	case_run_folder("reject", run_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_reject)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
