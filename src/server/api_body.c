/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_body.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define WHAT "the body"
#define NAME_BYTES_MAX 200
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
	static const char *const keys[] = {"name", "scopes", "repositories", "expires_seconds", NULL};
	AUTO_STRVEC struct strvec scopes = {0};
	AUTO(token_request_fini) struct token_request t = {0};
	const char *name = NULL;
	int64_t seconds = 0;
	TRY(check_keys(o, WHAT, keys));
	TRY(need_text(o, "name", WHAT, &name));
	TRY(json_get_strings(o, "scopes", WHAT, &scopes));
	TRY(json_get_strings(o, "repositories", WHAT, &t.token.repositories));
	/* A program that found none to name must not get a token for all. */
	if (json_is_array(json_object_get(o, "repositories")) && !t.token.repositories.len)
		return err_hint(err_new(ERR_INVALID, WHAT ": \"repositories\" is empty"),
			"leave it out for all of them");
	TRY(json_get_int(o, "expires_seconds", WHAT, &seconds));
	for (size_t i = 0; i < scopes.len; i++)
		if (!token_scope_parse(scopes.ptr[i], &t.token.scopes))
			return err_hint(
				err_new(ERR_INVALID, WHAT ": there is no scope \"%.100s\"", scopes.ptr[i]),
				"scopes are " SCOPES_TEXT);
	if (json_object_get(o, "expires_seconds") && (seconds < 1 || seconds > EXPIRES_MAX_S))
		return err_new(ERR_INVALID, WHAT ": expires_seconds must be from 1 to %lld",
			(long long)EXPIRES_MAX_S);
	t.token.name = mem_strdup(name);
	t.lasts = seconds * CLOCK_SECOND;
	*out = t;
	t = (struct token_request){0};
	return NULL;
}

/* ---- runs ---- */

static struct err *take_text(const json_t *o, const char *key, const char *what, bool needed, char **out)
{
	const char *text = NULL;
	TRY(json_get_string(o, key, what, &text));
	if (!text && needed)
		return err_new(ERR_INVALID, "%s: %s is missing", what, key);
	*out = mem_strdup(text);
	return NULL;
}

static struct err *fill_job(const json_t *o, const char *what, struct job *j)
{
	static const char *const keys[] = {"kind", "version", "tag", "reference", "label", NULL};
	if (!json_is_object(o))
		return err_new(ERR_INVALID, "%s must be an object", what);
	TRY(check_keys(o, what, keys));
	TRY(take_text(o, "kind", what, true, &j->kind));
	TRY(take_text(o, "version", what, true, &j->version));
	TRY(take_text(o, "tag", what, true, &j->tag));
	TRY(take_text(o, "reference", what, true, &j->reference));
	return take_text(o, "label", what, true, &j->label);
}

static struct err *fill_run(const json_t *o, struct run *r)
{
	static const char *const keys[] = {"repository", "container", "commit", "ref", "subject",
		"requested_by", "no_cache", "jobs", NULL};
	json_t *jobs = NULL;
	TRY(check_keys(o, WHAT, keys));
	TRY(take_text(o, "repository", WHAT, false, &r->repository));
	TRY(take_text(o, "container", WHAT, true, &r->container));
	TRY(take_text(o, "commit", WHAT, true, &r->commit));
	TRY(take_text(o, "ref", WHAT, false, &r->ref));
	TRY(take_text(o, "subject", WHAT, false, &r->subject));
	TRY(take_text(o, "requested_by", WHAT, false, &r->requested_by));
	TRY(json_get_bool(o, "no_cache", WHAT, &r->no_cache));
	TRY(json_get_array(o, "jobs", WHAT, &jobs));
	if (!json_array_size(jobs) || json_array_size(jobs) > RUN_JOBS_MAX)
		return err_new(ERR_INVALID, WHAT ": jobs must be 1 to %d jobs", RUN_JOBS_MAX);
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		AUTO_FREE char *what = mem_printf(WHAT ": jobs[%zu]", i);
		TRY(fill_job(json_array_get(jobs, i), what, vec_push(&r->jobs)));
	}
	return NULL;
}

struct err *body_run(const json_t *o, struct run *out)
{
	AUTO(run_fini) struct run r = {.via = RUN_VIA_SERVER, .jobs = VEC_OF(struct job)};
	TRY(fill_run(o, &r));
	*out = r;
	r = (struct run){0};
	return NULL;
}

/* ---- what runners say ---- */

void claim_request_fini(struct claim_request *c)
{
	mem_freep(&c->runner);
	mem_freep(&c->repository);
	strvec_fini(&c->labels);
	*c = (struct claim_request){0};
}

/* It is shown to people, in lists and logs. */
static struct err *check_name(const char *text, const char *key)
{
	bool ok = *text && strlen(text) <= NAME_BYTES_MAX;
	for (const unsigned char *p = (const unsigned char *)text; ok && *p; p++)
		ok = *p >= ' ' && *p != 0x7f && !(*p == 0xc2 && p[1] < 0xa0);
	return ok ? NULL
		  : err_new(ERR_INVALID, WHAT ": %s must have 1 to %d readable characters", key,
			    NAME_BYTES_MAX);
}

static struct err *fill_claim(const json_t *o, struct claim_request *c)
{
	static const char *const keys[] = {"runner", "repository", "labels", "wait_seconds", NULL};
	int64_t wait = 0;
	TRY(check_keys(o, WHAT, keys));
	TRY(take_text(o, "runner", WHAT, true, &c->runner));
	TRY(check_name(c->runner, "runner"));
	TRY(take_text(o, "repository", WHAT, false, &c->repository));
	TRY(json_get_strings(o, "labels", WHAT, &c->labels));
	if (!c->labels.len || c->labels.len > CLAIM_LABELS_MAX)
		return err_new(ERR_INVALID, WHAT ": labels must be 1 to %d labels", CLAIM_LABELS_MAX);
	for (size_t i = 0; i < c->labels.len; i++)
		TRY(check_name(c->labels.ptr[i], "labels"));
	TRY(json_get_int(o, "wait_seconds", WHAT, &wait));
	if (wait < 0 || wait > CLAIM_WAIT_MAX_S)
		return err_new(ERR_INVALID, WHAT ": wait_seconds must be from 0 to %d", CLAIM_WAIT_MAX_S);
	c->wait = wait * CLOCK_SECOND;
	return NULL;
}

struct err *body_claim(const json_t *o, struct claim_request *out)
{
	AUTO(claim_request_fini) struct claim_request c = {0};
	TRY(fill_claim(o, &c));
	*out = c;
	c = (struct claim_request){0};
	return NULL;
}

static struct err *fill_result(const json_t *o, struct job_result *r)
{
	static const char *const keys[] = {"status", "digest", "inputs", "error", "already", NULL};
	const char *status = NULL;
	TRY(check_keys(o, WHAT, keys));
	TRY(need_text(o, "status", WHAT, &status));
	if (!job_status_parse(status, &r->status) || !job_status_is_final(r->status))
		return err_new(ERR_INVALID,
			WHAT ": a job ends with success, failure or cancelled, not \"%.40s\"", status);
	TRY(take_text(o, "digest", WHAT, false, &r->digest));
	TRY(take_text(o, "inputs", WHAT, false, &r->inputs));
	TRY(take_text(o, "error", WHAT, false, &r->error));
	return json_get_bool(o, "already", WHAT, &r->already);
}

struct err *body_result(const json_t *o, struct job_result *out)
{
	AUTO(job_result_fini) struct job_result r = {0};
	TRY(fill_result(o, &r));
	*out = r;
	r = (struct job_result){0};
	return NULL;
}
