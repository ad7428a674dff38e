/* SPDX-License-Identifier: Apache-2.0 */
/* One field: its arguments, its resolver, and whether the result is what the type says. */
#include "gql/execution_internal.h"

#include "base/mem.h"

#include <math.h>

/* Where a result is being completed. */
struct completion {
	struct gql_execution *ex;
	struct plan_field *field;
	struct found_tasks *found;
};

/*
 * The arguments are the same for all objects of a plan and, through the selection, for all plans: they are
 * coerced once. Under ex->lock.
 */
static struct err *coerced_arguments(struct gql_execution *ex, struct plan_field *f)
{
	struct ast_selection *s = f->group.nodes[0];
	if (!f->args && s->args_of == f->field)
		f->args = s->coerced;
	if (f->args)
		return NULL;
	struct gql_value *values = arena_array(ex->coercion.arena, f->field->arg_count, sizeof(*values));
	const struct input_value *bad = NULL;
	if (!coerce_arguments(&ex->coercion, f->field->args, f->field->arg_count, s->args, values, &bad))
		return err_new(ERR_INVALID, "Argument \"%s\" must not be null.", bad->name.ptr);
	s->args_of = f->field;
	s->coerced = f->args = values;
	return NULL;
}

static struct err *call_resolver(
	struct gql_execution *ex, const struct task *t, struct plan_field *f, struct gql_out *out)
{
	struct gql_call call = {.field = f->field,
		.data = f->field->data,
		.parent = t->object->ptr,
		.arg_count = f->field->arg_count};
	pthread_mutex_lock(&ex->lock);
	struct err *e = coerced_arguments(ex, f);
	call.args = f->args;
	pthread_mutex_unlock(&ex->lock);
	TRY(e);
	if (f->field == ex->schema->meta_typename)
		gql_out_string(out, t->object->plan->type->name);
	else if (f->field->local)
		f->field->local(ex->schema, &call, out);
	else
		return ex->hooks->resolve(ex->hooks->ctx, &call, out);
	return NULL;
}

static const char *out_kind_name(unsigned kind)
{
	static const char *const names[] = {"null", "an integer", "a float", "a string", "a string",
		"a boolean", "an enum value", "a list", "an object", "an object", "an error"};
	return names[kind];
}

static void misfit(struct completion *c, struct gql_out *o, const struct type_ref *r)
{
	const struct gql_field *f = c->field->field;
	struct buf type AUTO_BUF = {0};
	ref_print(r, &type);
	out_set_error(o, err_new(ERR_BUG, "\"%s.%s\" is of type \"%s\", but its resolver gave %s",
				 f->owner->name.ptr, f->name.ptr, buf_cstr(&type), out_kind_name(o->kind)));
}

static bool is_scalar_result(enum scalar scalar, const struct gql_out *o)
{
	bool text = o->kind == OUT_STRING || o->kind == OUT_TAKEN;
	switch (scalar) {
	case SCALAR_INT:
		return o->kind == OUT_INT;
	case SCALAR_FLOAT:
		return o->kind == OUT_INT || (o->kind == OUT_FLOAT && isfinite(o->f));
	case SCALAR_STRING:
		return text;
	case SCALAR_BOOLEAN:
		return o->kind == OUT_BOOL;
	case SCALAR_ID:
		return text || o->kind == OUT_INT;
	case SCALAR_CUSTOM:
		return text || o->kind == OUT_INT || o->kind == OUT_BOOL || o->kind == OUT_ENUM ||
		       (o->kind == OUT_FLOAT && isfinite(o->f));
	}
	return false;
}

static void id_to_string(struct gql_out *o)
{
	char *text AUTO_FREE = mem_printf("%lld", (long long)o->i);
	gql_out_string(o, str_c(text));
}

