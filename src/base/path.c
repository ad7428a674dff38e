/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str_internal.h"

#include <string.h>

/* Cut off the last component of what was written so far; false if it may not be cut. */
static bool drop_last(struct buf *out, size_t floor)
{
	if (out->len <= floor)
		return false;
	ptrdiff_t slash = str_rindex(str_skip(buf_str(out), floor), '/');
	buf_truncate(out, slash < 0 ? floor : floor + (size_t)slash);
	return true;
}

char *path_clean(const char *p)
{
	bool rooted = path_is_abs(p);
	struct buf out = {0};
	struct str rest = str_c(p);
	struct str part = {0};
	buf_reserve(&out, rest.len + 1);
	if (rooted)
		buf_addc(&out, '/');
	size_t floor = out.len; /* what ".." cannot remove */
	while (str_split(&rest, '/', &part)) {
		if (part.len == 0 || str_eq(part, STR(".")))
			continue;
		bool up = str_eq(part, STR(".."));
		if (up && (drop_last(&out, floor) || rooted))
			continue;
		if (out.len > (rooted ? 1 : 0))
			buf_addc(&out, '/');
		buf_addstr(&out, part);
		if (up)
			floor = out.len;
	}
	if (out.len == 0)
		buf_addc(&out, '.');
	return buf_steal(&out);
}

char *path_join(const char *a, const char *b)
{
	if (!*a)
		return path_clean(b);
	AUTO_FREE char *both = mem_printf("%s/%s", a, b);
	return path_clean(both);
}

char *path_resolve(const char *a, const char *b)
{
	return path_is_abs(b) ? path_clean(b) : path_join(a, b);
}

char *path_rooted(const char *p)
{
	AUTO_FREE char *rooted = mem_printf("/%s", p);
	char *clean = path_clean(rooted);
	memmove(clean, clean + 1, strlen(clean));
	return clean;
}

const char *path_base(const char *p)
{
	const char *slash = strrchr(p, '/');
	return slash ? slash + 1 : p;
}

char *path_dir(const char *p)
{
	AUTO_FREE char *dir = mem_strndup(p, (size_t)(path_base(p) - p));
	return path_clean(dir);
}

bool path_is_abs(const char *p)
{
	return p[0] == '/';
}

bool path_below(const char *p, const char *prefix)
{
	size_t n = strlen(prefix);
	if (strcmp(prefix, ".") == 0)
		return !path_is_abs(p);
	if (n > 0 && prefix[n - 1] == '/')
		n--;
	if (n == 0)
		return *prefix ? path_is_abs(p) : true;
	return strncmp(p, prefix, n) == 0 && (p[n] == '\0' || p[n] == '/');
}

bool path_has_dotdot(struct str p)
{
	struct str part = {0};
	while (str_split(&p, '/', &part))
		if (str_eq(part, STR("..")))
			return true;
	return false;
}

enum { MALFORMED = -1, NO_MATCH = 0, MATCH = 1 };

#define RUNE_ERROR 0xfffdU

/* As Go decodes: a byte that is not UTF-8 counts as one U+FFFD. s must not be empty. */
static uint32_t take_rune(struct str *s, bool *bad)
{
	uint32_t r = RUNE_ERROR;
	size_t n = str_utf8_next(*s, &r);
	*bad = n == 0;
	*s = str_skip(*s, n ? n : 1);
	return r;
}

/* One bound of a range in a class: a character, perhaps escaped, with more of the class behind it. */
static bool class_rune(struct str *chunk, uint32_t *out)
{
	if (chunk->len == 0 || chunk->ptr[0] == '-' || chunk->ptr[0] == ']')
		return false;
	if (chunk->ptr[0] == '\\') {
		*chunk = str_skip(*chunk, 1);
		if (chunk->len == 0)
			return false;
	}
	bool bad = false;
	*out = take_rune(chunk, &bad);
	return !bad && chunk->len > 0;
}

