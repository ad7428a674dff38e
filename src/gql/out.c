/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/execution_internal.h"

#include "base/mem.h"

#include <string.h>

static char *keep(struct gql_execution *ex, struct str s)
{
	pthread_mutex_lock(&ex->lock);
	char *copy = arena_str(ex->coercion.arena, s);
	pthread_mutex_unlock(&ex->lock);
	return copy;
}

void gql_out_null(struct gql_out *o)
{
	o->kind = OUT_NULL;
}

void gql_out_string(struct gql_out *o, struct str s)
{
	o->s = str_n(keep(o->execution, s), s.len);
	o->kind = OUT_STRING;
}

void gql_out_take_string(struct gql_out *o, struct buf *b)
{
	struct gql_execution *ex = o->execution;
	pthread_mutex_lock(&ex->lock);
	struct gql_taken *t = arena_new_of(ex->coercion.arena, struct gql_taken);
	t->text = *b;
	*b = (struct buf){0};
	t->next = ex->taken;
	ex->taken = t;
	pthread_mutex_unlock(&ex->lock);
	o->taken = t;
	o->kind = OUT_TAKEN;
}

void gql_out_int(struct gql_out *o, int64_t i)
{
	o->i = i;
	o->kind = OUT_INT;
}

void gql_out_float(struct gql_out *o, double f)
{
	o->f = f;
	o->kind = OUT_FLOAT;
}

void gql_out_bool(struct gql_out *o, bool b)
{
	o->b = b;
	o->kind = OUT_BOOL;
}

void gql_out_enum(struct gql_out *o, const char *name)
{
	gql_out_string(o, str_c(name));
	o->kind = OUT_ENUM;
}

void gql_out_object(struct gql_out *o, const char *type, void *ptr)
{
	o->pending.type = type;
	o->pending.ptr = ptr;
	o->kind = OUT_PENDING;
}

struct gql_out *gql_out_list(struct gql_out *o, size_t count)
{
	struct gql_execution *ex = o->execution;
	pthread_mutex_lock(&ex->lock);
	struct gql_out *items = arena_array(ex->coercion.arena, count, sizeof(*items));
	pthread_mutex_unlock(&ex->lock);
	for (size_t i = 0; i < count; i++)
		items[i].execution = ex;
	o->list.items = items;
	o->list.count = count;
	o->kind = OUT_LIST;
	return items;
}

void out_set_error(struct gql_out *o, struct err *e)
{
	struct gql_execution *ex = o->execution;
	pthread_mutex_lock(&ex->lock);
	vec_push_copy(&ex->errs, &e);
	pthread_mutex_unlock(&ex->lock);
	o->error = e;
	o->kind = OUT_ERROR;
}
