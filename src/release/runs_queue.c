/* SPDX-License-Identifier: Apache-2.0 */
#include "release/runs_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

#define LEASE_BYTES 24
#define RUNNER_MAX 200
#define ERROR_MAX (64u << 10)

/* ---- adding ---- */

static const char *text_of(const char *text)
{
	return text ? text : "";
}

static struct err *add_job(struct runs *r, int64_t run, uint32_t index, const struct job *j, int64_t now)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r,
		"INSERT INTO jobs(run, idx, kind, version, tag, reference, label, created)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		&q));
	runs_bind(&q, 1, run);
	runs_bind(&q, 2, index);
	runs_bind_text(&q, 3, j->kind);
	runs_bind_text(&q, 4, j->version);
	runs_bind_text(&q, 5, j->tag);
	runs_bind_text(&q, 6, j->reference);
	runs_bind_text(&q, 7, text_of(j->label));
	runs_bind(&q, 8, now);
	return runs_step_all(&q);
}

static struct err *add_run(struct runs *r, const struct run *spec, int64_t now, int64_t *number)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r,
		"INSERT INTO runs(via, repository, container, revision, ref, subject, requested_by, no_cache,"
		" created) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
		&q));
	runs_bind(&q, 1, spec->via);
	runs_bind_text(&q, 2, text_of(spec->repository));
	runs_bind_text(&q, 3, spec->container);
	runs_bind_text(&q, 4, spec->commit);
	runs_bind_text(&q, 5, text_of(spec->ref));
	runs_bind_text(&q, 6, text_of(spec->subject));
	runs_bind_text(&q, 7, text_of(spec->requested_by));
	runs_bind(&q, 8, spec->no_cache);
	runs_bind(&q, 9, now);
	TRY(runs_step_all(&q));
	*number = sqlite3_last_insert_rowid(r->db);
	return NULL;
}

static struct err *add(struct runs *r, const struct run *spec, int64_t *number)
{
	int64_t now = clock_now();

	TRY(add_run(r, spec, now, number));
	for (size_t i = 0; i < spec->jobs.len; i++)
		TRY(add_job(r, *number, (uint32_t)i, vec_at(&spec->jobs, i), now));
	/* Before anybody can see that there is a run that nobody holds. */
	return spec->via == RUN_VIA_LOCAL ? runs_hold(r, *number) : NULL;
}

struct err *runs_add(struct runs *r, const struct run *spec, int64_t *number)
{
	int64_t n = 0;

	TRY(runs_check_spec(spec));
	TRY(runs_tx_begin(r));
	TRY(runs_tx_end(r, add(r, spec, &n)));
	*number = n;
	return NULL;
}

/* ---- claiming ---- */

static void hash_lease(const char *lease, char out[DIGEST_TEXT_MAX])
{
	struct digest d = {0};

	digest_of(lease, strlen(lease), &d);
	digest_hex(&d, out);
}

static bool has_label(const char *const *labels, const char *label)
{
	for (size_t i = 0; labels && labels[i]; i++)
		if (cstr_eq(labels[i], label))
			return true;
	return !labels;
}

/* *id 0: none fits. */
static struct err *find_waiting(struct runs *r, const struct run_claim *c, int64_t *id)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	bool row = false;

	TRY(runs_query_open(r,
		"SELECT j.id, j.label FROM jobs j JOIN runs n ON n.number = j.run WHERE j.status = 0"
		" AND n.via = ?1 AND (?2 = 0 OR n.number = ?2) AND (?3 IS NULL OR n.repository = ?3)"
		" AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.status = 1 AND o.reference = j.reference)"
		" ORDER BY j.id",
		&q));
	runs_bind(&q, 1, c->via);
	runs_bind(&q, 2, c->number);
	runs_bind_text(&q, 3, c->repository);
	*id = 0;
	TRY(runs_step(&q, &row));
	while (row && !*id) {
		AUTO_FREE char *label = runs_column_dup(&q, 1);
		if (has_label(c->labels, label))
			*id = runs_column(&q, 0);
		else
			TRY(runs_step(&q, &row));
	}
	return NULL;
}

