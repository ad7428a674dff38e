/* SPDX-License-Identifier: Apache-2.0 */
#include "release/work.h"

#include "base/clock.h"
#include "base/mem.h"
#include "release/release_internal.h"

static void write_head(const struct job_work *w)
{
	const struct run *run = &w->job->run;
	const struct job *j = &w->job->job;
	char when[CLOCK_TEXT_MAX];

	fprintf(w->log, "run %lld, job %u: %s of %s -> %s\n", (long long)j->run, j->index, j->kind,
		run->container, j->reference);
	fprintf(w->log, "commit %s%s%s\n", run->commit, *run->subject ? "  " : "", run->subject);
	fprintf(w->log, "begun %s by %s%s\n", clock_rfc3339(j->started - j->started % CLOCK_SECOND, when),
		j->runner ? j->runner : "-", j->tries > 1 ? ", again" : "");
	fflush(w->log);
}

/* The job's own time of start is of the server's clock. */
static void write_end(const struct job_work *w, const struct job_result *r, int64_t began)
{
	char took[CLOCK_TEXT_MAX];

	clock_duration(clock_monotonic() - began, took);
	if (r->status == JOB_SUCCESS)
		fprintf(w->log, "%s %s@%s in %s\n", r->already ? "already published:" : "published",
			w->job->job.reference, r->digest, took);
	else
		fprintf(w->log, "%s after %s\n", r->status == JOB_CANCELLED ? "cancelled" : "failed", took);
	fflush(w->log);
}

/* The job of the plan that this is; what it publishes must be what was asked for. */
static struct err *find_job(const struct release_plan *p, const struct job *j, struct release_job **out)
{
	for (size_t i = 0; i < p->jobs.len; i++) {
		struct release_job *k = vec_at(&p->jobs, i);
		if (!cstr_eq(build_kind_name(k->kind), j->kind))
			continue;
		if (!cstr_eq(k->reference, j->reference))
			return err_new(ERR_INVALID, "at commit %s it is %s, not %s", p->commit.id,
				k->reference ? k->reference : "without a version", j->reference);
		*out = k;
		return NULL;
	}
	return err_new(
		ERR_INVALID, "at commit %s %s has no %s to build", p->commit.id, p->container.dir, j->kind);
}

static struct err *build_and_publish(struct engine *e, const struct job_work *w, struct event_stream *events,
	struct release_plan *own_plan, struct job_result *out, char **failed_text)
{
	const struct run *run = &w->job->run;
	const struct release_plan *plan = w->plan ? w->plan : own_plan;
	const struct release_request rq = {
		.repo = w->repo,
		.name = run->container,
		.ref = run->commit,
		.force = w->force,
		.unchecked = !w->force,
		.no_cache = run->no_cache,
		.allow_insecure = w->allow_insecure,
		.events = events,
		.cancel = w->cancel,
	};
	struct release_job *j = NULL;
	char text[DIGEST_TEXT_MAX];

	TRY(cancel_check(w->cancel));
	if (!w->plan)
		TRY(release_plan_make(&rq, own_plan));
	TRY(find_job(plan, &w->job->job, &j));
	const struct job_run job = {
		.rq = &rq,
		.plan = plan,
		.job = j,
		.own_registry = w->own_registry,
		.may_publish = w->may_publish,
		.may_publish_ctx = w->may_publish_ctx,
		.failed_text = failed_text,
	};
	TRY(release_run_job(e, &job));
	out->digest = mem_strdup(digest_text(&j->digest, text));
	if (digest_is_set(&j->inputs))
		out->inputs = mem_strdup(digest_text(&j->inputs, text));
	out->already = j->already;
	return NULL;
}

struct err *job_execute(struct engine *e, const struct job_work *w, struct job_result *out)
{
	AUTO(release_plan_fini) struct release_plan plan = {.jobs = VEC_OF(struct release_job)};
	AUTO_FREE char *failed_text = NULL;
	struct event_stream *events = NULL;
	void *state = NULL;
	int64_t began = w->begun ? w->begun : clock_monotonic();

	*out = (struct job_result){.status = JOB_SUCCESS};
	write_head(w);
	TRY(w->text->open(w->text->ctx, w->job, w->log, &events, &state));
	struct err *why = build_and_publish(e, w, events, &plan, out, &failed_text);
	w->text->close(w->text->ctx, state, why, failed_text);
	if (why) {
		out->status = cancel_is_set(w->cancel) ? JOB_CANCELLED : JOB_FAILURE;
		out->error = err_text(why);
		err_ignore(why, "it is the job's result");
	}
	write_end(w, out, began);
	return NULL;
}
