/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/validate_internal.h"

bool validation_spend(struct validation *v, size_t work)
{
	v->work += work;
	if (v->work <= WORK_MAX)
		return true;
	problem_add(v->problems, NO_PLACE, "The document is too complex to be checked.");
	return false;
}

static bool repeated_name(struct validation *v, struct map *names, struct ast_definition *d)
{
	if (!map_has(names, d->name)) {
		map_set(names, d->name, d);
		return false;
	}
	problem_add(v->problems, d->at, "There can be only one %s named \"%.*s\".",
		d->is_fragment ? "fragment" : "operation", SHOW_ARG(d->name));
	return true;
}

bool validate_names(struct validation *v)
{
	bool good = true;
	struct map *operations AUTO(map_freep) = map_new(NULL);
	for (struct ast_definition *d = v->document->operations; d; d = d->next) {
		bool alone = d == v->document->operations && !d->next;
		if (d->name.len > 0)
			good = !repeated_name(v, operations, d) && good;
		if (d->name.len == 0 && !alone) {
			problem_add(v->problems, d->at,
				"This anonymous operation must be the only defined operation.");
			good = false;
		}
	}
	for (struct ast_definition *d = v->document->fragments; d; d = d->next)
		good = !repeated_name(v, v->document->by_name, d) && good;
	return good;
}

static bool find_operation_type(struct validation *v, struct ast_definition *d)
{
	static const char *const names[] = {"query", "mutation", "subscription"};
	static const enum directive_place places[] = {ON_QUERY, ON_MUTATION, ON_SUBSCRIPTION};
	d->type = schema_root(v->schema, d->operation);
	if (!d->type) {
		problem_add(v->problems, d->at, "Schema is not configured to execute %s operation.",
			names[d->operation]);
		return false;
	}
	struct checker c = {.schema = v->schema, .arena = v->arena, .problems = v->problems, .definition = d};
	return check_directives(&c, d->directives, places[d->operation]);
}

static bool find_fragment_type(struct validation *v, struct ast_definition *d)
{
	d->type = schema_type(v->schema, d->condition);
	if (!d->type) {
		problem_add(v->problems, d->condition_at, "Unknown type \"%.*s\".", SHOW_ARG(d->condition));
		return false;
	}
	if (!type_is_composite(d->type)) {
		problem_add(v->problems, d->condition_at,
			"Fragment \"%.*s\" cannot condition on non composite type \"%s\".", SHOW_ARG(d->name),
			d->type->name.ptr);
		return false;
	}
	struct checker c = {.schema = v->schema, .arena = v->arena, .problems = v->problems, .definition = d};
	return check_directives(&c, d->directives, ON_FRAGMENT_DEFINITION);
}

static bool validate_definitions(struct validation *v)
{
	bool good = true;
	/* All types first: a spread looks at that of its fragment. */
	for (struct ast_definition *d = v->document->fragments; d; d = d->next)
		good = find_fragment_type(v, d) && good;
	for (struct ast_definition *d = v->document->operations; d; d = d->next)
		good = find_operation_type(v, d) && good;
	for (struct ast_definition *d = v->document->operations; d; d = d->next)
		good = (!d->type || validate_selections(v, d)) && good;
	for (struct ast_definition *d = v->document->fragments; d; d = d->next)
		good = (!d->type || !type_is_composite(d->type) || validate_selections(v, d)) && good;
	return good;
}

bool validate_document(struct validation *v)
{
	/* Later parts rely on what earlier ones found to be sound. */
	if (!validate_names(v) || !validate_definitions(v) || !validate_fragments(v) ||
		!validate_variables(v))
		return false;
	if (!v->document->operations) {
		problem_add(v->problems, NO_PLACE, "Must provide an operation.");
		return false;
	}
	for (struct ast_definition *d = v->document->operations; d; d = d->next)
		if (!validate_overlap(v, d))
			return false;
	return true;
}
