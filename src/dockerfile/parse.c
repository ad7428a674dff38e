/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/ast.h"

#include "base/vec.h"
#include "dockerfile/heredoc.h"
#include "dockerfile/words.h"

#include <ctype.h>
#include <string.h>

static const struct {
	const char *name;
	enum argument_form form;
} keywords[] = {
#define X(id, text, how) [KW_##id] = {text, how},
	KEYWORDS(X)
#undef X
		[KW_UNKNOWN] = {"", FORM_NONE},
};

/* One instruction being parsed; offsets are into the logical line. */
struct parser {
	struct arena *arena;
	struct diag *diag;
	const struct logical_line *line;
	char escape;
};

const char *const *keyword_names(void)
{
	static const char *const names[] = {
#define X(id, text, how) text,
		KEYWORDS(X)
#undef X
			NULL};
	return names;
}

static enum keyword keyword_of(const char *name)
{
	for (size_t k = 0; k < KW_UNKNOWN; k++)
		if (str_eq_nocase(str_c(name), keywords[k].name))
			return (enum keyword)k;
	return KW_UNKNOWN;
}

static struct ast_word *take_words(struct parser *p, const struct vec *words, size_t base)
{
	struct ast_word *out = arena_array(p->arena, words->len + 1, sizeof(*out));
	for (size_t i = 0; i < words->len; i++) {
		const struct word *w = vec_at(words, i);
		out[i] = (struct ast_word){w->text, line_pos(p->line, base + w->offset)};
	}
	return out;
}

static void set_args(struct parser *p, struct ast_node *n, const struct vec *words, size_t base)
{
	n->args = take_words(p, words, base);
	n->arg_count = words->len;
	if (words->len <= DOCKERFILE_WORDS_MAX)
		return;
	diag_add(p->diag, n->at, "%s has more than %d words", n->name, DOCKERFILE_WORDS_MAX);
	n->bad = true;
}

static void push_text(struct vec *words, const char *text, size_t offset)
{
	if (*text) {
		struct word w = {text, offset};
		vec_push_copy(words, &w);
	}
}

/* Try JSON; false if the text has to be read otherwise. */
static bool parse_json(struct parser *p, struct ast_node *n, const char *rest, size_t base, struct vec *words)
{
	switch (words_json(p->arena, rest, words)) {
	case WORDS_JSON:
		n->json = true;
		return true;
	case WORDS_JSON_BAD_MEMBER:
		diag_add(p->diag, line_pos(p->line, base),
			"when using JSON array syntax, arrays must be comprised of strings only");
		n->bad = true;
		return true;
	case WORDS_NOT_JSON:
		break;
	}
	return false;
}

static void parse_text(
	struct parser *p, struct ast_node *n, const char *rest, size_t base, enum argument_form form)
{
	struct vec words AUTO(vec_fini) = VEC_OF(struct word);
	bool json = form != FORM_TEXT && parse_json(p, n, rest, base, &words);
	if (!json && form == FORM_JSON_OR_WORDS)
		words_blank(p->arena, rest, &words);
	else if (!json)
		push_text(&words, rest, 0);
	set_args(p, n, &words, base);
}

static void add_pair(struct vec *out, const char *key, const char *value, const char *sep, size_t offset)
{
	struct word parts[] = {{key, offset}, {value, offset}, {sep, offset}};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		vec_push_copy(out, &parts[i]);
}

/* "KEY rest of line" */
static void parse_legacy_pair(
	struct parser *p, struct ast_node *n, const char *rest, size_t base, struct vec *out)
{
	size_t key = strcspn(rest, " \t\v\f\r");
	size_t value = key + strspn(rest + key, " \t\v\f\r");
	if (!rest[value]) {
		diag_add(p->diag, line_pos(p->line, base), "%s must have two arguments", n->name);
		n->bad = true;
		return;
	}
	n->legacy = true;
	add_pair(out, arena_strndup(p->arena, rest, key), arena_strdup(p->arena, rest + value), "", 0);
}

