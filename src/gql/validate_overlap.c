/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields that share a key in the answer must agree. Level by level: the fields of a level are grouped by key,
 * each is compared with the first of its group, and the group's selection sets together are a level below.
 * Agreement is transitive, so nothing is compared pairwise.
 */
#include "gql/select_internal.h"
#include "gql/validate_internal.h"

/* Selection sets whose fields stand side by side in the answer. */
struct level {
	struct ast_selection **sets;
	size_t count;
	/* Could one object have them all? If not, only the shape of the answer must agree. */
	bool coexist;
};

struct overlap {
	struct validation *v;
	struct vec levels;                /* still to be looked at */
	const struct ast_selection *last; /* that a conflict was reported for: one is enough */
	bool good;
};

static void overlap_fini(struct overlap *o)
{
	vec_fini(&o->levels);
}

static void conflict(struct overlap *o, const struct ast_selection *s, const char *why)
{
	o->good = false;
	if (s == o->last)
		return;
	o->last = s;
	problem_add(o->v->problems, s->at,
		"Fields \"%.*s\" conflict because %s. Use different aliases on the fields to fetch both if "
		"this was intentional.",
		SHOW_ARG(s->key), why);
}

static bool values_equal(struct validation *v, const struct ast_value *a, const struct ast_value *b);

static const struct ast_value *find_named(struct validation *v, const struct ast_value *list, struct str name)
{
	for (; list && v->work <= WORK_MAX; list = list->next, v->work++)
		if (str_eq(list->name, name))
			return list;
	return NULL;
}

/* Lists by position, arguments and members by name. */
static bool lists_equal(
	struct validation *v, const struct ast_value *a, const struct ast_value *b, bool named)
{
	const struct ast_value *i = a, *k = b;
	for (; i && k; i = i->next, k = k->next) {
		const struct ast_value *other = k;
		if (named && !str_eq(i->name, k->name))
			other = find_named(v, b, i->name);
		if (!other || !values_equal(v, i, other))
			return false;
	}
	return !i && !k;
}

/* Once too much work was done the answer does not matter. */
static bool values_equal(struct validation *v, const struct ast_value *a, const struct ast_value *b)
{
	v->work++;
	if (a == b || v->work > WORK_MAX)
		return true;
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case AST_NULL:
		return true;
	case AST_BOOL:
		return a->b == b->b;
	case AST_LIST:
	case AST_OBJECT:
		return a->list.count == b->list.count &&
		       lists_equal(v, a->list.first, b->list.first, a->kind == AST_OBJECT);
	default:
		v->work += a->text.len / 64;
		return str_eq(a->text, b->text);
	}
}

static void check_same_call(struct overlap *o, const struct ast_selection *a, const struct ast_selection *b)
{
	if (!str_eq(a->name, b->name)) {
		struct buf why AUTO_BUF = {0};
		buf_addf(&why, "\"%.*s\" and \"%.*s\" are different fields", SHOW_ARG(a->name),
			SHOW_ARG(b->name));
		conflict(o, b, buf_cstr(&why));
	} else if (!lists_equal(o->v, a->args, b->args, true)) {
		conflict(o, b, "they have differing arguments");
	}
}

static bool same_shape(const struct type_ref *a, const struct type_ref *b)
{
	for (; a->kind == b->kind; a = a->of, b = b->of) {
		if (a->kind != REF_NAMED)
			continue;
		bool composite = type_is_composite(a->type);
		return composite ? type_is_composite(b->type) : a->type == b->type;
	}
	return false;
}

static void check_shape(struct overlap *o, const struct ast_selection *a, const struct ast_selection *b)
{
	if (same_shape(a->field->type, b->field->type))
		return;
	struct buf why AUTO_BUF = {0};
	buf_adds(&why, "they return conflicting types \"");
	ref_print(a->field->type, &why);
	buf_adds(&why, "\" and \"");
	ref_print(b->field->type, &why);
	buf_addc(&why, '"');
	conflict(o, b, buf_cstr(&why));
}

static bool is_concrete(const struct ast_selection *s)
{
	return s->parent->kind == TYPE_OBJECT;
}

/* The level below the nodes that an object of type "only" could have; NULL: all of them. */
static void add_level(struct overlap *o, const struct key_group *g, const struct gql_type *only, bool coexist)
{
	struct level below = {.coexist = coexist};
	const struct ast_selection *first = NULL;
	below.sets = arena_array(o->v->arena, g->count, sizeof(struct ast_selection *));
	if (!validation_spend(o->v, g->count))
		return;
	for (size_t i = 0; i < g->count; i++) {
		struct ast_selection *s = g->nodes[i];
		if (only && is_concrete(s) && s->parent != only)
			continue;
		if (!first)
			first = s;
		else if (coexist)
			check_same_call(o, first, s);
		if (s->children)
			below.sets[below.count++] = s->children;
	}
	if (below.count > 0)
		vec_push_copy(&o->levels, &below);
}

/* The object types that fields of the group are selected on, each once. */
static void concrete_parents(struct overlap *o, const struct key_group *g, struct vec *out)
{
	for (size_t i = 0; i < g->count; i++) {
		bool known = !is_concrete(g->nodes[i]);
		for (size_t k = 0; k < out->len && !known; k++)
			known = *(const struct gql_type **)vec_at(out, k) == g->nodes[i]->parent;
		if (!validation_spend(o->v, out->len))
			return;
		if (!known)
			vec_push_copy(out, &g->nodes[i]->parent);
	}
}

static void check_group(struct overlap *o, const struct key_group *g, bool coexist)
{
	struct vec parents AUTO(vec_fini) = VEC_OF(const struct gql_type *);
	if (coexist && g->count > 1)
		concrete_parents(o, g, &parents);
	add_level(o, g, NULL, coexist && parents.len <= 1);
	for (size_t i = 0; parents.len > 1 && i < parents.len; i++)
		add_level(o, g, *(const struct gql_type **)vec_at(&parents, i), true);
	for (size_t i = 1; i < g->count; i++)
		check_shape(o, g->nodes[0], g->nodes[i]);
}

static void check_level(struct overlap *o, const struct level *level)
{
	struct grouping g AUTO(grouping_fini);
	grouping_init(&g);
	struct selector all = {.walk = ++o->v->walks};
	for (size_t i = 0; i < level->count; i++)
		if (!validation_spend(o->v, grouping_add(&g, level->sets[i], &all) + 1))
			return;
	grouping_finish(&g, o->v->arena);
	for (size_t i = 0; i < g.groups.len && o->v->work <= WORK_MAX && !problems_full(o->v->problems); i++)
		check_group(o, vec_at(&g.groups, i), level->coexist);
}

bool validate_overlap(struct validation *v, struct ast_definition *operation)
{
	struct overlap o AUTO(overlap_fini) = {.v = v, .levels = VEC_OF(struct level), .good = true};
	struct level root = {.sets = &operation->selections, .count = 1, .coexist = true};
	vec_push_copy(&o.levels, &root);
	while (o.levels.len > 0 && v->work <= WORK_MAX && !problems_full(v->problems)) {
		struct level level = *(struct level *)vec_at(&o.levels, o.levels.len - 1);
		o.levels.len--;
		check_level(&o, &level);
	}
	return o.good && validation_spend(v, 0);
}
