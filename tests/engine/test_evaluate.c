/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/evaluate.h"

#include <string.h>

static void add(struct evaluation *e, enum input_kind kind, const char *name, const char *state)
{
	evaluation_add(e, kind, name)->state = mem_strdup(state);
}

static void step(struct evaluation *e, uint32_t line, const char *name, const char *state)
{
	struct build_input *in = evaluation_add(e, INPUT_STEP, name);

	in->state = mem_strdup(state);
	in->file = mem_strdup("x/Dockerfile");
	in->line = line;
}

static void start(struct evaluation *from, struct evaluation *to)
{
	evaluation_init(from);
	evaluation_init(to);
	digest_of("from", 4, &from->inputs);
	digest_of("to", 2, &to->inputs);
}

/* The texts of all changes, a line each; frees both. */
static char *changes(struct evaluation *from, struct evaluation *to)
{
	struct vec found = VEC_OF(struct input_change);
	AUTO_BUF struct buf out = {0};

	evaluation_compare(from, to, &found);
	for (size_t i = 0; i < found.len; i++)
		buf_addf(&out, "%s\n", ((struct input_change *)vec_at(&found, i))->text);
	input_changes_fini(&found);
	evaluation_fini(from);
	evaluation_fini(to);
	return mem_strdup(buf_cstr(&out));
}

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"

static void test_sources(void **state)
{
	struct evaluation a, b;

	(void)state;
	start(&a, &b);
	add(&a, INPUT_IMAGE, "debian:bookworm-slim", D1);
	add(&b, INPUT_IMAGE, "debian:bookworm-slim", D2);
	add(&a, INPUT_URL, "https://example.test/x", D1);
	add(&b, INPUT_URL, "https://example.test/y", D1);
	add(&a, INPUT_GIT, "https://example.test/r.git#v1", "0123456789abcdef");
	add(&b, INPUT_GIT, "https://example.test/r.git#v1", "fedcba9876543210");
	add(&a, INPUT_FILE, "x/same", "0644 aa");
	add(&b, INPUT_FILE, "x/same", "0644 aa");
	add(&a, INPUT_FILE, "x/mode", "0644 aa");
	add(&b, INPUT_FILE, "x/mode", "0755 aa");
	add(&a, INPUT_FILE, "x/link", "link a");
	add(&b, INPUT_FILE, "x/link", "link b");
	add(&a, INPUT_FILE, "x/gone", "0644 cc");
	add(&b, INPUT_SETTING, "SOURCE_DATE_EPOCH", "1");
	AUTO_FREE char *text = changes(&a, &b);
	assert_string_equal(text,
		"x/mode: mode 0644 -> 0755\n"
		"x/link changed\n"
		"x/gone is gone\n"
		"base image debian:bookworm-slim: sha256:111111111111 -> sha256:222222222222\n"
		"download https://example.test/x -> https://example.test/y\n"
		"git https://example.test/r.git#v1: 0123456789ab -> fedcba987654\n"
		"SOURCE_DATE_EPOCH: (not set) -> 1\n");
}

static void test_steps(void **state)
{
	struct evaluation a, b;

	(void)state;
	start(&a, &b);
	/* moved by a line above, and otherwise the same */
	step(&a, 2, "RUN make", "{\"value\":{\"argv\":[\"make\"]}}");
	step(&b, 3, "RUN make", "{\"value\":{\"argv\":[\"make\"]}}");
	step(&a, 3, "RUN a", "{\"value\":{\"argv\":[\"a\"],\"env\":[\"V=1\",\"W=1\"]}}");
	step(&b, 4, "RUN a", "{\"value\":{\"argv\":[\"a\"],\"cwd\":\"/x\",\"env\":[\"V=2\",\"N=1\"]}}");
	step(&b, 2, "RUN new", "{\"value\":{\"argv\":[\"new\"]}}");
	step(&a, 9, "CMD [\"a\"]", "CMD [\"a\"]");
	step(&b, 9, "CMD [\"b\"]", "CMD [\"b\"]");
	step(&a, 5, "COPY b /", "{\"value\":{\"actions\":[{\"dest\":\"/\",\"owner\":\"1\"}]}}");
	step(&b, 5, "COPY b /",
		"{\"value\":{\"actions\":[{\"dest\":\"/\",\"owner\":\"2\",\"sources\":[]}]}}");
	step(&a, 10, "COPY a /", "{\"value\":1}");
	AUTO_FREE char *text = changes(&a, &b);
	assert_string_equal(text, "x/Dockerfile:4: \"RUN a\" changed: V 1 -> 2, W 1 -> (not set), N (not "
				  "set) -> 1, cwd (not set) -> /x\n"
				  "x/Dockerfile:5: \"COPY b /\" changed: owner 1 -> 2, sources\n"
				  "x/Dockerfile:9: \"CMD [\"a\"]\" -> \"CMD [\"b\"]\"\n"
				  "x/Dockerfile:10: \"COPY a /\" is gone\n"
				  "x/Dockerfile:2: \"RUN new\" is new\n");
}

