/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/execution_internal.h"

#include <inttypes.h>
#include <stdlib.h>

/* An object or list that was begun. */
struct open_value {
	const struct gql_object *object; /* NULL: a list */
	struct gql_out *items;
	size_t count, next;
};

static void write_float(double f, struct buf *out)
{
	size_t begin = out->len;
	/* As few digits as give the same number back. */
	for (int digits = 15; digits <= 17; digits++) {
		buf_truncate(out, begin);
		buf_addf(out, "%.*g", digits, f);
		if (strtod(out->ptr + begin, NULL) == f)
			return;
	}
}

static void write_leaf(struct gql_out *o, struct buf *out)
{
	switch (o->kind) {
	case OUT_INT:
		buf_addf(out, "%" PRId64, o->i);
		break;
	case OUT_FLOAT:
		write_float(o->f, out);
		break;
	case OUT_BOOL:
		buf_adds(out, o->b ? "true" : "false");
		break;
	case OUT_STRING:
	case OUT_ENUM:
		buf_add_json(out, o->s);
		break;
	case OUT_TAKEN:
		buf_add_json(out, buf_str(&o->taken->text));
		buf_fini(&o->taken->text); /* such texts are big */
		break;
	default:
		buf_adds(out, "null");
		break;
	}
}

static void write_value(struct vec *open, struct gql_out *o, struct buf *out)
{
	struct open_value v = {0};
	if (o->kind == OUT_OBJECT) {
		v.object = o->object;
		v.items = o->object->fields;
		v.count = o->object->plan->count;
	} else if (o->kind == OUT_LIST) {
		v.items = o->list.items;
		v.count = o->list.count;
	} else {
		write_leaf(o, out);
		return;
	}
	buf_addc(out, v.object ? '{' : '[');
	vec_push_copy(open, &v);
}

void write_results(struct gql_object *root, struct buf *response)
{
	struct vec open AUTO(vec_fini) = VEC_OF(struct open_value);
	struct gql_out top = {.kind = OUT_OBJECT, .object = root};
	write_value(&open, &top, response);
	while (open.len > 0) {
		struct open_value *v = vec_at(&open, open.len - 1);
		if (v->next == v->count) {
			buf_addc(response, v->object ? '}' : ']');
			open.len--;
			continue;
		}
		size_t i = v->next++;
		if (i > 0)
			buf_addc(response, ',');
		if (v->object) {
			buf_add_json(response, v->object->plan->fields[i].group.key);
			buf_addc(response, ':');
		}
		write_value(&open, &v->items[i], response);
	}
}
