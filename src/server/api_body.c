/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_body.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define WHAT "the body"
#define EXPIRES_MAX_S (INT64_C(36500) * 86400)

/* keys ends with NULL. */
static struct err *check_keys(const json_t *o, const char *what, const char *const *keys)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)o, key, value)
	{
		bool known = false;
		for (size_t i = 0; keys[i]; i++)
			known |= cstr_eq(keys[i], key);
		if (known)
			continue;
		const char *near = str_suggest(key, keys);
		struct err *e = err_new(ERR_INVALID, "%s: unknown key \"%.100s\"", what, key);
		return near ? err_hint(e, "did you mean \"%s\"?", near) : e;
	}
	return NULL;
}

/* A text that must be there. */
static struct err *need_text(const json_t *o, const char *key, const char *what, const char **out)
{
	TRY(json_get_string(o, key, what, out));
	return *out ? NULL : err_new(ERR_INVALID, "%s: %s is missing", what, key);
}

void token_request_fini(struct token_request *t)
{
	token_fini(&t->token);
}

struct err *body_token(const json_t *o, struct token_request *out)
{
	static const char *const keys[] = {"name", "scopes", "expires_seconds", NULL};
	AUTO_STRVEC struct strvec scopes = {0};
	AUTO(token_request_fini) struct token_request t = {0};
	const char *name = NULL;
	int64_t seconds = 0;
	TRY(check_keys(o, WHAT, keys));
	TRY(need_text(o, "name", WHAT, &name));
	TRY(json_get_strings(o, "scopes", WHAT, &scopes));
	TRY(json_get_int(o, "expires_seconds", WHAT, &seconds));
	for (size_t i = 0; i < scopes.len; i++)
		if (!token_scope_parse(scopes.ptr[i], &t.token.scopes))
			return err_hint(
				err_new(ERR_INVALID, WHAT ": there is no scope \"%.100s\"", scopes.ptr[i]),
				"scopes are admin, release, runner, push and pull");
	if (json_object_get(o, "expires_seconds") && (seconds < 1 || seconds > EXPIRES_MAX_S))
		return err_new(ERR_INVALID, WHAT ": expires_seconds must be from 1 to %lld",
			(long long)EXPIRES_MAX_S);
	t.token.name = mem_strdup(name);
	t.lasts = seconds * CLOCK_SECOND;
	*out = t;
	t = (struct token_request){0};
	return NULL;
}
