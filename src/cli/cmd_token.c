/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/table.h"
#include "server/tokens.h"

#include <string.h>

struct token_args {
	struct strvec scopes, repositories;
	const char *expires;
	bool json;
};

#define OPT(field) offsetof(struct token_args, field)

static const struct option create_options[] = {
	{"scope", 's', OPTION_LIST, "SCOPE", OPT(scopes),
		"admin, release, runner, push, pull or metrics; several are allowed"},
	{"repository", 'r', OPTION_LIST, "PATTERN", OPT(repositories),
		"push and pull these repositories alone: homelab/*; several are allowed"},
	{"expires", 0, OPTION_TEXT, "TIME", OPT(expires),
		"not valid any more after this time: 90d, 12h, 30m"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};

static const struct option ls_options[] = {
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};

static json_t *token_json(const struct token *t)
{
	char text[CLOCK_TEXT_MAX];
	json_t *o = json_object();
	AUTO_FREE char *scopes = token_scopes_text(t->scopes);
	json_t *list = json_array();
	struct str rest = str_c(scopes), one;
	while (str_split(&rest, ',', &one))
		if (one.len)
			json_array_append_new(list, json_text_n(one.ptr, one.len));
	json_set_text(o, "name", t->name);
	json_object_set_new(o, "scopes", list);
	json_t *repositories = json_array();
	for (size_t i = 0; i < t->repositories.len; i++)
		json_array_append_new(repositories, json_text(t->repositories.ptr[i]));
	json_object_set_new(o, "repositories", repositories);
	json_set_text(o, "created", clock_rfc3339(t->created, text));
	if (t->expires)
		json_set_text(o, "expires", clock_rfc3339(t->expires, text));
	if (t->used)
		json_set_text(o, "used", clock_rfc3339(t->used, text));
	return o;
}

static void print_json(struct cli *c, const json_t *o)
{
	AUTO_FREE char *text = json_dump_pretty(o);
	fprintf(c->out, "%s\n", text);
}

static struct err *run_create(struct cli *c, void *args, const struct strvec *operands)
{
	struct token_args *ta = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(token_fini) struct token made = {0};
	struct token spec = {.name = operands->ptr[0]};
	char text[TOKEN_TEXT_MAX];
	int64_t lasts = 0;

	for (size_t i = 0; i < ta->scopes.len; i++)
		if (!token_scope_parse(ta->scopes.ptr[i], &spec.scopes))
			return err_new(ERR_USAGE,
				"--scope takes admin, release, runner, push, pull or metrics, not \"%s\"",
				ta->scopes.ptr[i]);
	if (!spec.scopes)
		return err_new(ERR_USAGE,
			"say what the token is for: --scope admin, release, runner, push, pull or metrics");
	if (ta->expires && (!duration_parse_span(ta->expires, &lasts) || !lasts))
		return err_new(
			ERR_USAGE, "--expires takes a time like 90d, 12h or 30m, not \"%s\"", ta->expires);
	if (lasts)
		spec.expires = clock_now() + lasts;
	TRY(engine_open(&c->engine, &eng));
	spec.repositories = ta->repositories; /* borrowed */
	TRY(token_create(engine_store(eng), &spec, text, &made));
	if (ta->json) {
		AUTO_JSON json_t *o = token_json(&made);
		json_set_text(o, "token", text);
		print_json(c, o);
	} else {
		fprintf(c->out, "%s\n", text);
		fprintf(c->err, "it is not shown again: the store keeps its hash only\n");
	}
	explicit_bzero(text, sizeof(text));
	return NULL;
}

static void add_time(struct table *t, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];
	table_cell(t, ns ? clock_rfc3339(ns / CLOCK_SECOND * CLOCK_SECOND, text) : "never");
}

static struct err *run_ls(struct cli *c, void *args, const struct strvec *operands)
{
	static const char *const titles[] = {
		"NAME", "SCOPES", "REPOSITORIES", "CREATED", "LAST USED", "EXPIRES"};
	struct token_args *ta = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(tokens_fini) struct vec list = VEC_OF(struct token);

	(void)operands;
	TRY(engine_open(&c->engine, &eng));
	TRY(tokens_list(engine_store(eng), &list));
	AUTO_JSON json_t *all = json_array();
	struct table table = {0};
	table_start(&table, titles, ARRAY_LEN(titles));
	for (size_t i = 0; i < list.len; i++) {
		const struct token *t = vec_at(&list, i);
		AUTO_FREE char *scopes = token_scopes_text(t->scopes);
		json_array_append_new(all, token_json(t));
		table_cell(&table, t->name);
		table_cell(&table, scopes);
		AUTO_FREE char *repositories = token_repositories_text(t);
		table_cell(&table, repositories);
		add_time(&table, t->created);
		add_time(&table, t->used);
		add_time(&table, t->expires);
	}
	if (ta->json)
		print_json(c, all);
	else if (list.len)
		table_print(&table, c->out);
	table_fini(&table);
	return NULL;
}

static struct err *run_rm(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(engine_closep) struct engine *eng = NULL;

	(void)args;
	TRY(engine_open(&c->engine, &eng));
	return token_delete(engine_store(eng), operands->ptr[0]);
}

const struct command cmd_token_create = {
	.name = "token create",
	.summary = "make a token for the server on this store and show it, once",
	.operands = "NAME",
	.details = "admin may do everything; release makes and cancels runs and reads their logs; runner "
		   "takes jobs; "
		   "push adds to the registry and never replaces or deletes; pull reads it; metrics reads "
		   "/metrics.\n\n"
		   "A running server knows at once. With the first token it stops being open to everybody.",
	.min = 1,
	.max = 1,
	.options = create_options,
	.option_count = ARRAY_LEN(create_options),
	.args_size = sizeof(struct token_args),
	.run = run_create,
};

const struct command cmd_token_ls = {
	.name = "token ls",
	.summary = "list the tokens of the server on this store",
	.operands = "",
	.options = ls_options,
	.option_count = ARRAY_LEN(ls_options),
	.args_size = sizeof(struct token_args),
	.run = run_ls,
};

const struct command cmd_token_rm = {
	.name = "token rm",
	.summary = "delete a token: it stops being valid at once",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.run = run_rm,
};
