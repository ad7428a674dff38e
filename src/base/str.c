/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "base/str_internal.h"

#include <string.h>

struct str str_c(const char *s)
{
	return (struct str){s, s ? strlen(s) : 0};
}

struct str str_n(const char *s, size_t len)
{
	return (struct str){s, len};
}

bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eq_c(struct str a, const char *b)
{
	return str_eq(a, str_c(b));
}

/* Not tolower: the answer may not depend on the locale. */
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(struct str a, const char *b)
{
	struct str other = str_c(b);
	if (a.len != other.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(other.ptr[i]))
			return false;
	return true;
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);
	return s.len >= n && (n == 0 || memcmp(s.ptr, prefix, n) == 0);
}

bool str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);
	return s.len >= n && (n == 0 || memcmp(s.ptr + s.len - n, suffix, n) == 0);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && is_blank(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

struct str str_skip(struct str s, size_t n)
{
	if (n > s.len)
		n = s.len;
	if (n == 0)
		return s;
	return (struct str){s.ptr + n, s.len - n};
}

ptrdiff_t str_index(struct str s, char c)
{
	const char *p = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
	return p ? p - s.ptr : -1;
}

ptrdiff_t str_rindex(struct str s, char c)
{
	const char *p = s.len > 0 ? memrchr(s.ptr, c, s.len) : NULL;
	return p ? p - s.ptr : -1;
}

bool str_split(struct str *rest, char sep, struct str *head)
{
	if (!rest->ptr)
		return false;
	ptrdiff_t i = str_index(*rest, sep);
	if (i < 0) {
		*head = *rest;
		*rest = (struct str){0};
		return true;
	}
	*head = str_n(rest->ptr, (size_t)i);
	*rest = str_skip(*rest, (size_t)i + 1);
	return true;
}

static bool digits(struct str s, unsigned base, uint64_t *out)
{
	uint64_t v = 0;
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned d = (unsigned)(unsigned char)s.ptr[i] - '0';
		if (d >= base || __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	*out = v;
	return true;
}

bool str_to_u64(struct str s, uint64_t *out)
{
	return digits(s, 10, out);
}

bool str_to_i64(struct str s, int64_t *out)
{
	bool negative = str_starts(s, "-");
	uint64_t v = 0;
	if (!digits(negative ? str_skip(s, 1) : s, 10, &v))
		return false;
	if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return false;
	/* Negated before the cast: the smallest value has no positive counterpart. */
	*out = (int64_t)(negative ? -v : v);
	return true;
}

bool str_to_octal(struct str s, uint32_t *out)
{
	uint64_t v = 0;
	if (!digits(s, 8, &v) || v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

bool cstr_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool cstr_starts(const char *s, const char *prefix)
{
	return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

void cstr_make_visible(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
		/* U+0080 to U+009F, which say in one character what ESC and another one say */
		if ((unsigned char)s[0] == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0)
			s[0] = s[1] = '?';
	}
}

bool cstr_ends(const char *s, const char *suffix)
{
	return s && str_ends(str_c(s), suffix);
}

size_t str_utf8_next(struct str s, uint32_t *rune)
{
	if (s.len == 0)
		return 0;
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;
	if (n == 0 || n > s.len)
		return 0;
	uint32_t r = n == 1 ? p[0] : p[0] & (0xffU >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		r = r << 6 | (p[i] & 0x3f);
	}
	/* Overlong forms of three and four bytes, surrogates, and beyond the last plane. */
	if ((n == 3 && r < 0x800) || (n == 4 && r < 0x10000) || (r >= 0xd800 && r <= 0xdfff) || r > 0x10ffff)
		return 0;
	if (rune)
		*rune = r;
	return n;
}

const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

bool str_is_utf8(struct str s)
{
	while (s.len > 0) {
		size_t n = str_utf8_next(s, NULL);
		if (n == 0)
			return false;
		s = str_skip(s, n);
	}
	return true;
}

#define SUGGEST_NEAR ((size_t)3)
#define SUGGEST_MAX ((size_t)64)

/* Levenshtein, one row at a time. */
static size_t edit_distance(struct str a, struct str b)
{
	size_t row[SUGGEST_MAX + 1];
	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t best = diagonal + (lower(a.ptr[i - 1]) != lower(b.ptr[j - 1]));
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b.len];
}

const char *str_suggest(const char *word, const char *const *candidates)
{
	struct str w = str_c(word);
	const char *best = NULL;
	size_t best_distance = SUGGEST_NEAR;
	if (w.len > SUGGEST_MAX)
		return NULL;
	for (; *candidates; candidates++) {
		struct str c = str_c(*candidates);
		size_t longer = c.len > w.len ? c.len : w.len;
		if (longer > SUGGEST_MAX || longer - (c.len < w.len ? c.len : w.len) >= SUGGEST_NEAR)
			continue;
		size_t d = edit_distance(w, c);
		/* Two words that share no letter are not a misspelling of one another. */
		if (d < best_distance && (d < longer || longer == 0)) {
			best = *candidates;
			best_distance = d;
		}
	}
	return best;
}
