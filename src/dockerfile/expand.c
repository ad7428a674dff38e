/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/expand.h"

#include "base/mem.h"
#include "dockerfile/glob.h"

#include <ctype.h>
#include <string.h>

#define NO_STOP 0

/* Collects words while text is expanded; only at the outermost level. */
struct splitter {
	struct strvec *words;
	struct buf word;
};

struct scan {
	const struct expander *x;
	const char *at; /* NUL-terminated rest */
	bool keep_escapes;
	int depth;
	size_t own_work;
};

static struct err *until(struct scan *sc, char stop, struct buf *out, struct splitter *split);

static struct err *bounded(const struct buf *out)
{
	if (out->len > EXPAND_RESULT_MAX)
		return err_new(ERR_INVALID, "expands to more than %zu bytes", EXPAND_RESULT_MAX);
	return NULL;
}

static void split_flush(struct splitter *s)
{
	/* Like BuildKit: an empty word is none, even a quoted one. */
	if (s->word.len)
		strvec_push_str(s->words, buf_str(&s->word));
	buf_clear(&s->word);
}

/* Text whose blanks separate words. */
static void split_plain(struct splitter *s, struct str text)
{
	for (size_t i = 0; s && i < text.len; i++) {
		if (isspace((unsigned char)text.ptr[i])) {
			split_flush(s);
			continue;
		}
		buf_addc(&s->word, text.ptr[i]);
	}
}

/* What was appended to out after its first before bytes. */
static struct str tail(const struct buf *out, size_t before)
{
	return str_skip(buf_str(out), before);
}

static void split_raw(struct splitter *s, struct str text)
{
	if (!s)
		return;
	buf_addstr(&s->word, text);
}

static bool name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* The name at sc->at; empty if there is none. */
static struct str read_name(struct scan *sc)
{
	const char *start = sc->at;
	if (isdigit((unsigned char)*start)) {
		while (isdigit((unsigned char)*sc->at))
			sc->at++;
	} else if (*start && strchr("@*#?-$!", *start)) {
		sc->at++;
	} else {
		while (name_byte(*sc->at))
			sc->at++;
	}
	return str_n(start, (size_t)(sc->at - start));
}

static const char *lookup(const struct scan *sc, struct str name)
{
	if (!sc->x->get || name.len == 0)
		return NULL;
	char *text AUTO_FREE = mem_strndup(name.ptr, name.len);
	return sc->x->get(sc->x->ctx, text);
}

/* Until the closing brace, in a nested scan. */
static struct err *operand(struct scan *sc, char stop, bool keep_escapes, struct buf *out)
{
	bool before = sc->keep_escapes;
	sc->keep_escapes = keep_escapes;
	struct err *why = until(sc, stop, out, NULL);
	sc->keep_escapes = before;
	return why;
}

static struct err *required(struct str name, const char *value, bool empty_too, const struct buf *word)
{
	if (value && (value[0] || !empty_too))
		return NULL;
	const char *text = value ? "is not allowed to be empty" : "is not allowed to be unset";
	return err_new(ERR_INVALID, STR_FMT ": %s", STR_ARG(name), word->len ? buf_cstr(word) : text);
}

static size_t *work_of(struct scan *sc)
{
	return sc->x->work ? sc->x->work : &sc->own_work;
}

/* ${name-word} and its relatives; the operator was read. */
static struct err *modify(struct scan *sc, struct str name, char op, bool colon, struct buf *out)
{
	bool pattern = op == '#' || op == '%';
	struct buf word AUTO_BUF = {0};
	TRY(operand(sc, '}', pattern || sc->keep_escapes, &word));
	const char *value = lookup(sc, name);
	if (!value && sc->x->keep_unset) {
		buf_addf(out, "${" STR_FMT "%s%c%s}", STR_ARG(name), colon ? ":" : "", op, buf_cstr(&word));
		return NULL;
	}
	bool present = value && (value[0] || !colon);
	switch (op) {
	case '-':
		buf_adds(out, present ? value : buf_cstr(&word));
		return NULL;
	case '+':
		buf_adds(out, present ? buf_cstr(&word) : "");
		return NULL;
	case '?':
		TRY(required(name, value, colon, &word));
		buf_adds(out, value);
		return NULL;
	default:
		break;
	}
	struct str p = buf_str(&word);
	bool longest = p.len && p.ptr[0] == op;
	if (longest)
		p = str_skip(p, 1);
	struct glob_job job = {p, str_c(value), work_of(sc)};
	return op == '#' ? glob_cut_prefix(&job, longest, out) : glob_cut_suffix(&job, longest, out);
}

static struct err *replace(struct scan *sc, struct str name, struct buf *out)
{
	bool all = *sc->at == '/';
	if (all)
		sc->at++;
	struct buf pattern AUTO_BUF = {0}, by AUTO_BUF = {0};
	struct err *why = operand(sc, '/', true, &pattern);
	if (why)
		return err_hint(
			why, "write ${%.*s%spattern/replacement}", (int)name.len, name.ptr, all ? "//" : "/");
	TRY(operand(sc, '}', true, &by));
	const char *value = lookup(sc, name);
	if (!value && sc->x->keep_unset) {
		buf_addf(out, "${" STR_FMT "%s%s/%s}", STR_ARG(name), all ? "//" : "/", buf_cstr(&pattern),
			buf_cstr(&by));
		return NULL;
	}
	struct glob_job job = {buf_str(&pattern), str_c(value), work_of(sc)};
	return glob_replace(&job, buf_str(&by), all, out);
}