static struct err *take(
	struct runs *r, const struct run_claim *c, int64_t id, const char *lease, uint64_t base)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	char hash[DIGEST_TEXT_MAX];
	int64_t now = clock_now();

	TRY(runs_query_open(r,
		"UPDATE jobs SET status = 1, runner = ?2, tries = tries + 1, started = ?3, lease = ?4,"
		" lease_until = ?5, log_base = ?6 WHERE id = ?1",
		&q));
	hash_lease(lease, hash);
	runs_bind(&q, 1, id);
	runs_bind_text(&q, 2, c->runner);
	runs_bind(&q, 3, now);
	runs_bind_text(&q, 4, hash);
	runs_bind(&q, 5, now + (c->lease_time ? c->lease_time : RUN_LEASE_TIME));
	runs_bind(&q, 6, (int64_t)base);
	return runs_step_all(&q);
}

static struct err *claim(struct runs *r, const struct run_claim *c, struct claimed_job *out, bool *found)
{
	int64_t id = 0;
	bool there = false;

	TRY(find_waiting(r, c, &id));
	*found = id != 0;
	if (!id)
		return NULL;
	random_hex(out->lease, LEASE_BYTES);
	TRY(runs_log_make(r, id, &out->log_base));
	TRY(take(r, c, id, out->lease, out->log_base));
	TRY(runs_load_job(r, id, &out->job, &there));
	return runs_load_run(r, out->job.run, false, &out->run, &there);
}

/* Without a write, as most of those who ask get nothing. */
static struct err *anything_waits(struct runs *r, const struct run_claim *c, bool *out)
{
	int64_t id = 0;
	WITH_RUNS(r);

	TRY(find_waiting(r, c, &id));
	*out = id != 0;
	return NULL;
}

struct err *runs_claim(struct runs *r, const struct run_claim *c, struct claimed_job *out, bool *found)
{
	AUTO(claimed_job_fini) struct claimed_job job = {0};
	bool taken = false;

	if (!c->runner || !*c->runner || strlen(c->runner) > RUNNER_MAX || !str_is_utf8(str_c(c->runner)))
		return err_new(ERR_INVALID, "a runner needs a name of at most %d bytes", RUNNER_MAX);
	TRY(c->via == RUN_VIA_SERVER ? runs_expire(r) : runs_expire_local(r));
	TRY(anything_waits(r, c, &taken));
	if (taken) {
		TRY(runs_tx_begin(r));
		TRY(runs_tx_end(r, claim(r, c, &job, &taken)));
	}
	*found = taken;
	if (taken) {
		*out = job;
		job = (struct claimed_job){0};
	}
	return NULL;
}

/* ---- what the holder says ---- */

struct held {
	enum job_status status;
	enum run_via via;
	bool ours, cancel_asked;
	uint64_t log_base, log_size;
	struct job job;
};
static void held_fini(struct held *h)
{
	job_fini(&h->job);
}

static struct err *lost(const struct held *h)
{
	if (h->ours)
		return err_new(ERR_EXISTS, "lost: run %lld, job %u has ended: %s", (long long)h->job.run,
			h->job.index, job_status_name(h->status));
	return err_new(ERR_EXISTS, "lost: run %lld, job %u is not this runner's any more",
		(long long)h->job.run, h->job.index);
}

static struct err *look(struct runs *r, int64_t job_id, const char *lease, struct held *h)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};
	char hash[DIGEST_TEXT_MAX];
	bool found = false;

	TRY(runs_load_job(r, job_id, &h->job, &found));
	if (!found)
		return err_new(ERR_NOT_FOUND, "there is no job %lld", (long long)job_id);
	TRY(runs_query_open(r,
		"SELECT j.lease, j.log_base, n.via FROM jobs j JOIN runs n ON n.number = j.run WHERE j.id = "
		"?1",
		&q));
	runs_bind(&q, 1, job_id);
	TRY(runs_step(&q, &found));
	AUTO_FREE char *known = runs_column_dup(&q, 0);
	hash_lease(lease, hash);
	h->status = h->job.status;
	h->ours = known && cstr_eq(known, hash);
	h->cancel_asked = h->job.cancel_asked;
	h->log_base = (uint64_t)runs_column(&q, 1);
	h->log_size = h->job.log_size;
	h->via = (enum run_via)runs_column(&q, 2);
	return NULL;
}

