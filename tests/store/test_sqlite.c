/* SPDX-License-Identifier: Apache-2.0 */
/* Databases of older and newer programs. */
#include "helper.h"

#include "store/sqlite.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const forms[] = {
	"CREATE TABLE runs(number INTEGER PRIMARY KEY, name TEXT NOT NULL)",
	"ALTER TABLE runs ADD COLUMN via INTEGER NOT NULL DEFAULT 7",
	"CREATE TABLE tokens(name TEXT); INSERT INTO tokens SELECT name FROM runs",
};
static const char *const broken[] = {
	"CREATE TABLE runs(number INTEGER PRIMARY KEY, name TEXT NOT NULL)",
	"ALTER TABLE runs ADD COLUMN via INTEGER NOT NULL DEFAULT 7",
	"CREATE TABLE tokens(name TEXT); INSERT INTO tokens SELECT nonsense FROM runs",
};

static sqlite3 *open_db(const char *home)
{
	AUTO_FREE char *path = mem_printf("%s/x.db", home);
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite_wait_for_others(db);
	assert_ok(sqlite_use_wal(db, "x"));
	return db;
}

static struct err *migrate(sqlite3 *db, const char *const *sql, size_t steps)
{
	const struct sqlite_form form = {"x", sql, steps};
	return sqlite_migrate(db, &form);
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static void run_sql(sqlite3 *db, const char *sql)
{
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void older(void **state)
{
	sqlite3 *db = open_db(*state);
	assert_ok(migrate(db, forms, 1));
	assert_int_equal(number(db, "PRAGMA user_version"), 1);
	run_sql(db, "INSERT INTO runs VALUES(1, 'kept')");
	sqlite3_close(db);
	db = open_db(*state);
	assert_ok(migrate(db, forms, 3));
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
	assert_int_equal(number(db, "SELECT via FROM runs WHERE name = 'kept'"), 7);
	assert_int_equal(number(db, "SELECT COUNT(*) FROM tokens WHERE name = 'kept'"), 1);
	assert_ok(migrate(db, forms, 3));
	assert_int_equal(number(db, "SELECT COUNT(*) FROM tokens"), 1);
	sqlite3_close(db);
}

/* All steps or none: the second one, which worked, is not left behind. */
static void failing_step(void **state)
{
	sqlite3 *db = open_db(*state);
	assert_ok(migrate(db, forms, 1));
	struct err *e = migrate(db, broken, 3);
	assert_non_null(e);
	assert_non_null(
		strstr(err_message(e), "bringing its database to version 3: no such column: nonsense"));
	err_free(e);
	assert_int_equal(number(db, "PRAGMA user_version"), 1);
	assert_int_equal(number(db, "SELECT COUNT(*) FROM pragma_table_info('runs')"), 2);
	assert_ok(migrate(db, forms, 3));
	sqlite3_close(db);
}

static void newer(void **state)
{
	sqlite3 *db = open_db(*state);
	assert_ok(migrate(db, forms, 3));
	struct err *e = migrate(db, forms, 2);
	assert_int_equal(err_kind(e), ERR_UNSUPPORTED);
	assert_string_equal(err_message(e), "x: its format is version 3, this program knows 2");
	assert_non_null(strstr(err_hint_text(e), "newer cooper"));
	err_free(e);
	const struct sqlite_form older_form = {"x", forms, 2}, newer_form = {"x", forms, 3};
	const int64_t version = number(db, "PRAGMA user_version");
	assert_err(sqlite_check_version(&older_form, version), ERR_UNSUPPORTED);
	assert_ok(sqlite_check_version(&newer_form, version));
	sqlite3_close(db);
}

static void several_at_once(void **state)
{
	pid_t pids[6];
	sqlite3 *db = open_db(*state);
	assert_ok(migrate(db, forms, 1));
	run_sql(db, "INSERT INTO runs VALUES(1, 'kept')");
	sqlite3_close(db);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			sqlite3 *mine = open_db(*state);
			struct err *e = migrate(mine, forms, 3);
			_exit(e != NULL);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	db = open_db(*state);
	assert_int_equal(number(db, "SELECT COUNT(*) FROM tokens"), 1);
	sqlite3_close(db);
}

#define HOME_TEST(f) cmocka_unit_test_setup_teardown(f, make_home, drop_home)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOME_TEST(older),
		HOME_TEST(failing_step),
		HOME_TEST(newer),
		HOME_TEST(several_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
