/* SPDX-License-Identifier: Apache-2.0 */
/* Holders that are lost, and runs that are old. */
#include "release/runs_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <unistd.h>

/* ---- endings that no holder tells ---- */

static struct err *end_job(struct runs *r, const struct job *j, const char *reason)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	enum job_status status = j->cancel_asked ? JOB_CANCELLED : JOB_FAILURE;
	AUTO_FREE char *line = mem_printf("%s: %s", job_status_name(status), reason);

	if (j->status == JOB_RUNNING) {
		TRY(runs_log_say(r, j->id, line));
		TRY(runs_log_sync(r, j->id));
	}
	TRY(runs_query_open(
		r, "UPDATE jobs SET status = ?2, ended = ?3, error = ?4, lease = NULL WHERE id = ?1", &q));
	runs_bind(&q, 1, j->id);
	runs_bind(&q, 2, status);
	runs_bind(&q, 3, clock_now());
	runs_bind_text(&q, 4, reason);
	return runs_step_all(&q);
}

static struct err *back_to_queue(struct runs *r, const struct job *j)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	AUTO_FREE char *line =
		mem_printf("the runner %s was lost: the job goes back to the queue", j->runner);

	TRY(runs_log_say(r, j->id, line));
	TRY(runs_query_open(
		r, "UPDATE jobs SET status = 0, runner = NULL, started = 0, lease = NULL WHERE id = ?1", &q));
	runs_bind(&q, 1, j->id);
	return runs_step_all(&q);
}

/* ids of the jobs that the query gives. */
static struct err *collect(struct runs_query *q, struct vec *ids)
{
	bool row = false;

	TRY(runs_step(q, &row));
	while (row) {
		int64_t id = runs_column(q, 0);
		vec_push_copy(ids, &id);
		TRY(runs_step(q, &row));
	}
	return NULL;
}

/* ---- via server ---- */

static struct err *overdue(struct runs *r, struct vec *ids)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r,
		"SELECT j.id FROM jobs j JOIN runs n ON n.number = j.run"
		" WHERE j.status = 1 AND n.via = 1 AND j.lease_until < ?1",
		&q));
	runs_bind(&q, 1, clock_now());
	return collect(&q, ids);
}

static struct err *expire_lease(struct runs *r, int64_t id)
{
	AUTO(job_fini) struct job j = {0};
	bool found = false;

	TRY(runs_load_job(r, id, &j, &found));
	if (!j.cancel_asked && j.tries < RUN_TRIES_MAX)
		return back_to_queue(r, &j);
	AUTO_FREE char *reason =
		j.cancel_asked
			? mem_printf("cancelled; the runner %s was lost", j.runner)
			: mem_printf("its runner was lost %u times, the last one was %s", j.tries, j.runner);
	return end_job(r, &j, reason);
}

static struct err *expire_leases(struct runs *r)
{
	struct vec ids = VEC_OF(int64_t);
	struct err *e = overdue(r, &ids);

	for (size_t i = 0; !e && i < ids.len; i++)
		e = expire_lease(r, *(int64_t *)vec_at(&ids, i));
	vec_fini(&ids);
	return e;
}

static struct err *any_overdue(struct runs *r, bool *out)
{
	WITH_RUNS(r);
	struct vec ids = VEC_OF(int64_t);
	struct err *e = overdue(r, &ids);

	*out = ids.len > 0;
	vec_fini(&ids);
	return e;
}

/* ---- via local ---- */

/* Jobs without an end whose run nobody holds. */
static struct err *orphans(struct runs *r, struct vec *ids)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	bool row = false;

	TRY(runs_query_open(r,
		"SELECT j.id, j.run FROM jobs j JOIN runs n ON n.number = j.run WHERE j.status < 2 AND n.via "
		"= 0",
		&q));
	TRY(runs_step(&q, &row));
	while (row) {
		int64_t id = runs_column(&q, 0);
		bool held = false;
		TRY(runs_is_held(r, runs_column(&q, 1), &held));
		if (!held)
			vec_push_copy(ids, &id);
		TRY(runs_step(&q, &row));
	}
	return NULL;
}

static struct err *end_orphan(struct runs *r, int64_t id)
{
	AUTO(job_fini) struct job j = {0};
	bool found = false;

	TRY(runs_load_job(r, id, &j, &found));
	if (j.cancel_asked)
		return end_job(r, &j, "cancelled");
	if (j.status == JOB_WAITING)
		return end_job(r, &j, "the process that was to work on it ended before");
	return end_job(r, &j, "the process that worked on it is gone (killed, or the machine went down)");
}

