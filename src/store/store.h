/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: blobs by digest, trees (directories that are overlay lower layers), layers that tie the two,
 * named records, leases, locks. It knows bytes and digests, not manifests. "Store" in docs/formats.md says
 * what lies where below its home, and why gc in one process takes nothing away from another.
 *
 * Crash safety: a blob is written to tmp, hashed on the way, fsynced, linked to its name, its directory
 * fsynced, then recorded; a tree is built in tmp and renamed, then recorded with the boot it was written in:
 * trees of an earlier boot that were never synced (store_sync_trees) are not trusted and are swept. A killed
 * process leaves nothing or the whole. A loss of power may take back the last moments' records of the
 * evictable spaces; a write to any other space is on disk on return, and all that came before it.
 *
 * Processes: any number at once. Threads: a store may be shared by all; a writer belongs to one.
 *
 * Units: bytes; ns since the epoch.
 *
 * Errors: ERR_CORRUPT when bytes do not match their name; ERR_NO_SPACE, ERR_DENIED (read-only store) as such.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

struct store_options {
	bool read_only; /* open without creating or writing; works on a read-only file system */
	bool no_create; /* ERR_NOT_FOUND if there is none */
};

/* home is absolute, made if missing (0700). Opening is cheap: no scan, no sweep. Caller closes *out. opt may
 * be NULL. */
MUST_USE struct err *store_open(const char *home, const struct store_options *opt, struct store **out);
/* Releases the process's lease, ends background work. NULL is fine. */
void store_close(struct store *s);
void store_closep(struct store **s);
const char *store_home(const struct store *s); /* borrowed, as long as s */
int store_dirfd(const struct store *s);        /* of home; borrowed */

/* ---- blobs ---- */

struct store_blob_writer;

/* *out collects bytes for a new blob. Free with store_blob_abandon or consume with store_blob_commit. */
MUST_USE struct err *store_blob_begin(struct store *s, struct store_blob_writer **out);
/* Before the first byte: what its name is going to be by, so that bytes on the disk need not be read again
 * for it. sha256 where nothing is said. */
void store_blob_expect(struct store_blob_writer *w, enum digest_algo algo);
MUST_USE struct err *store_blob_write(struct store_blob_writer *w, const void *p, size_t len);
uint64_t store_blob_written(const struct store_blob_writer *w);
/*
 * Publish and name it. want (may be NULL): the digest it must have, else ERR_CORRUPT and nothing is kept; a
 * sha512 want is honoured. Durable on return, held by this process's lease. Consumes w, also on error.
 */
MUST_USE struct err *store_blob_commit(
	struct store_blob_writer *w, const struct digest *want, struct digest *out);
void store_blob_abandon(struct store_blob_writer *w);
void store_blob_abandonp(struct store_blob_writer **w);

/* Small blobs in one call. out may be NULL. */
MUST_USE struct err *store_blob_put(struct store *s, const void *p, size_t len, struct digest *out);
/* *size is -1 with success when absent. Touches its use time (batched) and holds it by this process's lease.
 */
MUST_USE struct err *store_blob_stat(struct store *s, const struct digest *d, int64_t *size);
/* An O_RDONLY descriptor, the caller's. ERR_NOT_FOUND names the digest. Bytes are not re-hashed. */
MUST_USE struct err *store_blob_open(struct store *s, const struct digest *d, int *fd, uint64_t *size);
/* Whole, verified against its digest; ERR_INVALID above max. */
MUST_USE struct err *store_blob_read(struct store *s, const struct digest *d, size_t max, struct buf *out);
/* "from keeps to alive" (a manifest its layers). Both are blobs; to may be absent (sparse). */
MUST_USE struct err *store_blob_link(struct store *s, const struct digest *from, const struct digest *to);

/* ---- resumable uploads and downloads: partial files that survive a process ---- */

struct store_partial;
/* Open or create the partial named name ([A-Za-z0-9_.:-]+), locked against others (ERR_UNAVAILABLE if in
 * use). */
MUST_USE struct err *store_partial_open(
	struct store *s, const char *name, bool create, struct store_partial **out);
/* Like store_blob_expect; of no effect for bytes that are there. */
void store_partial_expect(struct store_partial *p, enum digest_algo algo);
uint64_t store_partial_size(const struct store_partial *p);
/* Its file, to be read from while it grows; borrowed. A duplicate is good to read from whatever becomes of p.
 */
int store_partial_fd(const struct store_partial *p);
MUST_USE struct err *store_partial_append(struct store_partial *p, const void *b, size_t len);
MUST_USE struct err *store_partial_truncate(struct store_partial *p, uint64_t size);
/* ERR_CORRUPT when its bytes so far are not those of that name. */
MUST_USE struct err *store_partial_check(const struct store_partial *p, const struct digest *want);
/* Verify against want (sha256 or sha512; NULL: name it by sha256) and publish. Consumes p on success; on
 * ERR_CORRUPT the bytes are dropped and p is consumed too. */
MUST_USE struct err *store_partial_commit(
	struct store_partial *p, const struct digest *want, struct digest *out);
MUST_USE struct err *store_partial_delete(struct store_partial *p); /* consumes p */
void store_partial_close(struct store_partial *p);                  /* keeps the bytes for later */
/* The same, for one that this process is likely to go on with soon: its bytes are not read again then to be
 * hashed. Only for names under which nobody cuts off more than he appended himself while he had it open. */
void store_partial_pause(struct store_partial *p);

/* ---- trees ---- */

#define TREE_ID_MAX 40 /* 32 hex and a NUL, rounded up */

struct store_tree_writer;
/* A fresh directory to fill: <dir>/fs (0755) is the tree itself, siblings in <dir> are scratch that go away.
 */