static void config(struct evaluation *e, const char *text)
{
	assert_null(json_parse(str_c(text), "config", &e->config));
}

static void test_settings_and_scripts(void **state)
{
	struct evaluation a, b;

	(void)state;
	start(&a, &b);
	add(&a, INPUT_SCRIPT, "src/h.py (helper)", "1");
	add(&b, INPUT_SCRIPT, "src/h.py (helper)", "2");
	config(&a, "{\"config\":{\"Env\":[\"A=1\"],\"User\":\"1\",\"Labels\":{\"l\":\"x\","
		   "\"org.opencontainers.image.revision\":\"a\"}}}");
	config(&b, "{\"config\":{\"Env\":[\"A=2\"],\"Cmd\":[\"c\"],\"User\":\"1\",\"Labels\":{\"l\":\"y\","
		   "\"org.opencontainers.image.revision\":\"b\"}}}");
	AUTO_FREE char *text = changes(&a, &b);
	assert_string_equal(text,
		"src/h.py (helper) changed the pipeline: ENV A: 1 -> 2\n"
		"src/h.py (helper) changed the pipeline: label l: x -> y\n"
		"src/h.py (helper) changed the pipeline: image setting Cmd: (not set) -> [\"c\"]\n");
}

static void test_always_a_reason_and_never_a_false_one(void **state)
{
	struct evaluation a, b;

	(void)state;
	start(&a, &b);
	AUTO_FREE char *order = changes(&a, &b);
	assert_non_null(strstr(order, "put together in another way"));
	start(&a, &b);
	b.inputs = a.inputs;
	add(&a, INPUT_SCRIPT, "src/h.py (helper)", "1");
	add(&b, INPUT_SCRIPT, "src/h.py (helper)", "2");
	AUTO_FREE char *equal = changes(&a, &b);
	assert_string_equal(equal, "");
}

static void test_long_and_odd_texts(void **state)
{
	struct evaluation a, b;
	char long_name[400];

	(void)state;
	start(&a, &b);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	long_name[119] = '\xc3';
	long_name[120] = '\xa4';
	long_name[3] = '\n';
	step(&b, 1, long_name, "{");
	AUTO_FREE char *text = changes(&a, &b);
	assert_true(strlen(text) < 180);
	assert_true(str_is_utf8(str_c(text)));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_document(void **state)
{
	struct evaluation e, back;
	AUTO_FREE char *again = NULL;

	(void)state;
	evaluation_init(&e);
	digest_of("x", 1, &e.inputs);
	step(&e, 7, "RUN make", "state");
	add(&e, INPUT_FILE, "x/a", "0644 aa");
	strvec_push(&e.annotations, "a=b");
	config(&e, "{\"os\":\"linux\"}");
	AUTO_JSON json_t *o = evaluation_json(&e);
	AUTO_FREE char *text = json_dump(o, false);
	evaluation_init(&back);
	assert_null(evaluation_parse(str_c(text), &back));
	AUTO_JSON json_t *o2 = evaluation_json(&back);
	again = json_dump(o2, false);
	assert_string_equal(text, again);
	evaluation_fini(&e);
	evaluation_fini(&back);
	static const char *const bad[] = {"", "[]", "{}", "{\"inputs\":\"sha256:1\"}",
		"{\"inputs\":\"" D1 "\",\"list\":[{\"kind\":\"file\"}]}",
		"{\"inputs\":\"" D1 "\",\"list\":[{\"kind\":\"nosuch\",\"name\":\"a\",\"state\":\"b\"}]}",
		"{\"inputs\":\"" D1
		"\",\"list\":[{\"kind\":\"file\",\"name\":\"a\",\"state\":\"b\",\"line\":-1}]}"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err *e1 = evaluation_parse(str_c(bad[i]), &back);
		assert_int_equal(err_kind(e1), ERR_INVALID);
		err_free(e1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_settings_and_scripts),
		cmocka_unit_test(test_always_a_reason_and_never_a_false_one),
		cmocka_unit_test(test_long_and_odd_texts),
		cmocka_unit_test(test_document),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
