/* SPDX-License-Identifier: Apache-2.0 */
/* The queue as one process sees it. */
#include "runs_fixture.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add_and_read(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	struct vec all = VEC_OF(struct run);

	assert_ok(runs_list(r, 0, 20, &all));
	assert_int_equal(all.len, 0);
	assert_err(runs_get(r, 1, &(struct run){0}), ERR_NOT_FOUND,
		"there is no run 1: nothing was released yet");
	for (int64_t i = 1; i <= 4; i++)
		assert_int_equal(add_run(r, RUN_VIA_SERVER, "1.0", i == 2), i);
	assert_ok(runs_list(r, 4, 2, &all));
	assert_int_equal(all.len, 2);
	struct run *newer = vec_at(&all, 0), *older = vec_at(&all, 1);
	assert_int_equal(newer->number, 3);
	assert_int_equal(older->number, 2);
	assert_int_equal(older->jobs.len, 2);
	assert_int_equal(older->status, JOB_WAITING);
	assert_string_equal(older->subject, "a change");
	const struct job *nix = vec_at(&older->jobs, 1);
	assert_string_equal(nix->reference, "127.0.0.1:5000/lab/web:v1.0-0123456-nix");
	assert_string_equal(nix->label, "nix-container-builder");
	assert_int_equal(nix->index, 1);
	run_fini(newer);
	run_fini(older);
	vec_fini(&all);
	assert_err(
		runs_get(r, 5, &(struct run){0}), ERR_NOT_FOUND, "there is no run 5: there are runs 1 to 4");
	assert_err(runs_get(r, -1, &(struct run){0}), ERR_NOT_FOUND, "there is no run -1");
	assert_err(
		runs_get_job(r, 2, 2, &(struct job){0}), ERR_NOT_FOUND, "run 2 has no job 2: it has 0 to 1");
	assert_err(
		runs_get_job(r, 1, 1, &(struct job){0}), ERR_NOT_FOUND, "run 1 has no job 1: it has only 0");
}

static void whole_life(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	int64_t n = add_run(r, RUN_VIA_SERVER, "1.0", true);
	AUTO(claimed_job_fini) struct claimed_job first = claim_job(r, RUN_VIA_SERVER, 0, true);
	bool finished = true, cancel = true;

	assert_int_equal(first.job.index, 0);
	assert_string_equal(first.job.runner, "runner-1");
	assert_string_equal(first.run.container, "web");
	assert_int_equal(first.log_base, 0);
	append_text(r, &first, 0, "one\n");
	append_text(r, &first, 4, "two\n");
	AUTO_FREE char *so_far = whole_log(r, first.job.id, &finished);
	assert_string_equal(so_far, "one\ntwo\n");
	assert_false(finished);
	assert_ok(runs_heartbeat(r, first.job.id, first.lease, 0, &cancel));
	assert_false(cancel);
	AUTO(run_fini) struct run running = get_run(r, n);
	assert_int_equal(running.status, JOB_RUNNING);
	finish_job(r, &first, JOB_SUCCESS, NULL);
	finish_job(r, &first, JOB_SUCCESS, NULL);
	AUTO(claimed_job_fini) struct claimed_job second = claim_job(r, RUN_VIA_SERVER, 0, true);
	assert_int_equal(second.job.index, 1);
	finish_job(r, &second, JOB_FAILURE, "it broke");
	AUTO(claimed_job_fini) struct claimed_job none = claim_job(r, RUN_VIA_SERVER, 0, false);
	AUTO(run_fini) struct run run = get_run(r, n);
	assert_int_equal(run.status, JOB_FAILURE);
	assert_true(run.started && run.ended >= run.started);
	assert_state(r, n, 0, "success");
	assert_state(r, n, 1, "failure (it broke)");
	AUTO_FREE char *log = whole_log(r, first.job.id, &finished);
	assert_true(finished);
	/* What ended stays so. */
	struct job_result other = {.status = JOB_FAILURE};
	assert_err(runs_finish(r, first.job.id, first.lease, &other), ERR_EXISTS, "has ended: success");
	assert_err(runs_heartbeat(r, first.job.id, first.lease, 0, &cancel), ERR_EXISTS, "has ended");
	uint64_t size = 0;
	assert_err(runs_log_append(r, first.job.id, first.lease, 8, STR("more"), &size), ERR_EXISTS,
		"has ended");
}

