/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ignore.h"

#include "base/mem.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PATTERNS 10000
#define MAX_PATTERN_LEN 4096

enum token_kind {
	TOK_CHAR,
	TOK_ANY,   /* ? */
	TOK_CLASS, /* [...] */
	TOK_STAR,  /* [^/]* */
	TOK_DIRS,  /* double star and a slash: (.*\/)? */
	TOK_REST,  /* double star at the end: .* */
};

struct token {
	enum token_kind kind;
	unsigned char c;
	const struct char_set *set;
};

struct char_set {
	uint8_t bits[32];
};

struct pattern {
	char *text; /* as written */
	bool negated;
	bool literal; /* no wildcard at all: clean is what it matches */
	char *clean;
	size_t clean_len;
	struct token *tokens;
	size_t count;
	struct char_set *sets;
	size_t head; /* bytes of clean before the first wildcard or escape */
	char *tail;  /* literal bytes after the last wildcard */
	size_t tail_len;
};

struct ignore {
	struct pattern *patterns;
	size_t count;
};

static bool is_wild(char c)
{
	return c == '*' || c == '?' || c == '[' || c == '\\';
}

static struct err *malformed(const struct pattern *p, const char *why)
{
	return err_new(ERR_INVALID, "ignore pattern \"%s\": %s", p->text, why);
}

static void set_add(struct char_set *s, unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to; c++)
		s->bits[c / 8] |= (uint8_t)(1u << (c % 8));
}

/* At *at just after "[". */
static struct err *compile_class(struct pattern *p, size_t *at, struct char_set *set)
{
	const char *s = p->clean;
	size_t i = *at;
	bool negate = s[i] == '^';
	bool any = false;
	i += negate;
	for (; s[i] && (s[i] != ']' || !any); i++) {
		if (s[i] == '\\' && s[i + 1])
			i++;
		unsigned from = (unsigned char)s[i], to = from;
		if (s[i + 1] == '-' && s[i + 2] && s[i + 2] != ']') {
			i += 2;
			if (s[i] == '\\' && s[i + 1])
				i++;
			to = (unsigned char)s[i];
		}
		if (to < from)
			return malformed(p, "a range that runs backwards");
		set_add(set, from, to);
		any = true;
	}
	if (!s[i])
		return malformed(p, "a \"[\" without its \"]\"");
	for (size_t b = 0; negate && b < sizeof(set->bits); b++)
		set->bits[b] = (uint8_t)~set->bits[b];
	set->bits['/' / 8] &= (uint8_t) ~(1u << ('/' % 8));
	*at = i;
	return NULL;
}

static void compile_star(struct pattern *p, size_t *at, struct token *t)
{
	const char *s = p->clean;
	size_t i = *at;
	t->kind = TOK_STAR;
	if (s[i + 1] == '*') {
		while (s[i + 1] == '*')
			i++;
		t->kind = s[i + 1] ? TOK_DIRS : TOK_REST;
		if (s[i + 1] == '/')
			i++;
	}
	*at = i;
}

static struct err *compile_tokens(struct pattern *p)
{
	const char *s = p->clean;
	size_t len = strlen(s), classes = 0;
	p->tokens = mem_array(len + 1, sizeof(*p->tokens));
	p->sets = mem_array(len + 1, sizeof(*p->sets));
	size_t last_wild = 0;
	for (size_t i = 0; s[i]; i++) {
		struct token *t = &p->tokens[p->count++];
		t->c = (unsigned char)s[i];
		if (s[i] == '*') {
			compile_star(p, &i, t);
		} else if (s[i] == '?') {
			t->kind = TOK_ANY;
		} else if (s[i] == '[') {
			t->kind = TOK_CLASS;
			t->set = &p->sets[classes];
			i++;
			TRY(compile_class(p, &i, &p->sets[classes++]));
		} else if (s[i] == '\\') {
			if (!s[++i])
				return malformed(p, "nothing follows the last \"\\\"");
			t->c = (unsigned char)s[i];
		}
		if (t->kind != TOK_CHAR)
			last_wild = p->count;
	}
	p->tail_len = p->count - last_wild;
	p->tail = mem_alloc(p->tail_len + 1);
	for (size_t i = 0; i < p->tail_len; i++)
		p->tail[i] = (char)p->tokens[last_wild + i].c;
	return NULL;
}

