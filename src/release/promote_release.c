/* SPDX-License-Identifier: Apache-2.0 */
/* Releasing from main what has other inputs: a run of its own, here or at the server. */
#include "base/mem.h"
#include "release/dispatch.h"
#include "release/local.h"
#include "release/promote_internal.h"
#include "release/run_source.h"

#include <poll.h>

/* How often a server is asked whether a run has ended. */
#define ASK_MS 500

struct releasing {
	const struct promote_request *rq;
	struct promote_report *report;
	struct promotion *p;
	struct release_plan plan; /* of the one job */
	struct run spec;
};

static void releasing_fini(struct releasing *w)
{
	release_plan_fini(&w->plan);
	run_fini(&w->spec);
}

/* The plan's other job, if there is one, is not asked for. */
static void keep_kind(struct release_plan *plan, bool nix)
{
	for (size_t i = plan->jobs.len; i-- > 0;) {
		struct release_job *j = vec_at(&plan->jobs, i);
		if ((j->kind == KIND_NIX) == nix)
			continue;
		release_job_fini(j);
		vec_remove(&plan->jobs, i);
	}
}

static struct err *take_result(struct releasing *w, const struct run *run)
{
	const struct job *j = run->jobs.len ? vec_at(&run->jobs, 0) : NULL;

	if (!j || j->status != JOB_SUCCESS)
		return err_hint(
			err_new(ERR_UNAVAILABLE, "releasing %s from %s: %s", w->p->container, w->report->main,
				j && j->error ? j->error
				: j           ? job_status_name(j->status)
					      : "no job"),
			"cooper logs %lld -j 0", (long long)run->number);
	return digest_parse(str_c(j->digest), &w->p->digest);
}

static struct err *release_here(struct releasing *w)
{
	AUTO(runs_closep) struct runs *runs = NULL;
	AUTO(run_fini) struct run done = {0};
	int64_t number = 0;

	TRY(runs_open(engine_home(w->rq->engine), &runs));
	TRY(runs_add(runs, &w->spec, &number));
	const struct local_work work = {
		.runs = runs,
		.number = number,
		.repo = w->rq->repo,
		.plan = &w->plan,
		.allow_insecure = w->rq->allow_insecure,
		.text = w->rq->text,
		.cancel = w->rq->cancel,
	};
	TRY(local_work_off(w->rq->engine, &work));
	TRY(runs_get(runs, number, &done));
	return take_result(w, &done);
}

static struct err *await(struct releasing *w, struct run_source *source, int64_t number)
{
	struct pollfd p = {.fd = cancel_fd(w->rq->cancel), .events = POLLIN};

	for (;;) {
		AUTO(run_fini) struct run run = {0};
		TRY(cancel_check(w->rq->cancel));
		TRY(source->get(source->ctx, number, &run));
		if (job_status_is_final(run.status))
			return take_result(w, &run);
		poll(&p, 1, ASK_MS);
	}
}

static struct err *release_there(struct releasing *w, const char *server)
{
	const struct dispatch_request rq = {.server = server, .spec = &w->spec, .cancel = w->rq->cancel};
	AUTO(run_source_close) struct run_source source = {0};
	AUTO_FREE char *url = NULL;
	int64_t number = 0;

	TRY(dispatch_server(w->rq->engine, &rq, &number, &url));
	event_info(
		w->rq->events, "%s: run %lld at %s", w->p->container, (long long)number, url ? url : server);
	TRY(run_source_server(w->rq->engine, server, &source));
	return await(w, &source, number);
}

struct err *promote_release(const struct promote_request *rq, struct promote_report *r, struct promotion *p)
{
	AUTO(releasing_fini) struct releasing w = {.rq = rq, .report = r, .p = p};
	const char *server = rq->server;
	const struct release_request release = {
		.repo = rq->repo,
		.name = p->container,
		.ref = r->tip.id,
		.allow_insecure = rq->allow_insecure,
		.cancel = rq->cancel,
	};

	TRY(release_plan_make(&release, &w.plan));
	keep_kind(&w.plan, p->nix);
	if (!w.plan.jobs.len)
		return err_new(ERR_BUG, "%s has nothing to build", p->container);
	release_plan_run(&w.plan, r->main, server ? RUN_VIA_SERVER : RUN_VIA_LOCAL, &w.spec);
	return server ? release_there(&w, server) : release_here(&w);
}