static void who_may_claim(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	int64_t local = add_run(r, RUN_VIA_LOCAL, "1.0", false);
	int64_t served = add_run(r, RUN_VIA_SERVER, "2.0", true);
	const char *nix[] = {"nix-container-builder", NULL}, *none[] = {"arm", NULL};
	struct run_claim c = {.runner = "x", .via = RUN_VIA_SERVER, .labels = none};
	struct claimed_job job = {0};
	bool found = true;

	assert_ok(runs_claim(r, &c, &job, &found));
	assert_false(found);
	c.labels = nix;
	c.repository = "https://forge.example/me/other";
	assert_ok(runs_claim(r, &c, &job, &found));
	assert_false(found);
	c.repository = "https://forge.example/me/lab";
	assert_ok(runs_claim(r, &c, &job, &found));
	assert_true(found);
	assert_int_equal(job.job.run, served);
	assert_int_equal(job.job.index, 1);
	claimed_job_fini(&job);
	AUTO(claimed_job_fini) struct claimed_job mine = claim_job(r, RUN_VIA_LOCAL, local, true);
	assert_int_equal(mine.job.run, local);
	c.runner = "";
	assert_err(runs_claim(r, &c, &job, &found), ERR_INVALID, "a runner needs a name");
}

/* One commit is released once: the second run of it waits for the first. */
static void one_reference_at_a_time(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	int64_t a = add_run(r, RUN_VIA_SERVER, "1.0", false), b = add_run(r, RUN_VIA_SERVER, "1.0", false);
	int64_t other = add_run(r, RUN_VIA_SERVER, "2.0", false);
	AUTO(claimed_job_fini) struct claimed_job first = claim_job(r, RUN_VIA_SERVER, 0, true);
	AUTO(claimed_job_fini) struct claimed_job none = claim_job(r, RUN_VIA_SERVER, b, false);
	AUTO(claimed_job_fini) struct claimed_job passed = claim_job(r, RUN_VIA_SERVER, 0, true);

	assert_int_equal(first.job.run, a);
	assert_int_equal(passed.job.run, other);
	finish_job(r, &first, JOB_SUCCESS, NULL);
	AUTO(claimed_job_fini) struct claimed_job second = claim_job(r, RUN_VIA_SERVER, 0, true);
	assert_int_equal(second.job.run, b);
}

static void log_pieces(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	add_run(r, RUN_VIA_SERVER, "1.0", false);
	AUTO(claimed_job_fini) struct claimed_job c = claim_job(r, RUN_VIA_SERVER, 0, true);
	uint64_t size = 0;
	bool finished = false;

	append_text(r, &c, 0, "abcdef");
	assert_ok(runs_log_append(r, c.job.id, c.lease, 2, STR("cd"), &size));
	assert_int_equal(size, 6);
	assert_ok(runs_log_append(r, c.job.id, c.lease, 4, STR("efgh"), &size));
	assert_int_equal(size, 8);
	size = 0;
	assert_err(runs_log_append(r, c.job.id, c.lease, 9, STR("j"), &size), ERR_INVALID, "has 8 bytes");
	assert_int_equal(size, 8);
	assert_ok(runs_log_append(r, c.job.id, c.lease, 8, STR(""), &size));
	assert_err(runs_log_append(r, c.job.id, "guessed", 8, STR("x"), &size), ERR_EXISTS, "lost");
	assert_err(runs_log_append(r, 99, c.lease, 8, STR("x"), &size), ERR_NOT_FOUND, "no job 99");
	AUTO_FREE char *log = whole_log(r, c.job.id, &finished);
	assert_string_equal(log, "abcdefgh");
}

/* A lease of one nanosecond is over at once. */
static struct claimed_job claim_briefly(struct runs *r)
{
	struct run_claim c = {.runner = "brief", .via = RUN_VIA_SERVER, .lease_time = 1};
	struct claimed_job out = {0};
	bool found = false;

	assert_ok(runs_claim(r, &c, &out, &found));
	assert_true(found);
	return out;
}

