/* SPDX-License-Identifier: Apache-2.0 */
/* Images named inside a longer text: arguments, values of variables, files of a ConfigMap. */
#include "repo/manifest_internal.h"

#include <string.h>

/* Of one text; what is beyond is no list of images. */
#define MAX_IN_TEXT 200

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool of_name(char c)
{
	return is_alnum(c) || (c && strchr("._-/", c));
}

static bool of_tag(char c)
{
	return is_alnum(c) || (c && strchr("._-", c));
}

/* May an image begin here? Not inside a longer name: "my" of "not-my/x", or of "other/my/x". A URL's "://"
 * may go before. */
static bool may_begin(const char *text, const char *at)
{
	if (at == text)
		return true;
	if (at[-1] == '/')
		return at - text >= 3 && strncmp(at - 3, "://", 3) == 0;
	return !of_tag(at[-1]);
}

static size_t run(const char *s, bool (*of)(char))
{
	size_t n = 0;
	while (of(s[n]))
		n++;
	if (s[n] == '$' || s[n] == '{')
		return 0; /* some other program fills in the rest */
	/* What ends a sentence, or a path, ends no name and no tag. */
	while (n && !is_alnum(s[n - 1]) && s[n - 1] != '_')
		n--;
	return n;
}

/* The image that begins at s, below prefix. False when it has neither tag nor digest: a mere mention. */
static bool read_image(const char *s, size_t prefix, struct image_parts *out)
{
	size_t n = prefix + run(s + prefix, of_name);
	*out = (struct image_parts){.name = str_n(s, n)};
	if (n > prefix && s[n] == ':') {
		out->tag = str_n(s + n + 1, run(s + n + 1, of_tag));
		n += 1 + out->tag.len;
		if (!out->tag.len || s[n] == '/') /* that was a host with its port */
			return false;
	}
	if (s[n] == '@' && strncmp(s + n + 1, "sha256:", 7) == 0) {
		out->digest = str_n(s + n + 1, 7 + run(s + n + 8, is_alnum));
		n += 1 + out->digest.len;
	}
	return out->name.len > prefix && (out->tag.ptr || out->digest.ptr);
}

/* How often what (len bytes) stands in text before end. */
static size_t count_before(const char *text, const char *end, const char *what, size_t len)
{
	size_t n = 0;
	for (const char *p = text; (p = memmem(p, (size_t)(end - p) + len - 1, what, len)) && p < end; p++)
		n++;
	return n;
}

/*
 * Where in the bytes of a block the text at stands: such blocks are written as they are, save indentation and
 * line breaks, which images have none of. So it is the place where the same text stands the same number of
 * times before. False if that cannot be told.
 */
static bool in_block(
	const struct finding *f, const struct manifest_node *n, const char *at, size_t len, size_t *begin)
{
	const char *p = f->text.ptr + n->begin, *end = f->text.ptr + n->end;
	p = memchr(p, '\n', (size_t)(end - p)); /* its first line may hold a comment */
	size_t before = count_before(n->text, at, at, len);
	for (; p; p++) {
		p = memmem(p, (size_t)(end - p), at, len);
		if (p && before-- == 0)
			break;
	}
	*begin = p ? (size_t)(p - f->text.ptr) : 0;
	return p != NULL;
}

static void set_line(const struct finding *f, const struct manifest_node *n, size_t offset, struct pin *p)
{
	for (size_t i = n->begin; i < offset; i++) {
		if (f->text.ptr[i] != '\n')
			continue;
		p->line++;
		p->column = (uint32_t)(offset - i);
	}
}

/* The slots of what stands at `at` of the value of n, and begins at byte `begin` of the file. */
static void set_slots(
	struct found_pin *p, const struct manifest_node *n, const struct image_parts *parts, size_t begin)
{
	const char *at = parts->name.ptr;
	struct manifest_slot *slots[] = {&p->tag, &p->digest};
	const struct str *values[] = {&parts->tag, &parts->digest};
	for (size_t i = 0; i < 2; i++) {
		if (!values[i]->ptr)
			continue;
		size_t from = (size_t)(values[i]->ptr - at);
		*slots[i] = (struct manifest_slot){
			.node = n,
			.begin = begin + from,
			.offset = (size_t)(values[i]->ptr - n->text),
			.len = values[i]->len,
		};
	}
	p->pin.offset = parts->tag.ptr ? p->tag.begin : p->digest.begin;
}

static void found(
	struct finding *f, const struct manifest_node *n, const struct image_parts *parts, const char *why)
{
	const struct image_place at = {.form = PIN_ENV};
	const struct manifest_node *value = manifest_resolve(n);
	const struct str *last = parts->digest.ptr ? &parts->digest : &parts->tag;
	size_t len = (size_t)(last->ptr + last->len - parts->name.ptr), begin = 0;
	struct found_pin *p = found_pin_new(f, n, parts, &at);
	found_pin_problem(p, why);
	bool block = n == value && n->style == MANIFEST_BLOCK && !n->anchor && !n->type;
	const char *fixed = block ? NULL : scalar_why_fixed(f, n);
	found_pin_fixed(p, fixed);
	if (block && !in_block(f, n, parts->name.ptr, len, &begin))
		found_pin_problem(
			p, arena_printf(f->arena, "%s:%u: it is broken over lines", f->path, n->line));
	if (!block && !fixed)
		begin = n->begin + (n->style != MANIFEST_PLAIN) + (size_t)(parts->name.ptr - n->text);
	if (begin) {
		set_slots(p, n, parts, begin);
		set_line(f, n, begin, &p->pin);
	} else {
		p->pin.offset = n->begin + (size_t)(parts->name.ptr - value->text);
	}
	found_pin_check(f, p, parts);
}

void find_in_text(struct finding *f, const struct manifest_node *n, const char *why)
{
	const char *text = manifest_text(n), *at = text;
	size_t prefix = strlen(f->prefix);
	for (size_t count = 0; at && count < MAX_IN_TEXT && (at = strstr(at, f->prefix)); at += prefix) {
		struct image_parts parts;
		if (!may_begin(text, at) || !read_image(at, prefix, &parts))
			continue;
		if (str_eq_c(parts.tag, MANIFEST_SENTINEL) && !parts.digest.ptr)
			continue;
		count++;
		found(f, n, &parts, why);
	}
}
