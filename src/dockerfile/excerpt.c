/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/frontend.h"

/* Lines shown before and after, and of a long instruction. */
enum { AROUND = 2, SHOWN_MAX = 24 };

void dockerfile_excerpt(struct str text, struct source_range where, struct buf *out)
{
	if (where.line == 0)
		return;
	uint32_t last = where.end_line < where.line ? where.line : where.end_line;
	uint32_t from = where.line > AROUND ? where.line - AROUND : 1;
	uint32_t cut = last - where.line >= SHOWN_MAX ? where.line + SHOWN_MAX - 1 : last;
	struct buf lines AUTO_BUF = {0};
	struct str line;
	for (uint32_t n = 1; text.ptr && text.len && str_split(&text, '\n', &line); n++) {
		if (n < from || (n > cut && n <= last))
			continue;
		if (n > last + AROUND)
			break;
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		bool hit = n >= where.line && n <= last;
		buf_addf(&lines, "%4u | %s" STR_FMT "\n", (unsigned)n, hit ? ">>> " : "    ", STR_ARG(line));
		if (n == cut && cut < last)
			buf_addf(&lines, "     | >>> (%u more lines)\n", (unsigned)(last - cut));
	}
	if (lines.len == 0)
		return;
	buf_addf(out, "%s:%u\n--------------------\n", where.file ? where.file : "Dockerfile",
		(unsigned)where.line);
	buf_addstr(out, buf_str(&lines));
	buf_adds(out, "--------------------\n");
}
