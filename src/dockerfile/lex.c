/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/lex.h"

#include "base/buf.h"
#include "base/vec.h"

#include <ctype.h>
#include <string.h>

struct pos line_pos(const struct logical_line *l, size_t offset)
{
	size_t low = 0, high = l->piece_count; /* the piece is in [low, high) */
	if (!high)
		return (struct pos){l->line, 0};
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (l->pieces[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	struct pos at = l->pieces[low].at;
	at.column += (uint32_t)(offset - l->pieces[low].offset);
	return at;
}

/* The next physical line without its ending; *raw (may be NULL) with it. */
static bool physical(struct lexer *lx, struct str *out, struct str *raw)
{
	if (lx->rest.len == 0)
		return false;
	ptrdiff_t nl = str_index(lx->rest, '\n');
	size_t whole = nl < 0 ? lx->rest.len : (size_t)nl + 1;
	struct str line = str_n(lx->rest.ptr, whole);
	lx->rest = str_skip(lx->rest, whole);
	lx->line++;
	if (raw)
		*raw = line;
	while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
		line.len--;
	if (line.len > DOCKERFILE_LINE_MAX && !lx->failed_long) {
		lx->failed_long = true;
		diag_add(lx->diag, (struct pos){lx->line, 0},
			"dockerfile line greater than max allowed size of %d", DOCKERFILE_LINE_MAX);
	}
	*out = line;
	return true;
}

static struct str skip_blank(struct str s)
{
	size_t i = 0;
	while (i < s.len && isspace((unsigned char)s.ptr[i]))
		i++;
	return str_skip(s, i);
}

static bool is_comment(struct str line)
{
	struct str s = skip_blank(line);
	return s.len && s.ptr[0] == '#';
}

/* "# name = value" */
static bool directive_parts(struct str line, struct str *name, struct str *value)
{
	if (!str_starts(line, "#"))
		return false;
	struct str s = skip_blank(str_skip(line, 1));
	ptrdiff_t eq = str_index(s, '=');
	if (eq <= 0)
		return false;
	*name = str_trim(str_n(s.ptr, (size_t)eq));
	*value = str_trim(str_skip(s, (size_t)eq + 1));
	for (size_t i = 0; i < name->len; i++)
		if (!isalnum((unsigned char)name->ptr[i]) ||
			(i == 0 && !isalpha((unsigned char)name->ptr[0])))
			return false;
	return name->len && value->len;
}

static void twice(struct lexer *lx, const char *name)
{
	diag_add(lx->diag, (struct pos){lx->line, 1}, "only one %s parser directive can be used", name);
}

/* False when the line is no directive that we know. */
static bool take_directive(struct lexer *lx, struct str line, bool *escape_seen)
{
	struct str name = {0}, value = {0};
	if (!directive_parts(line, &name, &value))
		return false;
	struct directives *d = &lx->directives;
	struct pos at = {lx->line, 1};
	if (str_eq_nocase(name, "escape")) {
		if (*escape_seen)
			twice(lx, "escape");
		else if (value.len != 1 || (value.ptr[0] != '\\' && value.ptr[0] != '`'))
			diag_add(lx->diag, at, "invalid escape '" STR_FMT "': it must be ` or \\",
				STR_ARG(value));
		else
			d->escape = value.ptr[0];
		*escape_seen = true;
		return true;
	}
	if (str_eq_nocase(name, "syntax")) {
		if (d->syntax)
			twice(lx, "syntax");
		d->syntax = arena_str(lx->arena, value);
		d->syntax_at = at;
		return true;
	}
	if (str_eq_nocase(name, "check")) {
		if (d->check)
			twice(lx, "check");
		d->check = arena_str(lx->arena, value);
		d->check_at = at;
		return true;
	}
	return false;
}

void lexer_init_plain(struct lexer *lx, struct arena *a, struct diag *d, struct str text, char escape)
{
	*lx = (struct lexer){.arena = a, .diag = d, .rest = text, .directives.escape = escape};
}

void lexer_init(struct lexer *lx, struct arena *a, struct diag *d, struct str text)
{
	lexer_init_plain(lx, a, d, text, '\\');
	if (str_starts(lx->rest, "\xef\xbb\xbf"))
		lx->rest = str_skip(lx->rest, 3);
	bool escape_seen = false;
	for (;;) {
		struct lexer before = *lx;
		struct str line;
		if (!physical(lx, &line, NULL))
			return;
		if (!take_directive(lx, line, &escape_seen)) {
			lx->rest = before.rest;
			lx->line = before.line;
			return;
		}
	}
}

/* Cut an escape character and blanks at the end. True if there was one: the line goes on. */
static bool cut_continuation(struct str *s, char escape)
{
	size_t n = s->len;
	while (n && (s->ptr[n - 1] == ' ' || s->ptr[n - 1] == '\t'))
		n--;
	if (n == 0 || s->ptr[n - 1] != escape || (n > 1 && s->ptr[n - 2] == escape))
		return false;
	s->len = n - 1;
	return true;
}

static void add_piece(struct vec *pieces, struct buf *text, struct str part, struct pos at)
{
	struct piece p = {text->len, at};
	vec_push_copy(pieces, &p);
	buf_addstr(text, part);
}

static void continue_line(struct lexer *lx, struct logical_line *out, struct buf *text, struct vec *pieces)
{
	struct str line;
	for (bool more = true; more && physical(lx, &line, NULL);) {
		if (is_comment(line))
			continue;
		if (skip_blank(line).len == 0) {
			out->empty_continuation = true;
			continue;
		}
		more = cut_continuation(&line, lx->directives.escape);
		if (text->len + line.len > DOCKERFILE_SIZE_MAX)
			continue;
		add_piece(pieces, text, line, (struct pos){lx->line, 1});
	}
}

bool lexer_next(struct lexer *lx, struct logical_line *out)
{
	struct str comment = {0};
	struct str line;
	while (physical(lx, &line, NULL)) {
		struct str body = skip_blank(line);
		if (is_comment(line)) {
			comment = str_trim(str_skip(body, 1));
			continue;
		}
		if (body.len == 0) {
			comment = (struct str){0};
			continue;
		}
		struct buf text AUTO_BUF = {0};
		struct vec pieces AUTO(vec_fini) = VEC_OF(struct piece);
		*out = (struct logical_line){.line = lx->line};
		struct pos at = {lx->line, (uint32_t)(line.len - body.len) + 1};
		bool more = cut_continuation(&body, lx->directives.escape);
		add_piece(&pieces, &text, body, at);
		if (more)
			continue_line(lx, out, &text, &pieces);
		out->end_line = lx->line;
		out->text = arena_str(lx->arena, buf_str(&text));
		out->len = text.len;
		out->piece_count = pieces.len;
		out->pieces = arena_dup(lx->arena, pieces.ptr, pieces.len * sizeof(struct piece));
		out->comment = comment.ptr ? arena_str(lx->arena, comment) : NULL;
		if (str_trim(buf_str(&text)).len)
			return true;
		comment = (struct str){0};
	}
	return false;
}

static struct str skip_tabs(struct str s)
{
	while (s.len && s.ptr[0] == '\t')
		s = str_skip(s, 1);
	return s;
}

bool lexer_heredoc(struct lexer *lx, const char *name, bool strip_tabs, struct str *body)
{
	struct lexer before = *lx;
	struct buf b AUTO_BUF = {0};
	struct str line, raw;
	while (physical(lx, &line, &raw)) {
		struct str end = strip_tabs ? skip_tabs(line) : line;
		if (str_eq_c(end, name)) {
			body->ptr = arena_str(lx->arena, buf_str(&b));
			body->len = b.len;
			return true;
		}
		buf_addstr(&b, strip_tabs ? skip_tabs(raw) : raw);
	}
	*lx = before;
	return false;
}
