/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "release/run_json.h"
#include "server/api_body.h"
#include "server/api_internal.h"

#include <string.h>

static json_t *token_json(const struct token *t)
{
	json_t *o = json_object(), *scopes = json_array(), *repositories = json_array();
	for (unsigned i = 0; token_scope_names[i]; i++)
		if (t->scopes & 1u << i)
			json_array_append_new(scopes, json_text(token_scope_names[i]));
	for (size_t i = 0; i < t->repositories.len; i++)
		json_array_append_new(repositories, json_text(t->repositories.ptr[i]));
	json_set_text(o, "name", t->name);
	json_object_set_new(o, "scopes", scopes);
	json_object_set_new(o, "repositories", repositories);
	json_object_set_new(o, "created", time_to_json(t->created));
	json_object_set_new(o, "expires", time_to_json(t->expires));
	json_object_set_new(o, "used", time_to_json(t->used));
	return o;
}

struct err *api_token_list(struct api_call *c)
{
	AUTO(tokens_fini) struct vec list = VEC_OF(struct token);
	AUTO_JSON json_t *o = json_object();
	json_t *tokens = json_array();
	json_object_set_new(o, "tokens", tokens);
	TRY(tokens_list(c->api->store, &list));
	for (size_t i = 0; i < list.len; i++)
		json_array_append_new(tokens, token_json(vec_at(&list, i)));
	api_reply(c->x, 200, o);
	return NULL;
}

struct err *api_token_create(struct api_call *c)
{
	char text[TOKEN_TEXT_MAX];
	AUTO(token_request_fini) struct token_request rq = {0};
	AUTO(token_fini) struct token made = {0};
	TRY(body_token(c->json, &rq));
	if (rq.lasts)
		rq.token.expires = clock_now() + rq.lasts;
	TRY(token_create(c->api->store, &rq.token, text, &made));
	AUTO_JSON json_t *o = token_json(&made);
	json_set_text(o, "token", text);
	api_reply(c->x, 201, o);
	explicit_bzero(text, sizeof(text));
	return NULL;
}

struct err *api_token_delete(struct api_call *c)
{
	AUTO_FREE char *name = mem_strndup(c->path.name.ptr, c->path.name.len);
	TRY(token_delete(c->api->store, name));
	api_reply_empty(c->x, 204);
	return NULL;
}
