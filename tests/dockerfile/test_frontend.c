/* SPDX-License-Identifier: Apache-2.0 */
/* What is not a matter of one input and one output: excerpts, limits, sameness of digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/duration.h"
#include "base/mem.h"
#include "dockerfile/names.h"
#include "fake_host.h"

#include <stdlib.h>
#include <string.h>

static void test_excerpt(void **state)
{
	(void)state;
	struct str text = STR("FROM a\nRUN one\nRUN two \\\n  three\nRUN four\nRUN five\nRUN six\n");
	struct buf out AUTO_BUF = {0};
	dockerfile_excerpt(text, (struct source_range){"containers/x/Dockerfile", 3, 4}, &out);
	assert_string_equal(buf_cstr(&out), "containers/x/Dockerfile:3\n"
					    "--------------------\n"
					    "   1 |     FROM a\n"
					    "   2 |     RUN one\n"
					    "   3 | >>> RUN two \\\n"
					    "   4 | >>>   three\n"
					    "   5 |     RUN four\n"
					    "   6 |     RUN five\n"
					    "--------------------\n");
	buf_clear(&out);
	dockerfile_excerpt(text, (struct source_range){NULL, 99, 99}, &out);
	assert_int_equal(out.len, 0);
	dockerfile_excerpt(text, (struct source_range){NULL, 0, 0}, &out);
	assert_int_equal(out.len, 0);
	dockerfile_excerpt(text, (struct source_range){NULL, 7, 0}, &out);
	assert_non_null(strstr(buf_cstr(&out), "   7 | >>> RUN six\n"));
}

static void test_excerpt_long(void **state)
{
	(void)state;
	struct buf text AUTO_BUF = {0}, out AUTO_BUF = {0};
	for (int i = 1; i <= 100; i++)
		buf_addf(&text, "line %d\n", i);
	dockerfile_excerpt(buf_str(&text), (struct source_range){"D", 10, 90}, &out);
	assert_non_null(strstr(buf_cstr(&out), "  10 | >>> line 10\n"));
	assert_non_null(strstr(buf_cstr(&out), "(57 more lines)"));
	assert_null(strstr(buf_cstr(&out), "line 50\n"));
	assert_non_null(strstr(buf_cstr(&out), "  92 |     line 92\n"));
}

static struct err *lower(
	const char *text, const char *path, int64_t created, struct graph *g, struct dockerfile_build *b)
{
	struct fake_host host;
	fake_host_init(&host, NULL);
	struct dockerfile_request rq = {.path = path,
		.text = str_c(text),
		.platform = "linux/amd64",
		.created = created,
		.host = &host.host};
	struct err *why = dockerfile_lower(&rq, g, b);
	fake_host_fini(&host);
	return why;
}

/* Time, path, comments, names and what only the config holds must not change what is built. */
static void test_digest_is_of_what_is_asked(void **state)
{
	(void)state;
	static const char one[] = "FROM debian:12\nCOPY a b\nRUN x\n";
	static const char two[] = "# a comment\nFROM   debian:12\n\nCOPY a \\\n b\nrun x\n";
	struct graph *g AUTO(graph_freep) = graph_new();
	struct graph *h AUTO(graph_freep) = graph_new();
	struct dockerfile_build a AUTO(dockerfile_build_fini) = {0}, b AUTO(dockerfile_build_fini) = {0};
	assert_null(lower(one, "Dockerfile", 1, g, &a));
	assert_null(lower(two, "elsewhere/Dockerfile", INT64_C(9000000000000), h, &b));
	assert_true(digest_eq(node_digest(a.root), node_digest(b.root)));
	static const char three[] = "FROM debian:12 AS named\nLABEL a=b\nCOPY a b\nRUN x\nCMD y\n";
	struct graph *i AUTO(graph_freep) = graph_new();
	struct dockerfile_build c AUTO(dockerfile_build_fini) = {0};
	assert_null(lower(three, "Dockerfile", 1, i, &c));
	assert_true(digest_eq(node_digest(a.root), node_digest(c.root)));
	assert_false(json_equal(a.config, c.config));
	assert_int_equal(a.history_layers, 3);
	assert_string_equal(a.used_locals.ptr[0], "context");
	assert_int_equal(a.pins.len, 1);
}

static void assert_refused(const char *text, const char *message)
{
	struct graph *g AUTO(graph_freep) = graph_new();
	struct dockerfile_build b AUTO(dockerfile_build_fini) = {0};
	struct err *why AUTO(err_freep) = lower(text, "Dockerfile", 0, g, &b);
	assert_non_null(why);
	assert_int_equal(err_kind(why), ERR_INVALID);
	char *all AUTO_FREE = err_text(why);
	if (!strstr(all, message))
		fail_msg("expected \"%s\" in \"%s\"", message, all);
}

