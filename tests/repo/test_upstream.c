/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repo/upstream_tag.h"

#include <string.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NOT_HEX "gggggggggggggggggggggggggggggggggggggggg"
#define C "cccccccccccccccccccccccccccccccccccccccc"

static void test_choose(void **state)
{
	(void)state;
	static const struct {
		const char *listing, *asked, *version, *tag, *commit;
	} cases[] = {
		{A "\trefs/tags/v1.0\n", NULL, "1.0", "v{version}", A},
		{A "\trefs/tags/1.0\n", NULL, "1.0", "{version}", A},
		/* by number, not by letter; candidates and other names are no releases */
		{A "\trefs/tags/v1.9.0\n" B "\trefs/tags/v1.10.0\n" C "\trefs/tags/v2.0.0-rc1\n" C
		   "\trefs/tags/nightly\n" C "\trefs/tags/v3.\n" C "\trefs/tags/v.4\n" C "\trefs/tags/v\n",
			NULL, "1.10.0", "v{version}", B},
		/* an annotated tag stands for its commit, wherever that line is */
		{A "\trefs/tags/v1\n" B "\trefs/tags/v1^{}\n", NULL, "1", "v{version}", B},
		{A "\trefs/tags/v1\n" B "\trefs/tags/v2\n" C "\trefs/tags/v1^{}\n", "1", "1", "v{version}",
			C},
		{A "\trefs/tags/v2.0.0-rc1\n", "2.0.0-rc1", "2.0.0-rc1", "v{version}", A},
		{A "\trefs/tags/v1.0\n", "v1.0", "v1.0", "{version}", A},
		{A "\trefs/tags/release-7\n", "release-7", "release-7", "{version}", A},
		/* not ours to understand */
		{"\n\t\nrefs/tags/v9\n" A " refs/tags/v9\n" A "\trefs/heads/v9\n123\trefs/tags/v9\n" NOT_HEX
		 "\trefs/tags/v9\n" B "\trefs/tags/v1",
			NULL, "1", "v{version}", B},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(upstream_tag_fini) struct upstream_tag t = {0};
		assert_null(upstream_choose_tag(str_c(cases[i].listing), cases[i].asked, &t));
		assert_string_equal(t.version, cases[i].version);
		assert_string_equal(t.tag, cases[i].tag);
		assert_string_equal(t.commit, cases[i].commit);
		assert_null(t.url);
	}
}

static void test_none(void **state)
{
	(void)state;
	static const struct {
		const char *listing, *asked, *message, *hint;
	} cases[] = {
		{"", NULL, "no tag looks like a release (1.2.3 or v1.2.3)", "name the tag with --version"},
		{A "\trefs/tags/nightly\n", NULL, "no tag looks like a release (1.2.3 or v1.2.3)",
			"name the tag with --version"},
		{"", "1", "no tag 1 or v1", NULL},
		{A "\trefs/tags/v1.2\n" A "\trefs/tags/v1.2^{}\n" A "\trefs/tags/1.10\n" A
		   "\trefs/tags/v1.3\n" A "\trefs/tags/v1.4\n" A "\trefs/tags/v1.5\n" A "\trefs/tags/v1.6\n",
			"1.1", "no tag 1.1 or v1.1", "the newest releases are: 1.10, 1.6, 1.5, 1.4, 1.3"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(upstream_tag_fini) struct upstream_tag t = {0};
		AUTO(err_freep)
		struct err *e = upstream_choose_tag(str_c(cases[i].listing), cases[i].asked, &t);
		assert_int_equal(err_kind(e), ERR_NOT_FOUND);
		assert_string_equal(err_message(e), cases[i].message);
		if (cases[i].hint)
			assert_string_equal(err_hint_text(e), cases[i].hint);
		else
			assert_null(err_hint_text(e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
