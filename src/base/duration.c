/* SPDX-License-Identifier: Apache-2.0 */
#include "base/duration.h"

#include "base/compiler.h"

#include <ctype.h>
#include <string.h>

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000},
	{"\xce\xbcs", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60 * INT64_C(1000000000)},
	{"h", 3600 * INT64_C(1000000000)},
};

/* A unit at *p that no letter follows. */
static int64_t read_unit(const char **p)
{
	size_t len = strcspn(*p, "0123456789.");
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, *p, len) == 0) {
			*p += len;
			return units[i].ns;
		}
	return 0;
}

bool duration_parse(const char *text, int64_t *ns)
{
	const char *p = text;
	bool negative = *p == '-';
	if (*p == '-' || *p == '+')
		p++;
	if (strcmp(p, "0") == 0) {
		*ns = 0;
		return true;
	}
	if (!*p)
		return false;
	long double total = 0;
	while (*p) {
		long double v = 0, scale = 1;
		const char *start = p;
		for (; isdigit((unsigned char)*p); p++)
			v = v * 10 + (*p - '0');
		size_t digits = (size_t)(p - start);
		if (*p == '.')
			for (p++; isdigit((unsigned char)*p); p++, digits++)
				v += (*p - '0') * (scale /= 10);
		int64_t unit = digits ? read_unit(&p) : 0;
		if (!unit)
			return false;
		total += v * (long double)unit;
		if (total > 9.2e18L)
			return false;
	}
	*ns = (int64_t)(total + 0.5L);
	if (negative)
		*ns = -*ns;
	return true;
}

static void add_fraction(struct buf *out, uint64_t v, uint64_t unit)
{
	buf_addf(out, "%llu", (unsigned long long)(v / unit));
	uint64_t rest = v % unit;
	if (!rest)
		return;
	buf_addc(out, '.');
	for (uint64_t u = unit / 10; rest && u; u /= 10) {
		buf_addc(out, (char)('0' + rest / u));
		rest %= u;
	}
}

void duration_text(int64_t ns, struct buf *out)
{
	uint64_t v = ns < 0 ? (uint64_t)-ns : (uint64_t)ns;
	if (ns < 0)
		buf_addc(out, '-');
	if (v && v < 1000000000) {
		uint64_t unit = v < 1000 ? 1 : v < 1000000 ? 1000 : 1000000;
		add_fraction(out, v, unit);
		buf_adds(out, unit == 1 ? "ns" : unit == 1000 ? "\xc2\xb5s" : "ms");
		return;
	}
	uint64_t minutes = v / 60000000000u, hours = minutes / 60;
	if (hours)
		buf_addf(out, "%lluh", (unsigned long long)hours);
	if (minutes)
		buf_addf(out, "%llum", (unsigned long long)(minutes % 60));
	add_fraction(out, v % 60000000000u, 1000000000);
	buf_addc(out, 's');
}

#define SPAN_MAX_S (INT64_C(36500) * 86400)

bool duration_parse_span(const char *text, int64_t *ns)
{
	static const struct {
		char unit;
		int64_t seconds;
	} span_units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
	struct str s = str_c(text);
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(span_units) && s.len > 1; i++) {
		if (s.ptr[s.len - 1] != span_units[i].unit)
			continue;
		if (!str_to_u64(str_n(s.ptr, s.len - 1), &n) ||
			n > (uint64_t)(SPAN_MAX_S / span_units[i].seconds))
			return false;
		*ns = (int64_t)n * span_units[i].seconds * INT64_C(1000000000);
		return true;
	}
	return false;
}
