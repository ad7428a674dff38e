/* SPDX-License-Identifier: Apache-2.0 */
/* The queue with several threads and processes. */
#include "runs_fixture.h"

#include "base/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that fails an assertion would go on with the tests: it must not for long. */
static pid_t start_child(void)
{
	pid_t pid = fork();
	if (pid == 0)
		alarm(30);
	return pid;
}

#define RUNS 40
#define LINES 20

/* Claims and does what it gets until there is nothing left; the number of jobs it had. */
static int work(struct runs *r, const char *name)
{
	struct run_claim c = {.runner = name, .via = RUN_VIA_SERVER};
	int done = 0;

	for (;;) {
		AUTO(claimed_job_fini) struct claimed_job job = {0};
		bool found = false;
		uint64_t size = 0;
		assert_ok(runs_claim(r, &c, &job, &found));
		if (!found)
			return done;
		for (int i = 0; i < LINES; i++)
			assert_ok(runs_log_append(r, job.job.id, job.lease, size, STR("a line\n"), &size));
		finish_job(r, &job, JOB_SUCCESS, NULL);
		done++;
	}
}

struct worker {
	struct runs *runs;
	pthread_t thread;
	int done;
};

static void *work_in_thread(void *arg)
{
	struct worker *w = arg;
	w->done = work(w->runs, "thread");
	return NULL;
}

/* Each job is done by one of them, and its log is whole. */
static void each_job_once(void **state)
{
	struct runs *r = open_runs(*state);
	struct worker threads[3] = {{.runs = r}, {.runs = r}, {.runs = r}};
	pid_t pids[2];
	int total = 0;

	for (int i = 0; i < RUNS; i++) {
		AUTO_FREE char *version = mem_printf("%d", i);
		add_run(r, RUN_VIA_SERVER, version, false);
	}
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		pids[i] = start_child();
		if (pids[i] == 0)
			_exit(work(open_runs(*state), "process"));
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i].thread, NULL, work_in_thread, &threads[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i].thread, NULL);
		total += threads[i].done;
	}
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		total += WEXITSTATUS(status);
	}
	assert_int_equal(total, RUNS);
	for (int64_t n = 1; n <= RUNS; n++) {
		AUTO(job_fini) struct job j = get_job(r, n, 0);
		assert_int_equal(j.status, JOB_SUCCESS);
		assert_int_equal(j.tries, 1);
		assert_int_equal(j.log_size, LINES * strlen("a line\n"));
	}
	runs_close(r);
}

/* Tells its reader one byte and then waits to be killed. */
static NORETURN void tell_and_wait(int fd)
{
	if (write(fd, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* Of the child that has the other end. */
static void wait_for_byte(int ends[2])
{
	char c;
	close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 1);
	close(ends[0]);
}

static void kill_and_reap(pid_t pid)
{
	int status = 0;
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void a_killed_process(void **state)
{
	int ends[2];
	bool finished = false;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = start_child();
	if (pid == 0) {
		struct runs *mine = open_runs(*state);
		int64_t n = add_run(mine, RUN_VIA_LOCAL, "1.0", true);
		struct claimed_job c = claim_job(mine, RUN_VIA_LOCAL, n, true);
		append_text(mine, &c, 0, "building");
		tell_and_wait(ends[1]);
	}
	wait_for_byte(ends);
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	assert_state(r, 1, 0, "running");
	assert_state(r, 1, 1, "waiting");
	kill_and_reap(pid);
	assert_state(r, 1, 0,
		"failure (the process that worked on it is gone (killed, or the machine went down))");
	assert_state(r, 1, 1, "failure (the process that was to work on it ended before)");
	AUTO(job_fini) struct job j = get_job(r, 1, 0);
	AUTO_FREE char *log = whole_log(r, j.id, &finished);
	assert_true(finished);
	assert_string_equal(log, "building\nfailure: the process that worked on it is gone (killed, or the "
				 "machine went down)\n");
	/* What it was publishing can be claimed again. */
	int64_t n = add_run(r, RUN_VIA_LOCAL, "1.0", false);
	AUTO(claimed_job_fini) struct claimed_job again = claim_job(r, RUN_VIA_LOCAL, n, true);
}

/* What was acknowledged is there, whenever its writer is killed. */
static void a_log_up_to_the_kill(void **state)
{
	int ends[2];
	char told[4096];
	size_t acknowledged = 0;
	bool finished = false;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = start_child();
	if (pid == 0) {
		struct runs *mine = open_runs(*state);
		int64_t n = add_run(mine, RUN_VIA_LOCAL, "1.0", false);
		struct claimed_job c = claim_job(mine, RUN_VIA_LOCAL, n, true);
		for (uint64_t at = 0; write(ends[1], "x", 1) == 1; at += 5)
			append_text(mine, &c, at, "line\n");
		_exit(1);
	}
	close(ends[1]);
	/* Each byte but the first says that a line is in. */
	while (acknowledged < 200)
		acknowledged += (size_t)read(ends[0], told, sizeof(told));
	kill_and_reap(pid);
	for (ssize_t n; (n = read(ends[0], told, sizeof(told))) > 0;)
		acknowledged += (size_t)n;
	close(ends[0]);
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	AUTO(job_fini) struct job j = get_job(r, 1, 0);
	AUTO_FREE char *log = whole_log(r, j.id, &finished);
	const char *end = strstr(log, "failure: the process");
	assert_non_null(end);
	assert_true((size_t)(end - log) >= (acknowledged - 1) * 5);
}

/* A lease's time means nothing to a local run: its process may have been suspended. */
static void a_local_run_has_no_deadline(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state), *reader = open_runs(*state);
	int64_t n = add_run(r, RUN_VIA_LOCAL, "1.0", false);
	struct run_claim c = {.runner = "me", .via = RUN_VIA_LOCAL, .number = n, .lease_time = 1};
	AUTO(claimed_job_fini) struct claimed_job job = {0};
	bool found = false;

	assert_ok(runs_claim(r, &c, &job, &found));
	assert_true(found);
	assert_ok(runs_expire(reader));
	assert_state(reader, n, 0, "running");
	finish_job(r, &job, JOB_SUCCESS, NULL);
	int64_t left = add_run(r, RUN_VIA_LOCAL, "2.0", false);
	runs_closep(&r);
	assert_state(reader, n, 0, "success");
	assert_state(reader, left, 0, "failure (the process that was to work on it ended before)");
}

/* The program that inherits the hold: this one, with --take-over HOME FD RUN PIPE. */
static NORETURN void take_over(char **argv)
{
	struct runs *r = open_runs(argv[2]);
	int64_t n = atoi(argv[4]);

	alarm(30);
	assert_ok(runs_take_over(r, atoi(argv[3])));
	struct claimed_job c = claim_job(r, RUN_VIA_LOCAL, n, true);
	append_text(r, &c, 0, "x");
	tell_and_wait(atoi(argv[5]));
}

/* The hold goes to a program that inherits a descriptor, without a moment in which nobody has it. */
static void passing_on(void **state)
{
	struct runs *r = open_runs(*state);
	AUTO(runs_closep) struct runs *reader = open_runs(*state);
	int64_t n = add_run(r, RUN_VIA_LOCAL, "1.0", false);
	int fd = -1, ends[2];

	assert_ok(runs_pass_on(r, &fd));
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(pipe(ends), 0);
	AUTO_FREE char *hold = mem_printf("%d", fd);
	AUTO_FREE char *run = mem_printf("%d", (int)n);
	AUTO_FREE char *tell = mem_printf("%d", ends[1]);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "test", "--take-over", (char *)*state, hold, run, tell, (char *)NULL);
		_exit(127);
	}
	close(fd);
	runs_close(r);
	wait_for_byte(ends);
	assert_state(reader, n, 0, "running");
	kill_and_reap(pid);
	AUTO_FREE char *state_now = job_state(reader, n, 0);
	assert_non_null(strstr(state_now, "is gone"));
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_err(runs_take_over(reader, null), ERR_INVALID, "is no lock of runs");
	assert_err(runs_take_over(reader, 999), ERR_INVALID, "descriptor 999");
	close(null);
}

