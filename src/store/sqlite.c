/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite.h"

#include "base/mem.h"

#include <errno.h>
#include <time.h>

#define BUSY_LIMIT_MS 120000

/* What a result code of SQLite is to us; db may be NULL. */
static enum err_kind sqlite_err_kind(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_DENIED;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_UNAVAILABLE;
	default:
		break;
	}
	int sysno = db ? sqlite3_system_errno(db) : 0;
	if (sysno == ENOSPC || sysno == EDQUOT)
		return ERR_NO_SPACE;
	if (sysno == EACCES || sysno == EPERM || sysno == EROFS)
		return ERR_DENIED;
	return ERR_IO;
}

struct err *sqlite_error(sqlite3 *db, int rc, const char *name, const char *doing)
{
	return err_new(sqlite_err_kind(db, rc), "%s: %s: %s", name, doing,
		db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

static int on_busy(void *ctx, int count)
{
	(void)ctx;
	/* 0.2 ms growing to 20 ms: most transactions are far shorter than SQLite's own first steps. */
	int64_t us = count < 100 ? 200 + count * 200 : 20000;
	int64_t waited_ms = count < 100 ? count * (count + 1) / 10 : 1010 + (int64_t)(count - 100) * 20;
	if (waited_ms > BUSY_LIMIT_MS)
		return 0;
	struct timespec ts = {.tv_nsec = us * 1000};
	nanosleep(&ts, NULL);
	return 1;
}

void sqlite_wait_for_others(sqlite3 *db)
{
	sqlite3_busy_handler(db, on_busy, NULL);
}

struct err *sqlite_use_wal(sqlite3 *db, const char *name)
{
	int rc = SQLITE_OK, count = 0;
	do
		rc = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	while ((rc & 0xff) == SQLITE_BUSY && on_busy(NULL, count++));
	return rc == SQLITE_OK ? NULL : sqlite_error(db, rc, name, "opening its database");
}

void sqlite_keep_wal(sqlite3 *db)
{
	int on = 1;
	sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
}

struct err *sqlite_version(sqlite3 *db, const char *name, int64_t *version)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*version = sqlite3_column_int64(st, 0);
	struct err *e = rc == SQLITE_ROW ? NULL : sqlite_error(db, rc, name, "opening its database");
	sqlite3_finalize(st);
	return e;
}

static struct err *other_version(const struct sqlite_form *form, int64_t version)
{
	struct err *e = err_new(ERR_UNSUPPORTED, "%s: its format is version %lld, this program knows %zu",
		form->name, (long long)version, form->steps);
	if (version < (int64_t)form->steps)
		return err_hint(e, "a cooper that may write to it brings it up to date");
	return err_hint(e, "use a newer cooper, or another COOPER_HOME");
}

struct err *sqlite_check_version(const struct sqlite_form *form, int64_t version)
{
	if (version == 0)
		return err_new(ERR_NOT_FOUND, "%s: its database is empty", form->name);
	return version == (int64_t)form->steps ? NULL : other_version(form, version);
}

static struct err *exec(sqlite3 *db, const struct sqlite_form *form, const char *sql, const char *doing)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? NULL : sqlite_error(db, rc, form->name, doing);
}

/* Inside the transaction: another process may have been here first. */
static struct err *do_steps(sqlite3 *db, const struct sqlite_form *form)
{
	int64_t version = 0;
	TRY(sqlite_version(db, form->name, &version));
	if (version < 0 || version > (int64_t)form->steps)
		return other_version(form, version);
	for (size_t i = (size_t)version; i < form->steps; i++) {
		AUTO_FREE char *doing = mem_printf("bringing its database to version %zu", i + 1);
		TRY(exec(db, form, form->sql[i], doing));
		AUTO_FREE char *mark = mem_printf("PRAGMA user_version = %zu", i + 1);
		TRY(exec(db, form, mark, doing));
	}
	return NULL;
}

struct err *sqlite_migrate(sqlite3 *db, const struct sqlite_form *form)
{
	int64_t version = 0;
	TRY(sqlite_version(db, form->name, &version));
	if (version == (int64_t)form->steps)
		return NULL;
	TRY(exec(db, form, "BEGIN IMMEDIATE", "opening its database"));
	struct err *e = do_steps(db, form);
	if (!e)
		e = exec(db, form, "COMMIT", "bringing its database up to date");
	/* Some errors end the transaction by themselves. */
	if (e && !sqlite3_get_autocommit(db))
		err_ignore(exec(db, form, "ROLLBACK", "giving up"), "the first error is the one to show");
	return e;
}
