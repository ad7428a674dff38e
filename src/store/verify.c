/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct check {
	struct store *s;
	bool repair;
	const struct cancel *cancel;
	void (*report)(void *ctx, const char *problem);
	void *ctx;
	struct strvec *lost; /* what went with what was repaired; NULL: nobody asks */
	struct store_verify_result result;
};

static void problem(struct check *c, const char *fmt, ...) PRINTF(2, 3);

static void problem(struct check *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	AUTO_FREE char *text = mem_vprintf(fmt, ap);
	va_end(ap);
	c->result.problems++;
	if (c->report)
		c->report(c->ctx, text);
}

static struct err *repair_tx(struct check *c,
	struct err *(*fn)(struct store *s, const void *what, struct strvec *lost), const void *what)
{
	if (!c->repair)
		return NULL;
	TRY(store_tx_begin(c->s));
	TRY(store_tx_end(c->s, fn(c->s, what, c->lost)));
	c->result.repaired++;
	return NULL;
}

/* ---- blobs ---- */

static struct err *repair_blob(struct store *s, const void *what, struct strvec *lost)
{
	return store_forget_blob(s, what, true, lost);
}

/* Of the blob or the disk under it. All else, as too many open files or missing rights, says nothing of the
 * bytes. */
static bool is_damage(int sysno)
{
	return sysno == EIO || sysno == EUCLEAN || sysno == ELOOP || sysno == EISDIR;
}

static struct err *check_bytes(struct check *c, const struct digest *d, uint64_t size, char **why)
{
	char path[STORE_PATH_MAX], text[DIGEST_TEXT_MAX];
	AUTO_FD int fd = openat(c->s->fd, blob_path(d, path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct digest got;
	uint64_t bytes = 0;
	struct err *e = NULL;
	if (fd < 0 && errno == ENOENT) {
		*why = mem_strdup("its file is missing");
		return NULL;
	}
	if (fd < 0)
		e = err_sys(errno, "opening %s/%s", c->s->home, path);
	else
		e = hash_fd(fd, d->algo, c->cancel, &got, &bytes);
	if (e && !is_damage(err_sysno(e)))
		return e;
	if (e) {
		*why = err_text(e);
		err_ignore(e, "reported as this blob's problem");
		return NULL;
	}
	c->result.blob_bytes += bytes;
	if (!digest_eq(&got, d))
		*why = mem_printf("its bytes are %s", digest_text(&got, text));
	else if (bytes != size)
		*why = mem_printf("it has %llu bytes, recorded are %llu", (unsigned long long)bytes,
			(unsigned long long)size);
	return NULL;
}

static struct err *check_blob(struct check *c, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *why = NULL;
	struct blob_row before, after;
	TRY(store_blob_row(c->s, d, &before));
	if (!before.found || before.doomed)
		return NULL;
	TRY(check_bytes(c, d, before.size, &why));
	c->result.blobs++;
	if (!why)
		return NULL;
	TRY(store_blob_row(c->s, d, &after));
	if (!after.found || after.doomed)
		return NULL;
	problem(c, "blob %s: %s", digest_text(d, text), why);
	return repair_tx(c, repair_blob, d);
}

static struct err *check_blobs(struct check *c)
{
	struct vec all AUTO(vec_fini) = VEC_OF(struct digest);
	{
		struct store *locked AUTO(store_leavep) = store_enter(c->s);
		TRY(store_list_digests(locked, "SELECT digest FROM blobs WHERE doomed = 0 AND ?1 IS NULL",
			&(struct digest){0}, &all));
	}
	for (size_t i = 0; i < all.len; i++) {
		TRY(cancel_check(c->cancel));
		TRY(check_blob(c, vec_at(&all, i)));
	}
	return NULL;
}

/* ---- blobs, a part at a time ---- */

#define SCRUB_PAGE 64

/* So that a long one yields to what the disk is wanted for. */
static struct err *list_after(struct store *s, const struct digest *after, struct vec *out)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked,
		"SELECT digest FROM blobs WHERE doomed = 0 AND digest > ?1 ORDER BY digest LIMIT ?2", &q));
	if (digest_is_set(after))
		query_digest(&q, 1, after);
	else
		query_blob(&q, 1, "", 0);
	query_int(&q, 2, SCRUB_PAGE);
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		column_digest(&q, 0, vec_push(out));
	}
}

struct scrub {
	const struct store_scrub_options *opt;
	const struct digest *blob;
	char *why;
};

static void keep_why(void *ctx, const char *problem)
{
	struct scrub *s = ctx;
	mem_freep(&s->why);
	s->why = mem_strdup(problem);
}

