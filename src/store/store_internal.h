/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the store share. s->mu (recursive) guards the connection, its statements and the touches;
 * it is held for the whole of a transaction. s->lease_mu guards the session and comes after mu when both are
 * taken.
 */
#pragma once

#include "base/map.h"
#include "store/maintain.h"
#include "store/sqlite.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define SESSION_MAX 64
#define BOOT_MAX 48
#define STORE_PATH_MAX 192 /* of a path below home made of our own names */

struct statement {
	const char *sql; /* a literal: the address is the key */
	sqlite3_stmt *st;
	bool busy;
};

struct reaper;

struct store {
	char *home;
	int fd;
	bool read_only;

	pthread_mutex_t mu;
	sqlite3 *db;
	struct statement cache[64];
	int depth;       /* of transactions */
	bool tx_durable; /* what the open transaction writes must survive a loss of power: fsync after it */
	bool tx_failed;  /* something inside the open transaction failed: it must not be committed */
	struct map *touches; /* lease line -> NULL: use times to be written with the next transaction */

	pthread_mutex_t lease_mu;
	char session[SESSION_MAX]; /* empty until the first hold or temporary file */
	int lease_fd;
	off_t lease_size, lease_room;
	int tmp_fd;        /* tmp/<session>; -1 until needed */
	struct map *holds; /* lease line -> struct hold */
	struct reaper *reaper;
	atomic_uint counter; /* of names in tmp_fd */

	pthread_mutex_t park_mu;
	struct vec parked; /* hashers of partials that are not open */
	char boot[BOOT_MAX];
};

/* ---- db.c: statements and transactions ---- */

struct query {
	struct store *s;
	sqlite3_stmt *st;
	struct statement *slot; /* NULL: finalize at the end */
};

MUST_USE struct err *store_db_open(struct store *s, bool create);
void store_db_close(struct store *s);
MUST_USE struct err *store_db_exec(struct store *s, const char *sql);
/* Context around e, if any, and what to do about a full disk. */
MUST_USE struct err *store_failed(struct store *s, struct err *e, const char *doing);

/* store_enter takes s->mu; for `struct store *locked AUTO(store_leavep) = store_enter(s)`. */
struct store *store_enter(struct store *s);
void store_leavep(struct store **s);

/* sql must be a literal. With mu held. Close with query_close (AUTO_QUERY). */
#define AUTO_QUERY AUTO(query_close)
MUST_USE struct err *query_open(struct store *s, const char *sql, struct query *q);
void query_close(struct query *q);
void query_text(struct query *q, int at, const char *text);
void query_str(struct query *q, int at, struct str text);
void query_int(struct query *q, int at, int64_t v);
void query_blob(struct query *q, int at, const void *p, size_t len);
void query_digest(struct query *q, int at, const struct digest *d); /* NULL when not set */
MUST_USE struct err *query_step(struct query *q, bool *row);
/* Step to the end, reset for another round of binding. */
MUST_USE struct err *query_run(struct query *q);
/* Borrowed until the next step. */
const char *column_text(struct query *q, int at);
struct str column_str(struct query *q, int at);
int64_t column_int(struct query *q, int at);
void column_digest(struct query *q, int at, struct digest *out);

/* BEGIN IMMEDIATE, or join the one that is open; takes mu until store_tx_end, also when that is on an error.
 */
MUST_USE struct err *store_tx_begin(struct store *s);
/* Commits, or rolls back when e is set; returns e or what went wrong. */
MUST_USE struct err *store_tx_end(struct store *s, struct err *e);
MUST_USE struct err *store_writable(const struct store *s);

/* ---- lease.c: the session and what it holds ---- */

