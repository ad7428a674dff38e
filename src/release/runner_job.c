/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job at a runner: three threads. One works, and writes the log into a local file; one sends what is new
 * in that file to the server; one renews the lease. The latter two go on trying whatever happens to the
 * network: only the server's word that the job is lost, or the end of the runner's grace, ends them.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "release/runner_internal.h"
#include "repo/repo.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10)
#define LOOK_EVERY (CLOCK_SECOND / 5)
#define RETRY_MAX (5 * CLOCK_SECOND)
/* Of a runner that was told to stop: so long it tries to give its job back. */
#define LAST_WORDS (10 * CLOCK_SECOND)

struct held_job {
	struct runner *r;
	const struct claimed_job *job;
	int64_t lease_time, begun;
	char *scratch;
	int log_fd;              /* the file, to be read */
	struct cancel *cancel;   /* the work is to stop */
	atomic_bool lost;        /* the server says that it is not ours any more */
	atomic_bool giving_back; /* the runner stops before the job's end */
	atomic_bool written;     /* the log is whole */
	atomic_bool over;        /* nothing more is to be said */
	_Atomic int64_t heard;   /* monotonic: when the server last said that the job is ours */
	_Atomic int64_t silence; /* monotonic: when even unsent words are given up; 0: never */
	uint64_t
		acknowledged; /* bytes of the log that the server has; the uploading thread's until it ends */
};

static void lose(struct held_job *h, struct err *e)
{
	err_ignore(e, "it is what being lost looks like");
	atomic_store(&h->lost, true);
	cancel_set(h->cancel);
}

/* The server's word, or what it would say if it still listened to us: a token can be deleted at any time. */
static bool is_lost(struct held_job *h, const struct err *e)
{
	if (err_kind(e) == ERR_DENIED)
		return clock_monotonic() - atomic_load(&h->heard) > h->lease_time;
	return err_kind(e) == ERR_EXISTS || err_kind(e) == ERR_NOT_FOUND;
}

static bool out_of_time(struct held_job *h)
{
	int64_t end = atomic_load(&h->silence);
	return end && clock_monotonic() > end;
}

/* ---- the lease ---- */

static void note_stop(struct held_job *h, int64_t *stop_at)
{
	if (!cancel_is_set(h->r->opt->cancel))
		return;
	int64_t now = clock_monotonic();
	if (!*stop_at)
		*stop_at = now + h->r->opt->grace;
	if (now < *stop_at || atomic_load(&h->giving_back))
		return;
	atomic_store(&h->giving_back, true);
	atomic_store(&h->silence, now + LAST_WORDS);
	cancel_set(h->cancel);
}

/* *next: when to say it again. */
static void beat(struct held_job *h, int64_t *next)
{
	bool cancel_asked = false;
	struct err *e = server_heartbeat(h->r->server, h->job, &cancel_asked);
	*next = clock_monotonic() + h->lease_time / 3;
	if (!e)
		atomic_store(&h->heard, clock_monotonic());
	if (is_lost(h, e)) {
		lose(h, e);
		return;
	}
	if (e) {
		int64_t soon = clock_monotonic() + CLOCK_SECOND;
		*next = soon < *next ? soon : *next;
		err_ignore(e, "it is tried again until the server says that the job is lost");
		return;
	}
	if (cancel_asked)
		cancel_set(h->cancel);
}

static void *heart(void *arg)
{
	struct held_job *h = arg;
	int64_t next = clock_monotonic() + h->lease_time / 3, stop_at = 0;
	while (!atomic_load(&h->over) && !atomic_load(&h->lost)) {
		note_stop(h, &stop_at);
		if (clock_monotonic() >= next)
			beat(h, &next);
		runner_pause(NULL, LOOK_EVERY);
	}
	return NULL;
}

/* ---- the log ---- */

