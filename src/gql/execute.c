/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/execute.h"

#include "gql/execution_internal.h"
#include "gql/parse_internal.h"
#include "gql/validate_internal.h"

/* A request from its text to its answer. */
struct running {
	const struct gql_schema *schema;
	const struct gql_request *request;
	struct gql_limits limits;
	struct arena *arena;
	struct document document;
	struct problems problems;
	struct ast_definition *operation;
};

static void running_fini(struct running *r)
{
	document_fini(&r->document);
	problems_fini(&r->problems);
	arena_freep(&r->arena);
}

static struct gql_limits fill_limits(const struct gql_limits *given)
{
	struct gql_limits l = given ? *given : (struct gql_limits){0};
	l.document_bytes = l.document_bytes ? l.document_bytes : (size_t)256 << 20;
	if (l.document_bytes >= NO_PLACE)
		l.document_bytes = NO_PLACE - 1;
	l.tokens = l.tokens ? l.tokens : 2000000;
	l.depth = l.depth ? l.depth : 20000;
	l.fields = l.fields ? l.fields : 1000000;
	l.values = l.values ? l.values : 2000000;
	l.errors = l.errors ? l.errors : 100;
	return l;
}

static bool parse(struct running *r)
{
	struct parser p;
	if (r->request->query.len > r->limits.document_bytes) {
		problem_add(&r->problems, NO_PLACE, "The document is larger than %zu bytes.",
			r->limits.document_bytes);
		return false;
	}
	if (!parser_init(&p, r->arena, &r->problems, r->request->query, r->limits.tokens))
		return false;
	p.max_depth = r->limits.depth;
	return parse_document(&p, &r->document);
}

static bool validate(struct running *r)
{
	struct validation v = {.schema = r->schema,
		.document = &r->document,
		.arena = r->arena,
		.problems = &r->problems,
		.limits = r->limits};
	return validate_document(&v);
}

static bool pick_operation(struct running *r)
{
	struct str name = r->request->operation_name;
	struct ast_definition *d = r->document.operations;
	if (name.len == 0 && d->next) {
		problem_add(&r->problems, NO_PLACE,
			"Must provide operation name if query contains multiple operations.");
		return false;
	}
	while (d && name.len > 0 && !str_eq(d->name, name))
		d = d->next;
	if (!d) {
		problem_add(&r->problems, NO_PLACE, "Unknown operation named \"%.*s\".", SHOW_ARG(name));
		return false;
	}
	if (d->operation == OPERATION_SUBSCRIPTION) {
		problem_add(&r->problems, d->at, "Subscriptions are not offered.");
		return false;
	}
	r->operation = d;
	return true;
}

static void write_errors(const struct running *r, struct buf *response)
{
	buf_adds(response, "\"errors\":[");
	buf_addstr(response, buf_str(&r->problems.json));
	buf_addc(response, ']');
}

static void write_request_errors(const struct running *r, struct buf *response)
{
	buf_addc(response, '{');
	write_errors(r, response);
	buf_addc(response, '}');
}

static void write_answer(
	struct running *r, struct gql_execution *ex, struct gql_object *root, struct buf *response)
{
	bool null = finish_results(ex, root);
	buf_adds(response, "{\"data\":");
	if (null)
		buf_adds(response, "null");
	else
		write_results(root, response);
	if (r->problems.count > 0) {
		buf_addc(response, ',');
		write_errors(r, response);
	}
	buf_addc(response, '}');
}

static struct err *run(struct running *r, struct gql_execution *ex, struct buf *response)
{
	struct gql_object *root =
		gql_object_new(ex, plan_root(ex, r->operation->selections, r->operation->type), NULL);
	if (root)
		execution_run(ex, root, r->operation->operation == OPERATION_MUTATION);
	if (ex->canceled)
		return err_new(ERR_CANCELED, "resolving a query was canceled");
	if (ex->too_many) {
		problem_add(&r->problems, NO_PLACE, "The answer has more than %zu values.", r->limits.values);
		write_request_errors(r, response);
		return NULL;
	}
	write_answer(r, ex, root, response);
	return NULL;
}

static struct err *execute(struct running *r, const struct gql_hooks *h, struct buf *response)
{
	struct gql_execution ex AUTO(execution_fini) = {
		.schema = r->schema,
		.hooks = h,
		.problems = &r->problems,
		.variables = map_new(NULL),
		.max_values = r->limits.values,
		/* Marks of fragments that validation left are lower. */
		.walks = UINT64_C(1) << 32,
	};
	execution_init(&ex);
	ex.coercion = (struct coercion){.schema = r->schema, .arena = r->arena, .variables = ex.variables};
	if (!coerce_variables(
		    &ex.coercion, ex.variables, r->operation, r->request->variables, &r->problems)) {
		write_request_errors(r, response);
		return NULL;
	}
	return run(r, &ex, response);
}

struct err *gql_execute(const struct gql_schema *s, const struct gql_request *rq, const struct gql_hooks *h,
	struct buf *response)
{
	struct running r AUTO(running_fini) = {
		.schema = s, .request = rq, .limits = fill_limits(h->limits), .arena = arena_new()};
	problems_init(&r.problems, rq->query, r.limits.errors);
	if (!parse(&r) || !validate(&r) || !pick_operation(&r)) {
		write_request_errors(&r, response);
		return NULL;
	}
	return execute(&r, h, response);
}
