/* SPDX-License-Identifier: Apache-2.0 */
/* Errors in the order of the answer, and the nulls they cause. */
#include "gql/execution_internal.h"

#include <stdlib.h>

/* A value on the way from the root to where the walk is. */
struct step {
	struct gql_out *out;
	const struct type_ref *type;
	const struct plan_field *field; /* that it belongs to */
	size_t index;                   /* in its list; SIZE_MAX: it is the field's own value */
	size_t next;                    /* child to visit */
	bool null;                      /* a child that may not be null is: then this is */
};

struct finisher {
	struct gql_execution *ex;
	struct vec steps;
	bool root_null;
};

static void finisher_fini(struct finisher *f)
{
	vec_fini(&f->steps);
}

static void path_text(const struct finisher *f, struct buf *out)
{
	for (size_t i = 0; i < f->steps.len; i++) {
		const struct step *s = vec_at(&f->steps, i);
		buf_addc(out, i ? ',' : '[');
		if (s->index == SIZE_MAX)
			buf_add_json(out, s->field->group.key);
		else
			buf_addf(out, "%zu", s->index);
	}
	buf_addc(out, ']');
}

static void report(struct finisher *f, const struct step *s, struct str message, const json_t *extensions)
{
	if (problems_full(f->ex->problems))
		return;
	struct buf path AUTO_BUF = {0};
	path_text(f, &path);
	problem_add_field(f->ex->problems, s->field->group.nodes[0]->at, buf_str(&path), message, extensions);
}

static void report_error(struct finisher *f, const struct step *s, const struct err *e)
{
	const struct gql_hooks *h = f->ex->hooks;
	struct buf message AUTO_BUF = {0};
	json_t *extensions AUTO_JSON = NULL;
	if (problems_full(f->ex->problems))
		return;
	if (h->explain) {
		h->explain(h->ctx, e, &message, &extensions);
	} else {
		char *text = err_text(e);
		buf_adds(&message, text);
		free(text);
	}
	report(f, s, buf_str(&message), extensions);
}

static void report_null(struct finisher *f, const struct step *s)
{
	struct buf message AUTO_BUF = {0};
	const struct gql_field *field = s->field->field;
	buf_addf(&message, "Cannot return null for non-nullable field %s.%s.", field->owner->name.ptr,
		field->name.ptr);
	report(f, s, buf_str(&message), NULL);
}

/* The last step is complete: go back up. */
static void leave(struct finisher *f)
{
	struct step *s = vec_at(&f->steps, f->steps.len - 1);
	bool required = s->type->kind == REF_NON_NULL;
	bool null = s->null;
	if (s->out->kind == OUT_ERROR) {
		report_error(f, s, s->out->error);
		null = true;
	} else if (s->out->kind == OUT_NULL) {
		if (required)
			report_null(f, s);
		null = true;
	}
	if (null)
		s->out->kind = OUT_NULL;
	f->steps.len--;
	if (!null || !required)
		return;
	if (f->steps.len == 0)
		f->root_null = true;
	else
		((struct step *)vec_at(&f->steps, f->steps.len - 1))->null = true;
}

/* Enter the next child of the last step; false if there is none left. */
static bool enter(struct finisher *f)
{
	struct step *s = vec_at(&f->steps, f->steps.len - 1);
	struct step child = {.index = SIZE_MAX};
	if (s->out->kind == OUT_OBJECT && s->next < s->out->object->plan->count) {
		child.field = &s->out->object->plan->fields[s->next];
		child.type = child.field->field->type;
		child.out = &s->out->object->fields[s->next];
	} else if (s->out->kind == OUT_LIST && s->next < s->out->list.count) {
		child.field = s->field;
		child.type = ref_nullable(s->type)->of;
		child.out = &s->out->list.items[s->next];
		child.index = s->next;
	} else {
		return false;
	}
	s->next++;
	vec_push_copy(&f->steps, &child);
	return true;
}

bool finish_results(struct gql_execution *ex, struct gql_object *root)
{
	struct finisher f AUTO(finisher_fini) = {.ex = ex, .steps = VEC_OF(struct step)};
	for (size_t i = 0; i < root->plan->count; i++) {
		struct step first = {.out = &root->fields[i],
			.field = &root->plan->fields[i],
			.type = root->plan->fields[i].field->type,
			.index = SIZE_MAX};
		vec_push_copy(&f.steps, &first);
		while (f.steps.len > 0)
			if (!enter(&f))
				leave(&f);
	}
	return f.root_null;
}