static struct err *scrub_one(struct check *c, const struct digest *d)
{
	AUTO_STRVEC struct strvec lost = {0};
	struct scrub *scrub = c->ctx;
	c->lost = &lost;
	TRY(check_blob(c, d));
	if (scrub->why)
		scrub->opt->report(scrub->opt->ctx, d, scrub->why, &lost);
	mem_freep(&scrub->why);
	return NULL;
}

struct err *store_scrub(struct store *s, const struct store_scrub_options *opt, struct digest *after,
	struct store_verify_result *out, bool *end)
{
	struct scrub scrub = {.opt = opt};
	struct check c = {.s = s, .repair = true, .cancel = opt->cancel, .report = keep_why, .ctx = &scrub};
	*end = false;
	TRY(store_writable(s));
	while (!*end && c.result.blob_bytes < opt->bytes) {
		struct vec page AUTO(vec_fini) = VEC_OF(struct digest);
		TRY(list_after(s, after, &page));
		for (size_t i = 0; i < page.len && c.result.blob_bytes < opt->bytes; i++) {
			TRY(cancel_check(opt->cancel));
			TRY(scrub_one(&c, vec_at(&page, i)));
			*after = *(struct digest *)vec_at(&page, i);
		}
		*end = page.len == 0;
	}
	out->blobs += c.result.blobs;
	out->blob_bytes += c.result.blob_bytes;
	out->problems += c.result.problems;
	out->repaired += c.result.repaired;
	return NULL;
}

struct err *store_blob_totals(struct store *s, uint64_t *count, uint64_t *bytes)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	bool row = false;
	TRY(query_open(locked, "SELECT count(*), coalesce(sum(size), 0) FROM blobs WHERE doomed = 0", &q));
	TRY(query_step(&q, &row));
	*count = (uint64_t)column_int(&q, 0);
	*bytes = (uint64_t)column_int(&q, 1);
	return NULL;
}

/* ---- trees ---- */

static struct err *tree_recorded(struct store *s, const char *id, bool *out)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked, "SELECT 1 FROM trees WHERE id = ?1", &q));
	query_text(&q, 1, id);
	return query_step(&q, out);
}

static struct err *repair_tree(struct store *s, const void *what, struct strvec *lost)
{
	(void)lost;
	return store_tree_forget(s, what);
}

static struct err *check_tree(struct check *c, const char *id)
{
	struct stat st;
	AUTO_FREE char *path = mem_printf("trees/%s", id);
	c->result.trees++;
	if (fstatat(c->s->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return NULL;
	bool recorded = false;
	TRY(tree_recorded(c->s, id, &recorded));
	if (!recorded)
		return NULL;
	problem(c, "tree %s: its directory is missing", id);
	return repair_tx(c, repair_tree, id);
}

static struct err *check_trees(struct check *c)
{
	AUTO_STRVEC struct strvec ids = {0};
	{
		struct store *locked AUTO(store_leavep) = store_enter(c->s);
		AUTO_QUERY struct query q = {0};
		/* Trees of an earlier boot that were not synced are not trusted anyway. */
		TRY(query_open(locked, "SELECT id FROM trees WHERE synced = 1 OR boot = ?1", &q));
		query_text(&q, 1, store_boot(c->s));
		for (;;) {
			bool row = false;
			TRY(query_step(&q, &row));
			if (!row)
				break;
			strvec_push(&ids, column_text(&q, 0));
		}
	}
	for (size_t i = 0; i < ids.len; i++)
		TRY(check_tree(c, ids.ptr[i]));
	return NULL;
}

/* ---- what names what: each check is one statement, so one moment's picture ---- */

struct naming {
	const char *sql; /* rows: who names, what is named, the key for the repair */
	const char *who, *what;
	struct err *(*repair)(struct store *s, const void *key, struct strvec *lost);
};

static struct err *repair_layer(struct store *s, const void *key, struct strvec *lost)
{
	return store_forget_layer(s, key, lost);
}

static struct err *repair_record(struct store *s, const void *key, struct strvec *lost)
{
	const char *name = key;
	AUTO_QUERY struct query q = {0};
	bool row = false;
	TRY(query_open(s, "SELECT id FROM records WHERE space || '/' || key = ?1", &q));
	query_text(&q, 1, name);
	TRY(query_step(&q, &row));
	if (!row)
		return NULL;
	int64_t id = column_int(&q, 0);
	TRY(store_forget_records_of(s, STORE_REF_RECORD, name, lost));
	return store_record_drop(s, id, name);
}

static struct err *repair_link(struct store *s, const void *key, struct strvec *lost)
{
	struct digest d;
	TRY(digest_parse(str_c(key), &d));
	return store_forget_blob(s, &d, false, lost);
}

/* cooper_digest(x): the text of a packed digest, so that SQL can name it and compare it with a reference. */
static void digest_function(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct digest d = {0};
	char text[DIGEST_TEXT_MAX];
	if (argc == 1 && sqlite3_value_type(argv[0]) == SQLITE_BLOB)
		digest_unpack(sqlite3_value_blob(argv[0]), (size_t)sqlite3_value_bytes(argv[0]), &d);
	sqlite3_result_text(ctx, digest_text(&d, text), -1, SQLITE_TRANSIENT);
}

static const struct naming namings[] = {
	{"SELECT id, tree, id FROM layers WHERE doomed = 0 AND tree IS NOT NULL"
	 " AND NOT EXISTS(SELECT 1 FROM trees WHERE trees.id = tree)",
		"layer", "tree", repair_layer},
	{"SELECT cooper_digest(src), cooper_digest(dst), cooper_digest(src) FROM links JOIN blobs ON digest "
	 "= src"
	 " WHERE sparse = 0 AND doomed = 0 AND NOT EXISTS(SELECT 1 FROM blobs WHERE digest = dst)",
		"blob", "blob", repair_link},
	{"SELECT space || '/' || key, target, space || '/' || key FROM refs JOIN records ON id = record"
	 " WHERE kind = 0 AND absent = 0 AND target NOT IN (SELECT cooper_digest(digest) FROM blobs)",
		"record", "blob", repair_record},
	{"SELECT space || '/' || key, target, space || '/' || key FROM refs JOIN records ON id = record"
	 " WHERE kind = 1 AND absent = 0 AND target NOT IN (SELECT id FROM layers)",
		"record", "layer", repair_record},
	{"SELECT space || '/' || key, target, space || '/' || key FROM refs JOIN records ON id = record"
	 " WHERE kind = 2 AND absent = 0 AND target NOT IN (SELECT space || '/' || key FROM records)",
		"record", "record", repair_record},
};

struct finding {
	char *who, *what, *key;
};

static void findings_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++) {
		struct finding *f = vec_at(v, i);
		mem_freep(&f->who);
		mem_freep(&f->what);
		mem_freep(&f->key);
	}
	vec_fini(v);
}