static void test_limits(void **state)
{
	(void)state;
	struct buf many AUTO_BUF = {0};
	buf_adds(&many, "FROM scratch\n");
	for (int i = 0; i < 10001; i++)
		buf_adds(&many, "USER a\n");
	assert_refused(buf_cstr(&many), "more than 10000 instructions");

	struct buf wide AUTO_BUF = {0};
	buf_adds(&wide, "FROM scratch\nRUN ");
	for (int i = 0; i < 70000; i++)
		buf_addc(&wide, 'x');
	assert_refused(buf_cstr(&wide), "Dockerfile:2: dockerfile line greater than");

	struct buf bomb AUTO_BUF = {0};
	buf_adds(&bomb, "FROM scratch\nENV a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
	for (int i = 0; i < 40; i++)
		buf_adds(&bomb, "ENV a=$a$a\n");
	assert_refused(buf_cstr(&bomb), "expands to more than");

	struct buf env AUTO_BUF = {0};
	buf_adds(&env, "FROM scratch\nENV "
		       "a=0123456789012345678901234567890123456789012345678901234567890123456789\n");
	for (int i = 0; i < 11; i++)
		buf_adds(&env, "ENV a=$a$a\n");
	for (int i = 0; i < 5000; i++)
		buf_adds(&env, "RUN x\n");
	assert_refused(buf_cstr(&env), "its instructions expand to more than");

	struct buf big AUTO_BUF = {0};
	for (int i = 0; i < (1 << 20); i++)
		buf_adds(&big, "#\n");
	assert_refused(buf_cstr(&big), "file is larger than");
}

static void test_no_text(void **state)
{
	(void)state;
	struct graph *g AUTO(graph_freep) = graph_new();
	struct dockerfile_build b AUTO(dockerfile_build_fini) = {0};
	struct dockerfile_request rq = {.path = "D", .text = STR("FROM scratch\nRUN a\0b\n")};
	struct err *why AUTO(err_freep) = dockerfile_lower(&rq, g, &b);
	assert_non_null(why);
	assert_string_equal(err_message(why), "D:2:6: NUL byte: this is no text file");
}

/* A chain of thousands of stages must neither recurse nor copy without bound. */
static void test_long_chain(void **state)
{
	(void)state;
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, "FROM scratch AS s0\n");
	for (int i = 1; i < 4000; i++)
		buf_addf(&text, "FROM s%d AS s%d\nENV a%d=b\n", i - 1, i, i % 10);
	struct graph *g AUTO(graph_freep) = graph_new();
	struct dockerfile_build b AUTO(dockerfile_build_fini) = {0};
	assert_null(lower(buf_cstr(&text), "D", 0, g, &b));
	assert_null(b.root);
	assert_int_equal(json_array_size(json_object_get(b.config, "history")), 3999);
}

static void test_durations(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns;
		const char *out; /* NULL: refused */
	} rows[] = {
		{"1s", 1000000000, "1s"},
		{"1m30s", 90000000000, "1m30s"},
		{"1.5h", 5400000000000, "1h30m0s"},
		{"250ms", 250000000, "250ms"},
		{"1.25s", 1250000000, "1.25s"},
		{"0", 0, "0s"},
		{"0s", 0, "0s"},
		{"-1s", -1000000000, "-1s"},
		{"100us", 100000, "100\xc2\xb5s"},
		{"7ns", 7, "7ns"},
		{"", 0, NULL},
		{"1", 0, NULL},
		{"1x", 0, NULL},
		{"s", 0, NULL},
		{"1s2", 0, NULL},
		{"99999999999h", 0, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ns = 0;
		struct buf out AUTO_BUF = {0};
		bool ok = duration_parse(rows[i].text, &ns);
		assert_int_equal(ok, rows[i].out != NULL);
		if (!ok)
			continue;
		assert_int_equal(ns, rows[i].ns);
		duration_text(ns, &out);
		assert_string_equal(buf_cstr(&out), rows[i].out);
	}
}

