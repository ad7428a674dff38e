/* SPDX-License-Identifier: Apache-2.0 */
#include "release/runs_internal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char *const status_names[] = {"waiting", "running", "success", "failure", "cancelled"};

const char *job_status_name(enum job_status s)
{
	return (size_t)s < ARRAY_LEN(status_names) ? status_names[s] : "unknown";
}

bool job_status_parse(const char *text, enum job_status *out)
{
	for (size_t i = 0; i < ARRAY_LEN(status_names); i++)
		if (cstr_eq(text, status_names[i])) {
			*out = (enum job_status)i;
			return true;
		}
	return false;
}

bool job_status_is_final(enum job_status s)
{
	return s >= JOB_SUCCESS;
}

const char *run_via_name(enum run_via v)
{
	return v == RUN_VIA_LOCAL ? "local" : "server";
}

void job_fini(struct job *j)
{
	mem_freep(&j->kind);
	mem_freep(&j->version);
	mem_freep(&j->tag);
	mem_freep(&j->reference);
	mem_freep(&j->label);
	mem_freep(&j->runner);
	mem_freep(&j->digest);
	mem_freep(&j->inputs);
	mem_freep(&j->error);
	*j = (struct job){0};
}

void run_fini(struct run *r)
{
	for (size_t i = 0; i < r->jobs.len; i++)
		job_fini(vec_at(&r->jobs, i));
	vec_fini(&r->jobs);
	mem_freep(&r->repository);
	mem_freep(&r->container);
	mem_freep(&r->commit);
	mem_freep(&r->ref);
	mem_freep(&r->subject);
	mem_freep(&r->requested_by);
	*r = (struct run){0};
}

void claimed_job_fini(struct claimed_job *c)
{
	job_fini(&c->job);
	run_fini(&c->run);
	*c = (struct claimed_job){0};
}

void job_result_fini(struct job_result *r)
{
	mem_freep(&r->digest);
	mem_freep(&r->inputs);
	mem_freep(&r->error);
	*r = (struct job_result){0};
}

#define JOB_COLUMNS                                                                                          \
	"id, run, idx, kind, version, tag, reference, label, runner, status, tries, cancel_asked, created, " \
	"started, ended, digest, inputs, already, error"

static struct err *read_job(struct runs_query *q, struct job *j)
{
	char name[RUNS_LOG_NAME_MAX];
	struct stat st;

	j->id = runs_column(q, 0);
	j->run = runs_column(q, 1);
	j->index = (uint32_t)runs_column(q, 2);
	j->kind = runs_column_dup(q, 3);
	j->version = runs_column_dup(q, 4);
	j->tag = runs_column_dup(q, 5);
	j->reference = runs_column_dup(q, 6);
	j->label = runs_column_dup(q, 7);
	j->runner = runs_column_dup(q, 8);
	j->status = (enum job_status)runs_column(q, 9);
	j->tries = (uint32_t)runs_column(q, 10);
	j->cancel_asked = runs_column(q, 11) != 0;
	j->created = runs_column(q, 12);
	j->started = runs_column(q, 13);
	j->ended = runs_column(q, 14);
	j->digest = runs_column_dup(q, 15);
	j->inputs = runs_column_dup(q, 16);
	j->already = runs_column(q, 17) != 0;
	j->error = runs_column_dup(q, 18);
	if (fstatat(q->r->logs_fd, runs_log_name(j->id, name), &st, AT_SYMLINK_NOFOLLOW) == 0)
		j->log_size = (uint64_t)st.st_size;
	else if (errno != ENOENT)
		return err_sys(errno, "looking at %s", name);
	else
		j->log_gone = j->started != 0;
	return NULL;
}

static struct err *read_jobs(struct runs_query *q, struct vec *out)
{
	bool row = false;

	TRY(runs_step(q, &row));
	while (row) {
		TRY(read_job(q, vec_push(out)));
		TRY(runs_step(q, &row));
	}
	return NULL;
}

struct err *runs_load_job(struct runs *r, int64_t id, struct job *out, bool *found)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?1", &q));
	runs_bind(&q, 1, id);
	TRY(runs_step(&q, found));
	return *found ? read_job(&q, out) : NULL;
}

static enum job_status worse(enum job_status a, enum job_status b)
{
	static const int rank[] = {[JOB_WAITING] = 0,
		[JOB_RUNNING] = 0,
		[JOB_SUCCESS] = 1,
		[JOB_CANCELLED] = 2,
		[JOB_FAILURE] = 3};

	return rank[a] >= rank[b] ? a : b;
}

/* What the jobs make of their run. */
static void sum_up(struct run *run)
{
	bool open = false, begun = false;
	enum job_status worst = JOB_SUCCESS;

	for (size_t i = 0; i < run->jobs.len; i++) {
		const struct job *j = vec_at(&run->jobs, i);
		open = open || !job_status_is_final(j->status);
		begun = begun || j->status != JOB_WAITING;
		worst = worse(worst, j->status);
		if (j->started && (!run->started || j->started < run->started))
			run->started = j->started;
		if (j->ended > run->ended)
			run->ended = j->ended;
	}
	run->status = !open ? worst : begun ? JOB_RUNNING : JOB_WAITING;
	if (open)
		run->ended = 0;
}