struct waiter {
	struct runs *runs;
	pthread_t thread;
	int tell;
};

static void *wait_for_change(void *arg)
{
	struct waiter *w = arg;
	uint64_t seen = runs_seen(w->runs);
	assert_int_equal(write(w->tell, "x", 1), 1);
	/* Longer than any test may take: it ends by the change. */
	runs_wait(w->runs, seen, 600 * CLOCK_SECOND, NULL);
	return NULL;
}

static void start_waiting(struct waiter *w)
{
	int ends[2];
	char c;

	assert_int_equal(pipe(ends), 0);
	w->tell = ends[1];
	assert_int_equal(pthread_create(&w->thread, NULL, wait_for_change, w), 0);
	assert_int_equal(read(ends[0], &c, 1), 1);
	close(ends[0]);
	close(ends[1]);
}

/* Also what another process writes, logs included. */
static void changes_are_noticed(void **state)
{
	AUTO(runs_closep) struct runs *r = open_runs(*state), *other = open_runs(*state);
	struct waiter w = {.runs = other};
	add_run(r, RUN_VIA_SERVER, "1.0", false);
	AUTO(claimed_job_fini) struct claimed_job c = claim_job(r, RUN_VIA_SERVER, 0, true);

	start_waiting(&w);
	append_text(r, &c, 0, "news\n");
	pthread_join(w.thread, NULL);
	start_waiting(&w);
	finish_job(r, &c, JOB_SUCCESS, NULL);
	pthread_join(w.thread, NULL);
	/* Neither a change nor a signal to wait for: it comes back all the same. */
	runs_wait(r, runs_seen(r), CLOCK_SECOND / 50, NULL);
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	cancel_set(cancel);
	runs_wait(r, runs_seen(r), 600 * CLOCK_SECOND, cancel);
}

static void opened_by_many_at_once(void **state)
{
	pid_t pids[6];
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		pids[i] = start_child();
		if (pids[i] == 0) {
			struct runs *r = NULL;
			AUTO(err_freep) struct err *e = runs_open(*state, &r);
			_exit(e ? 1 : add_run(r, RUN_VIA_SERVER, "1.0", false) < 1);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	AUTO(runs_closep) struct runs *r = open_runs(*state);
	assert_int_equal(add_run(r, RUN_VIA_SERVER, "1.0", false), ARRAY_LEN(pids) + 1);
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "--take-over") == 0)
		take_over(argv);
	const struct CMUnitTest tests[] = {
		HOME_TEST(each_job_once),
		HOME_TEST(a_killed_process),
		HOME_TEST(a_log_up_to_the_kill),
		HOME_TEST(a_local_run_has_no_deadline),
		HOME_TEST(passing_on),
		HOME_TEST(changes_are_noticed),
		HOME_TEST(opened_by_many_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