static void parse_pairs(struct parser *p, struct ast_node *n, const char *rest, size_t base)
{
	struct vec words AUTO(vec_fini) = VEC_OF(struct word);
	struct vec pairs AUTO(vec_fini) = VEC_OF(struct word);
	words_quoted(p->arena, rest, p->escape, &words);
	if (words.len && !strchr(((struct word *)vec_at(&words, 0))->text, '=')) {
		parse_legacy_pair(p, n, rest, base, &pairs);
		set_args(p, n, &pairs, base);
		return;
	}
	for (size_t i = 0; i < words.len; i++) {
		const struct word *w = vec_at(&words, i);
		const char *eq = strchr(w->text, '=');
		if (!eq) {
			diag_add(p->diag, line_pos(p->line, base + w->offset),
				"syntax error: can't find = in \"%s\": must be of the form name=value",
				w->text);
			n->bad = true;
			continue;
		}
		add_pair(&pairs, arena_strndup(p->arena, w->text, (size_t)(eq - w->text)), eq + 1, "=",
			w->offset);
	}
	set_args(p, n, &pairs, base);
}

static void parse_health(struct parser *p, struct ast_node *n, const char *rest, size_t base)
{
	struct vec words AUTO(vec_fini) = VEC_OF(struct word);
	size_t type = strcspn(rest, " \t\v\f\r");
	size_t command = type + strspn(rest + type, " \t\v\f\r");
	push_text(&words, arena_strndup(p->arena, rest, type), 0);
	struct vec args AUTO(vec_fini) = VEC_OF(struct word);
	if (!parse_json(p, n, rest + command, base + command, &args))
		push_text(&args, rest + command, 0);
	for (size_t i = 0; i < args.len; i++) {
		struct word w = *(struct word *)vec_at(&args, i);
		w.offset += command;
		vec_push_copy(&words, &w);
	}
	set_args(p, n, &words, base);
}

static void parse_plain_words(
	struct parser *p, struct ast_node *n, const char *rest, size_t base, bool quoted)
{
	struct vec words AUTO(vec_fini) = VEC_OF(struct word);
	if (quoted)
		words_quoted(p->arena, rest, p->escape, &words);
	else
		words_blank(p->arena, rest, &words);
	set_args(p, n, &words, base);
}

static void parse_instruction(struct parser *p, size_t offset, bool nested, struct ast_node *n);

static void parse_args(struct parser *p, struct ast_node *n, const char *rest, size_t base, bool nested)
{
	enum argument_form form = keywords[n->keyword].form;
	switch (form) {
	case FORM_JSON_OR_TEXT:
	case FORM_JSON_OR_WORDS:
	case FORM_TEXT:
		parse_text(p, n, rest, base, form);
		return;
	case FORM_WORDS:
	case FORM_OPTIONS:
		parse_plain_words(p, n, rest, base, form == FORM_OPTIONS);
		return;
	case FORM_PAIRS:
		parse_pairs(p, n, rest, base);
		return;
	case FORM_HEALTH:
		parse_health(p, n, rest, base);
		return;
	case FORM_NESTED:
		if (*rest && !nested) {
			n->child = arena_new_of(p->arena, struct ast_node);
			parse_instruction(p, base, true, n->child);
		} else if (*rest) {
			diag_add(p->diag, line_pos(p->line, base),
				"chaining ONBUILD via ONBUILD isn't allowed");
			n->bad = true;
		}
		return;
	case FORM_NONE:
		return;
	}
}

/* What stands from offset of the logical line on. */
static void parse_instruction(struct parser *p, size_t offset, bool nested, struct ast_node *n)
{
	struct str text = str_trim(str_skip(str_n(p->line->text, p->line->len), offset));
	offset = (size_t)(text.ptr - p->line->text);
	const char *line = arena_str(p->arena, text);
	size_t name = strcspn(line, " \t\v\f\r");
	size_t rest = name + strspn(line + name, " \t\v\f\r");
	n->name = arena_strndup(p->arena, line, name);
	n->keyword = keyword_of(n->name);
	n->text = line;
	n->rest = line + rest;
	n->at = line_pos(p->line, offset);
	n->line = p->line->line;
	n->end_line = p->line->end_line;
	n->comment = p->line->comment;
	n->empty_continuation = p->line->empty_continuation;
	struct vec flags AUTO(vec_fini) = VEC_OF(struct word);
	size_t args = rest + words_flags(p->arena, line + rest, p->escape, &flags);
	n->flags = take_words(p, &flags, offset + rest);
	n->flag_count = flags.len;
	if (flags.len > DOCKERFILE_WORDS_MAX)
		diag_add(p->diag, n->at, "%s has more than %d flags", n->name, DOCKERFILE_WORDS_MAX);
	parse_args(p, n, line + args, offset + args, nested);
}

