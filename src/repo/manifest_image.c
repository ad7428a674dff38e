/* SPDX-License-Identifier: Apache-2.0 */
/* Names, tags and digests of images (distribution-spec, "Pulling manifests"), and which of them YAML takes
 * for something else than text. */
#include "repo/manifest_internal.h"
#include "repo/repo_internal.h"

#include <string.h>

#define PATH_MAX_LEN 255
#define TAG_MAX_LEN 128

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool image_tag_valid(struct str s)
{
	if (!s.len || s.len > TAG_MAX_LEN || s.ptr[0] == '.' || s.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.ptr[i]) && s.ptr[i] != '_' && s.ptr[i] != '.' && s.ptr[i] != '-')
			return false;
	return true;
}

bool image_digest_valid(struct str s)
{
	return str_starts(s, "sha256:") && digest_valid(s);
}

static bool path_valid(struct str s)
{
	struct str rest = s, part;
	if (!s.len || s.len > PATH_MAX_LEN || s.ptr[s.len - 1] == '/')
		return false;
	while (str_split(&rest, '/', &part))
		if (!container_name_valid(part))
			return false;
	return true;
}

void image_split(struct str text, struct image_parts *out)
{
	*out = (struct image_parts){.name = text};
	ptrdiff_t at = str_index(text, '@');
	if (at >= 0) {
		out->digest = str_skip(text, (size_t)at + 1);
		out->name.len = (size_t)at;
	}
	ptrdiff_t slash = str_rindex(out->name, '/'), colon = str_rindex(out->name, ':');
	if (colon > slash) {
		out->tag = str_skip(out->name, (size_t)colon + 1);
		out->name.len = (size_t)colon;
	}
}

const char *image_fault(const char *prefix, const struct image_parts *p)
{
	struct str path = str_skip(p->name, strlen(prefix));
	/* The prefix was checked where it comes from; of its path the length counts. */
	const char *namespace_ = strchr(prefix, '/');
	if (!path_valid(path) || path.len + strlen(namespace_ ? namespace_ : "") > PATH_MAX_LEN)
		return "is not the name of an image";
	if (p->tag.ptr && !image_tag_valid(p->tag))
		return "has a tag that is none";
	if (p->digest.ptr && !image_digest_valid(p->digest))
		return "has a digest that is not sha256: and 64 hex digits";
	return NULL;
}

/* The first n characters of s are of the set, and s is longer or not. */
static size_t span(struct str s, size_t from, const char *set)
{
	size_t n = 0;
	while (from + n < s.len && s.ptr[from + n] && strchr(set, s.ptr[from + n]))
		n++;
	return n;
}

static bool is_word(struct str s)
{
	static const char *const words[] = {"~", "null", "true", "false", "yes", "no", "on", "off", "y", "n",
		".inf", "+.inf", "-.inf", ".nan", "=", "<<"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (str_eq_nocase(s, words[i]))
			return true;
	return false;
}

#define DIGITS "0123456789_"

/* 27, 1.37, .5, 1e5, 1_000, 190:20:30, 0x1f, 0o17, 0b101, with a sign or not. */
static bool is_number(struct str s)
{
	size_t at = s.len && (s.ptr[0] == '+' || s.ptr[0] == '-');
	if (at < s.len && s.ptr[at] == '0' && at + 2 < s.len) {
		char base = s.ptr[at + 1];
		const char *set = base == 'x' || base == 'X' ? DIGITS "abcdefABCDEF"
				  : strchr("oObB", base)     ? DIGITS
							     : NULL;
		if (set && at + 2 + span(s, at + 2, set) == s.len)
			return true;
	}
	size_t whole = span(s, at, DIGITS ":");
	at += whole;
	size_t fraction = at < s.len && s.ptr[at] == '.' ? 1 + span(s, at + 1, DIGITS) : 0;
	at += fraction;
	if (!whole && fraction < 2)
		return false;
	if (at < s.len && (s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
		size_t sign = at + 1 < s.len && (s.ptr[at + 1] == '+' || s.ptr[at + 1] == '-');
		size_t exponent = span(s, at + 1 + sign, DIGITS);
		at += exponent ? 1 + sign + exponent : 0;
	}
	return at == s.len;
}

/* 2026-01-02, alone or with a time behind it. */
static bool is_date(struct str s)
{
	size_t year = span(s, 0, "0123456789");
	if (year != 4 || s.len < 8 || s.ptr[4] != '-')
		return false;
	size_t month = span(s, 5, "0123456789");
	if (!month || month > 2 || 5 + month >= s.len || s.ptr[5 + month] != '-')
		return false;
	size_t at = 6 + month, day = span(s, at, "0123456789");
	if (!day || day > 2)
		return false;
	at += day;
	return at == s.len || s.ptr[at] == 'T' || s.ptr[at] == 't' || s.ptr[at] == ' ';
}

bool manifest_plain_is_text(struct str s)
{
	return s.len > 0 && !is_word(s) && !is_number(s) && !is_date(s);
}
