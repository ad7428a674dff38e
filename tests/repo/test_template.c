/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/template.h"

#include <string.h>

static const struct template_value one[] = {{"ARCH", "amd64"}, {"NAME", "inner"}, {0}};
static const struct template_value two[] = {{"ARCH", "arm64"}, {0}};
static const struct template_value *const both[] = {one, two, NULL};
static const struct template_value *const none[] = {NULL};
static const struct template_rows sections[] = {{"ARCHS", both}, {"NONE", none}, {0}};
static const struct template_value values[] = {{"NAME", "web"}, {"A_1", "@NAME@"}, {"EMPTY", ""}, {0}};
static const struct template_scope scope = {values, sections};

static void test_places(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", ""},
		{"plain\n", "plain\n"},
		{"no end", "no end\n"},
		{"@NAME@\n", "web\n"},
		{"a @NAME@-@NAME@@NAME@ b\n", "a web-webweb b\n"},
		{"@@NAME@@\n", "@web@\n"},
		/* what a value holds stands as it is */
		{"@A_1@\n", "@NAME@\n"},
		{"@EMPTY@\nnext\n", "next\n"},
		{"[@EMPTY@]\n\n@EMPTY@ \n", "[]\n\n \n"},
		/* no places */
		{"@name@ @Name@ me@x.example @ @@ @NAME @NA-ME@ @1@ @_A@\n",
			"@name@ @Name@ me@x.example @ @@ @NAME @NA-ME@ @1@ @_A@\n"},
		{"#@each ARCHS\n@NAME@ @ARCH@\n\n#@end\nafter @NAME@\n",
			"inner amd64\n\nweb arm64\n\nafter web\n"},
		{"#@each NONE\n@UNKNOWN@\n#@end\n", ""},
		{"#@each ARCHS\n#@end\n", ""},
		{"#@end\n", "#@end\n"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf out = {0};
		assert_null(template_render(str_c(cases[i][0]), "t", &scope, &out));
		assert_string_equal(buf_cstr(&out), cases[i][1]);
	}
}

static void test_mistakes(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"a\n@OTHER@\n", "t:2: nothing is known for @OTHER@"},
		{"#@each ARCHS\nx\n@OTHER@\n#@end\n", "t:3: nothing is known for @OTHER@"},
		{"#@each NONE\nx\n#@end\n@OTHER@\n", "t:4: nothing is known for @OTHER@"},
		{"#@each OTHER\n#@end\n", "t:1: there are no rows OTHER"},
		{"\n#@each ARCHS\nx\n", "t:2: \"#@each \" without \"#@end\""},
		{"#@each ARCHS\n#@each ARCHS\n#@end\n#@end\n", "t:1: \"#@each \" without \"#@end\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf out = {0};
		AUTO(err_freep) struct err *e = template_render(str_c(cases[i][0]), "t", &scope, &out);
		assert_int_equal(err_kind(e), ERR_BUG);
		assert_string_equal(err_message(e), cases[i][1]);
		assert_int_equal(out.len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_mistakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