static void complete_leaf(struct completion *c, const struct type_ref *r, struct gql_out *o)
{
	const struct gql_type *t = r->type;
	if (t->kind == TYPE_SCALAR) {
		if (!is_scalar_result(t->scalar, o))
			misfit(c, o, r);
		else if (t->scalar == SCALAR_ID && o->kind == OUT_INT)
			id_to_string(o);
		return;
	}
	bool text = o->kind == OUT_ENUM || o->kind == OUT_STRING;
	if (!text)
		misfit(c, o, r);
	else if (!enum_find(t, o->s))
		out_set_error(o, err_new(ERR_BUG, "Enum \"%s\" cannot represent value: \"%.*s\"", t->name.ptr,
					 SHOW_ARG(o->s)));
}

static void complete_object(struct completion *c, const struct type_ref *r, struct gql_out *o)
{
	if (o->kind != OUT_PENDING) {
		misfit(c, o, r);
		return;
	}
	const struct gql_type *t = schema_type(c->ex->schema, str_c(o->pending.type));
	if (!t || t->kind != TYPE_OBJECT || !type_may_be(r->type, t)) {
		out_set_error(o, err_new(ERR_BUG, "Type \"%s\" is no possible type of \"%s\"",
					 o->pending.type, r->type->name.ptr));
		return;
	}
	pthread_mutex_lock(&c->ex->lock);
	struct plan *plan = plan_find(c->ex, c->field, t);
	pthread_mutex_unlock(&c->ex->lock);
	struct gql_object *object = gql_object_new(c->ex, plan, o->pending.ptr);
	o->kind = object ? OUT_OBJECT : OUT_NULL;
	o->object = object;
	if (object)
		found_add(c->found, object);
}

/* Recurses as deep as lists are nested in the type. Whether null is allowed is seen to at the end. */
static void complete(struct completion *c, const struct type_ref *r, struct gql_out *o)
{
	r = ref_nullable(r);
	if (o->kind == OUT_NULL)
		return;
	if (r->kind == REF_LIST) {
		if (o->kind != OUT_LIST) {
			misfit(c, o, r);
			return;
		}
		for (size_t i = 0; i < o->list.count; i++)
			complete(c, r->of, &o->list.items[i]);
	} else if (type_is_composite(r->type)) {
		complete_object(c, r, o);
	} else {
		complete_leaf(c, r, o);
	}
}

struct gql_object *gql_object_new(struct gql_execution *ex, struct plan *plan, void *ptr)
{
	struct gql_object *object = NULL;
	pthread_mutex_lock(&ex->lock);
	ex->values += plan->count + 1;
	if (ex->values > ex->max_values)
		ex->too_many = true;
	else
		object = arena_alloc(
			ex->coercion.arena, sizeof(*object) + plan->count * sizeof(object->fields[0]));
	pthread_mutex_unlock(&ex->lock);
	if (!object)
		return NULL;
	object->plan = plan;
	object->ptr = ptr;
	for (size_t i = 0; i < plan->count; i++)
		object->fields[i].execution = ex;
	return object;
}

void found_add(struct found_tasks *found, struct gql_object *object)
{
	for (size_t i = 0; i < object->plan->count; i++) {
		const struct gql_field *f = object->plan->fields[i].field;
		struct task t = {.object = object, .index = i};
		vec_push_copy(f->local ? &found->local : &found->others, &t);
	}
}

/* Is there any use in resolving another field? */
static bool may_go_on(struct gql_execution *ex)
{
	bool canceled = cancel_is_set(ex->hooks->cancel);
	pthread_mutex_lock(&ex->lock);
	ex->canceled = ex->canceled || canceled;
	bool on = !ex->canceled && !ex->too_many;
	pthread_mutex_unlock(&ex->lock);
	return on;
}

void resolve_task(struct gql_execution *ex, const struct task *t, struct found_tasks *found)
{
	struct plan_field *f = &t->object->plan->fields[t->index];
	struct gql_out *out = &t->object->fields[t->index];
	if (!may_go_on(ex))
		return;
	struct err *e = call_resolver(ex, t, f, out);
	if (e) {
		out_set_error(out, e);
		return;
	}
	struct completion c = {.ex = ex, .field = f, .found = found};
	complete(&c, f->field->type, out);
}
