/* SPDX-License-Identifier: Apache-2.0 */
#include "release/runner.h"

#include "base/clock.h"
#include "base/mem.h"
#include "release/runner_internal.h"
#include "repo/repo.h"
#include "store/maintain.h"

#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM_WAIT_S 20
#define RETRY_FIRST (CLOCK_SECOND / 2)
#define RETRY_MAX (15 * CLOCK_SECOND)
#define LEASE_AGE (24 * 3600 * CLOCK_SECOND)
#define JOBS_MAX 64

void runner_say(struct runner *r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	AUTO_FREE char *line = mem_vprintf(fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&r->lock);
	if (r->opt->say)
		r->opt->say(r->opt->say_ctx, line);
	pthread_mutex_unlock(&r->lock);
}

void runner_pause(const struct cancel *cancel, int64_t ns)
{
	struct pollfd p = {.fd = cancel_fd(cancel), .events = POLLIN};
	(void)poll(&p, 1, (int)(ns / 1000000));
}

/* ---- one job ---- */

static char *job_name(const struct claimed_job *c)
{
	return mem_printf("run %lld, job %u (%s, %s)", (long long)c->job.run, c->job.index, c->run.container,
		c->job.kind);
}

static struct err *ended(struct runner *r, const struct claimed_job *c, const struct job_result *result,
	bool told, int64_t took)
{
	char text[CLOCK_TEXT_MAX];
	AUTO_FREE char *name = job_name(c);
	clock_duration(took, text);
	if (!told) {
		runner_say(r, "%s: given up after %s: %s", name, text,
			cancel_is_set(r->opt->cancel) ? "the runner stops"
						      : "it is not this runner's any more");
		return err_new(ERR_CANCELED, "%s was not finished here", name);
	}
	if (result->status == JOB_SUCCESS) {
		runner_say(r, "%s: %s %s in %s", name, result->already ? "had been published:" : "published",
			c->job.reference, text);
		return NULL;
	}
	const char *why = result->error ? result->error : job_status_name(result->status);
	runner_say(r, "%s: %s after %s: %s", name, job_status_name(result->status), text, why);
	return err_new(ERR_EXITED, "%s: %s", name, why);
}

/* Returns how the job ended; only once asks for that. */
static struct err *do_job(struct runner *r, const struct claimed_job *c, int64_t lease_time)
{
	AUTO(job_result_fini) struct job_result result = {0};
	AUTO_FREE char *name = job_name(c);
	int64_t start = clock_monotonic();
	bool told = false;
	runner_say(r, "%s: begun, for %s at %.12s", name, c->job.reference, c->run.commit);
	struct err *e = runner_do_job(r, c, lease_time, &result, &told);
	if (e) {
		AUTO_FREE char *why = err_text(e);
		runner_say(r, "%s: given back: %s", name, why);
		runner_pause(r->opt->cancel, BROKEN_PAUSE);
		return e;
	}
	e = ended(r, c, &result, told, clock_monotonic() - start);
	/* What a build a day ago was told exists nobody needs any more. */
	err_ignore(store_lease_trim(engine_store(r->opt->engine), clock_now() - LEASE_AGE),
		"it is done after the next job");
	return e;
}

/* ---- asking for jobs ---- */

static void note_unreachable(struct runner *r, const struct err *e)
{
	AUTO_FREE char *text = err_text(e);
	pthread_mutex_lock(&r->lock);
	bool first = !r->unreachable;
	r->unreachable = true;
	pthread_mutex_unlock(&r->lock);
	if (first)
		runner_say(r, "%s; trying again", text);
}

static void note_reachable(struct runner *r)
{
	pthread_mutex_lock(&r->lock);
	bool was = r->unreachable;
	r->unreachable = false;
	pthread_mutex_unlock(&r->lock);
	if (was)
		runner_say(r, "the server answers again");
}

/* Nothing that waiting makes better. */
static bool is_fatal(const struct err *e)
{
	return err_kind(e) == ERR_DENIED || err_kind(e) == ERR_INVALID || err_kind(e) == ERR_NOT_FOUND;
}

