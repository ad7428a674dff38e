/* SPDX-License-Identifier: Apache-2.0 */
#include "dagger/resolve_internal.h"

static const struct gql_value *arg(const struct call *c, unsigned i)
{
	static const struct gql_value none = {.kind = GQL_NULL};

	return i < c->arg_count ? &c->args[i] : &none;
}

bool arg_given(const struct call *c, unsigned i)
{
	return arg(c, i)->kind != GQL_NULL;
}

static bool is_text(const struct gql_value *v)
{
	return v->kind == GQL_STRING || v->kind == GQL_ENUM;
}

const char *value_text(struct call *c, const struct gql_value *v)
{
	return v && is_text(v) ? arena_strndup(c->arena, v->s.ptr ? v->s.ptr : "", v->s.len) : NULL;
}

const char *arg_text(struct call *c, unsigned i)
{
	return value_text(c, arg(c, i));
}

struct str arg_str(const struct call *c, unsigned i)
{
	return is_text(arg(c, i)) ? arg(c, i)->s : (struct str){"", 0};
}

int64_t arg_int(const struct call *c, unsigned i, int64_t otherwise)
{
	return arg(c, i)->kind == GQL_INT ? arg(c, i)->i : otherwise;
}

bool arg_flag(const struct call *c, unsigned i)
{
	return arg(c, i)->kind == GQL_BOOL && arg(c, i)->b;
}

const struct gql_value *arg_items(const struct call *c, unsigned i, size_t *count)
{
	const struct gql_value *v = arg(c, i);

	*count = v->kind == GQL_LIST ? v->list.count : 0;
	return v->kind == GQL_LIST ? v->list.items : NULL;
}

void arg_texts(const struct call *c, unsigned i, struct strvec *out)
{
	size_t count;
	const struct gql_value *items = arg_items(c, i, &count);

	for (size_t k = 0; k < count; k++)
		if (is_text(&items[k]))
			strvec_push_str(out, items[k].s);
}

struct err *item_object(struct call *c, const struct gql_value *v, const char *type, void **out)
{
	*out = NULL;
	return v && is_text(v) ? object_load(c->d, value_text(c, v), type, c->cancel, out) : NULL;
}

struct err *arg_object(struct call *c, unsigned i, const char *type, void **out)
{
	return item_object(c, arg(c, i), type, out);
}
