/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include "base/mem.h"

#include <string.h>

static void in_text(struct terminal_filter *f, unsigned char c, struct buf *out)
{
	if (c == 0x1b)
		f->state = TERMINAL_ESCAPE;
	else if (c == 0xc2)
		f->state = TERMINAL_C2;
	else if (c >= 0x20 ? c != 0x7f : c == '\n' || c == '\t' || c == '\r')
		buf_addc(out, (char)c);
}

/* After the first byte of what may be a control character of Unicode, U+0080 to U+009F. */
static void in_c2(struct terminal_filter *f, unsigned char c, struct buf *out)
{
	f->state = TERMINAL_TEXT;
	if (c >= 0x80 && c < 0xa0)
		return;
	buf_addc(out, (char)0xc2);
	in_text(f, c, out);
}

static void in_escape(struct terminal_filter *f, unsigned char c, struct buf *out)
{
	if (c >= 0x20 && c < 0x30)
		return;
	f->held_len = 0;
	f->state = TERMINAL_TEXT;
	if (c == '[')
		f->state = TERMINAL_CONTROL;
	else if (memchr("]PX^_", c, 5))
		f->state = TERMINAL_STRING;
	else if (c < 0x20 || c >= 0x7f)
		in_text(f, c, out);
}

static void in_control(struct terminal_filter *f, unsigned char c, struct buf *out)
{
	if (c >= 0x20 && c < 0x40) {
		if (f->held_len < sizeof(f->held))
			f->held[f->held_len++] = (char)c;
		return;
	}
	f->state = TERMINAL_TEXT;
	size_t i = 0;
	while (i < f->held_len && ((f->held[i] >= '0' && f->held[i] <= '9') || f->held[i] == ';'))
		i++;
	if (c == 'm' && i == f->held_len && i < sizeof(f->held))
		buf_addf(out, "\x1b[%.*sm", (int)f->held_len, f->held);
	else if (c < 0x20 || c >= 0x7f)
		in_text(f, c, out);
}

/* Titles, links and the like end with BEL or ESC \; at a line's end at the latest, or one that has no end
 * would swallow the log. */
static void in_string(struct terminal_filter *f, unsigned char c, struct buf *out)
{
	if (c == 0x07)
		f->state = TERMINAL_TEXT;
	else if (c == 0x1b)
		f->state = TERMINAL_ESCAPE;
	else if (c == '\n') {
		f->state = TERMINAL_TEXT;
		buf_addc(out, '\n');
	}
}

void terminal_filter(struct terminal_filter *f, struct str piece, struct buf *out)
{
	for (size_t i = 0; i < piece.len; i++) {
		unsigned char c = (unsigned char)piece.ptr[i];
		switch (f->state) {
		case TERMINAL_TEXT:
			in_text(f, c, out);
			break;
		case TERMINAL_C2:
			in_c2(f, c, out);
			break;
		case TERMINAL_ESCAPE:
			in_escape(f, c, out);
			break;
		case TERMINAL_CONTROL:
			in_control(f, c, out);
			break;
		case TERMINAL_STRING:
			in_string(f, c, out);
			break;
		}
	}
}

char *terminal_line(const char *text)
{
	char *copy = mem_strdup(text);

	cstr_make_visible(copy);
	return copy;
}

char *terminal_text(const char *text)
{
	char *copy = terminal_line(text);

	for (size_t i = 0; text[i]; i++)
		if (text[i] == '\n' || text[i] == '\t')
			copy[i] = text[i];
	return copy;
}