/* A job, or *found false when the runner is to stop. */
static struct err *next_job(struct runner *r, struct claimed_job *out, int64_t *lease_time, bool *found)
{
	const struct server_claim claim = {
		.runner = r->opt->name,
		.repository = r->repository,
		.labels = r->opt->labels,
		.wait_s = CLAIM_WAIT_S,
	};
	int64_t wait = RETRY_FIRST;
	*found = false;
	while (!*found && !cancel_is_set(r->opt->cancel)) {
		struct err *e = server_claim(r->claims, &claim, out, lease_time, found);
		if (!e) {
			note_reachable(r);
			wait = RETRY_FIRST;
			continue;
		}
		if (cancel_is_set(r->opt->cancel)) {
			err_free(e);
			break;
		}
		if (is_fatal(e))
			return e;
		note_unreachable(r, e);
		err_free(e);
		runner_pause(r->opt->cancel, wait);
		wait = wait * 2 < RETRY_MAX ? wait * 2 : RETRY_MAX;
	}
	return NULL;
}

static struct err *take_jobs(struct runner *r)
{
	for (;;) {
		AUTO(claimed_job_fini) struct claimed_job c = {0};
		int64_t lease_time = 0;
		bool found = false;
		TRY(next_job(r, &c, &lease_time, &found));
		if (!found)
			return NULL;
		struct err *e = do_job(r, &c, lease_time);
		if (r->opt->once)
			return e;
		err_ignore(e, "it was said, and the next job may do better");
	}
}

static void *worker(void *arg)
{
	struct runner *r = arg;
	struct err *e = take_jobs(r);
	pthread_mutex_lock(&r->lock);
	r->fatal = err_first(r->fatal, e);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* ---- the whole ---- */

static struct err *open_runner(struct runner *r)
{
	const struct runner_options *opt = r->opt;
	struct remote *remote = NULL;
	TRY(server_client_new(opt->engine, opt->server, opt->cancel, &r->claims));
	TRY(server_client_new(opt->engine, opt->server, NULL, &r->server));
	char *seen = opt->repository ? mem_strdup(opt->repository) : remote_url_public(opt->git);
	r->repository = seen ? seen : mem_strdup("");
	TRY(engine_remote(opt->engine, &remote));
	/* The registry at the same address takes the same token. */
	const char *token = server_client_token(r->server);
	return token ? remote_use_credentials(remote, server_client_host(r->server), "runner", str_c(token))
		     : NULL;
}

/* What a job runs is to find it neither in its environment nor in that of this process (proc(5)). */
static void forget_token(void)
{
	char *token = getenv("COOPER_TOKEN");
	if (!token)
		return;
	explicit_bzero(token, strlen(token));
	unsetenv("COOPER_TOKEN");
}

static void runner_fini(struct runner *r)
{
	server_client_free(r->claims);
	server_client_free(r->server);
	mem_freep(&r->repository);
	pthread_mutex_destroy(&r->lock);
}

static struct err *run_workers(struct runner *r)
{
	unsigned count = r->opt->once || !r->opt->jobs ? 1 : r->opt->jobs, made = 0;
	pthread_t threads[JOBS_MAX];
	if (count > JOBS_MAX)
		return err_new(ERR_USAGE, "at most %d jobs at once", JOBS_MAX);
	while (made + 1 < count && pthread_create(&threads[made], NULL, worker, r) == 0)
		made++;
	if (made + 1 < count)
		runner_say(r, "only %u jobs at once: the system gives no more threads", made + 1);
	(void)worker(r);
	for (unsigned i = 0; i < made; i++)
		pthread_join(threads[i], NULL);
	return steal(&r->fatal);
}

struct err *runner_run(const struct runner_options *opt)
{
	struct runner r = {.opt = opt};
	pthread_mutex_init(&r.lock, NULL);
	struct err *e = open_runner(&r);
	forget_token();
	if (!e)
		runner_say(&r, "runner %s takes jobs of %s", opt->name, opt->server);
	if (!e)
		e = run_workers(&r);
	runner_fini(&r);
	return e;
}
