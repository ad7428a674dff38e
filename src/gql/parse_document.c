/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"
#include "gql/parse_internal.h"

void document_fini(struct document *d)
{
	map_freep(&d->by_name);
}

static bool parse_field(struct parser *p, struct ast_selection *s)
{
	bool aliased = false;
	s->kind = SELECT_FIELD;
	if (!parse_name(p, &s->key) || !parse_accept(p, ':', &aliased))
		return false;
	s->name = s->key;
	if (aliased && !parse_name(p, &s->name))
		return false;
	return parse_arguments(p, false, &s->args) && parse_directives(p, false, &s->directives);
}

/* Behind the dots: a spread or an inline fragment. */
static bool parse_fragment_selection(struct parser *p, struct ast_selection *s)
{
	if (!parse_advance(p))
		return false;
	s->kind = SELECT_INLINE;
	if (parse_is_word(p, "on")) {
		if (!parse_advance(p) || !parse_name(p, &s->name))
			return false;
	} else if (parse_is(p, TOKEN_NAME)) {
		s->kind = SELECT_SPREAD;
		if (!parse_name(p, &s->name))
			return false;
	}
	return parse_directives(p, false, &s->directives);
}

/* One selection without its selection set. */
static bool parse_selection(struct parser *p, struct ast_selection *s)
{
	s->at = p->now.at;
	if (!parse_is(p, TOKEN_SPREAD))
		return parse_field(p, s);
	if (!parse_fragment_selection(p, s))
		return false;
	return s->kind == SELECT_SPREAD || parse_is(p, '{') || parse_unexpected(p);
}

/* A selection set being read: where its next selection belongs, and whether it has any. */
struct open_set {
	struct ast_selection **end;
	bool any;
};

static bool open_selection_set(struct parser *p, struct vec *open, struct ast_selection **out)
{
	if (open->len >= p->max_depth) {
		problem_add(p->problems, p->now.at,
			"Syntax Error: Selections are nested deeper than %zu levels.", p->max_depth);
		return false;
	}
	vec_push_copy(open, &(struct open_set){.end = out});
	return parse_expect(p, '{');
}

/*
 * A selection set with all below it. The stack of those not yet closed is on the heap: a document may nest
 * deeper than the C stack.
 */
static bool parse_selection_sets(struct parser *p, struct vec *open, struct ast_selection **out)
{
	if (!open_selection_set(p, open, out))
		return false;
	while (open->len > 0) {
		struct open_set *set = vec_at(open, open->len - 1);
		if (parse_is(p, '}') && set->any) {
			open->len--;
			if (!parse_advance(p))
				return false;
			continue;
		}
		struct ast_selection *s = arena_new_of(p->arena, struct ast_selection);
		if (!parse_selection(p, s))
			return false;
		*set->end = s;
		set->end = &s->next;
		set->any = true;
		bool nested = parse_is(p, '{') && s->kind != SELECT_SPREAD;
		if (nested && !open_selection_set(p, open, &s->children))
			return false;
	}
	return true;
}

static bool parse_selections(struct parser *p, struct ast_selection **out)
{
	struct vec open AUTO(vec_fini) = VEC_OF(struct open_set);
	return parse_selection_sets(p, &open, out);
}

static bool parse_variable_definition(struct parser *p, struct ast_variable **out)
{
	struct ast_variable *v = arena_new_of(p->arena, struct ast_variable);
	v->at = p->now.at;
	bool equals = false;
	if (!parse_expect(p, '$') || !parse_name(p, &v->name) || !parse_expect(p, ':') ||
		!parse_type(p, &v->type) || !parse_accept(p, '=', &equals))
		return false;
	if (equals && !parse_value(p, true, 0, &v->fallback))
		return false;
	*out = v;
	return parse_directives(p, true, &v->directives);
}

static bool parse_variable_definitions(struct parser *p, struct ast_variable **out)
{
	bool open = false, close = false;
	if (!parse_accept(p, '(', &open))
		return false;
	while (open && !close) {
		if (!parse_variable_definition(p, out))
			return false;
		out = &(*out)->next;
		if (!parse_accept(p, ')', &close))
			return false;
	}
	return true;
}

static bool parse_operation(struct parser *p, struct ast_definition *d)
{
	if (parse_is(p, '{'))
		return parse_selections(p, &d->selections);
	if (parse_is_word(p, "mutation"))
		d->operation = OPERATION_MUTATION;
	else if (parse_is_word(p, "subscription"))
		d->operation = OPERATION_SUBSCRIPTION;
	else if (!parse_is_word(p, "query"))
		return parse_unexpected(p);
	if (!parse_advance(p))
		return false;
	if (parse_is(p, TOKEN_NAME) && !parse_name(p, &d->name))
		return false;
	return parse_variable_definitions(p, &d->variables) && parse_directives(p, false, &d->directives) &&
	       parse_selections(p, &d->selections);
}

static bool parse_fragment(struct parser *p, struct ast_definition *d)
{
	d->is_fragment = true;
	if (!parse_advance(p))
		return false;
	if (parse_is_word(p, "on"))
		return parse_unexpected(p);
	if (!parse_name(p, &d->name))
		return false;
	if (!parse_is_word(p, "on"))
		return parse_unexpected(p);
	if (!parse_advance(p))
		return false;
	d->condition_at = p->now.at;
	return parse_name(p, &d->condition) && parse_directives(p, false, &d->directives) &&
	       parse_selections(p, &d->selections);
}

bool parse_document(struct parser *p, struct document *out)
{
	*out = (struct document){.by_name = map_new(NULL)};
	struct ast_definition **operations = &out->operations, **fragments = &out->fragments;
	do {
		struct ast_definition *d = arena_new_of(p->arena, struct ast_definition);
		d->at = p->now.at;
		d->spreads_end = &d->spreads;
		d->usages_end = &d->usages;
		if (parse_is_word(p, "fragment")) {
			if (!parse_fragment(p, d))
				return false;
			*fragments = d;
			fragments = &d->next;
		} else {
			if (!parse_operation(p, d))
				return false;
			*operations = d;
			operations = &d->next;
		}
	} while (!parse_is(p, TOKEN_END));
	return true;
}
