/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts with places to fill: @NAME@ (capital letters, digits, _) is replaced by a value, which stands as it
 * is. A line that is nothing but one place with an empty value is left out. Lines between "#@each ROWS" and
 * "#@end" are repeated for each row. Pure. Errors are ERR_BUG with path and line: templates are cooper's own.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

struct template_value {
	const char *name, *text;
};
/* All lists end with a name NULL. */
struct template_rows {
	const char *name;
	const struct template_value *const *rows; /* NULL-terminated */
};
struct template_scope {
	const struct template_value *values;
	const struct template_rows *sections; /* may be NULL */
};
MUST_USE struct err *template_render(
	struct str text, const char *path, const struct template_scope *scope, struct buf *out);
