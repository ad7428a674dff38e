/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/attached.h"
#include "oci/reference.h"

#include <string.h>

#include "table.h"

static void check_reference(char *const field[])
{
	struct reference r, again, copy;
	assert_ok(reference_parse(field[0], true, &r));
	AUTO_FREE char *full = reference_text(&r);
	AUTO_FREE char *familiar = reference_familiar(&r);
	assert_string_equal(full, field[1]);
	assert_string_equal(familiar, field[2]);
	reference_copy(&r, &copy);
	AUTO_FREE char *copied = reference_text(&copy);
	assert_string_equal(copied, full);
	/* Both forms must be read as the same again. */
	assert_ok(reference_parse(familiar, false, &again));
	AUTO_FREE char *full_again = reference_text(&again);
	assert_string_equal(full_again, full);
	reference_fini(&r);
	reference_fini(&copy);
	reference_fini(&again);
}

static void references(void **state)
{
	(void)state;
	each_line("cases/references.txt", check_reference);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void tags_of_digests(void **state)
{
	(void)state;
	struct digest d;
	const char *const others[] = {"v1", "sha256-" HEX, "sha256-" HEX ".", "sha256-" HEX "0.sig",
		"sha256-0123.sig", "sha512-" HEX ".sig", "sha256:" HEX ".sig", ".sig", ""};
	assert_true(attached_tag_parse("sha256-" HEX ".sig", &d));
	AUTO_FREE char *tag = attached_tag_of(&d);
	assert_string_equal(tag, "sha256-" HEX);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(attached_tag_parse(others[i], &d));
	/* Of a sha512 as much as a tag may have. */
	assert_ok(digest_parse(STR("sha512:" HEX HEX), &d));
	AUTO_FREE char *cut = attached_tag_of(&d);
	assert_string_equal(cut, "sha512-" HEX);
}

static void check_rejected(char *const field[])
{
	struct reference r;
	assert_fails_with(reference_parse(field[0], true, &r), field[1], field[0]);
}

static void references_rejected(void **state)
{
	(void)state;
	each_line("reject/references.txt", check_rejected);
}

static void how_names_are_joined(void **state)
{
	(void)state;
	struct reference r;
	struct err *e = reference_parse("a___b", true, &r);
	assert_non_null(e);
	assert_string_equal(err_hint_text(e),
		"its parts hold a-z and 0-9, joined by one '.', one or two '_', or any number of '-'");
	err_free(e);
	assert_ok(reference_parse("a.b/c_d/e__f/g---h", true, &r));
	reference_fini(&r);
}

static void no_default_tag(void **state)
{
	(void)state;
	struct reference r;
	assert_ok(reference_parse("debian", false, &r));
	assert_null(r.tag);
	assert_string_equal(r.registry, "docker.io");
	assert_string_equal(r.repository, "library/debian");
	assert_false(digest_is_set(&r.digest));
	reference_fini(&r);
}

static void lengths(void **state)
{
	(void)state;
	struct reference r;
	char text[1200];
	memset(text, 'a', sizeof(text));
	memcpy(text, "host.tld/", 9);
	text[9 + 255] = '\0';
	assert_ok(reference_parse(text, true, &r));
	reference_fini(&r);
	text[9 + 255] = 'a';
	text[9 + 256] = '\0';
	assert_fails_with(reference_parse(text, true, &r), "longer than 255", "256 characters");
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_fails_with(reference_parse(text, true, &r), "longer than 1024", "1199 characters");
	memcpy(text, "a:", 2);
	text[2 + 128] = '\0';
	assert_ok(reference_parse(text, true, &r));
	reference_fini(&r);
	text[2 + 128] = 'a';
	text[2 + 129] = '\0';
	assert_fails_with(reference_parse(text, true, &r), "is not a tag", "tag of 129");
}

static void names(void **state)
{
	(void)state;
	assert_true(repository_valid(STR("a")));
	assert_true(repository_valid(STR("a/b-c/d__e.f")));
	assert_false(repository_valid(STR("")));
	assert_false(repository_valid(STR("a/")));
	assert_false(repository_valid(STR("A")));
	assert_false(repository_valid(str_n("a\0b", 3)));
	assert_true(tag_valid(STR("v1.0-x_Y")));
	assert_false(tag_valid(STR("sha256:abc")));
	assert_false(tag_valid(str_n("a\0b", 3)));
}

static void check_platform(char *const field[])
{
	struct platform p;
	char text[128];
	assert_ok(platform_parse(field[0], &p));
	assert_string_equal(platform_text(&p, text), field[1]);
}

static void check_platform_rejected(char *const field[])
{
	struct platform p;
	assert_fails_with(platform_parse(field[0], &p), field[1], field[0]);
}

static void platforms(void **state)
{
	(void)state;
	struct platform host, p;
	each_line("cases/platforms.txt", check_platform);
	each_line("reject/platforms.txt", check_platform_rejected);
	platform_host(&host);
	assert_string_equal(host.os, "linux");
	assert_true(*host.arch);
	assert_ok(platform_parse("linux", &p));
	assert_string_equal(p.arch, host.arch);
	assert_ok(platform_parse("arm64", &p));
	assert_string_equal(p.os, "linux");
	assert_string_equal(p.arch, "arm64");
}

static int match(const char *want, const char *have)
{
	struct platform w, h;
	assert_ok(platform_parse(want, &w));
	assert_ok(platform_parse(have, &h));
	return platform_match(&w, &h);
}

static void matching(void **state)
{
	(void)state;
	assert_true(match("linux/amd64", "linux/amd64") > 0);
	assert_int_equal(match("linux/amd64", "linux/arm64"), 0);
	assert_int_equal(match("linux/amd64", "windows/amd64"), 0);
	assert_int_equal(match("linux/amd64", "unknown/unknown"), 0);
	assert_int_equal(match("linux/amd64", "linux/amd64/v3"), 0);
	assert_true(match("linux/amd64/v3", "linux/amd64") > 0);
	assert_true(match("linux/amd64/v3", "linux/amd64/v2") > match("linux/amd64/v3", "linux/amd64"));
	assert_true(match("linux/arm/v7", "linux/arm/v7") > match("linux/arm/v7", "linux/arm/v6"));
	assert_true(match("linux/arm/v7", "linux/arm/v6") > match("linux/arm/v7", "linux/arm/v5"));
	assert_int_equal(match("linux/arm/v6", "linux/arm/v7"), 0);
	assert_true(match("linux/arm64", "linux/arm64/v8") == match("linux/arm64", "linux/arm64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references),
		cmocka_unit_test(references_rejected),
		cmocka_unit_test(how_names_are_joined),
		cmocka_unit_test(no_default_tag),
		cmocka_unit_test(lengths),
		cmocka_unit_test(tags_of_digests),
		cmocka_unit_test(names),
		cmocka_unit_test(platforms),
		cmocka_unit_test(matching),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