static void lost_leases(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	int64_t n = add_run(r, RUN_VIA_SERVER, "1.0", false);
	bool cancel = false, finished = false;
	uint64_t size = 0;
	struct job_result ok = {.status = JOB_FAILURE};

	for (int i = 0; i < RUN_TRIES_MAX; i++) {
		AUTO(claimed_job_fini) struct claimed_job c = claim_briefly(r);
		assert_int_equal(c.job.tries, i + 1);
		append_text(r, &c, 0, i ? "again\n" : "a line without an end");
		/* Nobody else has it yet: its holder may come back. */
		assert_ok(runs_heartbeat(r, c.job.id, c.lease, 1, &cancel));
		assert_ok(runs_expire(r));
		assert_err(runs_heartbeat(r, c.job.id, c.lease, 0, &cancel), ERR_EXISTS, "lost");
		assert_err(runs_log_append(r, c.job.id, c.lease, 6, STR("x"), &size), ERR_EXISTS, "lost");
		assert_err(runs_finish(r, c.job.id, c.lease, &ok), ERR_EXISTS, "lost");
	}
	assert_state(r, n, 0, "failure (its runner was lost 3 times, the last one was brief)");
	AUTO(claimed_job_fini) struct claimed_job none = claim_job(r, RUN_VIA_SERVER, 0, false);
	AUTO(job_fini) struct job j = get_job(r, n, 0);
	AUTO_FREE char *log = whole_log(r, j.id, &finished);
	assert_string_equal(log, "a line without an end\n"
				 "the runner brief was lost: the job goes back to the queue\n"
				 "again\n"
				 "the runner brief was lost: the job goes back to the queue\n"
				 "again\n"
				 "failure: its runner was lost 3 times, the last one was brief\n");
	assert_true(finished);
}

static void giving_back(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	int64_t n = add_run(r, RUN_VIA_SERVER, "1.0", false);
	bool finished = false;

	/* More often than a job may be lost: that is nobody's fault. */
	for (int i = 0; i <= RUN_TRIES_MAX; i++) {
		AUTO(claimed_job_fini) struct claimed_job c = claim_job(r, RUN_VIA_SERVER, 0, true);
		assert_int_equal(c.job.tries, 1);
		assert_ok(runs_give_back(r, c.job.id, c.lease));
		assert_err(runs_give_back(r, c.job.id, c.lease), ERR_EXISTS, "lost");
		assert_state(r, n, 0, "waiting");
	}
	AUTO(claimed_job_fini) struct claimed_job last = claim_job(r, RUN_VIA_SERVER, 0, true);
	append_text(r, &last, 0, "half");
	assert_ok(runs_cancel(r, n));
	assert_ok(runs_give_back(r, last.job.id, last.lease));
	assert_state(r, n, 0, "cancelled (cancelled)");
	AUTO_FREE char *log = whole_log(r, last.job.id, &finished);
	assert_true(finished && cstr_ends(log, "stopped: the job goes back to the queue\nhalf"));

	int64_t local = add_run(r, RUN_VIA_LOCAL, "2.0", false);
	AUTO(claimed_job_fini) struct claimed_job own = claim_job(r, RUN_VIA_LOCAL, local, true);
	assert_err(runs_give_back(r, own.job.id, own.lease), ERR_INVALID, "locally");
}

static void a_server_that_was_down(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	int64_t n = add_run(r, RUN_VIA_SERVER, "1.0", false);
	AUTO(claimed_job_fini) struct claimed_job c = claim_briefly(r);

	/* Reading alone takes nobody's lease away. */
	assert_state(r, n, 0, "running");
	assert_ok(runs_extend_leases(r, 0));
	assert_ok(runs_expire(r));
	assert_state(r, n, 0, "running");
	finish_job(r, &c, JOB_SUCCESS, NULL);
	assert_state(r, n, 0, "success");
}

