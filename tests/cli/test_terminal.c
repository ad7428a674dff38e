/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *in, *out;
} cases[] = {
	{"plain text\n\twith a tab\r\n", "plain text\n\twith a tab\r\n"},
	{"h\xc3\xa9llo \xe2\x82\xac \xc2\xa9", "h\xc3\xa9llo \xe2\x82\xac \xc2\xa9"},
	{"\x1b[1;31mred\x1b[0m\x1b[m", "\x1b[1;31mred\x1b[0m\x1b[m"},
	/* what moves, clears, asks or switches */
	{"a\x1b[2J\x1b[H\x1b[6n\x1b[?1049hb", "ab"},
	{"a\x1b(0b\x1b"
	 "cc\x1b"
	 "7d",
		"abcd"},
	{"a\x1b]0;title\ab\x1b]8;;http://x\x1b\\c", "abc"},
	{"a\x1bPq#0\x1b\\b", "ab"},
	{"a\x1b]never ends\nb", "a\nb"},
	{"a\x1b[12\nb", "a\nb"},
	{"a\a\b\x7f\x01"
	 "b",
		"ab"},
	/* the same as single characters of Unicode */
	{"a\xc2\x9b"
	 "2Jb\xc2\x9d",
		"a2Jb"},
	{"a\x1b[>4;2mb\x1b[38:5:1mc", "abc"},
	{"a\x1b[1111111111111111111111111111111111111111mb", "ab"},
	{"broken \xff\xc2 \xe2\x82", "broken \xff\xc2 \xe2\x82"},
};

static void whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct terminal_filter f = {0};
		AUTO_BUF struct buf out = {0};
		terminal_filter(&f, str_c(cases[i].in), &out);
		assert_string_equal(buf_cstr(&out), cases[i].out);
	}
}

static void byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct terminal_filter f = {0};
		AUTO_BUF struct buf out = {0};
		for (const char *p = cases[i].in; *p; p++)
			terminal_filter(&f, str_n(p, 1), &out);
		assert_string_equal(buf_cstr(&out), cases[i].out);
	}
}

static void texts(void **state)
{
	(void)state;
	AUTO_FREE char *line = terminal_line("a\x1b[2J\nb\xc2\x9b\xc3\xa9\xc2");
	AUTO_FREE char *text = terminal_text("a\x1b\n\tb");
	assert_string_equal(line, "a?[2J?b??\xc3\xa9\xc2");
	assert_string_equal(text, "a?\n\tb");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
