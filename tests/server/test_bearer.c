/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "base/clock.h"
#include "base/digest.h"
#include "server/bearer.h"

#define ID "0123456789ab"
#define NOW (1000 * CLOCK_SECOND)

static const struct bearer_key key = {
	.text = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"};

static struct token token_with(unsigned scopes, const char *glob)
{
	struct token t = {.scopes = scopes};
	if (glob)
		strvec_push(&t.repositories, glob);
	return t;
}

/* RFC 4231, 4.2 to 4.4 and 4.7 */
static void test_hmac(void **state)
{
	(void)state;
	static const struct {
		const char *key, *message, *mac;
	} table[] = {
		{"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b",
			"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"Jefe", "what do ya want for nothing?",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	};
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		hmac_sha256(str_c(table[i].key), str_c(table[i].message), &d);
		assert_string_equal(digest_hex(&d, hex), table[i].mac);
	}
	char large[131];
	memset(large, 0xaa, sizeof(large));
	hmac_sha256(str_n(large, sizeof(large)),
		STR("Test Using Larger Than Block-Size Key - Hash Key First"), &d);
	assert_string_equal(
		digest_hex(&d, hex), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_scopes(void **state)
{
	(void)state;
	AUTO(token_fini) struct token pull = token_with(SCOPE_PULL, NULL);
	AUTO(token_fini) struct token push = token_with(SCOPE_PUSH, "lab/*");
	AUTO(token_fini) struct token admin = token_with(SCOPE_ADMIN, NULL);
	AUTO(token_fini) struct token runner = token_with(SCOPE_RUNNER, NULL);
	const struct {
		const struct token *t;
		const char *scope, *repository;
		unsigned rights;
	} table[] = {
		{&pull, "repository:a/b:pull,push", "a/b", RIGHT_PULL},
		{&pull, "repository:a/b:*", "a/b", RIGHT_PULL},
		{&pull, "repository:a/b:pull", "a", 0},
		{&push, "repository:lab/x:pull,push,delete", "lab/x", RIGHT_PULL | RIGHT_PUSH},
		{&push, "repository:lab/x:push", "lab/x", RIGHT_PUSH},
		{&push, "repository:labs/x:push", "labs/x", 0},
		{&push, "repository:a:pull repository:lab/y:pull", "lab/y", RIGHT_PULL},
		{&admin, "repository:a:delete", "a", RIGHT_DELETE},
		{&admin, "repository:a:*", "a", RIGHT_PULL | RIGHT_PUSH | RIGHT_DELETE},
		{&admin, "repository:a:pull  repository:a:push ", "a", RIGHT_PULL | RIGHT_PUSH},
		{&runner, "repository:a:pull", "a", 0},
		{NULL, "repository:a:pull", "a", 0},
		{&admin, "repository:A:pull", "A", 0},
		{&admin, "repository::pull", "", 0},
		{&admin, "repository:a", "a", 0},
		{&admin, "repo:a:pull", "a", 0},
		{&admin, "repository:a:PULL", "a", 0},
		{&admin, "", "", 0},
		{&pull, "registry:catalog:*", "", RIGHT_PULL},
		{&runner, "registry:catalog:*", "", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO(grants_fini) struct grants g;
		grants_init(&g);
		grants_add_scope(&g, table[i].t, str_c(table[i].scope));
		if (grants_of(&g, table[i].repository) != table[i].rights)
			fail_msg("%s", table[i].scope);
	}
}

static bool reads(struct str text, int64_t now, const struct bearer_key *k)
{
	AUTO(grants_fini) struct grants g;
	char id[TOKEN_ID_LEN + 1];
	grants_init(&g);
	return bearer_read(k, text, now, id, &g);
}

static void test_texts(void **state)
{
	(void)state;
	AUTO(token_fini) struct token admin = token_with(SCOPE_ADMIN, NULL);
	AUTO(grants_fini) struct grants g, back;
	AUTO_BUF struct buf text = {0};
	char id[TOKEN_ID_LEN + 1];
	grants_init(&g);
	grants_init(&back);
	grants_add_scope(&g, &admin, STR("repository:a/b:pull,push registry:catalog:*"));
	bearer_write(&key, ID, NOW + 60 * CLOCK_SECOND, &g, &text);
	assert_true(bearer_read(&key, buf_str(&text), NOW, id, &back));
	assert_string_equal(id, ID);
	assert_int_equal(grants_of(&back, "a/b"), RIGHT_PULL | RIGHT_PUSH);
	assert_int_equal(grants_of(&back, ""), RIGHT_PULL);
	assert_true(reads(buf_str(&text), NOW + 59 * CLOCK_SECOND, &key));
	assert_false(reads(buf_str(&text), NOW + 60 * CLOCK_SECOND, &key));
	struct bearer_key other = key;
	other.text[5] ^= 1;
	assert_false(reads(buf_str(&text), NOW, &other));
	for (size_t i = 0; i < text.len; i++) {
		AUTO_FREE char *changed = mem_strdup(buf_cstr(&text));
		changed[i] = changed[i] == 'B' ? 'C' : 'B';
		assert_false(reads(str_c(changed), NOW, &key));
		/* the decoder asks for no padding */
		if (i + 1 < text.len)
			assert_false(reads(str_n(text.ptr, i), NOW, &key));
	}
}

/* However much is asked for, the text fits into a header. */
static void test_size(void **state)
{
	(void)state;
	AUTO(token_fini) struct token admin = token_with(SCOPE_ADMIN, NULL);
	AUTO(grants_fini) struct grants g;
	AUTO_BUF struct buf scope = {0}, text = {0};
	grants_init(&g);
	for (unsigned i = 0; i < 100; i++) {
		buf_addf(&scope, " repository:r%u/", i);
		for (unsigned k = 0; k < 240; k++)
			buf_adds(&scope, "x");
		buf_adds(&scope, ":pull,push");
	}
	grants_add_scope(&g, &admin, buf_str(&scope));
	assert_int_equal(g.list.len, GRANTS_MAX);
	bearer_write(&key, ID, NOW + 60 * CLOCK_SECOND, &g, &text);
	assert_true(text.len > 2000 && text.len < 4000);
	assert_true(reads(buf_str(&text), NOW, &key));
}

static void test_key(void **state)
{
	(void)state;
	struct bearer_key one, two;
	good(bearer_key_get(store, &one));
	good(bearer_key_get(store, &two));
	assert_string_equal(one.text, two.text);
	assert_int_equal(strlen(one.text), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_size),
		cmocka_unit_test_setup_teardown(test_key, open_home, close_home),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