/* A second try sends its log from 0 on; what the first one said stays before it. */
static void log_of_a_second_try(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	add_run(r, RUN_VIA_SERVER, "1.0", false);
	AUTO(claimed_job_fini) struct claimed_job first = claim_briefly(r);
	bool finished = false;

	append_text(r, &first, 0, "first\n");
	assert_ok(runs_expire(r));
	AUTO(claimed_job_fini) struct claimed_job second = claim_job(r, RUN_VIA_SERVER, 0, true);
	assert_int_equal(second.job.id, first.job.id);
	assert_true(second.log_base > 6);
	append_text(r, &second, 0, "second\n");
	AUTO_FREE char *log = whole_log(r, second.job.id, &finished);
	assert_string_equal(
		log, "first\nthe runner brief was lost: the job goes back to the queue\nsecond\n");
}

static void cancelling(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	int64_t n = add_run(r, RUN_VIA_SERVER, "1.0", true);
	AUTO(claimed_job_fini) struct claimed_job c = claim_job(r, RUN_VIA_SERVER, 0, true);
	bool cancel = false;

	assert_err(runs_cancel(r, 7), ERR_NOT_FOUND, "there is no run 7");
	assert_ok(runs_cancel(r, n));
	assert_state(r, n, 1, "cancelled (cancelled)");
	assert_ok(runs_heartbeat(r, c.job.id, c.lease, 0, &cancel));
	assert_true(cancel);
	finish_job(r, &c, JOB_CANCELLED, NULL);
	AUTO(run_fini) struct run run = get_run(r, n);
	assert_int_equal(run.status, JOB_CANCELLED);
	assert_ok(runs_cancel(r, n));
	/* A lost holder that was asked to stop has stopped. */
	int64_t lost = add_run(r, RUN_VIA_SERVER, "2.0", false);
	AUTO(claimed_job_fini) struct claimed_job brief = claim_briefly(r);
	assert_ok(runs_cancel(r, lost));
	assert_ok(runs_expire(r));
	assert_state(r, lost, 0, "cancelled (cancelled; the runner brief was lost)");
	int64_t done = add_run(r, RUN_VIA_SERVER, "3.0", false);
	AUTO(claimed_job_fini) struct claimed_job last = claim_job(r, RUN_VIA_SERVER, 0, true);
	finish_job(r, &last, JOB_SUCCESS, NULL);
	assert_err(runs_cancel(r, done), ERR_INVALID, "run 3 has ended: success");
}

static void refused(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	struct job job = {.kind = (char *)"dockerfile",
		.version = (char *)"1",
		.tag = (char *)"v1-0123456",
		.reference = (char *)"forge.example/lab/web:v1-0123456"};
	struct run spec = {.via = RUN_VIA_SERVER,
		.container = (char *)"web",
		.commit = (char *)"0123456789abcdef0123456789abcdef01234567",
		.jobs = VEC_OF(struct job)};
	AUTO_FREE char *longest = mem_zalloc(5000);
	int64_t n = 0;

	memset(longest, 'x', 4000);
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "1 to 16 jobs, not 0");
	vec_push_copy(&spec.jobs, &job);
	struct job *j = vec_at(&spec.jobs, 0);
	assert_ok(runs_add(r, &spec, &n));
	spec.commit = (char *)"HEAD";
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "40 hexadecimal digits");
	spec.commit = (char *)"0123456789abcdef0123456789abcdef01234567";
	spec.subject = (char *)"two\nlines";
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "the subject of a run has a control character");
	spec.subject = longest;
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "the subject of a run is longer than");
	spec.subject = (char *)"\xff";
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "the subject of a run is not UTF-8");
	spec.subject = NULL;
	spec.container = (char *)"";
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "a run needs its container");
	spec.container = (char *)"web";
	j->kind = (char *)"make";
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "not \"make\"");
	j->kind = (char *)"nix";
	j->tag = (char *)"v2-0123456";
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "has not the tag v2-0123456");
	j->reference = (char *)"forge.example/lab/UPPER:v2-0123456";
	assert_err(runs_add(r, &spec, &n), ERR_INVALID, "UPPER");
	vec_fini(&spec.jobs);
}

