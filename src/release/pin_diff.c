/* SPDX-License-Identifier: Apache-2.0 */
#include "release/pin_internal.h"

#include <string.h>

#define CONTEXT 3 /* lines that are shown around a change */

static void split(struct str text, struct vec *out)
{
	*out = VEC_OF(struct str);
	while (text.len) {
		ptrdiff_t end = str_index(text, '\n');
		size_t len = end < 0 ? text.len : (size_t)end + 1;
		vec_push_copy(out, &(struct str){text.ptr, len});
		text = str_skip(text, len);
	}
}

static struct str line(const struct vec *lines, size_t i)
{
	return *(const struct str *)vec_at(lines, i);
}

static void add_line(struct buf *out, char mark, struct str text)
{
	buf_addc(out, mark);
	buf_addstr(out, text);
	if (!str_ends(text, "\n"))
		buf_adds(out, "\n\\ No newline at end of file\n");
}

struct hunk {
	const struct vec *before, *after;
	size_t begin, end; /* lines, from 0 */
};

static bool differs(const struct hunk *h, size_t i)
{
	return !str_eq(line(h->before, i), line(h->after, i));
}

/* The next hunk that begins at or after line from; false if there is none. */
static bool next_hunk(struct hunk *h, size_t from)
{
	size_t count = h->before->len, first = from;
	while (first < count && !differs(h, first))
		first++;
	if (first == count)
		return false;
	h->begin = first - from > CONTEXT ? first - CONTEXT : from;
	size_t last = first;
	for (size_t i = first; i < count && i - last <= 2 * CONTEXT; i++)
		if (differs(h, i))
			last = i;
	h->end = count - last - 1 > CONTEXT ? last + 1 + CONTEXT : count;
	return true;
}

static void add_hunk(struct buf *out, const struct hunk *h)
{
	size_t n = h->end - h->begin;
	buf_addf(out, "@@ -%zu,%zu +%zu,%zu @@\n", h->begin + 1, n, h->begin + 1, n);
	for (size_t i = h->begin, end; i < h->end; i = end) {
		for (end = i; end < h->end && differs(h, end);)
			end++;
		for (size_t k = i; k < end; k++)
			add_line(out, '-', line(h->before, k));
		for (size_t k = i; k < end; k++)
			add_line(out, '+', line(h->after, k));
		if (end == i)
			add_line(out, ' ', line(h->before, end++));
	}
}

/* As git has it: in quotes when the name would not end where it seems to. */
static void add_name(struct buf *out, const char *mark, const char *side, const char *file)
{
	bool plain = true;
	for (const char *c = file; *c && plain; c++)
		plain = (unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f && *c != '"' && *c != '\\';
	buf_addf(out, "%s ", mark);
	if (plain) {
		buf_addf(out, "%s%s%s\n", side, file, strchr(file, ' ') ? "\t" : "");
		return;
	}
	buf_addf(out, "\"%s", side);
	for (const char *c = file; *c; c++)
		if (*c == '"' || *c == '\\')
			buf_addf(out, "\\%c", *c);
		else if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			buf_addf(out, "\\%03o", (unsigned)(unsigned char)*c);
		else
			buf_addc(out, *c);
	buf_adds(out, "\"\n");
}

void diff_add(struct buf *out, const char *file, struct str before, struct str after)
{
	AUTO(vec_fini) struct vec a = {0}, b = {0};
	split(before, &a);
	split(after, &b);
	add_name(out, "---", "a/", file);
	add_name(out, "+++", "b/", file);
	if (a.len != b.len)
		return;
	struct hunk h = {.before = &a, .after = &b};
	for (size_t from = 0; next_hunk(&h, from); from = h.end)
		add_hunk(out, &h);
}
