/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about types, and types and values as text. */
#include "gql/schema_internal.h"

bool type_is_composite(const struct gql_type *t)
{
	return t->kind == TYPE_OBJECT || t->kind == TYPE_INTERFACE || t->kind == TYPE_UNION;
}

bool type_is_input(const struct gql_type *t)
{
	return t->kind == TYPE_SCALAR || t->kind == TYPE_ENUM || t->kind == TYPE_INPUT;
}

bool type_is_output(const struct gql_type *t)
{
	return t->kind != TYPE_INPUT;
}

bool type_may_be(const struct gql_type *t, const struct gql_type *object)
{
	if (t == object)
		return true;
	if (t->kind == TYPE_INTERFACE) {
		for (size_t i = 0; i < object->interface_count; i++)
			if (object->interfaces[i].type == t)
				return true;
	} else if (t->kind == TYPE_UNION) {
		for (size_t i = 0; i < t->possible_count; i++)
			if (t->possible[i].type == object)
				return true;
	}
	return false;
}

bool types_overlap(const struct gql_type *a, const struct gql_type *b)
{
	if (a == b)
		return true;
	if (a->kind == TYPE_OBJECT)
		return type_may_be(b, a);
	if (b->kind == TYPE_OBJECT)
		return type_may_be(a, b);
	for (size_t i = 0; i < a->possible_count; i++)
		if (type_may_be(b, a->possible[i].type))
			return true;
	return false;
}

const struct gql_type *ref_named(const struct type_ref *r)
{
	while (r->kind != REF_NAMED)
		r = r->of;
	return r->type;
}

const struct type_ref *ref_nullable(const struct type_ref *r)
{
	return r->kind == REF_NON_NULL ? r->of : r;
}

bool ref_equal(const struct type_ref *a, const struct type_ref *b)
{
	for (; a->kind == b->kind; a = a->of, b = b->of)
		if (a->kind == REF_NAMED)
			return a->type == b->type;
	return false;
}

void ref_print(const struct type_ref *r, struct buf *out)
{
	if (r->kind == REF_NAMED) {
		buf_addstr(out, r->name);
		return;
	}
	if (r->kind == REF_LIST)
		buf_addc(out, '[');
	ref_print(r->of, out);
	buf_addc(out, r->kind == REF_LIST ? ']' : '!');
}

bool ref_resolve(const struct gql_schema *s, struct type_ref *r)
{
	/* References are made by the parser, for us to fill in: of is const for everyone after. */
	while (r->kind != REF_NAMED)
		r = (struct type_ref *)r->of;
	r->type = schema_type(s, r->name);
	return r->type != NULL;
}

static void string_print(struct str s, size_t limit, struct buf *out)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < s.len && i < limit; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c == '\n')
			buf_adds(out, "\\n");
		else if (c == '\t')
			buf_adds(out, "\\t");
		else if (c == '\r')
			buf_adds(out, "\\r");
		else if (c < 0x20)
			buf_addf(out, "\\u%04X", c);
		else
			buf_addc(out, (char)c);
	}
	buf_adds(out, s.len > limit ? "...\"" : "\"");
}

static void list_print(const struct ast_value *v, size_t limit, struct buf *out)
{
	bool object = v->kind == AST_OBJECT;
	size_t begin = out->len;
	buf_addc(out, object ? '{' : '[');
	for (const struct ast_value *i = v->list.first; i; i = i->next) {
		if (i != v->list.first)
			buf_adds(out, ", ");
		if (out->len - begin >= limit) {
			buf_adds(out, "...");
			break;
		}
		if (object)
			buf_addf(out, "%.*s: ", SHOW_ARG(i->name));
		value_print(i, limit - (out->len - begin < limit ? out->len - begin : limit), out);
	}
	buf_addc(out, object ? '}' : ']');
}

void value_print(const struct ast_value *v, size_t limit, struct buf *out)
{
	switch (v->kind) {
	case AST_NULL:
		buf_adds(out, "null");
		break;
	case AST_BOOL:
		buf_adds(out, v->b ? "true" : "false");
		break;
	case AST_STRING:
		string_print(v->text, limit, out);
		break;
	case AST_VARIABLE:
	case AST_INT:
	case AST_FLOAT:
	case AST_ENUM:
		buf_adds(out, v->kind == AST_VARIABLE ? "$" : "");
		buf_addstr(out, str_n(v->text.ptr, v->text.len < limit ? v->text.len : limit));
		break;
	case AST_LIST:
	case AST_OBJECT:
		list_print(v, limit, out);
		break;
	}
}