/* A line of a lease file: "b sha256:...", "l <layer id>", "t <tree id>", and for touches "r <row id>". */
#define LEASE_LINE_MAX 160
#define LEASE_ALL "* all" /* a line of store_leases: some process holds everything */
const char *lease_line(char kind, const char *name, char out[LEASE_LINE_MAX]);
const char *lease_blob(const struct digest *d, char out[LEASE_LINE_MAX]);
bool store_holds(struct store *s, const char *line);
/* After return gc in any process sees the line. */
MUST_USE struct err *store_hold(struct store *s, const char *line);
/* Lines of all living sessions; the leases of dead ones are removed. */
MUST_USE struct err *store_leases(struct store *s, struct map **out);
MUST_USE struct err *store_session_alive(struct store *s, const char *session, bool *alive);
/* The session's directory below tmp, made when needed. Borrowed. */
MUST_USE struct err *store_tmp(struct store *s, int *fd);
#define TMP_NAME_MAX 24
const char *store_tmp_name(struct store *s, char kind, char out[TMP_NAME_MAX]);
void store_session_end(struct store *s);

/* ---- lock.c ---- */

enum fd_lock { FD_SHARED, FD_EXCLUSIVE };
/*
 * Open file description locks (fcntl(2)): they exclude threads too, and the kernel drops them however their
 * owner ends. An exclusive one needs a descriptor open for writing. Returns -1 with errno, EAGAIN when
 * somebody else holds it.
 */
int lock_fd(int fd, enum fd_lock how, bool wait);
/* Closing is not enough: a child that has not executed anything yet shares the description. */
void unlock_fd(int fd);
/* Is the file behind fd still the one called path? */
bool fd_still_named(int dirfd, const char *path, int fd);

/* ---- reap.c ---- */

/*
 * Delete tmp/<session>/<name>: in the background at once, or when the store is closed or there is much of it;
 * whatever is left then is the next sweep's.
 */
void store_trash(struct store *s, const char *name, bool at_once);
/* True when nothing was left. */
bool store_reaper_stop(struct store *s);

/* ---- touch.c ---- */

/* Note a use, when the time stored is old enough to be worth a write. */
void store_touch(struct store *s, const char *line, int64_t used);        /* with mu held */
void store_touch_locked(struct store *s, const char *line, int64_t used); /* takes mu */
MUST_USE struct err *store_touch_flush(struct store *s);                  /* inside a transaction */

/* ---- blob.c ---- */

#define PACKED_MAX 65
size_t digest_pack(const struct digest *d, uint8_t out[PACKED_MAX]);
void digest_unpack(const void *p, size_t len, struct digest *out);
const char *blob_path(const struct digest *d, char out[STORE_PATH_MAX]);
struct blob_row {
	bool found, doomed;
	uint64_t size;
	int64_t used;
};
MUST_USE struct err *store_blob_row(struct store *s, const struct digest *d, struct blob_row *row);
/* Hold d, and say whether it is there; false also when the file is missing or has not this size (-1: any). */
MUST_USE struct err *store_blob_claim(struct store *s, const struct digest *d, int64_t size, bool *present);
/* In a transaction: undo the doom of d and what it keeps; false when something of it is gone. */
MUST_USE struct err *store_blob_rescue(struct store *s, const struct digest *d, bool *alive);
MUST_USE struct err *store_blob_delete_row(
	struct store *s, const struct digest *d); /* and its links to others */
MUST_USE struct err *hash_fd(
	int fd, enum digest_algo algo, const struct cancel *cancel, struct digest *out, uint64_t *size);

/* ---- park.c ---- */

void store_park_init(struct store *s);
void store_park_fini(struct store *s);
/* Keep the hasher (taken; may be NULL) of all that is in fd, for whoever opens it next. */
void store_park(struct store *s, int fd, struct hasher *hasher);
/* NULL: there is none of these very bytes. */
struct hasher *store_unpark(struct store *s, const struct stat *st);

/* ---- tree.c, layer.c ---- */

const char *store_boot(struct store *s);
/* Tests pretend to be in another boot. */
void store_set_boot(struct store *s, const char *boot);
MUST_USE struct err *store_tree_forget(struct store *s, const char *id); /* in a transaction */
/* Rename the directory of a tree without a row aside and trash it. */
MUST_USE struct err *store_tree_drop_dir(struct store *s, const char *id);
MUST_USE struct err *store_layer_rescue(struct store *s, const char *id, bool *alive); /* in a transaction */
bool store_id_valid(const char *id);

