/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"

#include <string.h>

static const struct commit commit = {.id = "74029e1bcdef0123456789abcdef0123456789ab", .short_id = "74029e1"};

static void test_make(void **state)
{
	(void)state;
	AUTO_FREE char *a = release_tag("1.2.3", &commit, KIND_DOCKERFILE);
	assert_string_equal(a, "v1.2.3-74029e1");
	AUTO_FREE char *b = release_tag("v0.60.3", &commit, KIND_NIX);
	assert_string_equal(b, "v0.60.3-74029e1-nix");
	AUTO_FREE char *c = release_tag("4.1.1-r1", &commit, KIND_CONTAINER_PY);
	assert_string_equal(c, "v4.1.1-r1-74029e1");
	struct digest d;
	digest_of("x", 1, &d);
	for (int k = 0; k < BUILD_KINDS; k++) {
		AUTO_FREE char *dirty = release_tag_dirty("1.2.3", &commit, k, &d);
		assert_true(cstr_starts(dirty, "v1.2.3-74029e1-dirty-2d711642"));
		bool ok = true;
		struct tag_parts parts = {0};
		tag_parse(dirty, &ok, &parts);
		assert_false(ok);
		AUTO_FREE char *unpushed = release_tag_unpushed("v1.2.3", &commit, k);
		assert_string_equal(
			unpushed, k == KIND_NIX ? "v1.2.3-74029e1-unpushed-nix" : "v1.2.3-74029e1-unpushed");
		tag_parse(unpushed, &ok, &parts);
		assert_false(ok);
	}
}

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *tag, *version, *sha;
		bool nix;
	} good[] = {
		{"v2026.2.0-2d4098e-nix", "2026.2.0", "2d4098e", true},
		{"v4.1.1-r1-ab34cbd", "4.1.1-r1", "ab34cbd", false},
		{"v1.0.0-dev-deadbee-nix", "1.0.0-dev", "deadbee", true},
		{"v20260304-abc1234", "20260304", "abc1234", false},
		{"v1-0000000", "1", "0000000", false},
		{"v1-nix-1234567", "1-nix", "1234567", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		AUTO(tag_parts_fini) struct tag_parts p = {0};
		bool ok = false;
		tag_parse(good[i].tag, &ok, &p);
		assert_true(ok);
		assert_string_equal(p.version, good[i].version);
		assert_string_equal(p.sha7, good[i].sha);
		assert_int_equal(p.nix, good[i].nix);
	}
	static const char *const bad[] = {
		"v1.2.3",
		"latest",
		"v1.2.3-abcdef0123",
		"",
		"v",
		"v-1234567",
		"1.2-1234567",
		"v1.2-123456",
		"v1.2-ABCDEF0",
		"v1.2-1234567-nix-nix",
		"v1.2-1234567-x",
		"v1.2_1234567",
		"-nix",
		"v1.2-123456g",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct tag_parts p = {0};
		bool ok = true;
		tag_parse(bad[i], &ok, &p);
		if (ok)
			fail_msg("%s was taken", bad[i]);
	}
}

/* Each is below the next. */
static void test_order(void **state)
{
	(void)state;
	static const char *const rising[] = {
		"0.4.43",
		"0.4.100",
		"0.4.192",
		"1",
		"1.0",
		"1.0.0",
		"2.2.9",
		"2.2.17",
		"3.0.0-dev",
		"3.0.0-alpha",
		"3.0.0-alpha2",
		"3.0.0-beta",
		"3.0.0-rc1",
		"3.0.0-rc2",
		"3.0.0-rc10",
		"3.0.0",
		"3.0.0-r1",
		"3.0.0-r10",
		"3.0.0.1",
		"3.0.1-rc1",
		"3.0.1",
		"v4.1.1",
		"4.1.1-r1",
		"v4.1.1-r2",
		"2025.2.0",
		"2025.10.1",
		"20260304",
		"100000000000000000000000",
	};
	for (size_t i = 0; i < ARRAY_LEN(rising); i++) {
		for (size_t k = 0; k < ARRAY_LEN(rising); k++) {
			int order = version_cmp(rising[i], rising[k]), want = (i > k) - (i < k);
			if ((order > 0) - (order < 0) != want)
				fail_msg("%s against %s: %d", rising[i], rising[k], order);
		}
	}
	assert_int_equal(version_cmp("v1.2", "1.2"), 0);
	assert_int_equal(version_cmp("", ""), 0);
	assert_true(version_cmp("1.02", "1.2") != 0);
	assert_true((version_cmp("1.02", "1.2") < 0) == (version_cmp("1.2", "1.02") > 0));
}

static void test_names(void **state)
{
	(void)state;
	static const char *const good[] = {
		"a", "miniflux", "kiwix-serve", "a.b", "a_b", "a__b", "a---b", "9p", "a-b.c_d"};
	static const char *const bad[] = {"", ".", "..", "A", "a/b", "-a", "a-", "a..b", "a___b", "a._b",
		"a b", ".a", "a\xc3\xa9", "a@b"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!container_name_valid(str_c(good[i])))
			fail_msg("%s was refused", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (container_name_valid(str_c(bad[i])))
			fail_msg("%s was taken", bad[i]);
}

static void test_remote_url(void **state)
{
	(void)state;
	static const struct {
		const char *url, *want;
	} rows[] = {
		{"https://forge.example/me/lab.git", "https://forge.example/me/lab"},
		{"https://me:token@forge.example:8443/me/lab", "https://forge.example:8443/me/lab"},
		{"http://token@forge.example/me/lab.git/", "http://forge.example/me/lab"},
		{"https://forge.example/me/lab?token=1#x", "https://forge.example/me/lab"},
		{"git@forge.example:me/lab.git", "https://forge.example/me/lab"},
		{"forge.example:/me/lab.git", "https://forge.example/me/lab"},
		{"ssh://git@forge.example:2222/me/lab.git", "https://forge.example/me/lab"},
		{"git://forge.example/lab", "https://forge.example/lab"},
		{"https://a@b@forge.example/x", "https://forge.example/x"},
		{"/srv/git/lab.git", NULL},
		{"../origin.git", NULL},
		{"./a:b", NULL},
		{"file:///srv/git/lab.git", NULL},
		{"https://", NULL},
		{"https://host", NULL},
		{"https:///path", NULL},
		{"", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *got = remote_url_public(rows[i].url);
		if (!cstr_eq(got, rows[i].want))
			fail_msg("%s: %s", rows[i].url, got ? got : "NULL");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_remote_url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