/* A lease whose time is over counts as long as nobody took the job: it is asked in a write transaction. */
static struct err *look_running(struct runs *r, int64_t job_id, const char *lease, struct held *h)
{
	TRY(look(r, job_id, lease, h));
	return h->ours && h->status == JOB_RUNNING ? NULL : lost(h);
}

static struct err *renew(struct runs *r, int64_t job_id, int64_t until)
{
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(runs_query_open(r, "UPDATE jobs SET lease_until = ?2 WHERE id = ?1", &q));
	runs_bind(&q, 1, job_id);
	runs_bind(&q, 2, until);
	return runs_step_all(&q);
}

struct err *runs_heartbeat(
	struct runs *r, int64_t job_id, const char *lease, int64_t lease_time, bool *cancel_asked)
{
	AUTO(held_fini) struct held h = {0};

	TRY(runs_tx_begin(r));
	struct err *e = look_running(r, job_id, lease, &h);
	if (!e && h.via == RUN_VIA_SERVER)
		e = renew(r, job_id, clock_now() + (lease_time ? lease_time : RUN_LEASE_TIME));
	TRY(runs_tx_end_quietly(r, e));
	*cancel_asked = h.cancel_asked;
	return NULL;
}

static struct err *append(
	struct runs *r, int64_t job_id, const char *lease, uint64_t offset, struct str bytes, struct held *h)
{
	TRY(look_running(r, job_id, lease, h));
	uint64_t have = h->log_size > h->log_base ? h->log_size - h->log_base : 0;
	if (offset > have)
		return err_new(ERR_INVALID,
			"the log of run %lld, job %u has %llu bytes: none are known from %llu",
			(long long)h->job.run, h->job.index, (unsigned long long)have,
			(unsigned long long)offset);
	if (have - offset >= bytes.len)
		return NULL;
	bytes = str_skip(bytes, have - offset);
	if (h->log_size + bytes.len > RUN_LOG_MAX)
		return err_new(ERR_NO_SPACE, "the log of run %lld, job %u would be larger than %llu MiB",
			(long long)h->job.run, h->job.index, (unsigned long long)(RUN_LOG_MAX >> 20));
	TRY(runs_log_write(r, job_id, bytes, h->log_size));
	h->log_size += bytes.len;
	return NULL;
}

struct err *runs_log_append(
	struct runs *r, int64_t job_id, const char *lease, uint64_t offset, struct str bytes, uint64_t *size)
{
	AUTO(held_fini) struct held h = {0};

	TRY(runs_tx_begin(r));
	struct err *e = runs_tx_end(r, append(r, job_id, lease, offset, bytes, &h));
	*size = h.log_size > h.log_base ? h.log_size - h.log_base : 0;
	return e;
}

static bool same_result(const struct job *j, const struct job_result *result)
{
	return j->status == result->status && j->already == result->already &&
	       cstr_eq(text_of(j->digest), text_of(result->digest)) &&
	       cstr_eq(text_of(j->inputs), text_of(result->inputs));
}

static struct err *check_result(const struct job_result *result)
{
	if (!job_status_is_final(result->status))
		return err_new(ERR_INVALID, "a job does not end as \"%s\"", job_status_name(result->status));
	if (result->digest && !digest_valid(str_c(result->digest)))
		return err_new(ERR_INVALID, "what was published is no digest: \"%.80s\"", result->digest);
	if (result->inputs && !digest_valid(str_c(result->inputs)))
		return err_new(ERR_INVALID, "the inputs are no digest: \"%.80s\"", result->inputs);
	if (result->status == JOB_SUCCESS && !result->digest)
		return err_new(ERR_INVALID, "a job that succeeded says what it published");
	return NULL;
}

static char *error_text(const struct job_result *result)
{
	if (result->status == JOB_SUCCESS)
		return NULL;
	const char *text = result->error && *result->error   ? result->error
			   : result->status == JOB_CANCELLED ? "cancelled"
							     : "it failed and did not say why";
	struct str s = str_c(text);
	return mem_strndup(s.ptr, s.len < ERROR_MAX ? s.len : ERROR_MAX);
}

