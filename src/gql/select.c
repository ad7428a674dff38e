/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/select_internal.h"

/* So few keys are found faster by looking than by hashing. */
#define LINEAR_MAX 8

struct grouped_field {
	struct ast_selection *selection;
	size_t group;
};

void grouping_init(struct grouping *g)
{
	*g = (struct grouping){.fields = VEC_OF(struct grouped_field), .groups = VEC_OF(struct key_group)};
}

void grouping_fini(struct grouping *g)
{
	vec_fini(&g->fields);
	vec_fini(&g->groups);
	map_freep(&g->by_key);
}

static void index_groups(struct grouping *g)
{
	g->by_key = map_new(NULL);
	for (size_t i = 0; i < g->groups.len; i++) {
		const struct key_group *group = vec_at(&g->groups, i);
		map_set(g->by_key, group->key, (void *)(i + 1));
	}
}

static size_t find_group(struct grouping *g, struct str key)
{
	if (g->by_key)
		return (size_t)map_get(g->by_key, key);
	for (size_t i = 0; i < g->groups.len; i++)
		if (str_eq(((struct key_group *)vec_at(&g->groups, i))->key, key))
			return i + 1;
	return 0;
}

static void add_field(struct grouping *g, struct ast_selection *s)
{
	size_t found = find_group(g, s->key);
	if (!found) {
		struct key_group group = {.key = s->key};
		vec_push_copy(&g->groups, &group);
		found = g->groups.len;
		if (g->by_key)
			map_set(g->by_key, s->key, (void *)found);
		else if (found > LINEAR_MAX)
			index_groups(g);
	}
	struct grouped_field field = {.selection = s, .group = found - 1};
	vec_push_copy(&g->fields, &field);
	((struct key_group *)vec_at(&g->groups, found - 1))->count++;
}

/* The selections that a fragment stands for; NULL if it was spread already. */
static struct ast_selection *fragment_selections(struct ast_selection *s, const struct selector *how)
{
	if (s->kind == SELECT_INLINE)
		return s->children;
	if (s->fragment->mark == how->walk)
		return NULL;
	s->fragment->mark = how->walk;
	return s->fragment->selections;
}

size_t grouping_add(struct grouping *g, struct ast_selection *set, const struct selector *how)
{
	struct vec open AUTO(vec_fini) = VEC_OF(struct ast_selection *);
	size_t work = 0;
	for (struct ast_selection *s = set;; work++) {
		if (!s) {
			if (open.len == 0)
				return work;
			s = *(struct ast_selection **)vec_at(&open, open.len - 1);
			open.len--;
			continue;
		}
		struct ast_selection *next = s->next;
		if (how->wanted && !how->wanted(how->ctx, s)) {
			s = next;
		} else if (s->kind == SELECT_FIELD) {
			add_field(g, s);
			s = next;
		} else {
			if (next)
				vec_push_copy(&open, &next);
			s = fragment_selections(s, how);
		}
	}
}

void grouping_finish(struct grouping *g, struct arena *a)
{
	struct ast_selection **all = arena_array(a, g->fields.len, sizeof(struct ast_selection *));
	for (size_t i = 0; i < g->groups.len; i++) {
		struct key_group *group = vec_at(&g->groups, i);
		group->nodes = all;
		all += group->count;
		group->count = 0;
	}
	for (size_t i = 0; i < g->fields.len; i++) {
		const struct grouped_field *f = vec_at(&g->fields, i);
		struct key_group *group = vec_at(&g->groups, f->group);
		group->nodes[group->count++] = f->selection;
	}
}
