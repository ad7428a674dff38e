/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Step i brings version i to i + 1: never changed once released, new ones go to the end. */
/* clang-format off */
static const char *const steps[] = {
	"CREATE TABLE blobs(digest BLOB PRIMARY KEY NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL,"
	" used INTEGER NOT NULL, doomed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
	"CREATE INDEX blobs_doomed ON blobs(digest) WHERE doomed = 1;"
	"CREATE TABLE links(src BLOB NOT NULL, dst BLOB NOT NULL, sparse INTEGER NOT NULL,"
	" PRIMARY KEY(src, dst)) WITHOUT ROWID;"
	"CREATE TABLE trees(id TEXT PRIMARY KEY NOT NULL, boot TEXT NOT NULL, synced INTEGER NOT NULL,"
	" size INTEGER NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX trees_unsynced ON trees(boot) WHERE synced = 0;"
	"CREATE TABLE layers(id TEXT PRIMARY KEY NOT NULL, tree TEXT, diff_id BLOB,"
	" blob BLOB, blob_size INTEGER NOT NULL, media_type TEXT NOT NULL,"
	" tar_size INTEGER NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,"
	" doomed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
	"CREATE INDEX layers_diff_id ON layers(diff_id) WHERE diff_id IS NOT NULL;"
	"CREATE INDEX layers_tree ON layers(tree) WHERE tree IS NOT NULL;"
	"CREATE INDEX layers_doomed ON layers(id) WHERE doomed = 1;"
	"CREATE TABLE records(id INTEGER PRIMARY KEY, space TEXT NOT NULL, key TEXT NOT NULL,"
	" value BLOB NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL, UNIQUE(space, key));"
	"CREATE TABLE refs(record INTEGER NOT NULL, kind INTEGER NOT NULL, target TEXT NOT NULL,"
	" absent INTEGER NOT NULL, PRIMARY KEY(record, kind, target)) WITHOUT ROWID;"
	"CREATE INDEX refs_target ON refs(kind, target);",
};
/* clang-format on */

#define NO_SPACE_HINT "free some space, or run: cooper store gc"

static char *store_name(const struct store *s)
{
	return mem_printf("store %s", s->home);
}

/* What a user can do about an error of the database. */
static struct err *advise(struct err *e)
{
	switch (err_kind(e)) {
	case ERR_NO_SPACE:
		return err_hint(e, NO_SPACE_HINT);
	case ERR_CORRUPT:
		return err_hint(e, "check it with: cooper store verify --repair");
	case ERR_DENIED:
		return err_hint(e, "use a store that this user may write: set COOPER_HOME");
	case ERR_UNAVAILABLE:
		return err_hint(e, "another process has been writing to it for long; try again");
	default:
		return e;
	}
}

static struct err *store_db_error(struct store *s, int rc, const char *what)
{
	AUTO_FREE char *name = store_name(s);
	return advise(sqlite_error(s->db, rc, name, what));
}

struct err *store_failed(struct store *s, struct err *e, const char *doing)
{
	if (!e)
		return NULL;
	e = err_wrap(e, "store %s: %s", s->home, doing);
	return err_kind(e) == ERR_NO_SPACE ? err_hint(e, NO_SPACE_HINT) : e;
}

struct err *store_db_exec(struct store *s, const char *sql)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? NULL : store_db_error(s, rc, "running a statement");
}

