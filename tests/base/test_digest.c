/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/mem.h"

#include <string.h>

#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                            \
	"sha512:"                                                                                          \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd" \
	"454d4423643ce80e2a9ac94fa54ca49f"

static void digest_is(const struct digest *d, const char *want)
{
	char text[DIGEST_TEXT_MAX];
	assert_string_equal(digest_text(d, text), want);
}

static void test_known(void **state)
{
	(void)state;
	struct digest d;
	digest_of("", 0, &d);
	digest_is(&d, EMPTY);
	digest_of(NULL, 0, &d);
	digest_is(&d, EMPTY);
	digest_of("abc", 3, &d);
	digest_is(&d, ABC);
	char hex[DIGEST_TEXT_MAX];
	assert_string_equal(digest_hex(&d, hex), &ABC[7]);
	for (size_t i = digest_len(d.algo); i < sizeof(d.bytes); i++)
		assert_int_equal(d.bytes[i], 0);
}

static void test_hasher(void **state)
{
	(void)state;
	struct digest d;
	struct hasher *h AUTO(hasher_freep) = hasher_new(DIGEST_SHA256);
	hasher_add(h, "a", 1);
	hasher_peek(h, &d);
	hasher_add(h, NULL, 0);
	hasher_add(h, "bc", 2);
	hasher_finish(h, &d);
	digest_is(&d, ABC);
	hasher_reset(h);
	hasher_peek(h, &d);
	digest_is(&d, EMPTY);
	struct hasher *h512 AUTO(hasher_freep) = hasher_new(DIGEST_SHA512);
	hasher_add(h512, "abc", 3);
	hasher_peek(h512, &d);
	digest_is(&d, ABC_512);
	hasher_finish(h512, &d);
	digest_is(&d, ABC_512);
}

static void test_fields(void **state)
{
	(void)state;
	struct digest a, b, c;
	struct hasher *h AUTO(hasher_freep) = hasher_new(DIGEST_SHA256);
	hasher_add_field(h, STR("ab"));
	hasher_add_field(h, STR("c"));
	hasher_finish(h, &a);
	hasher_reset(h);
	hasher_add_field(h, STR("a"));
	hasher_add_field(h, STR("bc"));
	hasher_finish(h, &b);
	assert_false(digest_eq(&a, &b));
	/* The form is written into stores: it may not change. */
	static const char flat[] = "\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c";
	digest_of(flat, sizeof(flat) - 1, &c);
	assert_true(digest_eq(&a, &c));
	hasher_reset(h);
	hasher_add_u64(h, UINT64_C(0x0102030405060708));
	hasher_finish(h, &a);
	digest_of("\1\2\3\4\5\6\7\10", 8, &c);
	assert_true(digest_eq(&a, &c));
}

static void test_parse(void **state)
{
	(void)state;
	struct digest d = {0};
	assert_null(digest_parse(STR(ABC), &d));
	digest_is(&d, ABC);
	assert_int_equal(d.algo, DIGEST_SHA256);
	assert_null(digest_parse(STR(ABC_512), &d));
	digest_is(&d, ABC_512);
	assert_null(digest_parse(STR(ABC), &d));
	assert_int_equal(d.bytes[63], 0);
	assert_true(digest_valid(STR(EMPTY)));
}

static void test_parse_strict(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		":",
		"sha256",
		"sha256:",
		ABC "0",
		ABC " ",
		" " ABC,
		ABC "\n",
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
		"sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
		"SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256::a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha384:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"none:",
		"none",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	};
	struct digest d;
	memset(&d, 0x55, sizeof(d));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err *e AUTO(err_freep) = digest_parse(str_c(bad[i]), &d);
		assert_int_equal(err_kind(e), ERR_INVALID);
		assert_false(digest_valid(str_c(bad[i])));
	}
	assert_int_equal(d.bytes[0], 0x55); /* written only on success */
	assert_false(digest_valid(str_n(ABC "\0", sizeof(ABC))));
	assert_false(digest_valid((struct str){0}));
}

static void test_compare(void **state)
{
	(void)state;
	struct digest none = {0};
	struct digest a, b;
	char text[DIGEST_TEXT_MAX];
	digest_of("a", 1, &a);
	b = a;
	assert_false(digest_is_set(&none));
	assert_true(digest_is_set(&a));
	assert_true(digest_eq(&a, &b));
	assert_true(digest_eq(&none, &(struct digest){0}));
	assert_false(digest_eq(&a, &none));
	b.bytes[31] = (uint8_t)(b.bytes[31] + 1);
	assert_int_equal(digest_cmp(&a, &b), -digest_cmp(&b, &a));
	assert_true(digest_cmp(&none, &a) < 0);
	assert_string_equal(digest_text(&none, text), "");
	assert_string_equal(digest_hex(&none, text), "");
	assert_int_equal(digest_len(DIGEST_NONE), 0);
	assert_int_equal(digest_len(DIGEST_SHA512), 64);
	assert_string_equal(digest_algo_name(DIGEST_SHA256), "sha256");
}

static void test_random(void **state)
{
	(void)state;
	char a[401], b[401];
	memset(a, 'x', sizeof(a));
	random_hex(a, 200);
	random_hex(b, 200);
	assert_int_equal(strlen(a), 400);
	assert_int_equal(strspn(a, "0123456789abcdef"), 400);
	assert_string_not_equal(a, b);
	random_hex(a, 0);
	assert_string_equal(a, "");
	uint8_t bytes[1000] = {0};
	random_bytes(bytes, sizeof(bytes));
	uint8_t zeros[64] = {0};
	assert_memory_not_equal(bytes + 900, zeros, sizeof(zeros));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_hasher),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_strict),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
