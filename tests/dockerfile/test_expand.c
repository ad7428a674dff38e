/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables expand.txt (one word) and words.txt (splitting). A line is "input | expected"; "!text" expects
 * an error that holds text. What is expected of words.txt is a list like "a,b". Blank lines and lines with
 * '#' first are skipped; \_ in them stands for a space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "dockerfile/expand.h"
#include "dockerfile/glob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *get(void *ctx, const char *name)
{
	static const char *const env[][2] = {{"PWD", "/home"}, {"SHELL", "bash"}, {"NULL", ""},
		{"SPACED", "one two  three"}, {"PATHS", "a/b/c.tar.gz"},
		{"KOREAN", "\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4"}, {"X", "aabbaabb"}, {"STARS", "a*b?c\\d"},
		{"NL", "line1\nline2"}, {"LONG_NAME_1", "v1"}};
	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(env); i++)
		if (strcmp(env[i][0], name) == 0)
			return env[i][1];
	return NULL;
}

static char *field(const char *start, size_t len)
{
	struct str s = str_trim(str_n(start, len));
	struct buf b AUTO_BUF = {0};
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\\' && i + 1 < s.len && s.ptr[i + 1] == '_') {
			buf_addc(&b, ' ');
			i++;
		} else {
			buf_addc(&b, s.ptr[i]);
		}
	}
	return mem_strdup(buf_cstr(&b));
}

static struct err *evaluate(const char *input, bool words, struct buf *out)
{
	struct expander x = {.escape = '\\', .get = get};
	if (!words)
		return expand_word(&x, input, out);
	struct strvec list AUTO_STRVEC = {0};
	TRY(expand_words(&x, input, &list));
	for (size_t i = 0; i < list.len; i++)
		buf_addf(out, "%s%s", i ? "," : "", list.ptr[i]);
	return NULL;
}

static bool check_line(const char *name, int number, const char *line, bool words)
{
	const char *bar = strstr(line, " | ");
	if (!bar) {
		fprintf(stderr, "%s:%d: no \" | \"\n", name, number);
		return false;
	}
	char *input AUTO_FREE = field(line, (size_t)(bar - line));
	char *want AUTO_FREE = field(bar + 3, strlen(bar + 3));
	struct buf got AUTO_BUF = {0};
	struct err *why AUTO(err_freep) = evaluate(input, words, &got);
	bool ok = *want == '!' ? why && strstr(err_message(why), want + 1)
			       : !why && strcmp(buf_cstr(&got), want) == 0;
	if (!ok)
		fprintf(stderr, "%s:%d: %s: expected %s, got %s\n", name, number, input, want,
			why ? err_message(why) : buf_cstr(&got));
	return ok;
}

static void run_table(const char *name, bool words)
{
	char *path AUTO_FREE = mem_printf("%s/%s", TEST_SOURCE_DIR, name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	char line[1024];
	int number = 0, failed = 0, run = 0;
	while (fgets(line, sizeof(line), f)) {
		number++;
		line[strcspn(line, "\n")] = 0;
		if (!*line || *line == '#')
			continue;
		run++;
		failed += !check_line(name, number, line, words);
	}
	fclose(f);
	assert_true(run > 20);
	assert_int_equal(failed, 0);
}

static void test_words_table(void **state)
{
	(void)state;
	run_table("words.txt", true);
}

static void test_expand_table(void **state)
{
	(void)state;
	run_table("expand.txt", false);
}

static void test_escape_backtick(void **state)
{
	(void)state;
	struct expander x = {.escape = '`', .get = get};
	struct buf out AUTO_BUF = {0};
	assert_null(expand_word(&x, "c:\\`$PWD\\$PWD \"`$x\"", &out));
	assert_string_equal(buf_cstr(&out), "c:\\$PWD\\/home $x");
}

static void test_heredoc_body(void **state)
{
	(void)state;
	struct expander x = {.escape = '\\', .quotes_are_text = true, .get = get};
	struct buf out AUTO_BUF = {0};
	assert_null(expand_word(&x, "'$PWD' \"$PWD\" \\$PWD \\\\ \\x\nend\\\nnext it's", &out));
	assert_string_equal(buf_cstr(&out), "'/home' \"/home\" $PWD \\ x\nend\nnext it's");
}

static void test_limits(void **state)
{
	(void)state;
	struct expander x = {.escape = '\\', .get = get};
	struct buf deep AUTO_BUF = {0}, out AUTO_BUF = {0};
	for (int i = 0; i < 1000; i++)
		buf_adds(&deep, "${NO:-");
	struct err *why AUTO(err_freep) = expand_word(&x, buf_cstr(&deep), &out);
	assert_non_null(why);
	assert_non_null(strstr(err_message(why), "nested deeper"));

	struct buf value AUTO_BUF = {0}, pattern AUTO_BUF = {0}, got AUTO_BUF = {0};
	for (int i = 0; i < 20000; i++) {
		buf_adds(&value, "ab");
		buf_adds(&pattern, "*a");
	}
	size_t work = EXPAND_WORK_MAX;
	struct glob_job job = {buf_str(&pattern), buf_str(&value), &work};
	struct err *slow AUTO(err_freep) = glob_replace(&job, STR("x"), true, &got);
	assert_non_null(slow);
	assert_non_null(strstr(err_message(slow), "too large"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand_table),
		cmocka_unit_test(test_words_table),
		cmocka_unit_test(test_escape_backtick),
		cmocka_unit_test(test_heredoc_body),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
