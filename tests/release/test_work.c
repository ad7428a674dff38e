/* SPDX-License-Identifier: Apache-2.0 */
/* Doing one job, and working off a run, with a real engine. */
#include "runs_fixture.h"

#include "../repo/git_fixture.h"

#include "base/clock.h"
#include "base/path.h"
#include "registry/registry.h"
#include "release/local.h"

#include <string.h>

static struct engine *engine;
static struct runs *runs;

static int start(void **state)
{
	if (make_tmp(state))
		return -1;
	AUTO_FREE char *store = path_join(tmp, "store");
	struct engine_options opt = {.home = store};
	assert_ok(engine_open(&opt, &engine));
	assert_ok(runs_open(store, &runs));
	sh("git init -q --bare origin.git; git init -q lab; cd lab; mkdir -p containers/web containers/bad;"
	   "printf 'ARG CONTAINER_APP_VERSION=1.2.3\\nFROM scratch\\nCOPY page /page\\n' > "
	   "containers/web/Dockerfile; echo hello > containers/web/page;"
	   "printf 'ARG CONTAINER_APP_VERSION=1\\nFROM scratch\\nCOPY missing /page\\n' > "
	   "containers/bad/Dockerfile;"
	   "git add .; git commit -qm first; git remote add origin ../origin.git; git push -q -u origin "
	   "main");
	return 0;
}

static int stop(void **state)
{
	runs_closep(&runs);
	engine_closep(&engine);
	return drop_tmp(state);
}

/* The text of a job here is the kind of each event. */
static void note(void *ctx, const struct event *e)
{
	fprintf(ctx, "%s\n", event_type_name(e->type));
}

static struct err *text_open(
	void *ctx, const struct claimed_job *job, FILE *log, struct event_stream **events, void **state)
{
	(void)ctx;
	(void)job;
	*events = event_stream_new();
	event_stream_add(*events, note, log);
	*state = *events;
	return NULL;
}

static void text_close(void *ctx, void *state, const struct err *e, const char *file_text)
{
	(void)file_text;
	event_stream_free(state);
	if (ctx)
		*(bool *)ctx = e != NULL;
}

static struct job_text text = {.open = text_open, .close = text_close};

static int64_t queue(struct repo *r, const char *name, struct release_plan *plan)
{
	const struct release_request rq = {.repo = r, .name = name};
	AUTO(run_fini) struct run spec = {0};
	int64_t n = 0;

	assert_ok(release_plan_make(&rq, plan));
	release_plan_run(plan, NULL, RUN_VIA_LOCAL, &spec);
	assert_ok(runs_add(runs, &spec, &n));
	return n;
}

static bool published(const struct job *j)
{
	AUTO(descriptor_fini) struct descriptor d = {0};
	bool found = false;

	assert_ok(registry_get(engine_store(engine), "lab/web", j->tag, &d, &found));
	return found;
}

static void work_off(struct repo *r, int64_t n, const struct cancel *cancel)
{
	const struct local_work w = {.runs = runs, .number = n, .repo = r, .text = &text, .cancel = cancel};

	assert_ok(local_work_off(engine, &w));
}

static void a_run(void **state)
{
	(void)state;
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_plan_fini) struct release_plan plan = {0}, second = {0};
	int64_t n = queue(r, "web", &plan);
	bool finished = false;

	work_off(r, n, NULL);
	AUTO(job_fini) struct job j = get_job(runs, n, 0);
	assert_int_equal(j.status, JOB_SUCCESS);
	assert_true(cstr_starts(j.digest, "sha256:") && cstr_starts(j.inputs, "sha256:"));
	assert_false(j.already);
	assert_true(published(&j));
	AUTO_FREE char *log = whole_log(runs, j.id, &finished);
	assert_non_null(strstr(log, "run 1, job 0: dockerfile of web -> 127.0.0.1:5000/lab/web:v1.2.3-"));
	assert_non_null(strstr(log, "  first\n"));
	assert_non_null(strstr(log, "\npublished 127.0.0.1:5000/lab/web:v1.2.3-"));
	int64_t again = queue(r, "web", &second);
	work_off(r, again, NULL);
	AUTO(job_fini) struct job k = get_job(runs, again, 0);
	assert_true(k.already);
	assert_string_equal(k.digest, j.digest);
}

