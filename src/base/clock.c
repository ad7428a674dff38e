/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

/* What COOPER_FAKE_TIME adds to the wall clock, from the first look at it on. */
static int64_t shift;
static pthread_once_t shift_once = PTHREAD_ONCE_INIT;

static void shift_init(void)
{
	int64_t seconds = 0;
	int64_t fake = 0;
	const char *text = getenv("COOPER_FAKE_TIME");
	if (text && str_to_i64(str_c(text), &seconds) &&
		!__builtin_mul_overflow(seconds, CLOCK_SECOND, &fake))
		shift = fake - read_clock(CLOCK_REALTIME);
}

int64_t clock_now(void)
{
	pthread_once(&shift_once, shift_init);
	return read_clock(CLOCK_REALTIME) + shift;
}

int64_t clock_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *held, int64_t until)
{
	const struct timespec when = {.tv_sec = until / CLOCK_SECOND, .tv_nsec = until % CLOCK_SECOND};
	(void)pthread_cond_timedwait(cond, held, &when);
}

const char *clock_rfc3339(int64_t ns, char out[CLOCK_TEXT_MAX])
{
	time_t seconds = (time_t)(ns / CLOCK_SECOND);
	int64_t fraction = ns % CLOCK_SECOND;
	if (fraction < 0) {
		fraction += CLOCK_SECOND;
		seconds--;
	}
	struct tm tm;
	gmtime_r(&seconds, &tm);
	size_t n = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (fraction > 0) {
		n += (size_t)snprintf(out + n, CLOCK_TEXT_MAX - n, ".%09ld", (long)fraction);
		while (out[n - 1] == '0')
			n--;
	}
	memcpy(out + n, "Z", 2);
	return out;
}

/* Cut exactly n decimal digits off the front. */
static bool take_digits(struct str *s, size_t n, int *out)
{
	uint64_t v = 0;
	if (s->len < n || !str_to_u64(str_n(s->ptr, n), &v))
		return false;
	*out = (int)v;
	*s = str_skip(*s, n);
	return true;
}

/* Cut one of the given characters off the front. */
static bool take_any(struct str *s, const char *set)
{
	if (s->len == 0 || !s->ptr[0] || !strchr(set, s->ptr[0]))
		return false;
	*s = str_skip(*s, 1);
	return true;
}

static bool date_is_real(const struct tm *t)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year = t->tm_year + 1900;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (t->tm_mon < 0 || t->tm_mon > 11)
		return false;
	int last = days[t->tm_mon] + (leap && t->tm_mon == 1);
	return t->tm_mday >= 1 && t->tm_mday <= last && t->tm_hour <= 23 && t->tm_min <= 59 &&
	       t->tm_sec <= 60;
}

static bool take_time(struct str *s, struct tm *t)
{
	return take_digits(s, 2, &t->tm_hour) && take_any(s, ":") && take_digits(s, 2, &t->tm_min) &&
	       take_any(s, ":") && take_digits(s, 2, &t->tm_sec);
}

/* ".123" as nanoseconds; digits beyond the ninth are cut off. */
static bool take_fraction(struct str *s, int64_t *ns)
{
	int64_t unit = CLOCK_SECOND;
	int digit = 0;
	if (!take_any(s, "."))
		return true;
	if (!take_digits(s, 1, &digit))
		return false;
	do {
		unit /= 10;
		*ns += digit * unit;
	} while (take_digits(s, 1, &digit));
	return true;
}

static bool take_zone(struct str *s, int64_t *seconds_east)
{
	int hours = 0;
	int minutes = 0;
	if (take_any(s, "Zz"))
		return true;
	bool west = str_starts(*s, "-");
	if (!take_any(s, "+-") || !take_digits(s, 2, &hours) || !take_any(s, ":") ||
		!take_digits(s, 2, &minutes))
		return false;
	*seconds_east = (hours * 60 + minutes) * (west ? -60 : 60);
	return hours <= 23 && minutes <= 59;
}

static bool to_ns(struct tm t, int64_t seconds_east, int64_t fraction, int64_t *out)
{
	int64_t ns = 0;
	int64_t seconds = (int64_t)timegm(&t) - seconds_east;
	if (__builtin_mul_overflow(seconds, CLOCK_SECOND, &ns) || __builtin_add_overflow(ns, fraction, &ns))
		return false;
	*out = ns;
	return true;
}

static struct err *bad_time(struct str text, const char *why)
{
	/* The text may be anything: quote no more than a time is long. */
	struct str shown = str_n(text.ptr, text.len < CLOCK_TEXT_MAX ? text.len : CLOCK_TEXT_MAX);
	return err_new(ERR_INVALID, "time \"" STR_FMT "\": %s", STR_ARG(shown), why);
}