static struct err *finish(struct runs *r, int64_t job_id, const char *lease, const struct job_result *result)
{
	AUTO(held_fini) struct held h = {0};
	AUTO_RUNS_QUERY struct runs_query q = {0};
	AUTO_FREE char *error = error_text(result);

	TRY(look(r, job_id, lease, &h));
	if (h.ours && job_status_is_final(h.status) && same_result(&h.job, result))
		return NULL;
	if (!h.ours || h.status != JOB_RUNNING)
		return lost(&h);
	TRY(runs_log_sync(r, job_id));
	TRY(runs_query_open(r,
		"UPDATE jobs SET status = ?2, ended = ?3, digest = ?4, inputs = ?5, already = ?6, error = ?7"
		" WHERE id = ?1",
		&q));
	runs_bind(&q, 1, job_id);
	runs_bind(&q, 2, result->status);
	runs_bind(&q, 3, clock_now());
	runs_bind_text(&q, 4, result->digest);
	runs_bind_text(&q, 5, result->inputs);
	runs_bind(&q, 6, result->already);
	runs_bind_text(&q, 7, error);
	return runs_step_all(&q);
}

struct err *runs_finish(struct runs *r, int64_t job_id, const char *lease, const struct job_result *result)
{
	TRY(check_result(result));
	TRY(runs_tx_begin(r));
	return runs_tx_end(r, finish(r, job_id, lease, result));
}

static struct err *give_back(struct runs *r, int64_t job_id, const char *lease)
{
	AUTO(held_fini) struct held h = {0};
	AUTO_RUNS_QUERY struct runs_query q = {0};

	TRY(look_running(r, job_id, lease, &h));
	if (h.via != RUN_VIA_SERVER)
		return err_new(ERR_INVALID, "a job that is worked off locally cannot be given back");
	if (h.cancel_asked)
		return finish(r, job_id, lease, &(struct job_result){.status = JOB_CANCELLED});
	AUTO_FREE char *line =
		mem_printf("the runner %s was stopped: the job goes back to the queue", h.job.runner);
	TRY(runs_log_say(r, job_id, line));
	TRY(runs_query_open(r,
		"UPDATE jobs SET status = 0, runner = NULL, started = 0, tries = tries - 1, lease = NULL"
		" WHERE id = ?1",
		&q));
	runs_bind(&q, 1, job_id);
	return runs_step_all(&q);
}

struct err *runs_give_back(struct runs *r, int64_t job_id, const char *lease)
{
	TRY(runs_tx_begin(r));
	return runs_tx_end(r, give_back(r, job_id, lease));
}

/* ---- cancelling ---- */

static struct err *cancel_open_jobs(struct runs *r, int64_t number)
{
	AUTO_RUNS_QUERY struct runs_query waiting = {0}, running = {0};

	TRY(runs_query_open(r,
		"UPDATE jobs SET status = 4, ended = ?2, error = 'cancelled' WHERE run = ?1 AND status = 0",
		&waiting));
	runs_bind(&waiting, 1, number);
	runs_bind(&waiting, 2, clock_now());
	TRY(runs_step_all(&waiting));
	TRY(runs_query_open(r, "UPDATE jobs SET cancel_asked = 1 WHERE run = ?1 AND status = 1", &running));
	runs_bind(&running, 1, number);
	return runs_step_all(&running);
}

static struct err *cancel_run(struct runs *r, int64_t number)
{
	AUTO(run_fini) struct run run = {0};
	bool found = false;

	TRY(runs_load_run(r, number, true, &run, &found));
	if (!found)
		return runs_no_such_run(r, number);
	if (!job_status_is_final(run.status))
		return cancel_open_jobs(r, number);
	if (run.status == JOB_CANCELLED)
		return NULL;
	return err_new(ERR_INVALID, "run %lld has ended: %s", (long long)number, job_status_name(run.status));
}

struct err *runs_cancel(struct runs *r, int64_t number)
{
	TRY(runs_expire_local(r));
	TRY(runs_tx_begin(r));
	return runs_tx_end(r, cancel_run(r, number));
}
