/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/glob.h"

#include "base/mem.h"

#include <stdint.h>
#include <string.h>

enum { GLOB_STAR = -1, GLOB_ANY = -2 }; /* other tokens are bytes or code points */

/* Text as code points, so that '?' is a character; bytes that are not UTF-8 stand for themselves above the
 * last code point. */
struct runes {
	int32_t *at;
	size_t len;
};

static void runes_fini(struct runes *r)
{
	mem_freep(&r->at);
}

static size_t decode(struct str s, int32_t *rune)
{
	unsigned char c = (unsigned char)s.ptr[0];
	size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
	*rune = c < 0x80 ? c : 0x110000 + c;
	if (c < 0x80 || want == 1 || c > 0xf4 || s.len < want)
		return 1;
	int32_t v = c & (0x7f >> want);
	for (size_t i = 1; i < want; i++) {
		unsigned char d = (unsigned char)s.ptr[i];
		if ((d & 0xc0) != 0x80)
			return 1;
		v = (v << 6) | (d & 0x3f);
	}
	*rune = v;
	return want;
}

static void encode(int32_t r, struct buf *out)
{
	if (r >= 0x110000) {
		buf_addc(out, (char)(unsigned char)(r - 0x110000));
	} else if (r < 0x80) {
		buf_addc(out, (char)r);
	} else if (r < 0x800) {
		buf_addc(out, (char)(0xc0 | (r >> 6)));
		buf_addc(out, (char)(0x80 | (r & 0x3f)));
	} else if (r < 0x10000) {
		buf_addc(out, (char)(0xe0 | (r >> 12)));
		buf_addc(out, (char)(0x80 | ((r >> 6) & 0x3f)));
		buf_addc(out, (char)(0x80 | (r & 0x3f)));
	} else {
		buf_addc(out, (char)(0xf0 | (r >> 18)));
		buf_addc(out, (char)(0x80 | ((r >> 12) & 0x3f)));
		buf_addc(out, (char)(0x80 | ((r >> 6) & 0x3f)));
		buf_addc(out, (char)(0x80 | (r & 0x3f)));
	}
}

static void encode_range(const struct runes *r, size_t from, size_t to, struct buf *out)
{
	for (size_t i = from; i < to; i++)
		encode(r->at[i], out);
}

static struct runes runes_of(struct str s)
{
	struct runes r = {mem_array(s.len + 1, sizeof(int32_t)), 0};
	for (size_t i = 0; i < s.len;)
		i += decode(str_skip(s, i), &r.at[r.len++]);
	return r;
}

static void reverse(struct runes *r)
{
	for (size_t i = 0; i < r->len / 2; i++) {
		int32_t t = r->at[i];
		r->at[i] = r->at[r->len - 1 - i];
		r->at[r->len - 1 - i] = t;
	}
}

/* The pattern's tokens, in place. */
static struct err *compile(struct str pattern, struct runes *out)
{
	struct runes r = runes_of(pattern);
	size_t n = 0;
	for (size_t i = 0; i < r.len; i++) {
		int32_t c = r.at[i];
		if (c == '*') {
			if (n == 0 || r.at[n - 1] != GLOB_STAR)
				r.at[n++] = GLOB_STAR;
			continue;
		}
		if (c == '?') {
			r.at[n++] = GLOB_ANY;
			continue;
		}
		if (c == '\\') {
			int32_t next = i + 1 < r.len ? r.at[i + 1] : 0;
			if (next != '*' && next != '?' && next != '\\' && next != '}' && next != '/') {
				runes_fini(&r);
				return err_new(ERR_INVALID,
					"invalid escape in pattern \"" STR_FMT
					"\": \\ may stand before * ? \\ } and / only",
					STR_ARG(pattern));
			}
			c = r.at[++i];
		}
		r.at[n++] = c;
	}
	r.len = n;
	*out = r;
	return NULL;
}

struct matcher {
	const struct runes *pattern;
	const struct runes *value;
	bool *now, *next; /* which pattern positions are reached */
	size_t *work;
};