MUST_USE struct err *store_tree_begin(struct store *s, struct store_tree_writer **out);
int store_tree_fd(const struct store_tree_writer *w); /* of fs; borrowed */
/* Absolute, of the directory that holds fs; borrowed. */
const char *store_tree_path(const struct store_tree_writer *w);
/* Publish as trees/<id>; size is what it takes on disk (informative). Consumes w, also on error. */
MUST_USE struct err *store_tree_commit(struct store_tree_writer *w, uint64_t size, char id[TREE_ID_MAX]);
/* Removal happens in the background, or in the next sweep. */
void store_tree_abandon(struct store_tree_writer *w);
void store_tree_abandonp(struct store_tree_writer **w);
/* Absolute path of a committed tree (no check that it exists). Caller frees. */
char *store_tree_dir(struct store *s, const char *id);
/* A scratch directory below tmp/, made; removed at store_close or by the next sweep. Caller frees *path. */
MUST_USE struct err *store_scratch(struct store *s, char **path);
/* Make all trees written in this boot durable (syncfs) and mark them so. Slow; off the hot path. */
MUST_USE struct err *store_sync_trees(struct store *s);

/* ---- layers: one result in its two forms ---- */

#define LAYER_ID_MAX 40

/* Plain data; zero digests and empty strings mean "not there yet". */
struct layer {
	char id[LAYER_ID_MAX];
	char tree[TREE_ID_MAX]; /* unpacked form */
	struct digest diff_id;  /* sha256 of the uncompressed canonical tar */
	struct digest blob;     /* compressed form; may be remote still */
	uint64_t blob_size;
	char media_type[96]; /* of blob */
	uint64_t tar_size;   /* uncompressed; 0 unknown */
};

/* Insert a layer; an empty l->id is given a fresh one. Layers of images are found again by diff_id. blob may
 * be absent still. ERR_EXISTS if the id is taken, unless by a layer of the same diff_id and blob. */
MUST_USE struct err *store_layer_add(struct store *s, struct layer *l);
/* Not there: success with *found false. Held by this process's lease. Drops a tree not trusted any more (see
 * top). */
MUST_USE struct err *store_layer_get(struct store *s, const char *id, struct layer *out, bool *found);
MUST_USE struct err *store_layer_by_diff_id(
	struct store *s, const struct digest *diff_id, struct layer *out, bool *found);
/* Set what was missing; fields that are empty in l are left as they are in the store. */
MUST_USE struct err *store_layer_update(struct store *s, const struct layer *l);

/* ---- records: small named values that keep blobs, layers and other records alive ---- */

enum store_ref_kind { STORE_REF_BLOB, STORE_REF_LAYER, STORE_REF_RECORD };

struct store_ref {
	enum store_ref_kind kind;
	const char *name; /* digest text, layer id, or "space/key" */
};

/*
 * Spaces: "image" (name:tag -> manifest; kept until deleted), "tag" (registry tags, likewise), "cache"
 * (definition digest -> result; evictable by age and size), "op" (operation digest -> earlier results;
 * evictable), "source" (pins), "local" (stat caches; evictable). A space named here with "evictable" is
 * subject to gc's limits, others are roots.
 */
struct store_record {
	const char *space;
	const char *key;
	struct str value;
	const struct store_ref *refs;
	size_t ref_count;
};

/* Insert or replace, atomically with its references. */
MUST_USE struct err *store_record_put(struct store *s, const struct store_record *r);
/* *found false with success when absent. Appends to value (NUL-terminated). Touches its use time (batched).
 */
MUST_USE struct err *store_record_get(
	struct store *s, const char *space, const char *key, struct buf *value, bool *found);
MUST_USE struct err *store_record_delete(struct store *s, const char *space, const char *key, bool *deleted);
/* Put only if the present value equals expect (NULL: must be absent); else success with *swapped false. */
MUST_USE struct err *store_record_swap(
	struct store *s, const struct store_record *r, const struct str *expect, bool *swapped);

struct store_record_row {
	const char *key;
	struct str value;
	int64_t created;
	int64_t used;
};
/* Rows whose key starts with prefix, keys > after (NULL: all), sorted bytewise, at most limit (0: all).
 * Strings are borrowed in the call. A non-NULL return of fn ends the walk and is returned. fn must not write
 * to the store. */
MUST_USE struct err *store_record_each(struct store *s, const char *space, const char *prefix,
	const char *after, size_t limit, struct err *(*fn)(void *ctx, const struct store_record_row *row),
	void *ctx);
/* Adds the keys of space, of those that start with prefix, whose records have this reference. Not sorted. */
MUST_USE struct err *store_record_naming(struct store *s, const char *space, const char *prefix,
	const struct store_ref *ref, struct strvec *keys);

/* Several writes as one transaction (and one commit): nests not; same thread. Others wait for its end, so it
 * must not wait for them. After an error of a write in it only store_rollback is left. */
MUST_USE struct err *store_begin(struct store *s);
MUST_USE struct err *store_commit(struct store *s);
void store_rollback(struct store *s);

/* ---- locks between processes and threads ---- */

struct store_lock;
struct cancel;
/* Wait for the named lock (any text; shared or exclusive); ERR_CANCELED when cancel is set. *waited (may be
 * NULL): had to wait. */
MUST_USE struct err *store_lock(struct store *s, const char *name, bool shared, const struct cancel *cancel,
	bool *waited, struct store_lock **out);
/* *out is NULL with success when somebody else holds it. */
MUST_USE struct err *store_try_lock(struct store *s, const char *name, bool shared, struct store_lock **out);
void store_unlock(struct store_lock *l);
void store_unlockp(struct store_lock **l);