/* ---- record.c ---- */

bool store_space_evictable(const char *space);
/* In a transaction; name is "space/key". */
MUST_USE struct err *store_record_drop(struct store *s, int64_t row, const char *name);

/* ---- graph.c: the store's objects and what keeps them ---- */

enum node_kind { NODE_BLOB = 'b', NODE_LAYER = 'l', NODE_RECORD = 'r' };
#define NO_NODE SIZE_MAX
struct graph_node {
	enum node_kind kind;
	bool root;     /* a record that is kept until deleted */
	bool marked;   /* stays */
	bool doomed;   /* a gc was about to remove it */
	bool referred; /* a record or layer names it */
	int64_t used;
	int64_t rowid;   /* of a record */
	uint64_t bytes;  /* of the blob or tree; of a record its value */
	struct str name; /* digest text, layer id, "space/key"; NUL-terminated, borrowed from the graph */
	char tree[TREE_ID_MAX];
	size_t edges; /* index of the first, or NO_NODE */
};
struct graph_edge {
	size_t to, next;
};
struct graph {
	struct map *index; /* lease line -> index + 1 */
	struct vec nodes, edges;
};
#define AUTO_GRAPH AUTO(graph_fini)
void graph_fini(struct graph *g);
/* With mu held, inside one transaction. */
MUST_USE struct err *graph_load(struct store *s, struct graph *g);
/* The same, as one moment's picture. */
MUST_USE struct err *graph_snapshot(struct store *s, struct graph *g);
struct graph_node *graph_at(const struct graph *g, size_t i);
size_t graph_find(const struct graph *g, struct str line);
/* Mark what i keeps; indexes of the newly marked ones are pushed to fresh (size_t; may be NULL). */
void graph_mark(struct graph *g, size_t i, struct vec *fresh);

/* ---- gc.c, gc_files.c, sweep.c ---- */

struct gc_plan {
	struct store_gc_options opt;
	int64_t now;
};
struct gc_plan gc_plan_of(const struct store_gc_options *opt);
/* The two steps, under the lock "gc". */
MUST_USE struct err *gc_doom(struct store *s, const struct gc_plan *plan, struct store_gc_result *out);
MUST_USE struct err *gc_remove(struct store *s, const struct cancel *cancel, struct store_gc_result *out);
/* What gc would do. */
MUST_USE struct err *gc_estimate(struct store *s, const struct gc_plan *plan, struct store_gc_result *out);
/* What lies around as files: unused cache volumes, blobs that were never recorded, old partials and
 * quarantine. */
MUST_USE struct err *gc_files(struct store *s, const struct gc_plan *plan, const struct cancel *cancel,
	struct store_gc_result *out);
/* Bytes on disk below path; what cannot be read counts nothing. */
uint64_t disk_usage(int dirfd, const char *path);
/* Some disk kept aside, so that a gc can write to the database of a store that filled its disk. */
void store_reserve_make(struct store *s);
/* Put an end to what a gc that was killed began: doomed rows whose file is gone go too. Under the lock "gc".
 */
MUST_USE struct err *gc_finish_doomed(struct store *s);

/* ---- repair.c: all in a transaction ---- */

/* Digests in the first column; ?1 is d. */
MUST_USE struct err *store_list_digests(
	struct store *s, const char *sql, const struct digest *d, struct vec *out);
/* bad: its bytes are, so they go to quarantine/; else it only lacks something. lost (may be NULL) gets the
 * names of the records that go with it, as "space/key". */
MUST_USE struct err *store_forget_blob(
	struct store *s, const struct digest *d, bool bad, struct strvec *lost);
MUST_USE struct err *store_forget_layer(struct store *s, const char *id, struct strvec *lost);
MUST_USE struct err *store_forget_records_of(
	struct store *s, enum store_ref_kind kind, const char *target, struct strvec *lost);