static bool takes_heredocs(const struct ast_node *n)
{
	return !n->json && (n->keyword == KW_ADD || n->keyword == KW_COPY || n->keyword == KW_RUN);
}

/* Read the bodies that the instruction's text announces. */
static void read_heredocs(struct parser *p, struct lexer *lx, struct ast_node *n)
{
	struct ast_node *owner = n->child ? n->child : n;
	if (!takes_heredocs(owner))
		return;
	struct vec docs AUTO(vec_fini) = VEC_OF(struct ast_heredoc);
	heredoc_find(p->arena, owner->text, &docs);
	size_t base = (size_t)(strstr(p->line->text, owner->text) - p->line->text);
	for (size_t i = 0; i < docs.len; i++) {
		struct ast_heredoc *doc = vec_at(&docs, i);
		doc->at = line_pos(p->line, base + doc->at.column);
		if (!lexer_heredoc(lx, doc->name, doc->strip_tabs, &doc->body)) {
			diag_add(p->diag, doc->at, "unterminated heredoc: no line is just \"%s\"", doc->name);
			/* What follows is the body, not instructions. */
			lx->rest = (struct str){0};
			docs.len = i;
			break;
		}
	}
	owner->docs = arena_dup(p->arena, docs.ptr, docs.len * sizeof(struct ast_heredoc));
	owner->doc_count = docs.len;
	owner->end_line = n->end_line = lx->line;
}

static bool parse_next(struct lexer *lx, struct ast_node *n)
{
	struct logical_line line;
	if (!lexer_next(lx, &line))
		return false;
	struct parser p = {lx->arena, lx->diag, &line, lx->directives.escape};
	*n = (struct ast_node){0};
	parse_instruction(&p, 0, false, n);
	read_heredocs(&p, lx, n);
	return true;
}

static bool usable(struct diag *d, struct str text)
{
	if (text.len > DOCKERFILE_SIZE_MAX) {
		diag_add(d, (struct pos){0}, "file is larger than %zu bytes", DOCKERFILE_SIZE_MAX);
		return false;
	}
	const char *nul = text.len ? memchr(text.ptr, 0, text.len) : NULL;
	if (!nul)
		return true;
	struct pos at = {1, 1};
	for (const char *c = text.ptr; c < nul; c++) {
		at.column++;
		if (*c == '\n')
			at = (struct pos){at.line + 1, 1};
	}
	diag_add(d, at, "NUL byte: this is no text file");
	return false;
}

void ast_parse(struct arena *a, struct diag *d, struct str text, struct ast *out)
{
	*out = (struct ast){.directives.escape = '\\'};
	if (!usable(d, text))
		return;
	struct lexer lx;
	lexer_init(&lx, a, d, text);
	struct vec nodes AUTO(vec_fini) = VEC_OF(struct ast_node);
	struct ast_node n;
	while (parse_next(&lx, &n)) {
		if (nodes.len == DOCKERFILE_INSTRUCTIONS_MAX) {
			diag_add(d, n.at, "more than %d instructions", DOCKERFILE_INSTRUCTIONS_MAX);
			break;
		}
		vec_push_copy(&nodes, &n);
	}
	out->directives = lx.directives;
	out->nodes = arena_dup(a, nodes.ptr, nodes.len * sizeof(n));
	out->count = nodes.len;
	if (nodes.len == 0 && d->count == 0)
		diag_add(d, (struct pos){0}, "file with no instructions");
}

bool ast_parse_one(struct arena *a, struct diag *d, struct str text, char escape, struct ast_node *out)
{
	if (!usable(d, text))
		return false;
	struct lexer lx;
	lexer_init_plain(&lx, a, d, text, escape);
	struct ast_node second;
	if (!parse_next(&lx, out))
		return false;
	if (parse_next(&lx, &second)) {
		diag_add(d, second.at, "more than one instruction");
		return false;
	}
	return true;
}
