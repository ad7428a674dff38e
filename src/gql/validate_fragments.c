/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How definitions spread each other. Depth and number of fields of each, with all below it spread, are sums
 * over the graph of definitions: what a request would cost is known without ever spreading it.
 */
#include "gql/validate_internal.h"

bool validation_reach(struct validation *v, struct ast_definition *d, struct vec *out)
{
	uint64_t walk = ++v->walks;
	d->mark = walk;
	vec_push_copy(out, &d);
	for (size_t i = 0; i < out->len; i++) {
		struct ast_definition **at = vec_at(out, i);
		for (const struct ast_spread *s = (*at)->spreads; s; s = s->next) {
			if (!validation_spend(v, 1))
				return false;
			if (s->fragment->mark == walk)
				continue;
			s->fragment->mark = walk;
			vec_push_copy(out, &s->fragment);
		}
	}
	return true;
}

static size_t add_saturated(size_t a, size_t b)
{
	return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* Its own numbers become those with everything spread; its fragments' are so already. */
static void sum_up(struct ast_definition *d)
{
	for (const struct ast_spread *s = d->spreads; s; s = s->next) {
		size_t depth = add_saturated(s->depth, s->fragment->depth);
		d->fields = add_saturated(d->fields, s->fragment->fields);
		if (depth > d->depth)
			d->depth = depth;
	}
	d->colour = 2;
}

/* A definition begun, with the spreads still to be followed. */
struct begun {
	struct ast_definition *definition;
	const struct ast_spread *next;
};

static bool cycle(struct validation *v, const struct ast_spread *s)
{
	problem_add(v->problems, s->at, "Cannot spread fragment \"%.*s\" within itself.",
		SHOW_ARG(s->fragment->name));
	return false;
}

static bool follow(struct validation *v, struct vec *stack, struct ast_definition *d)
{
	struct begun first = {.definition = d, .next = d->spreads};
	d->colour = 1;
	vec_push_copy(stack, &first);
	while (stack->len > 0) {
		struct begun *b = vec_at(stack, stack->len - 1);
		const struct ast_spread *s = b->next;
		if (!s) {
			sum_up(b->definition);
			stack->len--;
			continue;
		}
		b->next = s->next;
		if (s->fragment->colour == 1)
			return cycle(v, s);
		if (s->fragment->colour == 2)
			continue;
		struct begun below = {.definition = s->fragment, .next = s->fragment->spreads};
		s->fragment->colour = 1;
		vec_push_copy(stack, &below);
	}
	return true;
}

static bool follow_all(struct validation *v, struct ast_definition *list)
{
	for (struct ast_definition *d = list; d; d = d->next) {
		struct vec stack AUTO(vec_fini) = VEC_OF(struct begun);
		if (d->colour == 0 && !follow(v, &stack, d))
			return false;
	}
	return true;
}

static bool check_unused(struct validation *v)
{
	uint64_t before = v->walks;
	bool good = true;
	for (struct ast_definition *d = v->document->operations; d; d = d->next) {
		struct vec reached AUTO(vec_fini) = VEC_OF(struct ast_definition *);
		if (!validation_reach(v, d, &reached))
			return false;
	}
	for (struct ast_definition *d = v->document->fragments; d; d = d->next) {
		if (d->mark > before)
			continue;
		problem_add(v->problems, d->at, "Fragment \"%.*s\" is never used.", SHOW_ARG(d->name));
		good = false;
	}
	return good;
}

static bool check_size(struct validation *v, const struct ast_definition *d)
{
	if (d->depth > v->limits.depth) {
		problem_add(v->problems, d->at,
			"The operation is nested deeper than %zu levels with its fragments spread.",
			v->limits.depth);
		return false;
	}
	if (d->fields > v->limits.fields) {
		problem_add(v->problems, d->at,
			"The operation has more than %zu fields with its fragments spread.",
			v->limits.fields);
		return false;
	}
	return true;
}

bool validate_fragments(struct validation *v)
{
	if (!follow_all(v, v->document->fragments) || !follow_all(v, v->document->operations) ||
		!check_unused(v))
		return false;
	for (const struct ast_definition *d = v->document->operations; d; d = d->next)
		if (!check_size(v, d))
			return false;
	return true;
}
