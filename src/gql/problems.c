/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/problems_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Paths of chains are long, and every error has one: beyond this many bytes errors go without. */
#define PATHS_MAX ((size_t)16 << 20)

void problems_init(struct problems *p, struct str text, size_t max)
{
	*p = (struct problems){.text = text, .max = max, .seen_line = 1};
}

void problems_fini(struct problems *p)
{
	buf_fini(&p->json);
	buf_fini(&p->first);
}

bool problems_full(const struct problems *p)
{
	return p->count >= p->max;
}

/* Lines end with LF, CR or CR LF; columns count characters. Errors mostly come in the order of the text. */
static void locate(struct problems *p, size_t at, unsigned *line, unsigned *column)
{
	const char *t = p->text.ptr;
	if (at > p->text.len)
		at = p->text.len;
	if (at < p->seen_at) {
		p->seen_at = p->seen_line_start = 0;
		p->seen_line = 1;
	}
	for (size_t i = p->seen_at; i < at; i++) {
		bool crlf = t[i] == '\r' && i + 1 < p->text.len && t[i + 1] == '\n';
		if (t[i] == '\n' || (t[i] == '\r' && !crlf)) {
			p->seen_line++;
			p->seen_line_start = i + 1;
		}
	}
	p->seen_at = at;
	*line = p->seen_line;
	*column = 1;
	for (size_t i = p->seen_line_start; i < at; i++)
		*column += ((unsigned char)t[i] & 0xC0) != 0x80;
}

static void keep_first(struct problems *p, struct str message, unsigned line, unsigned column)
{
	if (p->count > 0)
		return;
	buf_addstr(&p->first, message);
	p->first_line = line;
	p->first_column = column;
}

void problem_add_field(
	struct problems *p, uint32_t at, struct str path, struct str message, const json_t *extensions)
{
	if (problems_full(p))
		return;
	unsigned line = 0, column = 0;
	if (at != NO_PLACE)
		locate(p, at, &line, &column);
	keep_first(p, message, line, column);
	buf_adds(&p->json, p->count++ ? ",{\"message\":" : "{\"message\":");
	buf_add_json(&p->json, message);
	if (at != NO_PLACE)
		buf_addf(&p->json, ",\"locations\":[{\"line\":%u,\"column\":%u}]", line, column);
	if (path.len > 0 && p->json.len + path.len < PATHS_MAX) {
		buf_adds(&p->json, ",\"path\":");
		buf_addstr(&p->json, path);
	}
	if (json_is_object(extensions)) {
		char *text = json_dump(extensions, false);
		buf_addf(&p->json, ",\"extensions\":%s", text);
		free(text);
	}
	buf_addc(&p->json, '}');
}

void problem_add(struct problems *p, uint32_t at, const char *fmt, ...)
{
	if (problems_full(p))
		return;
	struct buf message AUTO_BUF = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&message, fmt, ap);
	va_end(ap);
	problem_add_field(p, at, (struct str){0}, buf_str(&message), NULL);
}
