/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the queue share. r->mu guards the connection and is held for the whole of a call; in a
 * write transaction no other process writes, neither rows nor logs.
 */
#pragma once

#include "release/runs.h"

#include "store/sqlite.h"

#include <pthread.h>

struct runs {
	char *home;
	char *name; /* for messages */
	pthread_mutex_t mu;
	sqlite3 *db;
	int logs_fd; /* logs/runs */
	int lock_fd; /* runs.lock: its bytes as locks are asked for here ... */
	int hold_fd; /* ... and held here: of one description a process cannot be told what it holds itself */
	bool passed_on;
	pthread_mutex_t wait_mu;
	pthread_cond_t changed;
};

/* ---- runs_db.c ---- */

/* Takes mu, and reads what there is at one moment. */
struct runs *runs_enter(struct runs *r);
void runs_leavep(struct runs **r);
#define WITH_RUNS(r) struct runs *locked AUTO(runs_leavep) = runs_enter(r)

struct runs_query {
	struct runs *r;
	sqlite3_stmt *st;
};
#define AUTO_RUNS_QUERY AUTO(runs_query_close)
/* With mu held. */
MUST_USE struct err *runs_query_open(struct runs *r, const char *sql, struct runs_query *q);
void runs_query_close(struct runs_query *q);
void runs_bind(struct runs_query *q, int at, int64_t v);
void runs_bind_text(struct runs_query *q, int at, const char *text); /* NULL is NULL */
MUST_USE struct err *runs_step(struct runs_query *q, bool *row);
MUST_USE struct err *runs_step_all(struct runs_query *q);
int64_t runs_column(struct runs_query *q, int at);
char *runs_column_dup(struct runs_query *q, int at); /* NULL of NULL; caller frees */

/* A write transaction; takes mu until runs_tx_end unless it fails. */
MUST_USE struct err *runs_tx_begin(struct runs *r);
/* Commit and tell who waits, or roll back when e is set; returns e or what went wrong. */
MUST_USE struct err *runs_tx_end(struct runs *r, struct err *e);
/* When nobody waits for what was changed. */
MUST_USE struct err *runs_tx_end_quietly(struct runs *r, struct err *e);

/* ---- runs_hold.c ---- */

MUST_USE struct err *runs_lock_open(struct runs *r);
void runs_lock_close(struct runs *r);
MUST_USE struct err *runs_hold(struct runs *r, int64_t number);
/* Does any process, this one included, hold the run? */
MUST_USE struct err *runs_is_held(struct runs *r, int64_t number, bool *held);
void runs_announce(struct runs *r);

/* ---- runs_read.c: with mu held, in one transaction or a single statement ---- */

MUST_USE struct err *runs_load_job(struct runs *r, int64_t id, struct job *out, bool *found);
MUST_USE struct err *runs_load_run(struct runs *r, int64_t number, bool jobs, struct run *out, bool *found);
MUST_USE struct err *runs_no_such_run(struct runs *r, int64_t number);

/* ---- runs_expire.c ---- */

/* What dead local holders left; takes mu for itself. */
MUST_USE struct err *runs_expire_local(struct runs *r);
/* For who only reads: on a full disk what there is can still be shown. */
MUST_USE struct err *runs_expire_local_if_possible(struct runs *r);

/* ---- runs_log.c: inside a write transaction ---- */

#define RUNS_LOG_NAME_MAX 32
const char *runs_log_name(int64_t job_id, char out[RUNS_LOG_NAME_MAX]);
/* Make it if it is missing. */
MUST_USE struct err *runs_log_make(struct runs *r, int64_t job_id, uint64_t *size);
MUST_USE struct err *runs_log_write(struct runs *r, int64_t job_id, struct str bytes, uint64_t at);
/* A line of our own at the end. */
MUST_USE struct err *runs_log_say(struct runs *r, int64_t job_id, const char *line);
MUST_USE struct err *runs_log_sync(struct runs *r, int64_t job_id);

/* ---- runs_check.c ---- */

MUST_USE struct err *runs_check_spec(const struct run *spec);
