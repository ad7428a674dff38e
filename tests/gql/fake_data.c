/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_data.h"

#include <inttypes.h>
#include <stdlib.h>

static void print_value(const struct gql_value *v, struct buf *out)
{
	switch (v->kind) {
	case GQL_NULL:
		buf_adds(out, "null");
		break;
	case GQL_INT:
		buf_addf(out, "%" PRId64, v->i);
		break;
	case GQL_FLOAT:
		buf_addf(out, "%.17gf", v->f);
		break;
	case GQL_BOOL:
		buf_adds(out, v->b ? "true" : "false");
		break;
	case GQL_STRING:
		buf_addf(out, "'%.*s'", STR_ARG(v->s));
		break;
	case GQL_ENUM:
		buf_addstr(out, v->s);
		break;
	case GQL_LIST:
		buf_addc(out, '[');
		for (size_t i = 0; i < v->list.count; i++) {
			buf_adds(out, i ? " " : "");
			print_value(&v->list.items[i], out);
		}
		buf_addc(out, ']');
		break;
	case GQL_OBJECT:
		buf_addc(out, '{');
		for (size_t i = 0; i < v->object.count; i++) {
			buf_addf(out, "%s%.*s=", i ? " " : "", STR_ARG(v->object.members[i].name));
			print_value(&v->object.members[i].value, out);
		}
		buf_addc(out, '}');
		break;
	}
}

static void give_args(const struct gql_call *call, struct gql_out *out)
{
	struct buf text AUTO_BUF = {0};
	for (size_t i = 0; i < call->arg_count; i++) {
		if (call->args[i].kind == GQL_NULL)
			continue;
		buf_addf(&text, "%s%s=", text.len ? " " : "", gql_field_arg_name(call->field, i));
		print_value(&call->args[i], &text);
	}
	gql_out_take_string(out, &text);
}

static void give_string(struct fake_data *d, const char *s, const struct gql_call *call, struct gql_out *out)
{
	if (cstr_eq(s, "$args"))
		give_args(call, out);
	else if (cstr_eq(s, "$count"))
		gql_out_int(out, atomic_fetch_add(&d->count, 1) + 1);
	else
		gql_out_string(out, str_c(s));
}

static void give(struct fake_data *d, json_t *v, const struct gql_call *call, struct gql_out *out)
{
	if (json_is_object(v)) {
		gql_out_object(out, json_string_value(json_object_get(v, "__typename")), v);
	} else if (json_is_array(v)) {
		struct gql_out *items = gql_out_list(out, json_array_size(v));
		for (size_t i = 0; i < json_array_size(v); i++)
			give(d, json_array_get(v, i), call, &items[i]);
	} else if (json_is_string(v)) {
		give_string(d, json_string_value(v), call, out);
	} else if (json_is_integer(v)) {
		gql_out_int(out, json_integer_value(v));
	} else if (json_is_real(v)) {
		gql_out_float(out, json_real_value(v));
	} else if (json_is_boolean(v)) {
		gql_out_bool(out, json_is_true(v));
	} else {
		gql_out_null(out);
	}
}

struct err *fake_resolve(void *ctx, const struct gql_call *call, struct gql_out *out)
{
	struct fake_data *d = ctx;
	atomic_fetch_add(&d->calls, 1);
	const json_t *parent = call->parent ? call->parent : d->root;
	json_t *v = json_object_get(parent, gql_field_name(call->field));
	const char *error = json_string_value(json_object_get(v, "$error"));
	if (!error) {
		give(d, v, call, out);
		return NULL;
	}
	struct err *e = err_new(ERR_INVALID, "%s", error);
	json_t *extensions = json_object_get(v, "extensions");
	if (!extensions)
		return e;
	char *text = json_dump(extensions, false);
	e = err_hint(e, "%s", text);
	free(text);
	return e;
}

void fake_explain(void *ctx, const struct err *e, struct buf *message, json_t **extensions)
{
	(void)ctx;
	buf_adds(message, err_message(e));
	if (err_hint_text(e))
		*extensions = json_loads(err_hint_text(e), 0, NULL);
}