static void matcher_fini(struct matcher *m)
{
	mem_freep(&m->now);
	mem_freep(&m->next);
}

static void close_over_stars(const struct runes *p, bool *set)
{
	for (size_t j = 0; j < p->len; j++)
		if (set[j] && p->at[j] == GLOB_STAR)
			set[j + 1] = true;
}

static bool step(struct matcher *m, int32_t c)
{
	const struct runes *p = m->pattern;
	bool alive = false;
	memset(m->next, 0, p->len + 1);
	for (size_t j = 0; j < p->len; j++) {
		if (!m->now[j])
			continue;
		if (p->at[j] == GLOB_STAR)
			m->next[j] = alive = true;
		else if (p->at[j] == GLOB_ANY || p->at[j] == c)
			m->next[j + 1] = alive = true;
	}
	close_over_stars(p, m->next);
	bool *t = m->now;
	m->now = m->next;
	m->next = t;
	return alive;
}

/* Match from start: *end is where the shortest or longest match ends; *found false if there is none. */
static struct err *match_from(struct matcher *m, size_t start, bool longest, bool *found, size_t *end)
{
	size_t last = m->pattern->len;
	*found = false;
	memset(m->now, 0, last + 1);
	m->now[0] = true;
	close_over_stars(m->pattern, m->now);
	for (size_t i = start;; i++) {
		if (m->now[last]) {
			*found = true;
			*end = i;
			if (!longest)
				return NULL;
		}
		if (*m->work < last + 1)
			return err_new(ERR_INVALID, "pattern and value are too large to match");
		*m->work -= last + 1;
		if (i == m->value->len || !step(m, m->value->at[i]))
			return NULL;
	}
}

static struct matcher matcher_new(
	const struct glob_job *job, const struct runes *pattern, const struct runes *value)
{
	bool *now = mem_array(pattern->len + 1, 1), *next = mem_array(pattern->len + 1, 1);
	return (struct matcher){pattern, value, now, next, job->work};
}

static struct err *cut(const struct glob_job *job, bool longest, bool suffix, struct buf *out)
{
	struct runes p AUTO(runes_fini) = {0};
	TRY(compile(job->pattern, &p));
	struct runes v AUTO(runes_fini) = runes_of(job->value);
	if (suffix) {
		reverse(&p);
		reverse(&v);
	}
	struct matcher m AUTO(matcher_fini) = matcher_new(job, &p, &v);
	bool found = false;
	size_t end = 0;
	TRY(match_from(&m, 0, longest, &found, &end));
	if (!found)
		end = 0;
	if (suffix) {
		reverse(&v);
		encode_range(&v, 0, v.len - end, out);
	} else {
		encode_range(&v, end, v.len, out);
	}
	return NULL;
}

struct err *glob_cut_prefix(const struct glob_job *job, bool longest, struct buf *out)
{
	return cut(job, longest, false, out);
}

struct err *glob_cut_suffix(const struct glob_job *job, bool longest, struct buf *out)
{
	return cut(job, longest, true, out);
}

struct err *glob_replace(const struct glob_job *job, struct str by, bool all, struct buf *out)
{
	struct runes p AUTO(runes_fini) = {0};
	TRY(compile(job->pattern, &p));
	struct runes v AUTO(runes_fini) = runes_of(job->value);
	struct matcher m AUTO(matcher_fini) = matcher_new(job, &p, &v);
	size_t done = 0;          /* copied up to here */
	bool after_match = false; /* an empty match right after another one does not count */
	for (size_t i = 0; i <= v.len;) {
		bool found = false;
		size_t end = i;
		TRY(match_from(&m, i, true, &found, &end));
		if (!found || (end == i && after_match)) {
			after_match = false;
			i++;
			continue;
		}
		encode_range(&v, done, i, out);
		buf_addstr(out, by);
		done = end;
		after_match = end > i;
		if (!all)
			break;
		if (end == i)
			i++;
		else
			i = end;
	}
	encode_range(&v, done, v.len, out);
	return NULL;
}