static struct err *connect_db(struct store *s, const char *uri, int flags)
{
	int rc = sqlite3_open_v2(uri, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return store_db_error(s, rc, "opening its database");
	sqlite_wait_for_others(s->db);
	return NULL;
}

static void disconnect_db(struct store *s)
{
	sqlite3_close(s->db);
	s->db = NULL;
}

/* Two at once: changing the journal mode and making the reserve do not wait for the other by themselves. */
static struct err *bring_up_to_date(struct store *s, const struct sqlite_form *form, bool fresh)
{
	struct store_lock *lock AUTO(store_unlockp) = NULL;
	TRY(store_lock(s, "create", false, NULL, NULL, &lock));
	if (fresh) {
		TRY(store_db_exec(s, "PRAGMA auto_vacuum = INCREMENTAL"));
		TRY(advise(sqlite_use_wal(s->db, form->name)));
	}
	TRY(advise(sqlite_migrate(s->db, form)));
	if (fresh)
		store_reserve_make(s);
	return NULL;
}

static struct err *set_up_writer(struct store *s)
{
	sqlite_keep_wal(s->db);
	/* Distributions build it to overwrite what is deleted: that would make a full disk's gc write as much
	 * again. */
	return store_db_exec(s, "PRAGMA journal_size_limit = 1048576; PRAGMA wal_autocheckpoint = 256; "
				"PRAGMA synchronous = NORMAL;"
				" PRAGMA secure_delete = OFF");
}

static struct err *open_read_only(struct store *s, const char *path, const struct sqlite_form *form)
{
	int64_t version = 0;
	struct err *e = connect_db(s, path, SQLITE_OPEN_READONLY);
	if (!e)
		e = advise(sqlite_version(s->db, form->name, &version));
	if (e && err_kind(e) != ERR_CORRUPT && err_kind(e) != ERR_UNAVAILABLE) {
		/* No shared memory can be made here, so nobody else writes through this mount either. */
		disconnect_db(s);
		AUTO_BUF struct buf uri = {0};
		buf_adds(&uri, "file:");
		for (const char *p = path; *p; p++)
			if (*p == '%' || *p == '?' || *p == '#')
				buf_addf(&uri, "%%%02X", (unsigned char)*p);
			else
				buf_addc(&uri, *p);
		buf_adds(&uri, "?immutable=1");
		struct err *again = connect_db(s, buf_cstr(&uri), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
		if (!again)
			again = advise(sqlite_version(s->db, form->name, &version));
		if (again)
			return err_first(e, again);
		err_ignore(e, "opened as immutable");
		e = NULL;
	}
	TRY(e);
	return sqlite_check_version(form, version);
}

struct err *store_db_open(struct store *s, bool create)
{
	AUTO_FREE char *path = path_join(s->home, "cooper.db");
	AUTO_FREE char *name = store_name(s);
	const struct sqlite_form form = {name, steps, ARRAY_LEN(steps)};
	if (s->read_only)
		return open_read_only(s, path, &form);
	TRY(connect_db(s, path, SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0)));
	int64_t version = 0;
	TRY(advise(sqlite_version(s->db, name, &version)));
	if (version < (int64_t)form.steps && (version > 0 || create))
		TRY(bring_up_to_date(s, &form, version == 0));
	else
		TRY(sqlite_check_version(&form, version));
	return set_up_writer(s);
}

void store_db_close(struct store *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->cache); i++)
		sqlite3_finalize(s->cache[i].st);
	memset(s->cache, 0, sizeof(s->cache));
	disconnect_db(s);
}

struct store *store_enter(struct store *s)
{
	pthread_mutex_lock(&s->mu);
	return s;
}

void store_leavep(struct store **s)
{
	if (*s)
		pthread_mutex_unlock(&(*s)->mu);
	*s = NULL;
}

static struct statement *slot_of(struct store *s, const char *sql)
{
	size_t at = ((uintptr_t)sql >> 3) % ARRAY_LEN(s->cache);
	for (size_t i = 0; i < ARRAY_LEN(s->cache); i++) {
		struct statement *slot = &s->cache[(at + i) % ARRAY_LEN(s->cache)];
		if (slot->sql == sql || !slot->sql)
			return slot;
	}
	return NULL;
}

struct err *query_open(struct store *s, const char *sql, struct query *q)
{
	struct statement *slot = slot_of(s, sql);
	if (slot && slot->busy)
		slot = NULL;
	*q = (struct query){.s = s, .slot = slot};
	if (!slot || !slot->st) {
		int rc = sqlite3_prepare_v3(
			s->db, sql, -1, slot ? SQLITE_PREPARE_PERSISTENT : 0, &q->st, NULL);
		if (rc != SQLITE_OK) {
			q->slot = NULL;
			return store_db_error(s, rc, "preparing a statement");
		}
		if (slot)
			*slot = (struct statement){.sql = sql, .st = q->st};
	}
	if (slot) {
		q->st = slot->st;
		slot->busy = true;
	}
	return NULL;
}

void query_close(struct query *q)
{
	if (q->slot) {
		sqlite3_reset(q->st);
		sqlite3_clear_bindings(q->st);
		q->slot->busy = false;
	} else {
		sqlite3_finalize(q->st);
	}
	*q = (struct query){0};
}

void query_text(struct query *q, int at, const char *text)
{
	if (text)
		query_str(q, at, str_c(text));
}

