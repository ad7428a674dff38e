/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs and their jobs: the queue, leases and logs, in $COOPER_HOME/runs.db (SQLite, WAL; docs/formats.md,
 * "Runs") and $COOPER_HOME/logs/runs/. A run is one release of one container at one commit; it has a job for
 * each build file. People name a job by the run's number and its index from 0.
 *
 * Who may claim a job, and when it is lost, depends on the run:
 * - via server: any runner, with a lease: a secret text and a time by which its holder must have said that it
 *   still works. What a lost holder leaves goes back to the queue, or fails with that reason once it was lost
 *   too often.
 * - via local: the process that added the run holds it until runs_close or its end, however that comes, and
 *   whatever the clock says; what it left undone fails then with that reason.
 * A finished job never changes again.
 *
 * Every write is on disk on return, but for the bytes of a log: they survive the death of any process at
 * once, a loss of power when their job has finished.
 *
 * Processes: any number at once. Threads: a struct runs may be shared by all; it must not be used in a forked
 * child. Units: ns since the epoch.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

enum job_status { JOB_WAITING, JOB_RUNNING, JOB_SUCCESS, JOB_FAILURE, JOB_CANCELLED };
const char *job_status_name(enum job_status s); /* "waiting", "running", ... */
bool job_status_parse(const char *text, enum job_status *out);
bool job_status_is_final(enum job_status s);

/* Who may claim the jobs of a run. */
enum run_via {
	RUN_VIA_LOCAL,  /* the process that added it, or the one that it passed its hold on to */
	RUN_VIA_SERVER, /* runners that speak to the server */
};

#define RUN_LEASE_MAX 64
#define RUN_LEASE_TIME (INT64_C(60) * 1000000000) /* the usual lease; renewed at a third of it */
#define RUN_TRIES_MAX 3                           /* claims of one job before a lost holder fails it */
#define RUN_LOG_MAX (UINT64_C(1) << 30)           /* bytes of one job's log */
#define RUN_JOBS_MAX 16                           /* jobs of one run */
const char *run_via_name(enum run_via v);         /* "local", "server" */

struct job {
	int64_t id;     /* global; of the protocol, not of people */
	int64_t run;    /* number */
	uint32_t index; /* in its run, from 0 */
	char *kind;     /* build_kind_name */
	char *version, *tag, *reference;
	char *label;  /* of the runners that may take it */
	char *runner; /* who took it; NULL: nobody yet */
	enum job_status status;
	uint32_t tries;                  /* claims so far */
	bool cancel_asked;               /* its holder is to stop */
	int64_t created, started, ended; /* 0: not yet; started by who took it last */
	char *digest, *inputs;           /* of what was published; NULL: none */
	bool already;                    /* it had been published before */
	char *error;                     /* NULL unless FAILURE or CANCELLED */
	uint64_t log_size;               /* bytes so far */
	bool log_gone;                   /* it ran, but its log is not kept any more */
};
void job_fini(struct job *j);

struct run {
	int64_t number;
	enum run_via via;
	char *repository; /* public address of the git remote; "" if it has none */
	char *container, *commit, *ref, *subject;
	char *requested_by; /* "user@host", or the name of a token */
	bool no_cache;      /* run every step again */
	/* Of all jobs together: once all are final the worst; running from the first that started on. */
	enum job_status status;
	int64_t created, started, ended;
	struct vec jobs; /* of struct job, by index */
};
void run_fini(struct run *r);

struct runs;
/* home: $COOPER_HOME, made if missing. Brings an older database up to date; ERR_UNSUPPORTED for a newer one.
 */
MUST_USE struct err *runs_open(const char *home, struct runs **out);
void runs_close(struct runs *r);
void runs_closep(struct runs **r);

/* Queue a run. spec: via, repository, container, commit, ref, subject, requested_by, no_cache and of each job
 * kind, version, tag, reference and label count; NULL texts are "". Texts are checked and bounded:
 * ERR_INVALID. */
MUST_USE struct err *runs_add(struct runs *r, const struct run *spec, int64_t *number);

/*
 * Let another program work off the runs via local that were added through r: *fd is for it to inherit (not
 * close-on-exec; the caller closes it), and runs_close leaves the hold to it. It calls runs_take_over, which
 * consumes fd: ERR_INVALID if that is no such descriptor.
 */
MUST_USE struct err *runs_pass_on(struct runs *r, int *fd);
MUST_USE struct err *runs_take_over(struct runs *r, int fd);