static struct err *compile(struct pattern *p, const char *text)
{
	struct str s = str_trim(str_c(text));
	p->text = mem_strndup(s.ptr, s.len);
	if (s.len > MAX_PATTERN_LEN)
		return err_new(ERR_INVALID, "an ignore pattern is longer than %d bytes", MAX_PATTERN_LEN);
	if (str_starts(s, "!")) {
		p->negated = true;
		s = str_trim(str_skip(s, 1));
		if (!s.len)
			return err_hint(malformed(p, "a lone \"!\""), "write the path to take back after it");
	}
	AUTO_FREE char *raw = mem_strndup(s.ptr, s.len);
	AUTO_FREE char *clean = path_clean(raw);
	const char *relative = clean;
	while (*relative == '/')
		relative++;
	p->clean = mem_strdup(relative);
	p->clean_len = strlen(relative);
	while (p->clean[p->head] && !is_wild(p->clean[p->head]))
		p->head++;
	p->literal = p->clean[p->head] == '\0';
	return p->literal ? NULL : compile_tokens(p);
}

struct err *ignore_new(const char *const *patterns, struct ignore **out)
{
	AUTO(ignore_freep) struct ignore *ig = mem_new(struct ignore);
	size_t n = 0;
	while (patterns && patterns[n])
		n++;
	if (n > MAX_PATTERNS)
		return err_new(ERR_INVALID, "more than %d ignore patterns", MAX_PATTERNS);
	ig->patterns = mem_array(n + 1, sizeof(*ig->patterns));
	for (size_t i = 0; i < n; i++) {
		if (!str_trim(str_c(patterns[i])).len)
			continue;
		TRY(compile(&ig->patterns[ig->count++], patterns[i]));
	}
	*out = steal(&ig);
	return NULL;
}

void ignore_free(struct ignore *ig)
{
	if (!ig)
		return;
	for (size_t i = 0; i < ig->count; i++) {
		struct pattern *p = &ig->patterns[i];
		free(p->text);
		free(p->clean);
		free(p->tokens);
		free(p->sets);
		free(p->tail);
	}
	free(ig->patterns);
	free(ig);
}

void ignore_freep(struct ignore **ig)
{
	ignore_free(steal(ig));
}

struct err *ignore_parse(struct str text, struct strvec *patterns)
{
	struct str line;
	if (str_starts(text, "\xef\xbb\xbf"))
		text = str_skip(text, 3);
	if (memchr(text.ptr ? text.ptr : "", '\0', text.len))
		return err_new(ERR_INVALID, "the ignore file holds a NUL byte");
	while (str_split(&text, '\n', &line)) {
		if (str_starts(line, "#"))
			continue;
		line = str_trim(line);
		if (line.len)
			strvec_push_str(patterns, line);
	}
	return NULL;
}

/*
 * The pattern as an automaton whose states are positions in the tokens, so that no pattern takes more than
 * tokens * bytes steps. i is reached; so is what lies behind wildcards that match nothing.
 */
static void reach(const struct pattern *p, uint8_t *on, size_t i)
{
	for (;; i++) {
		on[i] = 1;
		if (i == p->count || (p->tokens[i].kind < TOK_STAR))
			return;
	}
}

static bool token_takes(const struct token *t, unsigned char c)
{
	switch (t->kind) {
	case TOK_CHAR:
		return t->c == c;
	case TOK_ANY:
		return c != '/';
	case TOK_CLASS:
		return t->set->bits[c / 8] & (1u << (c % 8));
	case TOK_STAR:
		return c != '/';
	case TOK_DIRS:
	case TOK_REST:
		return true;
	}
	return false;
}

