/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/template.h"

#include <stdint.h>
#include <string.h>

#define EACH "#@each "
#define END "#@end"

struct render {
	const struct template_scope *scope;
	const struct template_value *row; /* NULL outside of a section */
	const char *path;
	uint32_t line;
	struct buf *out;
};

static bool name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The length of the place that s begins with, with both its signs; 0 if it begins with none. */
static size_t place_len(struct str s)
{
	size_t n = 1;
	if (s.len < 3 || s.ptr[0] != '@' || s.ptr[1] < 'A' || s.ptr[1] > 'Z')
		return 0;
	while (n < s.len && name_char(s.ptr[n]))
		n++;
	return n < s.len && s.ptr[n] == '@' ? n + 1 : 0;
}

static const char *find(const struct template_value *values, struct str name)
{
	for (; values && values->name; values++)
		if (str_eq_c(name, values->name))
			return values->text;
	return NULL;
}

static struct err *value_of(const struct render *r, struct str place, const char **out)
{
	struct str name = str_n(place.ptr + 1, place.len - 2);
	*out = find(r->row, name);
	if (!*out)
		*out = find(r->scope->values, name);
	return *out ? NULL
		    : err_new(ERR_BUG, "%s:%u: nothing is known for " STR_FMT, r->path, r->line,
			      STR_ARG(place));
}

static struct err *render_line(struct render *r, struct str line)
{
	const char *value = NULL;
	if (line.len && place_len(line) == line.len) {
		TRY(value_of(r, line, &value));
		if (!*value)
			return NULL;
	}
	while (line.len) {
		size_t n = place_len(line);
		if (!n) {
			buf_addc(r->out, line.ptr[0]);
			line = str_skip(line, 1);
			continue;
		}
		TRY(value_of(r, str_n(line.ptr, n), &value));
		buf_adds(r->out, value);
		line = str_skip(line, n);
	}
	buf_addc(r->out, '\n');
	return NULL;
}

static struct err *render_lines(struct render *r, struct str text)
{
	struct str line;
	/* The text after the last line end is no line. */
	while (text.len && str_split(&text, '\n', &line)) {
		r->line++;
		TRY(render_line(r, line));
	}
	return NULL;
}

static struct err *render_rows(struct render *r, struct str name, struct str body)
{
	const struct template_rows *s = r->scope->sections;
	while (s && s->name && !str_eq_c(name, s->name))
		s++;
	if (!s || !s->name)
		return err_new(ERR_BUG, "%s:%u: there are no rows " STR_FMT, r->path, r->line, STR_ARG(name));
	uint32_t line = r->line;
	for (size_t i = 0; s->rows[i]; i++) {
		r->line = line;
		r->row = s->rows[i];
		TRY(render_lines(r, body));
	}
	r->row = NULL;
	return NULL;
}

/* What stands before the line "#@end"; *text goes on behind that. */
static struct err *take_body(const struct render *r, struct str *text, struct str *body)
{
	const char *start = text->ptr;
	struct str line;
	while (text->len && str_split(text, '\n', &line)) {
		if (str_starts(line, EACH))
			break;
		if (!str_eq_c(line, END))
			continue;
		*body = str_n(start, (size_t)(line.ptr - start));
		return NULL;
	}
	return err_new(ERR_BUG, "%s:%u: \"" EACH "\" without \"" END "\"", r->path, r->line);
}

static uint32_t count_lines(struct str s)
{
	uint32_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += s.ptr[i] == '\n';
	return n;
}

struct err *template_render(
	struct str text, const char *path, const struct template_scope *scope, struct buf *out)
{
	AUTO_BUF struct buf made = {0};
	struct render r = {.scope = scope, .path = path, .out = &made};
	struct str line, body = {0};
	while (text.len && str_split(&text, '\n', &line)) {
		r.line++;
		if (!str_starts(line, EACH)) {
			TRY(render_line(&r, line));
			continue;
		}
		uint32_t at = r.line;
		TRY(take_body(&r, &text, &body));
		TRY(render_rows(&r, str_skip(line, strlen(EACH)), body));
		r.line = at + count_lines(body) + 1;
	}
	buf_addstr(out, buf_str(&made));
	return NULL;
}