static struct err *find_missing(struct store *s, const struct naming *n, struct vec *out)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked, n->sql, &q));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		struct finding *f = vec_push(out);
		f->who = mem_strdup(column_text(&q, 0));
		f->what = mem_strdup(column_text(&q, 1));
		f->key = mem_strdup(column_text(&q, 2));
	}
}

static struct err *check_namings(struct check *c)
{
	sqlite3_create_function(c->s->db, "cooper_digest", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
		digest_function, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(namings); i++) {
		const struct naming *n = &namings[i];
		struct vec found AUTO(findings_fini) = VEC_OF(struct finding);
		TRY(cancel_check(c->cancel));
		TRY(find_missing(c->s, n, &found));
		for (size_t k = 0; k < found.len; k++) {
			const struct finding *f = vec_at(&found, k);
			problem(c, "%s %s needs %s %s, which is missing", n->who, f->who, n->what, f->what);
			TRY(repair_tx(c, n->repair, f->key));
		}
	}
	return NULL;
}

/* ---- the database ---- */

static struct err *check_database(struct check *c)
{
	struct store *locked AUTO(store_leavep) = store_enter(c->s);
	AUTO_QUERY struct query q = {0}, counts = {0};
	TRY(query_open(locked, "PRAGMA integrity_check(20)", &q));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			break;
		if (!cstr_eq(column_text(&q, 0), "ok"))
			problem(c, "cooper.db: %s", column_text(&q, 0));
	}
	TRY(query_open(
		locked, "SELECT (SELECT count(*) FROM layers), (SELECT count(*) FROM records)", &counts));
	bool row = false;
	TRY(query_step(&counts, &row));
	c->result.layers = (uint64_t)column_int(&counts, 0);
	c->result.records = (uint64_t)column_int(&counts, 1);
	return NULL;
}

struct err *store_verify(struct store *s, bool repair, const struct cancel *cancel,
	void (*report)(void *ctx, const char *problem), void *ctx, struct store_verify_result *out)
{
	struct check c = {.s = s, .repair = repair, .cancel = cancel, .report = report, .ctx = ctx};
	if (repair)
		TRY(store_writable(s));
	TRY(check_database(&c));
	TRY(check_blobs(&c));
	TRY(check_trees(&c));
	TRY(check_namings(&c));
	*out = c.result;
	return NULL;
}
