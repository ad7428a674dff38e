/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/duration.h"

#include <stdlib.h>

static void test_now(void **state)
{
	(void)state;
	int64_t a = clock_now();
	assert_true(a >= 1000 * CLOCK_SECOND && a < 1060 * CLOCK_SECOND); /* COOPER_FAKE_TIME, see main */
	assert_true(clock_now() >= a);
	int64_t m = clock_monotonic();
	assert_true(clock_monotonic() >= m);
}

static void test_rfc3339(void **state)
{
	(void)state;
	static const struct {
		int64_t ns;
		const char *text;
	} table[] = {
		{0, "1970-01-01T00:00:00Z"},
		{INT64_C(1767323045) * CLOCK_SECOND, "2026-01-02T03:04:05Z"},
		{INT64_C(1767323045) * CLOCK_SECOND + 120000000, "2026-01-02T03:04:05.12Z"},
		{1, "1970-01-01T00:00:00.000000001Z"},
		{-1, "1969-12-31T23:59:59.999999999Z"},
		{-CLOCK_SECOND, "1969-12-31T23:59:59Z"},
		{INT64_C(951782400) * CLOCK_SECOND, "2000-02-29T00:00:00Z"},
		{INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
	};
	char text[CLOCK_TEXT_MAX];
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t back = 7;
		assert_string_equal(clock_rfc3339(table[i].ns, text), table[i].text);
		assert_null(clock_parse_rfc3339(str_c(text), &back));
		assert_int_equal(back, table[i].ns);
	}
}

static void test_parse_rfc3339(void **state)
{
	(void)state;
	static const char *const same[] = {
		"2026-01-02T03:04:05Z",
		"2026-01-02t03:04:05z",
		"2026-01-02T03:04:05.000Z",
		"2026-01-02T04:04:05+01:00",
		"2026-01-01T21:34:05-05:30",
		"2026-01-02T03:04:05-00:00",
		"2026-01-02T03:04:05.0000000009Z",
	};
	static const char *const bad[] = {
		"",
		"2026",
		"2026-01-02",
		"2026-01-02T03:04:05",
		"2026-01-02 03:04:05Z",
		"2026-01-02T03:04Z",
		"2026-1-2T03:04:05Z",
		"2026-13-02T03:04:05Z",
		"2026-00-02T03:04:05Z",
		"2026-02-29T03:04:05Z",
		"2026-04-31T03:04:05Z",
		"2026-01-00T03:04:05Z",
		"2026-01-02T24:04:05Z",
		"2026-01-02T03:60:05Z",
		"2026-01-02T03:04:61Z",
		"2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05+0100",
		"2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+01:60",
		"2026-01-02T03:04:05Zx",
		" 2026-01-02T03:04:05Z",
		"+026-01-02T03:04:05Z",
		"1900-02-29T00:00:00Z",
		"0001-01-01T00:00:00Z", /* a date, but not one that 64 bits of nanoseconds hold */
		"9999-12-31T23:59:59Z",
	};
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		int64_t ns = 0;
		assert_null(clock_parse_rfc3339(str_c(same[i]), &ns));
		assert_int_equal(ns, INT64_C(1767323045) * CLOCK_SECOND);
	}
	int64_t kept = 7;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err *e AUTO(err_freep) = clock_parse_rfc3339(str_c(bad[i]), &kept);
		if (err_kind(e) != ERR_INVALID)
			fail_msg("%s was taken", bad[i]);
	}
	assert_int_equal(kept, 7);
	struct err *e AUTO(err_freep) = clock_parse_rfc3339(STR("2026-01-02T03:04:05\0"), &kept);
	assert_int_equal(err_kind(e), ERR_INVALID);
}

static void test_parse_http(void **state)
{
	(void)state;
	int64_t ns = 0;
	assert_null(clock_parse_http(STR("Sun, 06 Nov 1994 08:49:37 GMT"), &ns));
	assert_int_equal(ns, INT64_C(784111777) * CLOCK_SECOND);
	static const char *const bad[] = {
		"",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Xxx, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err *e AUTO(err_freep) = clock_parse_http(str_c(bad[i]), &ns);
		assert_int_equal(err_kind(e), ERR_INVALID);
	}
}

static void test_age(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *text;
	} table[] = {{-5, "0 seconds"}, {0, "0 seconds"}, {1, "1 second"}, {119, "119 seconds"},
		{120, "2 minutes"}, {7199, "119 minutes"}, {7200, "2 hours"}, {86400, "24 hours"},
		{172800, "2 days"}, {4000000, "46 days"}};
	char text[CLOCK_TEXT_MAX];
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_string_equal(clock_age(table[i].seconds * CLOCK_SECOND, text), table[i].text);
	clock_age(INT64_MAX, text);
	clock_age(INT64_MIN, text);
}

static void test_duration(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} table[] = {
		{0, "0.0s"},
		{-5, "0.0s"},
		{49, "0.0s"},
		{50, "0.1s"},
		{400, "0.4s"},
		{12345, "12.3s"},
		{59940, "59.9s"},
		{59950, "1m00s"},
		{125000, "2m05s"},
		{3599400, "59m59s"},
		{3599500, "1h00m"},
		{3720000, "1h02m"},
		{INT64_C(360000000), "100h00m"},
	};
	char text[CLOCK_TEXT_MAX];
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_string_equal(clock_duration(table[i].ms * 1000000, text), table[i].text);
	clock_duration(INT64_MAX, text);
	clock_duration(INT64_MIN, text);
}

static void test_size(void **state)
{
	(void)state;
	static const struct {
		uint64_t bytes;
		const char *text;
	} table[] = {
		{0, "0 B"},
		{812, "812 B"},
		{999, "999 B"},
		{1000, "1.0 kB"},
		{1049, "1.0 kB"},
		{1050, "1.1 kB"},
		{1999, "2.0 kB"},
		{999949, "999.9 kB"},
		{999950, "1.0 MB"},
		{1000000, "1.0 MB"},
		{1234567, "1.2 MB"},
		{UINT64_C(999950000), "1.0 GB"},
		{UINT64_C(5000000000000), "5.0 TB"},
		{UINT64_MAX, "18.4 EB"},
	};
	char text[CLOCK_TEXT_MAX];
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_string_equal(size_text(table[i].bytes, text), table[i].text);
}

static void test_span(void **state)
{
	(void)state;
	const int64_t second = CLOCK_SECOND;
	const struct {
		const char *text;
		int64_t seconds; /* -1: none */
	} table[] = {
		{"14d", 14 * 86400},
		{"36h", 36 * 3600},
		{"90m", 5400},
		{"30s", 30},
		{"0s", 0},
		{"36500d", INT64_C(3153600000)},
		{"36501d", -1},
		{"3153600001s", -1},
		{"99999999999999999999d", -1},
		{"", -1},
		{"d", -1},
		{"14", -1},
		{"-1d", -1},
		{"1.5h", -1},
		{"14 d", -1},
		{"14dd", -1},
		{"14w", -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t ns = -1;
		assert_int_equal(duration_parse_span(table[i].text, &ns), table[i].seconds >= 0);
		assert_int_equal(ns, table[i].seconds >= 0 ? table[i].seconds * second : -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_now),
		cmocka_unit_test(test_rfc3339),
		cmocka_unit_test(test_parse_rfc3339),
		cmocka_unit_test(test_parse_http),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_size),
	};
	setenv("COOPER_FAKE_TIME", "1000", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
