/* SPDX-License-Identifier: Apache-2.0 */
/* Columns for people: widths from the content, last column unpadded. */
#pragma once

#include "base/vec.h"

#include <stdio.h>

struct table {
	size_t columns;
	struct strvec cells; /* row by row */
};
/* titles: columns of them. */
void table_start(struct table *t, const char *const *titles, size_t columns);
void table_cell(struct table *t, const char *text);
void table_print(const struct table *t, FILE *out);
void table_fini(struct table *t);