/* TOK_DIRS may be left without a byte (reach does that), but once it took one only a slash leads out. */
static void advance(const struct pattern *p, const uint8_t *now, uint8_t *next, unsigned char c)
{
	for (size_t i = 0; i < p->count; i++) {
		if (!now[i] || !token_takes(&p->tokens[i], c))
			continue;
		switch (p->tokens[i].kind) {
		case TOK_STAR:
		case TOK_REST:
			reach(p, next, i);
			break;
		case TOK_DIRS:
			next[i] = 1;
			if (c == '/')
				reach(p, next, i + 1);
			break;
		default:
			reach(p, next, i + 1);
		}
	}
}

static bool automaton_match(const struct pattern *p, const char *path, size_t len)
{
	uint8_t small[2][128];
	AUTO_FREE uint8_t *big = NULL;
	size_t n = p->count + 1;
	uint8_t *now = small[0], *next = small[1];
	if (n > sizeof(small[0])) {
		big = mem_alloc(2 * n);
		now = big;
		next = big + n;
	}
	memset(now, 0, n);
	reach(p, now, 0);
	for (size_t i = 0; i < len; i++) {
		memset(next, 0, n);
		advance(p, now, next, (unsigned char)path[i]);
		uint8_t *t = now;
		now = next;
		next = t;
	}
	return now[p->count];
}

static bool pattern_match(const struct pattern *p, const char *path, size_t len)
{
	if (p->literal)
		return p->clean_len == len && memcmp(p->clean, path, len) == 0;
	if (len < p->head || memcmp(p->clean, path, p->head) != 0)
		return false;
	if (len < p->tail_len || memcmp(path + len - p->tail_len, p->tail, p->tail_len) != 0)
		return false;
	return automaton_match(p, path, len);
}

static bool matches_path_or_parent(const struct pattern *p, const char *path)
{
	for (size_t i = 1;; i++) {
		if (path[i] && path[i] != '/')
			continue;
		if (pattern_match(p, path, i))
			return true;
		if (!path[i])
			return false;
	}
}

bool ignore_match(const struct ignore *ig, const char *path, const char **rule)
{
	bool matched = false;
	const char *by = NULL;
	for (size_t i = 0; ig && *path && i < ig->count; i++) {
		const struct pattern *p = &ig->patterns[i];
		/* A pattern that would not change the outcome need not be looked at. */
		if (p->negated != matched || !matches_path_or_parent(p, path))
			continue;
		matched = !p->negated;
		by = p->text;
	}
	if (rule)
		*rule = by;
	return matched;
}

size_t ignore_state_size(const struct ignore *ig)
{
	return ig ? ig->count : 0;
}

bool ignore_step(const struct ignore *ig, const uint8_t *parent, const char *path, uint8_t *state)
{
	bool matched = false;
	size_t len = strlen(path);
	for (size_t i = 0; ig && len && i < ig->count; i++) {
		const struct pattern *p = &ig->patterns[i];
		bool hit = parent && parent[i];
		/* Without a state to fill, what would not change the outcome need not be looked at. */
		if (!hit && (state || p->negated == matched))
			hit = pattern_match(p, path, len);
		if (state)
			state[i] = hit;
		if (hit)
			matched = !p->negated;
	}
	return matched;
}

/* Could p match something whose first components are dir's? Literal components must agree; from the first
 * wildcard on anything may. */
static bool may_match_below(const struct pattern *p, const char *dir)
{
	size_t n = strlen(dir);
	size_t common = p->head < n ? p->head : n;
	if (memcmp(p->clean, dir, common) != 0)
		return false;
	if (p->head < n)
		return !p->literal;
	return n == 0 || p->clean[n] == '/' || (!p->literal && p->head == n);
}

bool ignore_may_match_below(const struct ignore *ig, const char *dir, bool positive)
{
	for (size_t i = 0; ig && i < ig->count; i++)
		if (ig->patterns[i].negated != positive && may_match_below(&ig->patterns[i], dir))
			return true;
	return false;
}
