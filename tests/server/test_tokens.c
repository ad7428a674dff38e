/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/auth_internal.h"
#include "server/tokens.h"

static void make(const char *name, unsigned scopes, int64_t expires, char text[TOKEN_TEXT_MAX])
{
	struct token spec = {.name = (char *)(uintptr_t)name, .scopes = scopes, .expires = expires};
	good(token_create(store, &spec, text, NULL));
}

static bool valid(const char *text)
{
	AUTO(token_fini) struct token t = {0};
	bool found = false;
	good(token_check(store, str_c(text), &t, &found));
	return found;
}

static void test_life(void **state)
{
	(void)state;
	char one[TOKEN_TEXT_MAX], two[TOKEN_TEXT_MAX];
	bool any = true, found = false;
	good(tokens_exist(store, &any));
	assert_false(any);
	make("web", SCOPE_RELEASE | SCOPE_PULL, 0, one);
	make("ci-2", SCOPE_ADMIN, 0, two);
	good(tokens_exist(store, &any));
	assert_true(any);
	assert_true(cstr_starts(one, "cooper_") && strlen(one) == 7 + 12 + 1 + 64);
	assert_string_not_equal(one, two);

	AUTO(token_fini) struct token t = {0};
	good(token_check(store, str_c(one), &t, &found));
	assert_true(found);
	assert_string_equal(t.name, "web");
	assert_int_equal(t.scopes, SCOPE_RELEASE | SCOPE_PULL);
	assert_int_equal(t.used, 0);

	AUTO(tokens_fini) struct vec list = VEC_OF(struct token);
	good(tokens_list(store, &list));
	assert_int_equal(list.len, 2);
	assert_string_equal(((struct token *)vec_at(&list, 0))->name, "ci-2");

	good(token_delete(store, "web"));
	assert_false(valid(one));
	assert_true(valid(two));
	bad(token_delete(store, "web"), ERR_NOT_FOUND, "there are: ci-2");
}

static void test_wrong_texts(void **state)
{
	(void)state;
	char text[TOKEN_TEXT_MAX], other[TOKEN_TEXT_MAX];
	make("a", SCOPE_PULL, 0, text);
	make("b", SCOPE_PULL, 0, other);
	assert_true(valid(text));
	for (size_t i = 0; i < strlen(text); i++) {
		char changed[TOKEN_TEXT_MAX];
		strcpy(changed, text);
		changed[i] = changed[i] == '0' ? '1' : '0';
		assert_false(valid(changed));
	}
	/* the secret of one with the id of the other */
	memcpy(text + 7, other + 7, 12);
	assert_false(valid(text));
	assert_false(valid(""));
	assert_false(valid("cooper_"));
	other[strlen(other) - 1] = '\0';
	assert_false(valid(other));
}

static struct err *has_no_secret(void *ctx, const struct store_record_row *row)
{
	AUTO_FREE char *value = mem_strndup(row->value.ptr, row->value.len);
	assert_null(strstr(value, (const char *)ctx + 20));
	assert_non_null(strstr(value, "sha256:"));
	return NULL;
}

static void test_only_the_hash_is_kept(void **state)
{
	(void)state;
	char text[TOKEN_TEXT_MAX];
	make("a", SCOPE_PULL, 0, text);
	good(store_record_each(store, "token", "", NULL, 0, has_no_secret, text));
}

static void test_specs(void **state)
{
	(void)state;
	char text[TOKEN_TEXT_MAX];
	static const char *const names[] = {"", "-a", ".a", "a b", "a/b", "a\n", "\xc3\xa4", "../x",
		"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct token spec = {.name = (char *)(uintptr_t)names[i], .scopes = SCOPE_PULL};
		bad(token_create(store, &spec, text, NULL), ERR_INVALID, "cannot be the name of a token");
	}
	bad(token_create(store, &(struct token){.name = (char[]){"a"}}, text, NULL), ERR_INVALID,
		"has no scope");
	make("a", SCOPE_PULL, 0, text);
	struct token again = {.name = (char[]){"a"}, .scopes = SCOPE_PUSH};
	bad(token_create(store, &again, text, NULL), ERR_EXISTS, "there is a token a already");
	unsigned scopes = 0;
	assert_true(token_scope_parse("push", &scopes) && token_scope_parse("admin", &scopes));
	assert_false(token_scope_parse("Push", &scopes) || token_scope_parse("", &scopes));
	AUTO_FREE char *shown = token_scopes_text(scopes);
	assert_string_equal(shown, "admin,push");
}

