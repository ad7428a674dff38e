/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/inputs.h"

json_t *input_changes_json(const struct vec *changes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < changes->len; i++) {
		const struct input_change *c = vec_at(changes, i);
		json_t *o = json_object();
		json_set_text(o, "input", input_kind_name(c->kind));
		json_set_text(o, "name", c->name);
		json_set_text(o, "from", c->from);
		json_set_text(o, "to", c->to);
		json_set_text(o, "text", c->text);
		json_array_append_new(list, o);
	}
	return list;
}

/* More of one kind than people read is counted. */
#define REASONS_MAX 12

void input_changes_print(FILE *out, const struct vec *changes, const char *indent)
{
	for (size_t i = 0; i < changes->len; i++) {
		if (i == REASONS_MAX && changes->len > REASONS_MAX + 1) {
			fprintf(out, "%sand %zu more\n", indent, changes->len - i);
			return;
		}
		fprintf(out, "%s%s\n", indent, ((const struct input_change *)vec_at(changes, i))->text);
	}
}