/* Newest first, numbers below before (0: all), at most limit; vec of struct run, with their jobs. */
MUST_USE struct err *runs_list(struct runs *r, int64_t before, size_t limit, struct vec *out);
/* Jobs that have not ended. */
MUST_USE struct err *runs_count(struct runs *r, uint64_t *waiting, uint64_t *running);
/* ERR_NOT_FOUND says what numbers there are, and whether it was once there. */
MUST_USE struct err *runs_get(struct runs *r, int64_t number, struct run *out);
MUST_USE struct err *runs_get_job(struct runs *r, int64_t number, uint32_t index, struct job *out);
/* Waiting jobs are cancelled at once, those that run are asked to stop. Success also when that was done
 * before; ERR_INVALID when all had ended in another way. */
MUST_USE struct err *runs_cancel(struct runs *r, int64_t number);

struct run_claim {
	const char *runner; /* name of who takes it */
	enum run_via via;
	int64_t number;            /* of this run only; 0: any */
	const char *repository;    /* of this remote only; NULL: any */
	const char *const *labels; /* NULL-terminated; NULL: any */
	int64_t lease_time;        /* 0: RUN_LEASE_TIME; not used via local */
};
struct claimed_job {
	struct job job;
	struct run run; /* without its jobs */
	char lease[RUN_LEASE_MAX];
	uint64_t log_base; /* where this holder's log begins in the job's whole log */
};
void claimed_job_fini(struct claimed_job *c);
/*
 * The oldest waiting job that fits, now RUNNING; *found false when there is none. A job waits while another
 * one publishes under the same reference, so that one commit is released once.
 */
MUST_USE struct err *runs_claim(
	struct runs *r, const struct run_claim *c, struct claimed_job *out, bool *found);

/* The holder's calls. ERR_EXISTS ("lost"): the lease is over and somebody else may have the job: stop, and
 * publish nothing. */
MUST_USE struct err *runs_heartbeat(
	struct runs *r, int64_t job_id, const char *lease, int64_t lease_time, bool *cancel_asked);
/* Bytes of the log from offset (from log_base on). Those that are there already are skipped, so that a piece
 * may be sent again; a gap is ERR_INVALID. *size: how many there are now, from log_base on; also set with
 * the gap. */
MUST_USE struct err *runs_log_append(
	struct runs *r, int64_t job_id, const char *lease, uint64_t offset, struct str bytes, uint64_t *size);
struct job_result {
	enum job_status status;        /* a final one */
	char *digest, *inputs, *error; /* may be NULL */
	bool already;
};
void job_result_fini(struct job_result *r);
/* Told again with the same result by the same holder: success. */
MUST_USE struct err *runs_finish(
	struct runs *r, int64_t job_id, const char *lease, const struct job_result *result);

/* The holder stops before the end: the job goes back to the queue as if nobody had taken it, and its log says
 * so; one that was asked to stop has ended with that. Via server only. */
MUST_USE struct err *runs_give_back(struct runs *r, int64_t job_id, const char *lease);

/*
 * Leases that are over and holders that are gone: back to the queue, or failed. What holders of runs via
 * local left is seen to by all calls that read or claim; leases only by this one and by claims via server, so
 * that a server that is down costs its runners nothing: it calls this now and then, after
 * runs_extend_leases at its start.
 */
MUST_USE struct err *runs_expire(struct runs *r);
/* A server that was down gives those that hold leases the time to come back. */
MUST_USE struct err *runs_extend_leases(struct runs *r, int64_t lease_time);
/* Forget finished runs older than age (ns) beyond the newest keep; their logs go with them. */
MUST_USE struct err *runs_prune(struct runs *r, int64_t age, size_t keep, uint64_t *removed);

/* Up to *len bytes of a job's whole log from offset; *len 0 at its present end. *finished: no more will come
 * (after these). ERR_NOT_FOUND when it is not kept any more. */
MUST_USE struct err *runs_log_read(
	struct runs *r, int64_t job_id, uint64_t offset, void *p, size_t *len, bool *finished);

/*
 * A value that differs after each change by any process: a job to claim, a log's bytes, a status. Take it
 * before looking, then wait until it is another one; changes by other processes are noticed within a tenth of
 * a second. runs_wait returns after at most timeout ns, or when cancel is set (no error). A holder's death is
 * no change: look again now and then.
 */
uint64_t runs_seen(struct runs *r);
void runs_wait(struct runs *r, uint64_t seen, int64_t timeout, const struct cancel *cancel);