static void test_times(void **state)
{
	(void)state;
	char past[TOKEN_TEXT_MAX], future[TOKEN_TEXT_MAX];
	int64_t now = clock_now();
	make("past", SCOPE_PULL, now - 1, past);
	make("future", SCOPE_PULL, now + 3600 * CLOCK_SECOND, future);
	assert_false(valid(past));
	assert_true(valid(future));

	AUTO(token_fini) struct token t = {0};
	bool found = false;
	good(token_check(store, str_c(future), &t, &found));
	const int64_t times[][2] = {{now, now}, {now + 30 * CLOCK_SECOND, now},
		{now + 61 * CLOCK_SECOND, now + 61 * CLOCK_SECOND}};
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		AUTO(tokens_fini) struct vec list = VEC_OF(struct token);
		good(token_used(store, t.id, times[i][0]));
		good(tokens_list(store, &list));
		assert_int_equal(((struct token *)vec_at(&list, 0))->used, times[i][1]);
	}
	good(token_delete(store, "future"));
	good(token_used(store, t.id, now + 600 * CLOCK_SECOND));
	assert_false(valid(future));
}

static void test_repositories(void **state)
{
	(void)state;
	char text[TOKEN_TEXT_MAX];
	AUTO(token_fini) struct token spec = {.name = mem_strdup("ci"), .scopes = SCOPE_PUSH}, t = {0};
	bool found = false;
	strvec_push(&spec.repositories, "lab/*");
	strvec_push(&spec.repositories, "base");
	good(token_create(store, &spec, text, NULL));
	good(token_check(store, str_c(text), &t, &found));
	assert_true(found && t.scopes == SCOPE_PUSH && t.repositories.len == 2);
	assert_int_equal(token_rights(&t, "lab/a/b"), RIGHT_PULL | RIGHT_PUSH);
	assert_int_equal(token_rights(&t, "base"), RIGHT_PULL | RIGHT_PUSH);
	assert_int_equal(token_rights(&t, "labs/a"), 0);
	assert_int_equal(token_rights(&t, "base/a"), 0);
	AUTO_FREE char *shown = token_repositories_text(&t);
	assert_string_equal(shown, "lab/*, base");
	good(token_used(store, t.id, clock_now()));
	assert_true(valid(text));

	mem_freep(&spec.name);
	spec.name = mem_strdup("other");
	spec.scopes |= SCOPE_ADMIN;
	bad(token_create(store, &spec, text, NULL), ERR_INVALID, "push and pull alone");
	spec.scopes = SCOPE_PULL;
	static const char *const globs[] = {"", "Lab/*", "host:5000/lab", "a b", "[a]"};
	for (size_t i = 0; i < ARRAY_LEN(globs); i++) {
		strvec_clear(&spec.repositories);
		strvec_push(&spec.repositories, globs[i]);
		bad(token_create(store, &spec, text, NULL), ERR_INVALID, "no pattern of repositories");
	}
}

/* ---- the Authorization header ---- */

static void test_headers(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		bool ok;
		const char *token;
	} table[] = {
		{"Bearer abc", true, "abc"},
		{"bearer   abc ", true, "abc"},
		{"Bearer anonymous", true, ""},
		{"Basic eDphYmM=", true, "abc"}, /* x:abc */
		{"basic Og==", true, ""},        /* : */
		{"Basic eDo=", false, ""},       /* x: */
		{"Basic YTpiOmM=", true, "b:c"}, /* a:b:c */
		{"Basic eA==", false, ""},       /* x */
		{"Basic !", false, ""},
		{"Basic", false, ""},
		{"Bearer", false, ""},
		{"Bearerabc", false, ""},
		{"Digest abc", false, ""},
		{"", false, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_BUF struct buf token = {0};
		if (auth_read_header(table[i].header, &token) != table[i].ok)
			fail_msg("%s", table[i].header);
		assert_string_equal(buf_cstr(&token), table[i].token);
	}
	AUTO_FREE char *huge = mem_alloc(10000);
	memset(huge, 'a', 9999);
	memcpy(huge, "Bearer ", 7);
	huge[9999] = '\0';
	AUTO_BUF struct buf token = {0};
	assert_false(auth_read_header(huge, &token));
}

static void test_loopback(void **state)
{
	(void)state;
	static const char *const inside[] = {"127.0.0.1:5000", "127.9.9.9:0", "localhost:5000", "[::1]:5000"};
	static const char *const outside[] = {"0.0.0.0:5000", ":5000", "[::]:5000", "10.0.0.1:5000",
		"example.org:5000", "[::ffff:1.2.3.4]:5000"};
	for (size_t i = 0; i < ARRAY_LEN(inside); i++)
		assert_true(auth_listen_is_loopback(inside[i]));
	for (size_t i = 0; i < ARRAY_LEN(outside); i++)
		assert_false(auth_listen_is_loopback(outside[i]));
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, open_home, close_home)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_life),
		STORE_TEST(test_wrong_texts),
		STORE_TEST(test_only_the_hash_is_kept),
		STORE_TEST(test_specs),
		STORE_TEST(test_times),
		STORE_TEST(test_repositories),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_loopback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