static struct err *braced(struct scan *sc, struct buf *out)
{
	if (!*sc->at)
		return err_new(ERR_INVALID, "syntax error: missing '}'");
	if (strchr("{}:", *sc->at))
		return err_new(ERR_INVALID, "syntax error: bad substitution");
	struct str name = read_name(sc);
	char op = *sc->at;
	if (!op)
		return err_new(ERR_INVALID, "syntax error: missing '}'");
	sc->at++;
	if (op == '}') {
		const char *value = lookup(sc, name);
		if (value)
			buf_adds(out, value);
		else if (sc->x->keep_unset)
			buf_addf(out, "${" STR_FMT "}", STR_ARG(name));
		return NULL;
	}
	bool colon = op == ':';
	if (colon) {
		op = *sc->at;
		if (!op)
			return err_new(ERR_INVALID, "syntax error: missing '}'");
		sc->at++;
	}
	if (strchr("-+?", op) || (!colon && strchr("#%", op)))
		return modify(sc, name, op, colon, out);
	if (op == '/' && !colon)
		return replace(sc, name, out);
	struct str rest = str_n(sc->at - 1, 1);
	return err_hint(err_new(ERR_INVALID, "unsupported modifier (%s" STR_FMT ") in substitution",
				colon ? ":" : "", STR_ARG(rest)),
		"supported are :- - :+ + :? ? # ## %% %%%% / and //");
}

static struct err *dollar(struct scan *sc, struct buf *out)
{
	sc->at++;
	if (sc->depth >= EXPAND_DEPTH_MAX)
		return err_new(ERR_INVALID, "substitutions nested deeper than %d", EXPAND_DEPTH_MAX);
	if (*sc->at == '{') {
		sc->at++;
		sc->depth++;
		struct err *why = braced(sc, out);
		sc->depth--;
		return why ? why : bounded(out);
	}
	struct str name = read_name(sc);
	if (name.len == 0) {
		buf_addc(out, '$');
		return NULL;
	}
	const char *value = lookup(sc, name);
	if (value)
		buf_adds(out, value);
	else if (sc->x->keep_unset)
		buf_addf(out, "$" STR_FMT, STR_ARG(name));
	return bounded(out);
}

static struct err *single_quoted(struct scan *sc, struct buf *out)
{
	const char *end = strchr(sc->at + 1, '\'');
	if (!end)
		return err_new(
			ERR_INVALID, "unexpected end of statement while looking for matching single-quote");
	size_t keep = sc->x->keep_quotes ? 0 : 1;
	buf_add(out, sc->at + keep, (size_t)(end - sc->at) + 1 - 2 * keep);
	sc->at = end + 1;
	return NULL;
}

static struct err *double_quoted(struct scan *sc, struct buf *out)
{
	sc->at++;
	if (sc->x->keep_quotes)
		buf_addc(out, '"');
	while (*sc->at != '"') {
		if (!*sc->at)
			return err_new(ERR_INVALID,
				"unexpected end of statement while looking for matching double-quote");
		if (*sc->at == '$') {
			TRY(dollar(sc, out));
			continue;
		}
		char c = *sc->at++;
		if (c == sc->x->escape) {
			char next = *sc->at;
			bool escapes = next == '"' || next == '$' || next == sc->x->escape;
			if (!next)
				continue;
			if (sc->keep_escapes && escapes)
				buf_addc(out, c);
			if (escapes)
				c = *sc->at++;
		}
		buf_addc(out, c);
	}
	sc->at++;
	if (sc->x->keep_quotes)
		buf_addc(out, '"');
	return NULL;
}

/* An escape and what follows. */
static void escaped(struct scan *sc, struct buf *out, struct splitter *split)
{
	size_t before = out->len;
	char c = *sc->at++;
	if (sc->keep_escapes)
		buf_addc(out, c);
	if (*sc->at)
		buf_addc(out, *sc->at++);
	if (out->len > before)
		split_raw(split, tail(out, before));
}

static struct err *until(struct scan *sc, char stop, struct buf *out, struct splitter *split)
{
	while (*sc->at) {
		char c = *sc->at;
		size_t before = out->len;
		if (stop != NO_STOP && c == stop) {
			sc->at++;
			return NULL;
		}
		if (c == '$') {
			TRY(dollar(sc, out));
			split_plain(split, tail(out, before));
		} else if ((c == '\'' || c == '"') && !sc->x->quotes_are_text) {
			TRY(c == '"' ? double_quoted(sc, out) : single_quoted(sc, out));
			split_raw(split, tail(out, before));
		} else if (c == sc->x->escape) {
			escaped(sc, out, split);
		} else {
			buf_addc(out, *sc->at++);
			split_plain(split, str_n(&c, 1));
		}
	}
	if (stop != NO_STOP)
		return err_new(ERR_INVALID, "syntax error: missing '%c'", stop);
	return bounded(out);
}

struct err *expand_word(const struct expander *x, const char *word, struct buf *out)
{
	struct scan sc = {.x = x, .at = word, .keep_escapes = x->keep_escapes, .own_work = EXPAND_WORK_MAX};
	struct buf result AUTO_BUF = {0};
	TRY(until(&sc, NO_STOP, &result, NULL));
	buf_addstr(out, buf_str(&result));
	return NULL;
}

static void split_fini(struct splitter *s)
{
	buf_fini(&s->word);
}

struct err *expand_words(const struct expander *x, const char *text, struct strvec *out)
{
	struct scan sc = {.x = x, .at = text, .keep_escapes = x->keep_escapes, .own_work = EXPAND_WORK_MAX};
	struct splitter split AUTO(split_fini) = {.words = out};
	struct buf result AUTO_BUF = {0};
	TRY(until(&sc, NO_STOP, &result, &split));
	split_flush(&split);
	return NULL;
}
