/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "release/run_json.h"
#include "server/api_body.h"
#include "server/api_internal.h"

#define LIST_DEFAULT 20
#define LIST_MAX 100

static void runs_fini(struct vec *runs)
{
	for (size_t i = 0; i < runs->len; i++)
		run_fini(vec_at(runs, i));
	vec_fini(runs);
}

struct err *api_run_list(struct api_call *c)
{
	AUTO(runs_fini) struct vec list = VEC_OF(struct run);
	AUTO_JSON json_t *o = json_object();
	json_t *runs = json_array(), *next = json_null();
	uint64_t limit = LIST_DEFAULT, before = 0;
	json_object_set_new(o, "runs", runs);
	TRY(api_query_number(c->x, "limit", 1, LIST_MAX, &limit));
	TRY(api_query_number(c->x, "before", 1, INT64_MAX, &before));
	TRY(runs_list(c->api->runs, (int64_t)before, limit, &list));
	for (size_t i = 0; i < list.len; i++)
		json_array_append_new(runs, run_to_json(vec_at(&list, i)));
	if (list.len == limit)
		next = json_integer(((const struct run *)vec_at(&list, list.len - 1))->number);
	json_object_set_new(o, "next", next);
	api_reply(c->x, 200, o);
	return NULL;
}

static struct err *reply_run(struct api_call *c, int status, int64_t number)
{
	AUTO(run_fini) struct run run = {0};
	TRY(runs_get(c->api->runs, number, &run));
	AUTO_JSON json_t *o = run_to_json(&run);
	api_reply(c->x, status, o);
	return NULL;
}

struct err *api_run_create(struct api_call *c)
{
	AUTO(run_fini) struct run spec = {0};
	int64_t number = 0;
	TRY(body_run(c->json, &spec));
	/* A token says who it was; only where there are none is the client's word taken. */
	if (c->caller->token.name || !spec.requested_by) {
		mem_freep(&spec.requested_by);
		spec.requested_by = mem_strdup(c->caller->token.name ? c->caller->token.name : "anonymous");
	}
	TRY(runs_add(c->api->runs, &spec, &number));
	AUTO_FREE char *place = mem_printf(API_ROOT "/runs/%lld", (long long)number);
	http_set_header(c->x, "Location", place);
	return reply_run(c, 201, number);
}

struct err *api_run_get(struct api_call *c)
{
	return reply_run(c, 200, c->path.run);
}

struct err *api_run_cancel(struct api_call *c)
{
	struct err *e = runs_cancel(c->api->runs, c->path.run);
	if (err_kind(e) == ERR_INVALID) {
		api_error(c->x, 409, NULL, "%s", err_message(e));
		err_free(e);
		return NULL;
	}
	TRY(e);
	return reply_run(c, 200, c->path.run);
}