static struct err *add_jobs(struct runs *r, struct run *run)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r, "SELECT " JOB_COLUMNS " FROM jobs WHERE run = ?1 ORDER BY idx", &q));
	runs_bind(&q, 1, run->number);
	TRY(read_jobs(&q, &run->jobs));
	sum_up(run);
	return NULL;
}

#define RUN_COLUMNS \
	"number, via, repository, container, revision, ref, subject, requested_by, no_cache, created"

static void read_run(struct runs_query *q, struct run *run)
{
	run->jobs = VEC_OF(struct job);
	run->number = runs_column(q, 0);
	run->via = (enum run_via)runs_column(q, 1);
	run->repository = runs_column_dup(q, 2);
	run->container = runs_column_dup(q, 3);
	run->commit = runs_column_dup(q, 4);
	run->ref = runs_column_dup(q, 5);
	run->subject = runs_column_dup(q, 6);
	run->requested_by = runs_column_dup(q, 7);
	run->no_cache = runs_column(q, 8) != 0;
	run->created = runs_column(q, 9);
}

struct err *runs_load_run(struct runs *r, int64_t number, bool jobs, struct run *out, bool *found)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r, "SELECT " RUN_COLUMNS " FROM runs WHERE number = ?1", &q));
	runs_bind(&q, 1, number);
	TRY(runs_step(&q, found));
	if (!*found)
		return NULL;
	read_run(&q, out);
	struct err *e = jobs ? add_jobs(r, out) : NULL;
	if (e)
		run_fini(out);
	return e;
}

static struct err *read_runs(struct runs *r, int64_t before, size_t limit, struct vec *out)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	bool row = false;

	TRY(runs_query_open(r,
		"SELECT " RUN_COLUMNS " FROM runs WHERE ?1 = 0 OR number < ?1 ORDER BY number DESC LIMIT ?2",
		&q));
	runs_bind(&q, 1, before);
	runs_bind(&q, 2, limit > INT32_MAX ? INT32_MAX : (int64_t)limit);
	TRY(runs_step(&q, &row));
	while (row) {
		struct run *run = vec_push(out);
		read_run(&q, run);
		TRY(add_jobs(r, run));
		TRY(runs_step(&q, &row));
	}
	return NULL;
}

struct err *runs_list(struct runs *r, int64_t before, size_t limit, struct vec *out)
{
	TRY(runs_expire_local_if_possible(r));
	WITH_RUNS(r);
	struct vec all = VEC_OF(struct run);
	struct err *e = read_runs(r, before, limit, &all);
	if (e) {
		for (size_t i = 0; i < all.len; i++)
			run_fini(vec_at(&all, i));
		vec_fini(&all);
		return e;
	}
	*out = all;
	return NULL;
}

struct err *runs_no_such_run(struct runs *r, int64_t number)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	bool row = false;

	TRY(runs_query_open(r,
		"SELECT IFNULL(MIN(number), 0), IFNULL(MAX(number), 0),"
		" IFNULL((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0) FROM runs",
		&q));
	TRY(runs_step(&q, &row));
	long long first = runs_column(&q, 0), last = runs_column(&q, 1), ever = runs_column(&q, 2);
	AUTO_FREE char *kept = !first          ? mem_strdup("there are none")
			       : first == last ? mem_printf("there is only run %lld", first)
					       : mem_printf("there are runs %lld to %lld", first, last);
	if (!ever)
		return err_new(
			ERR_NOT_FOUND, "there is no run %lld: nothing was released yet", (long long)number);
	if (number < 1 || number > ever)
		return err_new(ERR_NOT_FOUND, "there is no run %lld: %s", (long long)number, kept);
	return err_new(ERR_NOT_FOUND, "run %lld is not kept any more: %s", (long long)number, kept);
}

struct err *runs_count(struct runs *r, uint64_t *waiting, uint64_t *running)
{
	WITH_RUNS(r);
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r,
		"SELECT IFNULL(SUM(status = 0), 0), IFNULL(SUM(status = 1), 0) FROM jobs WHERE status < 2",
		&q));
	bool row = false;
	TRY(runs_step(&q, &row));
	*waiting = (uint64_t)runs_column(&q, 0);
	*running = (uint64_t)runs_column(&q, 1);
	return NULL;
}

struct err *runs_get(struct runs *r, int64_t number, struct run *out)
{
	TRY(runs_expire_local_if_possible(r));
	WITH_RUNS(r);
	bool found = false;

	TRY(runs_load_run(r, number, true, out, &found));
	return found ? NULL : runs_no_such_run(r, number);
}

struct err *runs_get_job(struct runs *r, int64_t number, uint32_t index, struct job *out)
{
	AUTO(run_fini) struct run run = {0};

	TRY(runs_get(r, number, &run));
	if (index >= run.jobs.len)
		return err_new(ERR_NOT_FOUND, "run %lld has no job %u: %s%zu", (long long)number, index,
			run.jobs.len > 1 ? "it has 0 to " : "it has only ", run.jobs.len - 1);
	struct job *j = vec_at(&run.jobs, index);
	*out = *j;
	*j = (struct job){0};
	return NULL;
}