void query_str(struct query *q, int at, struct str text)
{
	sqlite3_bind_text64(q->st, at, text.ptr ? text.ptr : "", text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

void query_int(struct query *q, int at, int64_t v)
{
	sqlite3_bind_int64(q->st, at, v);
}

void query_blob(struct query *q, int at, const void *p, size_t len)
{
	sqlite3_bind_blob64(q->st, at, len ? p : "", len, SQLITE_TRANSIENT);
}

void query_digest(struct query *q, int at, const struct digest *d)
{
	uint8_t packed[PACKED_MAX];
	if (digest_is_set(d))
		query_blob(q, at, packed, digest_pack(d, packed));
}

struct err *query_step(struct query *q, bool *row)
{
	int rc = sqlite3_step(q->st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return store_db_error(q->s, rc, "reading or writing its database");
	*row = rc == SQLITE_ROW;
	return NULL;
}

struct err *query_run(struct query *q)
{
	bool row = true;
	while (row)
		TRY(query_step(q, &row));
	sqlite3_reset(q->st);
	return NULL;
}

const char *column_text(struct query *q, int at)
{
	const char *p = (const char *)sqlite3_column_text(q->st, at);
	return p ? p : "";
}

struct str column_str(struct query *q, int at)
{
	const void *p = sqlite3_column_blob(q->st, at);
	return str_n(p ? p : "", (size_t)sqlite3_column_bytes(q->st, at));
}

int64_t column_int(struct query *q, int at)
{
	return sqlite3_column_int64(q->st, at);
}

void column_digest(struct query *q, int at, struct digest *out)
{
	struct str packed = column_str(q, at);
	digest_unpack(packed.ptr, packed.len, out);
}

struct err *store_writable(const struct store *s)
{
	if (!s->read_only)
		return NULL;
	return err_hint(err_new(ERR_DENIED, "store %s is open for reading only", s->home),
		"use a store that this user may write: set COOPER_HOME");
}

struct err *store_tx_begin(struct store *s)
{
	TRY(store_writable(s));
	pthread_mutex_lock(&s->mu);
	if (s->depth > 0) {
		s->depth++;
		if (!sqlite3_get_autocommit(s->db))
			return NULL;
		/* SQLite rolled it back by itself (a full disk): nothing may be written outside it. */
		return store_tx_end(
			s, err_new(ERR_IO, "store %s: the transaction was rolled back before", s->home));
	}
	struct err *e = store_db_exec(s, "BEGIN IMMEDIATE");
	if (e) {
		pthread_mutex_unlock(&s->mu);
		return e;
	}
	s->depth = 1;
	s->tx_failed = s->tx_durable = false;
	e = store_touch_flush(s);
	return e ? store_tx_end(s, e) : NULL;
}

/* Commits do not sync by themselves (synchronous=NORMAL); SQLite takes no locks on this file, so closing it
 * is safe. */
static struct err *sync_wal(struct store *s)
{
	AUTO_FD int fd = -1;
	TRY(file_open(s->fd, "cooper.db-wal", O_RDWR, 0, &fd));
	return fdatasync(fd) == 0 ? NULL : err_sys(errno, "syncing %s/cooper.db-wal", s->home);
}

struct err *store_tx_end(struct store *s, struct err *e)
{
	if (e)
		s->tx_failed = true;
	if (s->depth == 1) {
		if (!e && s->tx_failed)
			e = err_new(ERR_IO, "store %s: a write of this transaction failed before", s->home);
		if (!e)
			e = store_db_exec(s, "COMMIT");
		/* Some errors end the transaction by themselves. */
		if (e && !sqlite3_get_autocommit(s->db))
			err_ignore(store_db_exec(s, "ROLLBACK"), "the first error is the one to show");
		if (!e && s->tx_durable)
			e = sync_wal(s);
	}
	s->depth--;
	pthread_mutex_unlock(&s->mu);
	return e;
}

struct err *store_begin(struct store *s)
{
	TRY(store_tx_begin(s));
	if (s->depth == 1)
		return NULL;
	return store_tx_end(s, err_new(ERR_BUG, "store transactions do not nest"));
}

struct err *store_commit(struct store *s)
{
	return store_tx_end(s, NULL);
}

void store_rollback(struct store *s)
{
	s->tx_failed = true;
	err_ignore(store_tx_end(s, err_new(ERR_CANCELED, "rolled back")), "asked for");
}