/* chunk stands behind '['; on return behind ']'. Does r belong to the class? */
static int match_class(struct str *chunk, uint32_t r)
{
	bool negated = str_starts(*chunk, "^");
	if (negated)
		*chunk = str_skip(*chunk, 1);
	bool found = false;
	for (size_t ranges = 0;; ranges++) {
		if (ranges > 0 && str_starts(*chunk, "]"))
			break;
		uint32_t lo = 0;
		if (!class_rune(chunk, &lo))
			return MALFORMED;
		uint32_t hi = lo;
		if (chunk->ptr[0] == '-') {
			*chunk = str_skip(*chunk, 1);
			if (!class_rune(chunk, &hi))
				return MALFORMED;
		}
		if (lo <= r && r <= hi)
			found = true;
	}
	*chunk = str_skip(*chunk, 1);
	return found != negated ? MATCH : NO_MATCH;
}

/*
 * Match a chunk (no '*' outside a class) at the front of *s; on a match *s is what is left of it. After a
 * mismatch goes on to the end of the chunk, only to see whether it is well formed.
 */
static int match_chunk(struct str chunk, struct str *s)
{
	struct str rest = *s;
	bool failed = false;
	bool bad = false;
	while (chunk.len > 0) {
		failed = failed || rest.len == 0;
		char c = chunk.ptr[0];
		if (c == '[') {
			uint32_t r = failed ? 0 : take_rune(&rest, &bad);
			chunk = str_skip(chunk, 1);
			int m = match_class(&chunk, r);
			if (m == MALFORMED)
				return MALFORMED;
			failed = failed || m == NO_MATCH;
			continue;
		}
		if (c == '?') {
			failed = failed || rest.ptr[0] == '/';
			if (!failed)
				take_rune(&rest, &bad);
			chunk = str_skip(chunk, 1);
			continue;
		}
		if (c == '\\') {
			chunk = str_skip(chunk, 1);
			if (chunk.len == 0)
				return MALFORMED;
		}
		failed = failed || chunk.ptr[0] != rest.ptr[0];
		if (!failed)
			rest = str_skip(rest, 1);
		chunk = str_skip(chunk, 1);
	}
	if (!failed)
		*s = rest;
	return failed ? NO_MATCH : MATCH;
}

/* Cut off leading stars (true if there were any) and the chunk up to the next one. */
static bool take_chunk(struct str *pattern, struct str *chunk)
{
	bool star = false;
	while (str_starts(*pattern, "*")) {
		*pattern = str_skip(*pattern, 1);
		star = true;
	}
	bool in_class = false;
	size_t i = 0;
	for (; i < pattern->len && (in_class || pattern->ptr[i] != '*'); i++) {
		if (pattern->ptr[i] == '\\')
			i += i + 1 < pattern->len;
		else if (pattern->ptr[i] == '[')
			in_class = true;
		else if (pattern->ptr[i] == ']')
			in_class = false;
	}
	*chunk = str_n(pattern->ptr, i);
	*pattern = str_skip(*pattern, i);
	return star;
}

/* A mismatch is certain; is the rest of the pattern well formed all the same? */
static int check_rest(struct str pattern)
{
	while (pattern.len > 0) {
		struct str chunk = {0};
		struct str nothing = {0};
		take_chunk(&pattern, &chunk);
		if (match_chunk(chunk, &nothing) == MALFORMED)
			return MALFORMED;
	}
	return NO_MATCH;
}

/* Try the chunk behind a star at every place the star can reach. last: it must end the name. */
static int match_after_star(struct str chunk, struct str *s, bool last)
{
	for (struct str at = *s;;) {
		struct str t = at;
		int m = match_chunk(chunk, &t);
		if (m == MALFORMED)
			return MALFORMED;
		if (m == MATCH && (!last || t.len == 0)) {
			*s = t;
			return MATCH;
		}
		if (at.len == 0 || at.ptr[0] == '/')
			return NO_MATCH;
		at = str_skip(at, 1);
	}
}

int path_match(const char *pattern_text, const char *name)
{
	struct str pattern = str_c(pattern_text);
	struct str s = str_c(name);
	while (pattern.len > 0) {
		struct str chunk = {0};
		bool star = take_chunk(&pattern, &chunk);
		if (star && chunk.len == 0)
			return str_index(s, '/') < 0 ? MATCH : NO_MATCH;
		bool last = pattern.len == 0;
		int m = star ? match_after_star(chunk, &s, last) : match_chunk(chunk, &s);
		if (m == MALFORMED)
			return MALFORMED;
		if (m == NO_MATCH || (last && s.len > 0))
			return check_rest(pattern);
	}
	return s.len == 0 ? MATCH : NO_MATCH;
}