static void test_image_names(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"debian", "docker.io/library/debian:latest"},
		{"debian:12", "docker.io/library/debian:12"},
		{"a/b", "docker.io/a/b:latest"},
		{"localhost/a", "localhost/a:latest"},
		{"localhost:5000/a:1", "localhost:5000/a:1"},
		{"reg.example/a/b/c:x", "reg.example/a/b/c:x"},
		{"index.docker.io/library/debian", "docker.io/library/debian:latest"},
		{"docker.io/debian", "docker.io/library/debian:latest"},
		{"a@sha256:0123456789012345678901234567890123456789012345678901234567890123",
			"docker.io/library/"
			"a@sha256:0123456789012345678901234567890123456789012345678901234567890123"},
		{"a:1@sha256:0123456789012345678901234567890123456789012345678901234567890123",
			"docker.io/library/"
			"a:1@sha256:0123456789012345678901234567890123456789012345678901234567890123"},
		{"a__b-c.d", "docker.io/library/a__b-c.d:latest"},
		{"", NULL},
		{"Debian", NULL},
		{"a//b", NULL},
		{"a:", NULL},
		{"a b", NULL},
		{"a@sha256:12", NULL},
		{"a:-x", NULL},
		{"-a", NULL},
		{"a-", NULL},
		{"a..b", NULL},
		{"http://a/b", NULL},
		{"$x", NULL},
	};
	struct arena *a AUTO(arena_freep) = arena_new();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *out = NULL;
		struct err *why AUTO(err_freep) = image_name(a, rows[i][0], &out);
		if (!rows[i][1]) {
			if (!why)
				fail_msg("%s gave %s", rows[i][0], out);
			continue;
		}
		assert_null(why);
		assert_string_equal(out, rows[i][1]);
	}
}

static void test_platforms(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"linux/amd64", "linux/amd64"},
		{"linux/x86_64", "linux/amd64"},
		{"Linux/AMD64", "linux/amd64"},
		{"linux/arm64/v8", "linux/arm64"},
		{"linux/aarch64", "linux/arm64"},
		{"linux/arm", "linux/arm/v7"},
		{"linux/arm/6", "linux/arm/v6"},
		{"arm64", "linux/arm64"},
		{"linux/386", "linux/386"},
		{"", NULL},
		{"linux/", NULL},
		{"linux/a/b/c", NULL},
		{"li nux/amd64", NULL},
	};
	struct arena *a AUTO(arena_freep) = arena_new();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct platform p = {0};
		struct err *why AUTO(err_freep) = platform_words_parse(a, rows[i][0], &p);
		assert_int_equal(why == NULL, rows[i][1] != NULL);
		if (!why)
			assert_string_equal(p.text, rows[i][1]);
	}
}

static void test_urls(void **state)
{
	(void)state;
	struct arena *a AUTO(arena_freep) = arena_new();
	assert_true(git_url_is("https://example.com/a/b.git#main:dir"));
	assert_true(git_url_is("https://example.com/a/b.git?ref=x"));
	assert_true(git_url_is("git@example.com:a/b"));
	assert_true(git_url_is("ssh://git@example.com/a"));
	assert_false(git_url_is("https://example.com/a/b.tar.gz"));
	assert_false(git_url_is("a/b@c:d/e"));
	assert_false(git_url_is("./x.git"));
	assert_string_equal(http_url_file(a, "https://example.com/a/b.tgz?x=/y#z"), "b.tgz");
	assert_string_equal(http_url_file(a, "https://example.com/"), "__unnamed__");
	assert_string_equal(http_url_file(a, "https://example.com"), "__unnamed__");
	assert_string_equal(http_url_file(a, "https://example.com/a%20b"), "a b");
	assert_string_equal(http_url_file(a, "https://example.com/a%2f..%2f..%2fetc"), "etc");
	assert_string_equal(http_url_file(a, "https://example.com/.."), "__unnamed__");
	assert_string_equal(http_url_file(a, "https://example.com/%zz"), "%zz");
	struct op_git g = {0};
	assert_null(git_url_parse(a, "https://e.com/b.git?branch=x&subdir=/d/../e&submodules=false#:e", &g));
	assert_string_equal(g.url, "https://e.com/b.git");
	assert_string_equal(g.ref, "refs/heads/x");
	assert_string_equal(g.subdir, "e");
	assert_true(g.no_submodules);
	struct err *two AUTO(err_freep) = git_url_parse(a, "https://e.com/b.git?ref=x#y", &g);
	assert_non_null(two);
	struct err *dash AUTO(err_freep) = git_url_parse(a, "https://e.com/b.git#--upload-pack=x", &g);
	assert_non_null(dash);
	struct err *key AUTO(err_freep) = git_url_parse(a, "https://e.com/b.git?reff=x", &g);
	assert_non_null(strstr(err_message(key), "did you mean ref"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_excerpt),
		cmocka_unit_test(test_excerpt_long),
		cmocka_unit_test(test_digest_is_of_what_is_asked),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_text),
		cmocka_unit_test(test_long_chain),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_image_names),
		cmocka_unit_test(test_platforms),
		cmocka_unit_test(test_urls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
