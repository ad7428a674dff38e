/* SPDX-License-Identifier: Apache-2.0 */
#include "release/run_json.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

json_t *time_to_json(int64_t ns)
{
	char text[CLOCK_TEXT_MAX];
	return ns ? json_text(clock_rfc3339(ns, text)) : json_null();
}

static json_t *text_or_null(const char *text)
{
	return text ? json_text(text) : json_null();
}

json_t *job_to_json(const struct job *j)
{
	json_t *o = json_object();
	json_object_set_new(o, "id", json_integer(j->id));
	json_object_set_new(o, "run", json_integer(j->run));
	json_object_set_new(o, "index", json_integer(j->index));
	json_set_text(o, "kind", j->kind);
	json_set_text(o, "version", j->version);
	json_set_text(o, "tag", j->tag);
	json_set_text(o, "reference", j->reference);
	json_object_set_new(o, "label", json_text(j->label ? j->label : ""));
	json_object_set_new(o, "runner", text_or_null(j->runner));
	json_set_text(o, "status", job_status_name(j->status));
	json_object_set_new(o, "tries", json_integer(j->tries));
	json_object_set_new(o, "cancel_asked", json_boolean(j->cancel_asked));
	json_object_set_new(o, "created", time_to_json(j->created));
	json_object_set_new(o, "started", time_to_json(j->started));
	json_object_set_new(o, "ended", time_to_json(j->ended));
	json_object_set_new(o, "digest", text_or_null(j->digest));
	json_object_set_new(o, "inputs", text_or_null(j->inputs));
	json_object_set_new(o, "already", json_boolean(j->already));
	json_object_set_new(o, "error", text_or_null(j->error));
	json_object_set_new(o, "log_size", json_integer((json_int_t)j->log_size));
	json_object_set_new(o, "log_gone", json_boolean(j->log_gone));
	return o;
}

json_t *run_to_json(const struct run *r)
{
	json_t *o = json_object(), *jobs = json_array();
	json_object_set_new(o, "number", json_integer(r->number));
	json_set_text(o, "via", run_via_name(r->via));
	json_object_set_new(o, "repository", json_text(r->repository ? r->repository : ""));
	json_set_text(o, "container", r->container);
	json_set_text(o, "commit", r->commit);
	json_object_set_new(o, "ref", json_text(r->ref ? r->ref : ""));
	json_object_set_new(o, "subject", json_text(r->subject ? r->subject : ""));
	json_object_set_new(o, "requested_by", json_text(r->requested_by ? r->requested_by : ""));
	json_object_set_new(o, "no_cache", json_boolean(r->no_cache));
	json_set_text(o, "status", job_status_name(r->status));
	json_object_set_new(o, "created", time_to_json(r->created));
	json_object_set_new(o, "started", time_to_json(r->started));
	json_object_set_new(o, "ended", time_to_json(r->ended));
	for (size_t i = 0; i < r->jobs.len; i++)
		json_array_append_new(jobs, job_to_json(vec_at(&r->jobs, i)));
	json_object_set_new(o, "jobs", jobs);
	return o;
}

/* ---- reading ---- */

/* One field of an object. */
struct field {
	const char *key;
	enum { FIELD_TEXT, FIELD_MAYBE_TEXT, FIELD_INT, FIELD_BOOL, FIELD_TIME } type;
	void *to; /* char **, int64_t *, bool * */
};

static struct err *missing(const char *what, const char *key)
{
	return err_hint(err_new(ERR_INVALID, "%s: %s is missing", what, key),
		"is it a cooper server of a newer or older version?");
}

static struct err *read_text(const json_t *o, const char *what, const struct field *f)
{
	const char *text = NULL;
	TRY(json_get_string(o, f->key, what, &text));
	if (!text && f->type != FIELD_MAYBE_TEXT && f->type != FIELD_TIME)
		return missing(what, f->key);
	if (f->type == FIELD_TIME) {
		struct err *e = text ? clock_parse_rfc3339(str_c(text), f->to) : NULL;
		return e ? err_wrap(e, "%s: %s", what, f->key) : NULL;
	}
	*(char **)f->to = mem_strdup(text);
	return NULL;
}

static struct err *read_fields(const json_t *o, const char *what, const struct field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct field *f = &fields[i];
		if (f->type == FIELD_BOOL)
			TRY(json_get_bool(o, f->key, what, f->to));
		else if (f->type == FIELD_INT && !json_is_integer(json_object_get(o, f->key)))
			return missing(what, f->key);
		else if (f->type == FIELD_INT)
			TRY(json_get_int(o, f->key, what, f->to));
		else
			TRY(read_text(o, what, f));
	}
	return NULL;
}

static struct err *read_status(const char *text, const char *what, enum job_status *out)
{
	return job_status_parse(text, out) ? NULL
					   : err_new(ERR_INVALID, "%s: unknown status \"%.40s\"", what, text);
}

