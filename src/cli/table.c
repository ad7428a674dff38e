/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include "base/mem.h"
#include "cli/terminal.h"

#include <string.h>

void table_start(struct table *t, const char *const *titles, size_t columns)
{
	t->columns = columns;
	for (size_t i = 0; i < columns; i++)
		strvec_push(&t->cells, titles[i]);
}

void table_cell(struct table *t, const char *text)
{
	AUTO_FREE char *clean = terminal_line(text ? text : "");

	strvec_push(&t->cells, clean);
}

void table_print(const struct table *t, FILE *out)
{
	AUTO_FREE size_t *widths = mem_array(t->columns, sizeof(*widths));

	for (size_t i = 0; i < t->cells.len; i++) {
		size_t len = strlen(t->cells.ptr[i]);
		if (len > widths[i % t->columns])
			widths[i % t->columns] = len;
	}
	for (size_t i = 0; i < t->cells.len; i++) {
		bool last = i % t->columns == t->columns - 1;
		if (last)
			fprintf(out, "%s\n", t->cells.ptr[i]);
		else
			fprintf(out, "%-*s  ", (int)widths[i % t->columns], t->cells.ptr[i]);
	}
}

void table_fini(struct table *t)
{
	strvec_fini(&t->cells);
}
