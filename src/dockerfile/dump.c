/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/ast.h"

#include <ctype.h>
#include <string.h>

/* In double quotes, as Go's %q for text without unprintable Unicode. */
static void add_quoted(struct buf *out, const char *s)
{
	static const char plain[] = "\a\b\f\n\r\t\v\\\"";
	static const char letters[] = "abfnrtv\\\"";
	bool utf8 = str_is_utf8(str_c(s));
	buf_addc(out, '"');
	for (; *s; s++) {
		const char *special = strchr(plain, *s);
		unsigned char c = (unsigned char)*s;
		if (special)
			buf_addf(out, "\\%c", letters[special - plain]);
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			buf_addf(out, "\\x%02x", c);
		else
			buf_addc(out, *s);
	}
	buf_addc(out, '"');
}

static void add_node(struct buf *out, const struct ast_node *n)
{
	buf_addc(out, '(');
	for (const char *c = n->name; *c; c++)
		buf_addc(out, (char)tolower((unsigned char)*c));
	for (size_t i = 0; i < n->flag_count; i++) {
		buf_adds(out, i ? " " : " [");
		add_quoted(out, n->flags[i].text);
	}
	if (n->flag_count)
		buf_addc(out, ']');
	if (n->child) {
		buf_addc(out, ' ');
		add_node(out, n->child);
	}
	if (n->keyword == KW_UNKNOWN)
		buf_adds(out, " \"\"");
	for (size_t i = 0; i < n->arg_count; i++) {
		buf_addc(out, ' ');
		add_quoted(out, n->args[i].text);
	}
	buf_addc(out, ')');
}

void ast_dump(const struct ast *ast, struct buf *out)
{
	for (size_t i = 0; i < ast->count; i++) {
		add_node(out, &ast->nodes[i]);
		buf_addc(out, '\n');
	}
}
