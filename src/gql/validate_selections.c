/* SPDX-License-Identifier: Apache-2.0 */
/* One definition's selections: names, leafs, arguments, type conditions. */
#include "gql/validate_internal.h"

#include <stdio.h>

/* A selection set being walked. */
struct open_set {
	struct ast_selection *next;
	const struct gql_type *type; /* what is selected on; NULL: unknown, was reported */
};

struct walk {
	struct validation *v;
	struct checker c;
	struct ast_definition *definition;
	struct vec open; /* of struct open_set */
	bool good;
};

static void walk_fini(struct walk *w)
{
	vec_fini(&w->open);
}

static void suggest_field(const struct gql_type *t, struct str name, struct buf *out)
{
	struct vec names AUTO(vec_fini) = VEC_OF(const char *);
	for (size_t i = 0; i < t->field_count; i++)
		vec_push_copy(&names, &t->fields[i].name.ptr);
	vec_push(&names);
	char word[SHOWN_MAX + 1];
	snprintf(word, sizeof(word), "%.*s", SHOW_ARG(name));
	const char *near = str_suggest(word, names.ptr);
	if (near)
		buf_addf(out, " Did you mean \"%s\"?", near);
}

static void unknown_field(struct walk *w, const struct gql_type *t, const struct ast_selection *s)
{
	struct buf hint AUTO_BUF = {0};
	suggest_field(t, s->name, &hint);
	problem_add(w->v->problems, s->at, "Cannot query field \"%.*s\" on type \"%s\".%s", SHOW_ARG(s->name),
		t->name.ptr, buf_cstr(&hint));
	w->good = false;
}

static void check_leaf(struct walk *w, const struct ast_selection *s)
{
	bool composite = type_is_composite(ref_named(s->field->type));
	if (composite == (s->children != NULL))
		return;
	struct buf type AUTO_BUF = {0};
	ref_print(s->field->type, &type);
	if (composite)
		problem_add(w->v->problems, s->at,
			"Field \"%.*s\" of type \"%s\" must have a selection of subfields. Did you mean "
			"\"%.*s { ... }\"?",
			SHOW_ARG(s->name), buf_cstr(&type), SHOW_ARG(s->name));
	else
		problem_add(w->v->problems, s->at,
			"Field \"%.*s\" must not have a selection since type \"%s\" has no subfields.",
			SHOW_ARG(s->name), buf_cstr(&type));
	w->good = false;
}

static void open_children(struct walk *w, struct ast_selection *s, const struct gql_type *type)
{
	struct open_set set = {.next = s->children, .type = type};
	if (s->children && type && type_is_composite(type))
		vec_push_copy(&w->open, &set);
}

static void walk_field(struct walk *w, struct ast_selection *s, const struct gql_type *t)
{
	w->definition->fields++;
	w->good = check_directives(&w->c, s->directives, ON_FIELD) && w->good;
	s->parent = t;
	s->field = schema_find_field(w->v->schema, t, s->name);
	if (!s->field) {
		unknown_field(w, t, s);
		return;
	}
	check_leaf(w, s);
	char what[2 * SHOWN_MAX];
	snprintf(what, sizeof(what), "field \"%.*s.%.*s\"", SHOW_ARG(s->field->owner->name),
		SHOW_ARG(s->field->name));
	w->good =
		check_arguments(&w->c, s->field->args, s->field->arg_count, s->args, what, s->at) && w->good;
	open_children(w, s, ref_named(s->field->type));
}

static void cannot_spread(
	struct walk *w, const struct ast_selection *s, const struct gql_type *t, const struct gql_type *on)
{
	if (s->kind == SELECT_SPREAD)
		problem_add(w->v->problems, s->at,
			"Fragment \"%.*s\" cannot be spread here as objects of type \"%s\" can never be of "
			"type \"%s\".",
			SHOW_ARG(s->name), t->name.ptr, on->name.ptr);
	else
		problem_add(w->v->problems, s->at,
			"Fragment cannot be spread here as objects of type \"%s\" can never be of type "
			"\"%s\".",
			t->name.ptr, on->name.ptr);
	w->good = false;
}

static void walk_spread(struct walk *w, struct ast_selection *s, const struct gql_type *t)
{
	w->good = check_directives(&w->c, s->directives, ON_FRAGMENT_SPREAD) && w->good;
	s->fragment = map_get(w->v->document->by_name, s->name);
	if (!s->fragment) {
		problem_add(w->v->problems, s->at, "Unknown fragment \"%.*s\".", SHOW_ARG(s->name));
		w->good = false;
		return;
	}
	const struct gql_type *on = s->fragment->type;
	if (!on || !type_is_composite(on))
		return;
	w->good = validation_spend(w->v, t->possible_count) && w->good;
	if (!types_overlap(t, on))
		cannot_spread(w, s, t, on);
	struct ast_spread *spread = arena_new_of(w->v->arena, struct ast_spread);
	*spread = (struct ast_spread){.fragment = s->fragment, .depth = w->open.len, .at = s->at};
	*w->definition->spreads_end = spread;
	w->definition->spreads_end = &spread->next;
}

static void walk_inline(struct walk *w, struct ast_selection *s, const struct gql_type *t)
{
	w->good = check_directives(&w->c, s->directives, ON_INLINE_FRAGMENT) && w->good;
	if (s->name.len == 0) {
		open_children(w, s, t);
		return;
	}
	s->parent = schema_type(w->v->schema, s->name);
	if (!s->parent) {
		problem_add(w->v->problems, s->at, "Unknown type \"%.*s\".", SHOW_ARG(s->name));
		w->good = false;
	} else if (!type_is_composite(s->parent)) {
		problem_add(w->v->problems, s->at, "Fragment cannot condition on non composite type \"%s\".",
			s->parent->name.ptr);
		w->good = false;
	} else {
		w->good = validation_spend(w->v, t->possible_count) && w->good;
		if (!types_overlap(t, s->parent))
			cannot_spread(w, s, t, s->parent);
		open_children(w, s, s->parent);
	}
}

bool validate_selections(struct validation *v, struct ast_definition *d)
{
	struct walk w AUTO(walk_fini) = {
		.v = v,
		.c = {.schema = v->schema, .arena = v->arena, .problems = v->problems, .definition = d},
		.definition = d,
		.open = VEC_OF(struct open_set),
		.good = true,
	};
	struct open_set root = {.next = d->selections, .type = d->type};
	vec_push_copy(&w.open, &root);
	while (w.open.len > 0 && !problems_full(v->problems) && v->work <= WORK_MAX) {
		struct open_set *set = vec_at(&w.open, w.open.len - 1);
		struct ast_selection *s = set->next;
		const struct gql_type *type = set->type;
		if (w.open.len > d->depth)
			d->depth = w.open.len;
		if (!s) {
			w.open.len--;
			continue;
		}
		set->next = s->next;
		if (s->kind == SELECT_FIELD)
			walk_field(&w, s, type);
		else if (s->kind == SELECT_SPREAD)
			walk_spread(&w, s, type);
		else
			walk_inline(&w, s, type);
	}
	return w.good && v->work <= WORK_MAX;
}
