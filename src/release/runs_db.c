/* SPDX-License-Identifier: Apache-2.0 */
#include "release/runs_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Step i brings version i to i + 1: never changed once released, new ones go to the end. */
/* clang-format off */
static const char *const steps[] = {
	"CREATE TABLE runs(number INTEGER PRIMARY KEY AUTOINCREMENT, via INTEGER NOT NULL,"
	" repository TEXT NOT NULL, container TEXT NOT NULL, revision TEXT NOT NULL, ref TEXT NOT NULL,"
	" subject TEXT NOT NULL, requested_by TEXT NOT NULL, no_cache INTEGER NOT NULL, created INTEGER NOT NULL);"
	/* lease: sha256 of the text that its holder knows */
	"CREATE TABLE jobs(id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, idx INTEGER NOT NULL,"
	" kind TEXT NOT NULL, version TEXT NOT NULL, tag TEXT NOT NULL, reference TEXT NOT NULL,"
	" label TEXT NOT NULL, runner TEXT, status INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,"
	" cancel_asked INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0,"
	" ended INTEGER NOT NULL DEFAULT 0, digest TEXT, inputs TEXT, already INTEGER NOT NULL DEFAULT 0,"
	" error TEXT, lease TEXT, lease_until INTEGER NOT NULL DEFAULT 0, log_base INTEGER NOT NULL DEFAULT 0,"
	" UNIQUE(run, idx));"
	"CREATE INDEX jobs_open ON jobs(status, id) WHERE status < 2;"
	"CREATE INDEX jobs_publishing ON jobs(reference) WHERE status = 1;",
};
/* clang-format on */

static struct err *advise(struct err *e)
{
	switch (err_kind(e)) {
	case ERR_NO_SPACE:
		return err_hint(e, "free some space, or run: cooper store gc");
	case ERR_CORRUPT:
		return err_hint(e, "move it away to begin anew: only the history of runs is in it");
	case ERR_DENIED:
		return err_hint(e, "use a store that this user may write: set COOPER_HOME");
	case ERR_UNAVAILABLE:
		return err_hint(e, "another process has been writing to it for long; try again");
	default:
		return e;
	}
}

static struct err *failed(struct runs *r, int rc, const char *doing)
{
	return advise(sqlite_error(r->db, rc, r->name, doing));
}

static struct err *exec(struct runs *r, const char *sql)
{
	int rc = sqlite3_exec(r->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? NULL : failed(r, rc, "running a statement");
}

static struct err *open_db(struct runs *r)
{
	AUTO_FREE char *path = path_join(r->home, "runs.db");
	const struct sqlite_form form = {r->name, steps, ARRAY_LEN(steps)};
	int64_t version = 0;
	int rc = sqlite3_open_v2(path, &r->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
		NULL);
	if (rc != SQLITE_OK)
		return failed(r, rc, "opening its database");
	sqlite_wait_for_others(r->db);
	TRY(advise(sqlite_version(r->db, r->name, &version)));
	if (version == 0)
		TRY(advise(sqlite_use_wal(r->db, r->name)));
	TRY(advise(sqlite_migrate(r->db, &form)));
	sqlite_keep_wal(r->db);
	/* FULL: a commit is on disk when it returns. Runs are few, and must not be forgotten. */
	return exec(r,
		"PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 1048576; PRAGMA secure_delete = OFF");
}

static struct err *open_parts(struct runs *r)
{
	AUTO_FREE char *logs = path_join(r->home, "logs/runs");
	struct err *e = dir_make_all(AT_FDCWD, logs, 0700);
	if (e)
		return advise(err_wrap(e, "making %s", logs));
	TRY(file_open(AT_FDCWD, logs, O_RDONLY | O_DIRECTORY, 0, &r->logs_fd));
	TRY(runs_lock_open(r));
	return open_db(r);
}

struct err *runs_open(const char *home, struct runs **out)
{
	if (!path_is_abs(home))
		return err_new(ERR_INVALID, "the place of runs must be an absolute path, not %s", home);
	struct runs *r = mem_new(struct runs);

	r->home = path_clean(home);
	r->name = mem_printf("runs of %s", r->home);
	r->logs_fd = r->lock_fd = r->hold_fd = -1;
	pthread_mutex_init(&r->mu, NULL);
	pthread_mutex_init(&r->wait_mu, NULL);
	clock_cond_init(&r->changed);
	struct err *e = open_parts(r);
	if (e) {
		runs_close(r);
		return e;
	}
	*out = r;
	return NULL;
}

void runs_close(struct runs *r)
{
	if (!r)
		return;
	runs_lock_close(r);
	sqlite3_close(r->db);
	fd_closep(&r->logs_fd);
	pthread_mutex_destroy(&r->mu);
	pthread_mutex_destroy(&r->wait_mu);
	pthread_cond_destroy(&r->changed);
	mem_freep(&r->home);
	mem_freep(&r->name);
	mem_freep(&r);
}

void runs_closep(struct runs **r)
{
	runs_close(*r);
	*r = NULL;
}

struct runs *runs_enter(struct runs *r)
{
	pthread_mutex_lock(&r->mu);
	err_ignore(exec(r, "BEGIN"), "without it the statements still read, not of one moment");
	return r;
}

void runs_leavep(struct runs **r)
{
	err_ignore(exec(*r, "COMMIT"), "it only read");
	pthread_mutex_unlock(&(*r)->mu);
}

struct err *runs_query_open(struct runs *r, const char *sql, struct runs_query *q)
{
	*q = (struct runs_query){.r = r};
	int rc = sqlite3_prepare_v2(r->db, sql, -1, &q->st, NULL);
	return rc == SQLITE_OK ? NULL : failed(r, rc, "preparing a statement");
}

void runs_query_close(struct runs_query *q)
{
	sqlite3_finalize(q->st);
	q->st = NULL;
}

void runs_bind(struct runs_query *q, int at, int64_t v)
{
	sqlite3_bind_int64(q->st, at, v);
}

void runs_bind_text(struct runs_query *q, int at, const char *text)
{
	if (text)
		sqlite3_bind_text(q->st, at, text, -1, SQLITE_TRANSIENT);
}

struct err *runs_step(struct runs_query *q, bool *row)
{
	int rc = sqlite3_step(q->st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return failed(q->r, rc, "reading or writing its database");
	*row = rc == SQLITE_ROW;
	return NULL;
}

struct err *runs_step_all(struct runs_query *q)
{
	bool row = true;
	while (row)
		TRY(runs_step(q, &row));
	return NULL;
}

int64_t runs_column(struct runs_query *q, int at)
{
	return sqlite3_column_int64(q->st, at);
}

char *runs_column_dup(struct runs_query *q, int at)
{
	return mem_strdup((const char *)sqlite3_column_text(q->st, at));
}

struct err *runs_tx_begin(struct runs *r)
{
	pthread_mutex_lock(&r->mu);
	struct err *e = exec(r, "BEGIN IMMEDIATE");
	if (e)
		pthread_mutex_unlock(&r->mu);
	return e;
}

struct err *runs_tx_end_quietly(struct runs *r, struct err *e)
{
	if (!e)
		e = exec(r, "COMMIT");
	/* Some errors end the transaction by themselves. */
	if (e && !sqlite3_get_autocommit(r->db))
		err_ignore(exec(r, "ROLLBACK"), "the first error is the one to show");
	pthread_mutex_unlock(&r->mu);
	return e;
}

struct err *runs_tx_end(struct runs *r, struct err *e)
{
	TRY(runs_tx_end_quietly(r, e));
	runs_announce(r);
	return NULL;
}