static struct err *end_orphans(struct runs *r)
{
	struct vec ids = VEC_OF(int64_t);
	/* Asked again: who adds a run holds it before others can see it, so what nobody holds now stays so.
	 */
	struct err *e = orphans(r, &ids);

	for (size_t i = 0; !e && i < ids.len; i++)
		e = end_orphan(r, *(int64_t *)vec_at(&ids, i));
	vec_fini(&ids);
	return e;
}

static struct err *any_orphan(struct runs *r, bool *out)
{
	WITH_RUNS(r);
	struct vec ids = VEC_OF(int64_t);
	struct err *e = orphans(r, &ids);

	*out = ids.len > 0;
	vec_fini(&ids);
	return e;
}

struct err *runs_expire_local(struct runs *r)
{
	bool any = false;

	TRY(any_orphan(r, &any));
	if (!any)
		return NULL;
	TRY(runs_tx_begin(r));
	return runs_tx_end(r, end_orphans(r));
}

struct err *runs_expire_local_if_possible(struct runs *r)
{
	struct err *e = runs_expire_local(r);

	if (err_kind(e) != ERR_NO_SPACE)
		return e;
	err_ignore(e, "it is done once there is space");
	return NULL;
}

struct err *runs_expire(struct runs *r)
{
	bool any = false;

	TRY(runs_expire_local(r));
	TRY(any_overdue(r, &any));
	if (!any)
		return NULL;
	TRY(runs_tx_begin(r));
	return runs_tx_end(r, expire_leases(r));
}

static struct err *extend(struct runs *r, int64_t until)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r,
		"UPDATE jobs SET lease_until = ?1 WHERE status = 1 AND lease_until < ?1"
		" AND run IN (SELECT number FROM runs WHERE via = 1)",
		&q));
	runs_bind(&q, 1, until);
	return runs_step_all(&q);
}

struct err *runs_extend_leases(struct runs *r, int64_t lease_time)
{
	TRY(runs_tx_begin(r));
	return runs_tx_end(r, extend(r, clock_now() + (lease_time ? lease_time : RUN_LEASE_TIME)));
}

/* ---- old runs ---- */

static struct err *delete_old(struct runs *r, int64_t before, size_t keep, uint64_t *removed)
{
	AUTO_RUNS_QUERY struct runs_query runs = {0}, jobs = {0};

	TRY(runs_query_open(r,
		"DELETE FROM runs WHERE number NOT IN (SELECT number FROM runs ORDER BY number DESC LIMIT ?2)"
		" AND NOT EXISTS (SELECT 1 FROM jobs WHERE run = number AND (status < 2 OR ended >= ?1))",
		&runs));
	runs_bind(&runs, 1, before);
	runs_bind(&runs, 2, keep > INT32_MAX ? INT32_MAX : (int64_t)keep);
	TRY(runs_step_all(&runs));
	*removed = (uint64_t)sqlite3_changes(r->db);
	TRY(runs_query_open(r, "DELETE FROM jobs WHERE run NOT IN (SELECT number FROM runs)", &jobs));
	return runs_step_all(&jobs);
}

/* Also what a prune that was killed left. */
static struct err *delete_logs(struct runs *r)
{
	AUTO_STRVEC struct strvec names = {0};

	TRY(dir_list(r->logs_fd, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_RUNS_QUERY struct runs_query q = {0};
		struct str name = str_c(names.ptr[i]);
		uint64_t id = 0;
		bool found = false;
		if (!str_ends(name, ".log") || !str_to_u64(str_n(name.ptr, name.len - 4), &id))
			continue;
		TRY(runs_query_open(r, "SELECT 1 FROM jobs WHERE id = ?1", &q));
		runs_bind(&q, 1, (int64_t)id);
		TRY(runs_step(&q, &found));
		if (!found && unlinkat(r->logs_fd, name.ptr, 0) < 0 && errno != ENOENT)
			return err_sys(errno, "removing the log logs/runs/%s", name.ptr);
	}
	return NULL;
}

struct err *runs_prune(struct runs *r, int64_t age, size_t keep, uint64_t *removed)
{
	uint64_t n = 0;

	TRY(runs_expire_local(r));
	TRY(runs_tx_begin(r));
	TRY(runs_tx_end(r, delete_old(r, clock_now() - age, keep, &n)));
	*removed = n;
	WITH_RUNS(r);
	return delete_logs(r);
}
