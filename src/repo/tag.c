/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/repo.h"

#include <stdlib.h>
#include <string.h>

static struct str without_v(const char *version)
{
	return str_c(*version == 'v' ? version + 1 : version);
}

char *release_tag(const char *version, const struct commit *c, enum build_kind kind)
{
	struct str v = without_v(version);
	return mem_printf("v" STR_FMT "-%s%s", STR_ARG(v), c->short_id, kind == KIND_NIX ? "-nix" : "");
}

char *release_tag_dirty(
	const char *version, const struct commit *c, enum build_kind kind, const struct digest *tree)
{
	char hex[DIGEST_TEXT_MAX];
	digest_hex(tree, hex);
	struct str v = without_v(version);
	return mem_printf(
		"v" STR_FMT "-%s-dirty-%.8s%s", STR_ARG(v), c->short_id, hex, kind == KIND_NIX ? "-nix" : "");
}

char *release_tag_unpushed(const char *version, const struct commit *c, enum build_kind kind)
{
	struct str v = without_v(version);
	return mem_printf(
		"v" STR_FMT "-%s-unpushed%s", STR_ARG(v), c->short_id, kind == KIND_NIX ? "-nix" : "");
}

void tag_parts_fini(struct tag_parts *t)
{
	mem_freep(&t->version);
	*t = (struct tag_parts){0};
}

void tag_parse(const char *tag, bool *ok, struct tag_parts *out)
{
	struct str s = str_c(tag);
	*ok = false;
	bool nix = str_ends(s, "-nix");
	if (nix)
		s.len -= strlen("-nix");
	/* v, a character of version at least, a dash, seven of the commit */
	if (s.len < 10 || s.ptr[0] != 'v' || s.ptr[s.len - 8] != '-')
		return;
	const char *hex = s.ptr + s.len - 7;
	if (strspn(hex, "0123456789abcdef") < 7)
		return;
	*out = (struct tag_parts){.nix = nix, .version = mem_strndup(s.ptr + 1, s.len - 9)};
	memcpy(out->sha7, hex, 7);
	*ok = true;
}

/*
 * A version as a row of words and numbers. At each place: words of a pre-release < the end < other words <
 * numbers, which gives 3.0.0-rc1 < 3.0.0 < 3.0.0-r1 < 3.0.0.1 < 3.0.1.
 */
enum token_class { TOKEN_PRE, TOKEN_END, TOKEN_WORD, TOKEN_NUMBER };
struct token {
	enum token_class class;
	int rank; /* of a pre-release */
	struct str text;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void classify(struct token *t)
{
	static const struct {
		const char *word;
		int rank;
	} pre[] = {
		{"dev", 0},
		{"snapshot", 0},
		{"nightly", 0},
		{"alpha", 1},
		{"beta", 2},
		{"pre", 3},
		{"preview", 3},
		{"rc", 4},
	};
	t->class = TOKEN_WORD;
	for (size_t i = 0; i < ARRAY_LEN(pre); i++) {
		if (str_eq_nocase(t->text, pre[i].word)) {
			t->class = TOKEN_PRE;
			t->rank = pre[i].rank;
		}
	}
}

static struct token next_token(struct str *s)
{
	while (s->len && !is_digit(s->ptr[0]) && !is_letter(s->ptr[0]))
		*s = str_skip(*s, 1);
	struct token t = {.class = TOKEN_END};
	if (!s->len)
		return t;
	bool digits = is_digit(s->ptr[0]);
	size_t n = 1;
	while (n < s->len && (digits ? is_digit(s->ptr[n]) : is_letter(s->ptr[n])))
		n++;
	t.text = str_n(s->ptr, n);
	*s = str_skip(*s, n);
	if (digits)
		t.class = TOKEN_NUMBER;
	else
		classify(&t);
	return t;
}

static int number_cmp(struct str a, struct str b)
{
	while (a.len > 1 && a.ptr[0] == '0')
		a = str_skip(a, 1);
	while (b.len > 1 && b.ptr[0] == '0')
		b = str_skip(b, 1);
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return str_cmp(a, b);
}

static int token_cmp(const struct token *a, const struct token *b)
{
	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	switch (a->class) {
	case TOKEN_NUMBER:
		return number_cmp(a->text, b->text);
	case TOKEN_WORD:
		return str_cmp(a->text, b->text);
	case TOKEN_PRE:
		return a->rank - b->rank;
	case TOKEN_END:
		return 0;
	}
	return 0;
}

int version_cmp(const char *a, const char *b)
{
	struct str x = without_v(a), y = without_v(b);
	for (;;) {
		struct token t = next_token(&x), u = next_token(&y);
		int order = token_cmp(&t, &u);
		if (order)
			return order;
		if (t.class == TOKEN_END)
			return str_cmp(without_v(a), without_v(b));
	}
}