/* A subject is whatever somebody committed. */
static void odd_subjects(void **state)
{
	(void)state;
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_plan_fini) struct release_plan plan = {0};
	const struct release_request rq = {.repo = r, .name = "web"};
	AUTO_FREE char *longest = mem_zalloc(3001);
	static const char *const subjects[][2] = {
		{"plain \xc3\xa9", "plain \xc3\xa9"},
		{"c1 \xc2\x9b[2J \xc2\xa9", "c1   [2J \xc2\xa9"},
		{"bad \xff\tand\x1b[0m", "bad ? and [0m"},
	};

	assert_ok(release_plan_make(&rq, &plan));
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		AUTO(run_fini) struct run spec = {0};
		mem_freep(&plan.commit.subject);
		plan.commit.subject = mem_strdup(subjects[i][0]);
		release_plan_run(&plan, "main", RUN_VIA_LOCAL, &spec);
		assert_string_equal(spec.subject, subjects[i][1]);
		assert_string_equal(spec.ref, "main");
	}
	for (size_t i = 0; i < 1500; i++)
		memcpy(longest + i * 2, "\xc3\xa9", 2);
	for (size_t shift = 0; shift < 2; shift++) {
		AUTO(run_fini) struct run spec = {0};
		int64_t n = 0;
		mem_freep(&plan.commit.subject);
		plan.commit.subject = mem_printf("%s%s", shift ? "x" : "", longest);
		release_plan_run(&plan, NULL, RUN_VIA_LOCAL, &spec);
		assert_true(strlen(spec.subject) >= 990 && !strchr(spec.subject, '?'));
		assert_ok(runs_add(runs, &spec, &n));
	}
}

static void a_failure(void **state)
{
	(void)state;
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_plan_fini) struct release_plan plan = {0};
	int64_t n = queue(r, "bad", &plan);
	bool failed = false;

	text.ctx = &failed;
	work_off(r, n, NULL);
	text.ctx = NULL;
	AUTO(job_fini) struct job j = get_job(runs, n, 0);
	assert_true(failed);
	assert_int_equal(j.status, JOB_FAILURE);
	assert_non_null(strstr(j.error, "missing"));
}

static void a_cancelled_run(void **state)
{
	(void)state;
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_plan_fini) struct release_plan plan = {0};
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	int64_t n = queue(r, "web", &plan);

	cancel_set(cancel);
	work_off(r, n, cancel);
	assert_state(runs, n, 0, "cancelled (cancelled)");
}

/* The server's clock, which says when a job was begun, need not be ours. */
static void another_clock(void **state)
{
	(void)state;
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_plan_fini) struct release_plan plan = {0};
	int64_t n = queue(r, "web", &plan);
	AUTO(claimed_job_fini) struct claimed_job job = claim_job(runs, RUN_VIA_LOCAL, n, true);
	AUTO(job_result_fini) struct job_result result = {0};
	AUTO_FREE char *said = NULL;
	size_t len = 0;
	FILE *log = open_memstream(&said, &len);
	job.job.started -= 5 * 3600 * CLOCK_SECOND;
	const struct job_work w = {.repo = r, .job = &job, .log = log, .text = &text};

	assert_ok(job_execute(engine, &w, &result));
	fclose(log);
	assert_int_equal(result.status, JOB_SUCCESS);
	assert_null(strstr(said, " in 5h"));
}

static struct err *no(void *ctx)
{
	*(bool *)ctx = true;
	return err_new(ERR_EXISTS, "lost");
}

/* What was lost while it was built is not published. */
static void not_allowed_to_publish(void **state)
{
	(void)state;
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_plan_fini) struct release_plan plan = {0};
	int64_t n = queue(r, "web", &plan);
	AUTO(claimed_job_fini) struct claimed_job job = claim_job(runs, RUN_VIA_LOCAL, n, true);
	AUTO(job_result_fini) struct job_result result = {0};
	bool asked = false;
	struct job_work w = {
		.repo = r, .job = &job, .text = &text, .may_publish = no, .may_publish_ctx = &asked};

	w.log = fopen("/dev/null", "we");
	assert_ok(job_execute(engine, &w, &result));
	fclose(w.log);
	assert_true(asked);
	assert_int_equal(result.status, JOB_FAILURE);
	assert_string_equal(result.error, "lost");
	assert_false(published(&job.job));
}

/* Somebody says that this commit has another version. */
static void another_reference(void **state)
{
	(void)state;
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_plan_fini) struct release_plan plan = {0};
	int64_t n = queue(r, "web", &plan);
	AUTO(claimed_job_fini) struct claimed_job job = claim_job(runs, RUN_VIA_LOCAL, n, true);
	AUTO(job_result_fini) struct job_result wrong = {0}, gone = {0};
	struct job_work w = {.repo = r, .job = &job, .text = &text};

	w.log = fopen("/dev/null", "we");
	mem_freep(&job.job.reference);
	job.job.reference = mem_strdup("127.0.0.1:5000/lab/web:v9-0123456");
	assert_ok(job_execute(engine, &w, &wrong));
	assert_int_equal(wrong.status, JOB_FAILURE);
	assert_non_null(strstr(wrong.error, "not 127.0.0.1:5000/lab/web:v9-0123456"));
	mem_freep(&job.job.kind);
	job.job.kind = mem_strdup("nix");
	assert_ok(job_execute(engine, &w, &gone));
	assert_non_null(strstr(gone.error, "containers/web has no nix to build"));
	fclose(w.log);
}

#define WORK_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORK_TEST(a_run),
		WORK_TEST(odd_subjects),
		WORK_TEST(a_failure),
		WORK_TEST(a_cancelled_run),
		WORK_TEST(another_clock),
		WORK_TEST(not_allowed_to_publish),
		WORK_TEST(another_reference),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