static void refused_results(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	add_run(r, RUN_VIA_SERVER, "1.0", false);
	AUTO(claimed_job_fini) struct claimed_job c = claim_job(r, RUN_VIA_SERVER, 0, true);
	struct job_result result = {.status = JOB_RUNNING};

	assert_err(runs_finish(r, c.job.id, c.lease, &result), ERR_INVALID, "does not end as \"running\"");
	result.status = JOB_SUCCESS;
	assert_err(runs_finish(r, c.job.id, c.lease, &result), ERR_INVALID, "says what it published");
	result.digest = (char *)"sha256:short";
	assert_err(runs_finish(r, c.job.id, c.lease, &result), ERR_INVALID, "no digest");
	result = (struct job_result){.status = JOB_FAILURE};
	assert_ok(runs_finish(r, c.job.id, c.lease, &result));
	assert_state(r, 1, 0, "failure (it failed and did not say why)");
}

static void pruning(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	AUTO_FREE char *path = mem_printf("%s/logs/runs/1.log", (char *)*state);
	AUTO_FREE char *stray = mem_printf("%s/logs/runs/77.log", (char *)*state);
	uint64_t removed = 9;

	for (int i = 0; i < 4; i++) {
		add_run(r, RUN_VIA_SERVER, "1.0", false);
		AUTO(claimed_job_fini) struct claimed_job c = claim_job(r, RUN_VIA_SERVER, 0, true);
		append_text(r, &c, 0, "x\n");
		finish_job(r, &c, JOB_SUCCESS, NULL);
	}
	add_run(r, RUN_VIA_SERVER, "2.0", false);
	assert_int_equal(symlink("/nowhere", stray), 0);
	assert_ok(runs_prune(r, 3600 * CLOCK_SECOND, 0, &removed));
	assert_int_equal(removed, 0);
	assert_int_equal(access(path, F_OK), 0);
	/* The newest two stay whatever their age, and so does what has not ended. */
	assert_ok(runs_prune(r, -3600 * CLOCK_SECOND, 2, &removed));
	assert_int_equal(removed, 3);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(faccessat(0, stray, F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_err(runs_get(r, 1, &(struct run){0}), ERR_NOT_FOUND,
		"run 1 is not kept any more: there are runs 4 to 5");
	assert_ok(runs_prune(r, -3600 * CLOCK_SECOND, 0, &removed));
	assert_int_equal(removed, 1);
	assert_state(r, 5, 0, "waiting");
	/* Numbers are never given again. */
	assert_int_equal(add_run(r, RUN_VIA_SERVER, "1.0", false), 6);
}

static void a_log_that_was_removed(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	AUTO_FREE char *path = mem_printf("%s/logs/runs/1.log", (char *)*state);
	char byte;
	size_t len = 1;
	bool finished = false;

	add_run(r, RUN_VIA_SERVER, "1.0", false);
	assert_ok(runs_log_read(r, 1, 0, &byte, &len, &finished));
	assert_int_equal(len, 0);
	assert_false(finished);
	AUTO(claimed_job_fini) struct claimed_job c = claim_job(r, RUN_VIA_SERVER, 0, true);
	finish_job(r, &c, JOB_SUCCESS, NULL);
	assert_int_equal(unlink(path), 0);
	assert_err(runs_log_read(r, 1, 0, &byte, &len, &finished), ERR_NOT_FOUND,
		"the log of run 1, job 0 is not kept any more");
}

static void newer_database(void **state)
{
	struct runs *r = open_runs(*state);
	runs_close(r);
	AUTO_FREE char *command =
		mem_printf("/usr/bin/python3 -c \"import sqlite3; sqlite3.connect('%s/runs.db').execute("
			   "'PRAGMA user_version = 99')\"",
			(char *)*state);
	assert_int_equal(system(command), 0);
	struct err *e = runs_open(*state, &r);
	assert_non_null(strstr(err_hint_text(e), "newer cooper"));
	assert_err(e, ERR_UNSUPPORTED, "its format is version 99");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOME_TEST(add_and_read),
		HOME_TEST(whole_life),
		HOME_TEST(who_may_claim),
		HOME_TEST(one_reference_at_a_time),
		HOME_TEST(log_pieces),
		HOME_TEST(lost_leases),
		HOME_TEST(giving_back),
		HOME_TEST(a_server_that_was_down),
		HOME_TEST(log_of_a_second_try),
		HOME_TEST(cancelling),
		HOME_TEST(refused),
		HOME_TEST(refused_results),
		HOME_TEST(pruning),
		HOME_TEST(a_log_that_was_removed),
		HOME_TEST(newer_database),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
