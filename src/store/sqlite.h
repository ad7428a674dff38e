/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every SQLite database of cooper needs: waiting for other processes, kinds of errors, WAL, and bringing
 * an older file up to date. Threads: as the connection.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

/* "<name>: <doing>: <SQLite's text>" of that kind. */
MUST_USE struct err *sqlite_error(sqlite3 *db, int rc, const char *name, const char *doing);

/* Statements wait for other processes' transactions, up to minutes: gc of a large store holds one for
 * seconds. */
void sqlite_wait_for_others(sqlite3 *db);
/* Switch to WAL; waits for others, which SQLite by itself does not do here. */
MUST_USE struct err *sqlite_use_wal(sqlite3 *db, const char *name);
/* Keep -wal and -shm between processes: making and deleting them costs more than a warm build reads. */
void sqlite_keep_wal(sqlite3 *db);

/*
 * The form of a database, as the steps that lead to it: sql[i] brings version i to i + 1, so what is there
 * once released never changes, and new steps are added at the end. Version 0 is an empty database.
 */
struct sqlite_form {
	const char *name; /* for messages: "store /var/lib/cooper" */
	const char *const *sql;
	size_t steps;
};
MUST_USE struct err *sqlite_version(sqlite3 *db, const char *name, int64_t *version);
/*
 * Do the steps that are missing, in one transaction: all or none. Any number of processes may try at once.
 * ERR_UNSUPPORTED with a hint when the database is of a newer program.
 */
MUST_USE struct err *sqlite_migrate(sqlite3 *db, const struct sqlite_form *form);
/* For those that may not write: ERR_UNSUPPORTED unless version, of the file, is this very one. */
MUST_USE struct err *sqlite_check_version(const struct sqlite_form *form, int64_t version);