/* Bytes of the file from offset. */
static size_t read_piece(struct held_job *h, uint64_t offset, char *piece)
{
	ssize_t n;
	do
		n = pread(h->log_fd, piece, PIECE, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

/* The server keeps no more than that of one job: the rest stays unsaid. */
static bool is_full(const struct held_job *h, const struct err *e, uint64_t size)
{
	return err_kind(e) == ERR_NO_SPACE && h->job->log_base + size > RUN_LOG_MAX;
}

/* What the server (or a proxy before it) does not take again and again must not keep the job from its end. */
static bool is_refused(const struct held_job *h, const struct err *e, int64_t good)
{
	return err_kind(e) == ERR_INVALID && atomic_load(&h->written) &&
	       clock_monotonic() - good > h->lease_time;
}

static void *upload(void *arg)
{
	struct held_job *h = arg;
	AUTO_FREE char *piece = mem_alloc(PIECE);
	int64_t wait = LOOK_EVERY, good = clock_monotonic();
	while (!atomic_load(&h->lost) && !out_of_time(h)) {
		/* Asked first: what is written before it is set is seen after. */
		bool written = atomic_load(&h->written);
		size_t n = read_piece(h, h->acknowledged, piece);
		if (!n && written)
			break;
		if (!n) {
			runner_pause(NULL, LOOK_EVERY);
			continue;
		}
		uint64_t before = h->acknowledged;
		struct err *e =
			server_append_log(h->r->server, h->job, before, str_n(piece, n), &h->acknowledged);
		if (!e && h->acknowledged > before) {
			wait = LOOK_EVERY;
			good = clock_monotonic();
			continue;
		}
		if (is_full(h, e, h->acknowledged + n) || is_refused(h, e, good)) {
			err_ignore(e, "the beginning of the log is what counts");
			break;
		}
		if (is_lost(h, e)) {
			lose(h, e);
			break;
		}
		err_ignore(e, "it is sent again from where the server has it");
		runner_pause(NULL, wait);
		wait = wait * 2 < RETRY_MAX ? wait * 2 : RETRY_MAX;
	}
	return NULL;
}

/* ---- the work ---- */

/* Only the server knows. While it cannot be asked nothing is published. */
static struct err *may_publish(void *ctx)
{
	struct held_job *h = ctx;
	for (;;) {
		bool cancel_asked = false;
		TRY(cancel_check(h->cancel));
		struct err *e = server_heartbeat(h->r->server, h->job, &cancel_asked);
		if (!e && cancel_asked)
			cancel_set(h->cancel);
		if (!e)
			return cancel_check(h->cancel);
		if (is_lost(h, e) || err_kind(e) == ERR_DENIED)
			return err_wrap(e, "nothing is published");
		err_ignore(e, "asked again");
		runner_pause(h->cancel, CLOCK_SECOND);
	}
}

static struct err *work(struct held_job *h, FILE *log, struct job_result *result)
{
	const struct runner_options *opt = h->r->opt;
	AUTO_FREE char *dir = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO_FREE char *remote = runner_clean_url(opt->git);
	/* It may take long, and fail: then it is all that the log has. */
	fprintf(log, "runner %s checks out %s of %s\n", opt->name, h->job->run.commit, remote);
	TRY(runner_checkout(h->r, h->job->run.commit, h->scratch, h->cancel, &dir));
	TRY(repo_open(dir, &repo));
	const struct job_work w = {
		.repo = repo,
		.job = h->job,
		.begun = h->begun,
		.allow_insecure = opt->allow_insecure,
		.own_registry = server_client_host(h->r->server),
		.log = log,
		.text = opt->text,
		.may_publish = may_publish,
		.may_publish_ctx = h,
		.cancel = h->cancel,
	};
	return job_execute(opt->engine, &w, result);
}

static void work_with_log(struct held_job *h, FILE *log, struct job_result *result)
{
	struct err *e = work(h, log, result);
	if (!e)
		return;
	job_result_fini(result);
	result->status = cancel_is_set(h->cancel) ? JOB_CANCELLED : JOB_FAILURE;
	result->error = err_text(e);
	fprintf(log, "%s: %s\n", job_status_name(result->status), result->error);
	if (err_hint_text(e))
		fprintf(log, "  %s\n", err_hint_text(e));
	err_free(e);
}

/* ---- the end ---- */

static struct err *tell_once(struct held_job *h, const struct job_result *result)
{
	if (atomic_load(&h->giving_back) && result->status == JOB_CANCELLED)
		return server_give_back(h->r->server, h->job);
	return server_finish(h->r->server, h->job, result);
}

/* A result that the server calls wrong stays wrong; that there was one it can still be told. */
static void replace_refused(struct held_job *h, struct err *e, struct job_result *result)
{
	AUTO_FREE char *why = err_text(e);
	bool again = result->status == JOB_FAILURE && !result->digest && !result->inputs;
	if (again && cstr_starts(result->error, "its result was refused")) {
		lose(h, e);
		return;
	}
	err_free(e);
	job_result_fini(result);
	*result = (struct job_result){.status = JOB_FAILURE};
	result->error = mem_printf("its result was refused: %.1000s", why);
}

/* Until the server has it, or says that it does not want it. */
static void tell(struct held_job *h, struct job_result *result, bool *told)
{
	int64_t wait = LOOK_EVERY;
	*told = false;
	while (!atomic_load(&h->lost) && !out_of_time(h)) {
		struct err *e = tell_once(h, result);
		if (!e) {
			*told = !atomic_load(&h->giving_back) || result->status != JOB_CANCELLED;
			return;
		}
		if (is_lost(h, e)) {
			lose(h, e);
			return;
		}
		if (err_kind(e) == ERR_INVALID) {
			replace_refused(h, e, result);
			continue;
		}
		err_ignore(e, "it is told again");
		runner_pause(NULL, wait);
		wait = wait * 2 < RETRY_MAX ? wait * 2 : RETRY_MAX;
	}
}

static struct err *open_job(struct held_job *h, FILE **log)
{
	TRY(store_scratch(engine_store(h->r->opt->engine), &h->scratch));
	AUTO_FREE char *path = path_join(h->scratch, "log");
	AUTO_FD int fd = -1;
	TRY(file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600, &fd));
	TRY(file_open(AT_FDCWD, path, O_RDONLY, 0, &h->log_fd));
	*log = fdopen(fd, "a");
	if (!*log)
		return err_sys(errno, "opening %s", path);
	(void)steal_fd(&fd);
	setvbuf(*log, NULL, _IOLBF, 0);
	return NULL;
}

static void held_job_fini(struct held_job *h)
{
	fd_closep(&h->log_fd);
	if (h->scratch)
		err_ignore(tree_remove(AT_FDCWD, h->scratch), "the next sweep removes it");
	mem_freep(&h->scratch);
	cancel_freep(&h->cancel);
}

/* A line after what the server has of the log. */
static void add_line(struct held_job *h, const char *line)
{
	err_ignore(server_append_log(h->r->server, h->job, h->acknowledged, str_c(line), &h->acknowledged),
		"the result tells the rest");
}

static void work_to_the_end(struct held_job *h, FILE *log, struct job_result *result, pthread_t upload_thread)
{
	work_with_log(h, log, result);
	bool whole = !ferror(log);
	whole = fclose(log) == 0 && whole;
	atomic_store(&h->written, true);
	pthread_join(upload_thread, NULL);
	if (!whole)
		add_line(h, "\nthe log is not whole: the runner could not write all of it to its disk\n");
}

/* Until the job has a result, of whatever kind. */
static void do_held_job(struct held_job *h, struct job_result *result)
{
	pthread_t upload_thread;
	FILE *log = NULL;
	struct err *e = open_job(h, &log);
	int failed = e ? 0 : pthread_create(&upload_thread, NULL, upload, h);
	if (failed) {
		fclose(log);
		e = err_sys(failed, "starting a thread");
	}
	if (!e) {
		work_to_the_end(h, log, result, upload_thread);
		return;
	}
	AUTO_FREE char *why = err_text(e);
	AUTO_FREE char *line = mem_printf("the runner could not begin: %s\n", why);
	err_free(e);
	*result = (struct job_result){.status = JOB_FAILURE, .error = mem_strndup(line, strlen(line) - 1)};
	add_line(h, line);
}

struct err *runner_do_job(struct runner *r, const struct claimed_job *job, int64_t lease_time,
	struct job_result *result, bool *told)
{
	AUTO(held_job_fini)
	struct held_job h = {
		.r = r, .job = job, .lease_time = lease_time, .log_fd = -1, .cancel = cancel_new()};
	pthread_t heart_thread;
	h.begun = clock_monotonic();
	atomic_store(&h.heard, h.begun);
	int failed = pthread_create(&heart_thread, NULL, heart, &h);
	if (failed) {
		err_ignore(server_give_back(r->server, job), "it goes back when its lease is over");
		return err_sys(failed, "starting a thread for a job");
	}
	do_held_job(&h, result);
	tell(&h, result, told);
	atomic_store(&h.over, true);
	pthread_join(heart_thread, NULL);
	if (h.log_fd < 0 && !r->opt->once)
		runner_pause(r->opt->cancel, BROKEN_PAUSE);
	return NULL;
}