struct err *clock_parse_rfc3339(struct str text, int64_t *out)
{
	struct tm t = {0};
	struct str s = text;
	int64_t east = 0;
	int64_t fraction = 0;
	int year = 0;
	int month = 0;
	bool ok = take_digits(&s, 4, &year) && take_any(&s, "-") && take_digits(&s, 2, &month) &&
		  take_any(&s, "-") && take_digits(&s, 2, &t.tm_mday) && take_any(&s, "Tt") &&
		  take_time(&s, &t) && take_fraction(&s, &fraction) && take_zone(&s, &east) && s.len == 0;
	t.tm_year = year - 1900;
	t.tm_mon = month - 1;
	if (!ok || !date_is_real(&t))
		return bad_time(text, "not RFC 3339");
	if (!to_ns(t, east, fraction, out))
		return bad_time(text, "out of range");
	return NULL;
}

/* Cut one of the names, each of three letters, off the front. */
static bool take_name(struct str *s, const char *names, int *index)
{
	for (int i = 0; *names; i++, names += 3) {
		if (s->len < 3 || memcmp(s->ptr, names, 3) != 0)
			continue;
		*index = i;
		*s = str_skip(*s, 3);
		return true;
	}
	return false;
}

struct err *clock_parse_http(struct str text, int64_t *out)
{
	struct tm t = {0};
	struct str s = text;
	int year = 0;
	bool ok = take_name(&s, "MonTueWedThuFriSatSun", &t.tm_wday) && take_any(&s, ",") &&
		  take_any(&s, " ") && take_digits(&s, 2, &t.tm_mday) && take_any(&s, " ") &&
		  take_name(&s, "JanFebMarAprMayJunJulAugSepOctNovDec", &t.tm_mon) && take_any(&s, " ") &&
		  take_digits(&s, 4, &year) && take_any(&s, " ") && take_time(&s, &t) && str_eq_c(s, " GMT");
	t.tm_year = year - 1900;
	if (!ok || !date_is_real(&t) || !to_ns(t, 0, 0, out))
		return bad_time(text, "not an HTTP date");
	return NULL;
}

const char *clock_duration(int64_t ns, char out[CLOCK_TEXT_MAX])
{
	/* Rounded first and put into words after: 59.97 s is a minute, not "60.0s". */
	uint64_t n = ns > 0 ? (uint64_t)ns : 0;
	uint64_t tenths = (n + CLOCK_SECOND / 20) / (CLOCK_SECOND / 10);
	uint64_t seconds = (n + CLOCK_SECOND / 2) / CLOCK_SECOND;
	uint64_t minutes = (seconds + 30) / 60;
	if (tenths < 600)
		snprintf(out, CLOCK_TEXT_MAX, "%u.%us", (unsigned)tenths / 10, (unsigned)tenths % 10);
	else if (seconds < 3600)
		snprintf(out, CLOCK_TEXT_MAX, "%um%02us", (unsigned)seconds / 60, (unsigned)seconds % 60);
	else
		snprintf(out, CLOCK_TEXT_MAX, "%uh%02um", (unsigned)(minutes / 60), (unsigned)(minutes % 60));
	return out;
}

const char *clock_age(int64_t ns, char out[CLOCK_TEXT_MAX])
{
	uint64_t n = ns > 0 ? (uint64_t)(ns / CLOCK_SECOND) : 0;
	const char *unit = "second";
	if (n >= 2 * 86400) {
		n /= 86400;
		unit = "day";
	} else if (n >= 2 * 3600) {
		n /= 3600;
		unit = "hour";
	} else if (n >= 2 * 60) {
		n /= 60;
		unit = "minute";
	}
	snprintf(out, CLOCK_TEXT_MAX, "%llu %s%s", (unsigned long long)n, unit, plural(n));
	return out;
}

const char *size_text(uint64_t bytes, char out[CLOCK_TEXT_MAX])
{
	static const char units[] = "kMGTPE";
	if (bytes < 1000) {
		snprintf(out, CLOCK_TEXT_MAX, "%u B", (unsigned)bytes);
		return out;
	}
	/* The biggest unit that leaves less than 999.95 of it. Whole numbers: no rounding surprises. */
	uint64_t unit = 1000;
	size_t i = 0;
	while (i + 2 < sizeof(units) && bytes / unit >= 999 && bytes - 999 * unit >= unit / 20 * 19) {
		unit *= 1000;
		i++;
	}
	uint64_t whole = bytes / unit;
	uint64_t tenths = (bytes % unit + unit / 20) / (unit / 10);
	if (tenths == 10) {
		tenths = 0;
		whole++;
	}
	snprintf(out, CLOCK_TEXT_MAX, "%u.%u %cB", (unsigned)whole, (unsigned)tenths, units[i]);
	return out;
}