static struct err *fill_job(const json_t *o, const char *what, struct job *j)
{
	AUTO_FREE char *status = NULL;
	int64_t index = 0, tries = 0, log_size = 0;
	const struct field fields[] = {
		{"id", FIELD_INT, &j->id},
		{"run", FIELD_INT, &j->run},
		{"index", FIELD_INT, &index},
		{"kind", FIELD_TEXT, &j->kind},
		{"version", FIELD_TEXT, &j->version},
		{"tag", FIELD_TEXT, &j->tag},
		{"reference", FIELD_TEXT, &j->reference},
		{"label", FIELD_TEXT, &j->label},
		{"runner", FIELD_MAYBE_TEXT, &j->runner},
		{"status", FIELD_TEXT, &status},
		{"tries", FIELD_INT, &tries},
		{"cancel_asked", FIELD_BOOL, &j->cancel_asked},
		{"created", FIELD_TIME, &j->created},
		{"started", FIELD_TIME, &j->started},
		{"ended", FIELD_TIME, &j->ended},
		{"digest", FIELD_MAYBE_TEXT, &j->digest},
		{"inputs", FIELD_MAYBE_TEXT, &j->inputs},
		{"already", FIELD_BOOL, &j->already},
		{"error", FIELD_MAYBE_TEXT, &j->error},
		{"log_size", FIELD_INT, &log_size},
		{"log_gone", FIELD_BOOL, &j->log_gone},
	};
	TRY(read_fields(o, what, fields, ARRAY_LEN(fields)));
	if (index < 0 || index > UINT32_MAX || tries < 0 || tries > UINT32_MAX || log_size < 0)
		return err_new(ERR_INVALID, "%s: a number is out of range", what);
	j->index = (uint32_t)index;
	j->tries = (uint32_t)tries;
	j->log_size = (uint64_t)log_size;
	return read_status(status, what, &j->status);
}

static struct err *job_from_json(const json_t *o, const char *what, struct job *out)
{
	AUTO(job_fini) struct job j = {0};
	TRY(fill_job(o, what, &j));
	*out = j;
	j = (struct job){0};
	return NULL;
}

static struct err *fill_jobs(const json_t *o, const char *what, struct run *r)
{
	json_t *list = NULL;
	TRY(json_get_array(o, "jobs", what, &list));
	if (json_array_size(list) > RUN_JOBS_MAX)
		return err_new(ERR_INVALID, "%s: a run has more than %d jobs", what, RUN_JOBS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct job j = {0};
		TRY(job_from_json(json_array_get(list, i), what, &j));
		vec_push_copy(&r->jobs, &j);
	}
	return NULL;
}

static struct err *fill_run(const json_t *o, const char *what, struct run *r)
{
	AUTO_FREE char *status = NULL, *via = NULL;
	const struct field fields[] = {
		{"number", FIELD_INT, &r->number},
		{"via", FIELD_TEXT, &via},
		{"repository", FIELD_TEXT, &r->repository},
		{"container", FIELD_TEXT, &r->container},
		{"commit", FIELD_TEXT, &r->commit},
		{"ref", FIELD_TEXT, &r->ref},
		{"subject", FIELD_TEXT, &r->subject},
		{"requested_by", FIELD_TEXT, &r->requested_by},
		{"no_cache", FIELD_BOOL, &r->no_cache},
		{"status", FIELD_TEXT, &status},
		{"created", FIELD_TIME, &r->created},
		{"started", FIELD_TIME, &r->started},
		{"ended", FIELD_TIME, &r->ended},
	};
	TRY(read_fields(o, what, fields, ARRAY_LEN(fields)));
	r->via = cstr_eq(via, run_via_name(RUN_VIA_LOCAL)) ? RUN_VIA_LOCAL : RUN_VIA_SERVER;
	TRY(read_status(status, what, &r->status));
	return fill_jobs(o, what, r);
}

struct err *run_from_json(const json_t *o, const char *what, struct run *out)
{
	AUTO(run_fini) struct run r = {.jobs = VEC_OF(struct job)};
	TRY(fill_run(o, what, &r));
	*out = r;
	r = (struct run){0};
	return NULL;
}

struct err *claimed_from_json(const json_t *o, const char *what, struct claimed_job *out, int64_t *lease_time)
{
	AUTO(claimed_job_fini) struct claimed_job c = {0};
	AUTO_FREE char *lease = NULL;
	int64_t seconds = 0, base = 0;
	const struct field fields[] = {
		{"lease", FIELD_TEXT, &lease},
		{"lease_seconds", FIELD_INT, &seconds},
		{"log_base", FIELD_INT, &base},
	};
	TRY(read_fields(o, what, fields, ARRAY_LEN(fields)));
	if (strlen(lease) >= sizeof(c.lease) || seconds < 1 || seconds > 86400 || base < 0)
		return err_new(ERR_INVALID, "%s: a number is out of range", what);
	memcpy(c.lease, lease, strlen(lease) + 1);
	c.log_base = (uint64_t)base;
	TRY(job_from_json(json_object_get(o, "job"), what, &c.job));
	TRY(run_from_json(json_object_get(o, "run"), what, &c.run));
	*lease_time = seconds * CLOCK_SECOND;
	*out = c;
	c = (struct claimed_job){0};
	return NULL;
}
