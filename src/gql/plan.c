/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/execution_internal.h"

/* What a plan is made for. */
struct choice {
	struct gql_execution *ex;
	const struct gql_type *type;
};

/* The only argument of @skip and @include; validation saw to it that there is one. */
static bool condition(struct gql_execution *ex, const struct ast_directive *d)
{
	const struct directive_definition *known = map_get(ex->schema->directives, d->name);
	struct gql_value value;
	enum coerced how = coerce_literal(&ex->coercion, known->args[0].type, d->args, &value);
	return how == COERCED && value.kind == GQL_BOOL && value.b;
}

static bool is_wanted(void *ctx, const struct ast_selection *s)
{
	const struct choice *c = ctx;
	for (const struct ast_directive *d = s->directives; d; d = d->next) {
		if (str_eq_c(d->name, "skip") && condition(c->ex, d))
			return false;
		if (str_eq_c(d->name, "include") && !condition(c->ex, d))
			return false;
	}
	if (s->kind == SELECT_SPREAD)
		return type_may_be(s->fragment->type, c->type);
	return s->kind == SELECT_FIELD || !s->parent || type_may_be(s->parent, c->type);
}

static struct plan *plan_new(struct gql_execution *ex, const struct gql_type *t, struct grouping *g)
{
	struct plan *p = arena_new_of(ex->coercion.arena, struct plan);
	grouping_finish(g, ex->coercion.arena);
	p->type = t;
	p->fields = arena_array(ex->coercion.arena, g->groups.len, sizeof(*p->fields));
	p->count = g->groups.len;
	for (size_t i = 0; i < p->count; i++) {
		struct plan_field *f = &p->fields[i];
		f->group = *(struct key_group *)vec_at(&g->groups, i);
		f->field = schema_find_field(ex->schema, t, f->group.nodes[0]->name);
	}
	return p;
}

struct plan *plan_root(struct gql_execution *ex, struct ast_selection *set, const struct gql_type *t)
{
	struct choice choice = {.ex = ex, .type = t};
	struct selector how = {.wanted = is_wanted, .ctx = &choice, .walk = ++ex->walks};
	struct grouping g AUTO(grouping_fini);
	grouping_init(&g);
	grouping_add(&g, set, &how);
	return plan_new(ex, t, &g);
}

struct plan *plan_find(struct gql_execution *ex, struct plan_field *field, const struct gql_type *t)
{
	for (struct plan *p = field->plans; p; p = p->next)
		if (p->type == t)
			return p;
	struct choice choice = {.ex = ex, .type = t};
	struct selector how = {.wanted = is_wanted, .ctx = &choice, .walk = ++ex->walks};
	struct grouping g AUTO(grouping_fini);
	grouping_init(&g);
	for (size_t i = 0; i < field->group.count; i++)
		grouping_add(&g, field->group.nodes[i]->children, &how);
	struct plan *p = plan_new(ex, t, &g);
	p->next = field->plans;
	field->plans = p;
	return p;
}
