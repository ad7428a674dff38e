/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/validate_internal.h"

static bool declare(struct validation *v, struct map *declared, struct ast_variable *var)
{
	struct checker c = {.schema = v->schema, .arena = v->arena, .problems = v->problems};
	const struct type_ref *named = var->type;
	while (named->kind != REF_NAMED)
		named = named->of;
	if (map_has(declared, var->name)) {
		problem_add(v->problems, var->at, "There can be only one variable named \"$%.*s\".",
			SHOW_ARG(var->name));
		return false;
	}
	map_set(declared, var->name, var);
	if (!ref_resolve(v->schema, var->type)) {
		problem_add(v->problems, named->at, "Unknown type \"%.*s\".", SHOW_ARG(named->name));
		return false;
	}
	if (!type_is_input(named->type)) {
		problem_add(v->problems, named->at, "Variable \"$%.*s\" cannot be non-input type \"%s\".",
			SHOW_ARG(var->name), named->type->name.ptr);
		return false;
	}
	bool good = !var->fallback || check_literal(&c, var->type, var->fallback, false);
	return check_directives(&c, var->directives, ON_VARIABLE_DEFINITION) && good;
}

/* May a variable of type "have" stand where "want" is expected? */
static bool types_fit(const struct type_ref *have, const struct type_ref *want)
{
	for (;;) {
		if (want->kind == REF_NON_NULL) {
			if (have->kind != REF_NON_NULL)
				return false;
			want = want->of;
		}
		have = ref_nullable(have);
		if (have->kind != want->kind)
			return false;
		if (have->kind == REF_NAMED)
			return have->type == want->type;
		have = have->of;
		want = want->of;
	}
}

static bool is_allowed(const struct ast_variable *var, const struct ast_usage *u)
{
	if (u->type->kind == REF_NON_NULL && var->type->kind != REF_NON_NULL) {
		bool has_value = var->fallback && var->fallback->kind != AST_NULL;
		return (has_value || u->has_default) && types_fit(var->type, u->type->of);
	}
	return types_fit(var->type, u->type);
}

static void undefined_variable(
	struct validation *v, const struct ast_definition *operation, const struct ast_value *use)
{
	if (operation->name.len > 0)
		problem_add(v->problems, use->at, "Variable \"$%.*s\" is not defined by operation \"%.*s\".",
			SHOW_ARG(use->text), SHOW_ARG(operation->name));
	else
		problem_add(v->problems, use->at, "Variable \"$%.*s\" is not defined.", SHOW_ARG(use->text));
}

static bool check_usage(struct validation *v, const struct ast_definition *operation,
	const struct map *declared, const struct ast_usage *u)
{
	struct ast_variable *var = map_get(declared, u->variable->text);
	if (!var) {
		undefined_variable(v, operation, u->variable);
		return false;
	}
	var->used = true;
	if (!u->type || is_allowed(var, u))
		return true;
	struct buf have AUTO_BUF = {0}, want AUTO_BUF = {0};
	ref_print(var->type, &have);
	ref_print(u->type, &want);
	problem_add(v->problems, u->variable->at,
		"Variable \"$%.*s\" of type \"%s\" used in position expecting type \"%s\".",
		SHOW_ARG(var->name), buf_cstr(&have), buf_cstr(&want));
	return false;
}

static bool check_usages(struct validation *v, struct ast_definition *operation, const struct map *declared)
{
	struct vec reached AUTO(vec_fini) = VEC_OF(struct ast_definition *);
	if (!validation_reach(v, operation, &reached))
		return false;
	bool good = true;
	for (size_t i = 0; i < reached.len; i++) {
		struct ast_definition **d = vec_at(&reached, i);
		for (const struct ast_usage *u = (*d)->usages; u; u = u->next) {
			if (!validation_spend(v, 1))
				return false;
			good = check_usage(v, operation, declared, u) && good;
		}
	}
	return good;
}

static bool check_unused(struct validation *v, const struct ast_definition *operation)
{
	bool good = true;
	for (const struct ast_variable *var = operation->variables; var; var = var->next) {
		if (var->used)
			continue;
		problem_add(v->problems, var->at, "Variable \"$%.*s\" is never used.", SHOW_ARG(var->name));
		good = false;
	}
	return good;
}

static bool check_operation(struct validation *v, struct ast_definition *operation)
{
	struct map *declared AUTO(map_freep) = map_new(NULL);
	bool good = true;
	for (struct ast_variable *var = operation->variables; var; var = var->next)
		good = declare(v, declared, var) && good;
	return good && check_usages(v, operation, declared) && check_unused(v, operation);
}

bool validate_variables(struct validation *v)
{
	bool good = true;
	for (struct ast_definition *d = v->document->operations; d && !problems_full(v->problems);
		d = d->next)
		good = check_operation(v, d) && good;
	return good;
}
