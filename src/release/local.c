/* SPDX-License-Identifier: Apache-2.0 */
#include "release/local.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sys/userns.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How soon a running job notices that it was cancelled from elsewhere. */
#define LOOK_MS 300
#define LINE_MAX 1000

/* ---- the run of a plan ---- */

/* Subjects and refs are whatever somebody committed. */
static char *one_line(const char *text)
{
	struct str s = str_c(text);
	size_t len = s.len < LINE_MAX ? s.len : LINE_MAX;

	/* not in the middle of a character */
	while (len < s.len && len > LINE_MAX - 4 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	char *out = mem_strndup(len ? text : "", len);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
		else if ((unsigned char)*p == 0xc2 && (unsigned char)p[1] >= 0x80 &&
			 (unsigned char)p[1] < 0xa0)
			p[0] = p[1] = ' ';
	if (!str_is_utf8(str_c(out)))
		for (char *p = out; *p; p++)
			if ((unsigned char)*p >= 0x80)
				*p = '?';
	return out;
}

static char *requester(void)
{
	const char *user = getenv("USER");
	char host[256] = "";

	if (!user || !*user)
		user = getenv("LOGNAME");
	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	AUTO_FREE char *number = mem_printf("uid %u", (unsigned)userns_outer_uid());
	AUTO_FREE char *text = mem_printf("%s@%s", user && *user ? user : number, host);
	return one_line(text);
}

void release_plan_run(const struct release_plan *p, const char *ref, enum run_via via, struct run *out)
{
	*out = (struct run){.via = via, .jobs = VEC_OF(struct job)};
	out->repository = mem_strdup(p->source_url ? p->source_url : "");
	out->container = mem_strdup(p->container.name);
	out->commit = mem_strdup(p->commit.id);
	out->ref = one_line(ref ? ref : "HEAD");
	out->subject = one_line(p->commit.subject);
	out->requested_by = requester();
	for (size_t i = 0; i < p->jobs.len; i++) {
		const struct release_job *from = vec_at(&p->jobs, i);
		struct job *j = vec_push(&out->jobs);
		j->kind = mem_strdup(build_kind_name(from->kind));
		j->version = mem_strdup(from->version);
		j->tag = mem_strdup(from->tag);
		j->reference = mem_strdup(from->reference);
		j->label = mem_strdup(from->runner);
	}
}

/* ---- one job ---- */

/* A job's cancel token is set by ours and by the queue's. */
struct watch {
	const struct local_work *work;
	const struct claimed_job *job;
	struct cancel *cancel, *over;
	pthread_t thread;
};

static bool asked_to_stop(const struct watch *w)
{
	bool asked = false;
	struct err *e = runs_heartbeat(w->work->runs, w->job->job.id, w->job->lease, 0, &asked);

	if (err_kind(e) == ERR_EXISTS)
		asked = true;
	err_ignore(e, "the job's own calls meet it too");
	return asked;
}

static void *watch_job(void *arg)
{
	struct watch *w = arg;

	for (;;) {
		struct pollfd p[] = {{.fd = cancel_fd(w->over), .events = POLLIN},
			{.fd = cancel_fd(w->work->cancel), .events = POLLIN}};
		if (poll(p, 2, LOOK_MS) < 0 && errno != EINTR)
			return NULL;
		if (cancel_is_set(w->over))
			return NULL;
		bool ours = cancel_is_set(w->work->cancel);
		if (!ours && !asked_to_stop(w))
			continue;
		/* Also for those who look after a second ^C, which does not wait. */
		if (ours)
			err_ignore(
				runs_cancel(w->work->runs, w->work->number), "it may have ended by itself");
		cancel_set(w->cancel);
		return NULL;
	}
}

static struct err *start_watch(struct watch *w)
{
	w->cancel = cancel_new();
	w->over = cancel_new();
	int failed = pthread_create(&w->thread, NULL, watch_job, w);
	return failed ? err_sys(failed, "starting a thread") : NULL;
}

static struct err *may_publish(void *ctx)
{
	const struct watch *w = ctx;
	bool cancelled = false;

	TRY(runs_heartbeat(w->work->runs, w->job->job.id, w->job->lease, 0, &cancelled));
	return cancelled ? err_new(ERR_CANCELED, "cancelled") : NULL;
}

static struct err *execute(struct engine *e, struct watch *watch, FILE *log, struct job_result *out)
{
	const struct local_work *w = watch->work;

	TRY(start_watch(watch));
	const struct job_work job = {
		.repo = w->repo,
		.job = watch->job,
		.plan = w->plan,
		.force = w->force,
		.allow_insecure = w->allow_insecure,
		.log = log,
		.text = w->text,
		.may_publish = may_publish,
		.may_publish_ctx = watch,
		.cancel = watch->cancel,
	};
	struct err *failed = job_execute(e, &job, out);
	cancel_set(watch->over);
	pthread_join(watch->thread, NULL);
	return failed;
}

static struct err *work_on(struct engine *e, const struct local_work *w, const struct claimed_job *job)
{
	AUTO(job_result_fini) struct job_result result = {0};
	struct watch watch = {.work = w, .job = job};
	struct run_log *l = NULL;
	FILE *log = NULL;

	TRY(run_log_open(w->runs, job, &l, &log));
	struct err *failed = execute(e, &watch, log, &result);
	cancel_free(watch.cancel);
	cancel_free(watch.over);
	failed = err_first(failed, run_log_close(l));
	if (failed && job_status_is_final(result.status))
		failed = err_wrap(failed, "the log of run %lld, job %u is not whole", (long long)w->number,
			job->job.index);
	if (job_status_is_final(result.status))
		return err_first(failed, runs_finish(w->runs, job->job.id, job->lease, &result));
	result.status = JOB_FAILURE;
	result.error = err_text(failed);
	return err_first(failed, runs_finish(w->runs, job->job.id, job->lease, &result));
}

static struct err *fail_job(struct runs *r, const struct claimed_job *job, const struct err *why)
{
	AUTO_FREE char *text = err_text(why);
	const char *hint = err_hint_text(why);
	AUTO_FREE char *line =
		mem_printf("error: %s\n%s%s%s", text, hint ? "  " : "", hint ? hint : "", hint ? "\n" : "");
	const struct job_result result = {.status = JOB_FAILURE, .error = text};
	uint64_t size = 0;

	TRY(runs_log_append(r, job->job.id, job->lease, 0, str_c(line), &size));
	return runs_finish(r, job->job.id, job->lease, &result);
}

struct err *local_give_up(struct runs *r, int64_t number, const struct err *why)
{
	const struct run_claim claim = {.runner = "local", .via = RUN_VIA_LOCAL, .number = number};
	bool found = true;

	while (found) {
		AUTO(claimed_job_fini) struct claimed_job job = {0};
		TRY(runs_claim(r, &claim, &job, &found));
		if (found)
			TRY(fail_job(r, &job, why));
	}
	return NULL;
}

/* ---- the run ---- */

/* What comes next; NULL when nothing waits any more. */
static const struct job *next_waiting(const struct run *run)
{
	for (size_t i = 0; i < run->jobs.len; i++) {
		const struct job *j = vec_at(&run->jobs, i);
		if (j->status == JOB_WAITING)
			return j;
	}
	return NULL;
}

static struct err *claim_next(
	const struct local_work *w, struct claimed_job *job, bool *found, bool *over, bool *told)
{
	AUTO(run_fini) struct run run = {0};
	const struct run_claim claim = {.runner = "local", .via = RUN_VIA_LOCAL, .number = w->number};
	uint64_t seen = runs_seen(w->runs);

	if (cancel_is_set(w->cancel))
		err_ignore(runs_cancel(w->runs, w->number), "it may have ended by itself");
	TRY(runs_claim(w->runs, &claim, job, found));
	if (*found)
		return NULL;
	TRY(runs_get(w->runs, w->number, &run));
	const struct job *next = next_waiting(&run);
	*over = !next;
	if (!next)
		return NULL;
	if (w->on_wait && !*told)
		w->on_wait(w->ctx, next);
	*told = true;
	/* Who publishes it may also be killed, which is no change. */
	runs_wait(w->runs, seen, CLOCK_SECOND, w->cancel);
	return NULL;
}

struct err *local_work_off(struct engine *e, const struct local_work *w)
{
	bool over = false, told = false;

	while (!over) {
		AUTO(claimed_job_fini) struct claimed_job job = {0};
		bool found = false;
		TRY(claim_next(w, &job, &found, &over, &told));
		if (found)
			TRY(work_on(e, w, &job));
	}
	return NULL;
}
