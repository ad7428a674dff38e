/* SPDX-License-Identifier: Apache-2.0 */
/* Forgetting what is damaged and all that is not whole without it, so that it is made again. */
#include "base/mem.h"
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct err *store_list_digests(struct store *s, const char *sql, const struct digest *d, struct vec *out)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, sql, &q));
	query_digest(&q, 1, d);
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		column_digest(&q, 0, vec_push(out));
	}
}

struct named_row {
	int64_t row;
	char *name;
};

static void named_rows_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		mem_freep(&((struct named_row *)vec_at(v, i))->name);
	vec_fini(v);
}

struct err *store_forget_records_of(
	struct store *s, enum store_ref_kind kind, const char *target, struct strvec *lost)
{
	struct vec rows AUTO(named_rows_fini) = VEC_OF(struct named_row);
	{
		AUTO_QUERY struct query q = {0};
		TRY(query_open(s,
			"SELECT id, space || '/' || key FROM refs JOIN records ON id = record"
			" WHERE kind = ?1 AND target = ?2 AND absent = 0",
			&q));
		query_int(&q, 1, kind);
		query_text(&q, 2, target);
		for (;;) {
			bool got = false;
			TRY(query_step(&q, &got));
			if (!got)
				break;
			struct named_row *r = vec_push(&rows);
			*r = (struct named_row){
				.row = column_int(&q, 0), .name = mem_strdup(column_text(&q, 1))};
		}
	}
	for (size_t i = 0; i < rows.len; i++) {
		const struct named_row *r = vec_at(&rows, i);
		/* Those that need this one first: dropping it makes them look as if they had never had it. */
		AUTO_QUERY struct query q = {0};
		TRY(query_open(s, "DELETE FROM refs WHERE record = ?1", &q));
		query_int(&q, 1, r->row);
		TRY(query_run(&q));
		TRY(store_forget_records_of(s, STORE_REF_RECORD, r->name, lost));
		TRY(store_record_drop(s, r->row, r->name));
		if (lost)
			strvec_push(lost, r->name);
	}
	return NULL;
}

struct err *store_forget_layer(struct store *s, const char *id, struct strvec *lost)
{
	TRY(store_forget_records_of(s, STORE_REF_LAYER, id, lost));
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "DELETE FROM layers WHERE id = ?1", &q));
	query_text(&q, 1, id);
	return query_run(&q);
}

/* Layers that lost their blob can have it made again from their tree; without one they are lost. */
static struct err *store_forget_layers_of_blob(struct store *s, const struct digest *d, struct strvec *lost)
{
	AUTO_STRVEC struct strvec ids = {0};
	AUTO_QUERY struct query find = {0}, clear = {0};
	TRY(query_open(s, "SELECT id FROM layers WHERE blob = ?1 AND tree IS NULL", &find));
	query_digest(&find, 1, d);
	for (;;) {
		bool row = false;
		TRY(query_step(&find, &row));
		if (!row)
			break;
		strvec_push(&ids, column_text(&find, 0));
	}
	for (size_t i = 0; i < ids.len; i++)
		TRY(store_forget_layer(s, ids.ptr[i], lost));
	TRY(query_open(
		s, "UPDATE layers SET blob = NULL, blob_size = 0, media_type = '' WHERE blob = ?1", &clear));
	query_digest(&clear, 1, d);
	return query_run(&clear);
}

static struct err *quarantine(struct store *s, const struct digest *d)
{
	char path[STORE_PATH_MAX], to[STORE_PATH_MAX], hex[DIGEST_TEXT_MAX];
	if (mkdirat(s->fd, "quarantine", 0700) < 0 && errno != EEXIST)
		return err_sys(errno, "making %s/quarantine", s->home);
	snprintf(to, sizeof(to), "quarantine/%s-%s", digest_algo_name(d->algo), digest_hex(d, hex));
	/* Writable, so that gc can lock it when it is old. */
	fchmodat(s->fd, blob_path(d, path), 0600, 0);
	if (renameat(s->fd, path, s->fd, to) < 0 && errno != ENOENT)
		return err_sys(errno, "moving %s/%s aside", s->home, path);
	return NULL;
}

/* Forget d and everything that is not whole without it. bad: its bytes are; else it only lacks something. */
struct err *store_forget_blob(struct store *s, const struct digest *d, bool bad, struct strvec *lost)
{
	char text[DIGEST_TEXT_MAX], path[STORE_PATH_MAX];
	struct vec above AUTO(vec_fini) = VEC_OF(struct digest);
	if (bad)
		TRY(quarantine(s, d));
	else if (unlinkat(s->fd, blob_path(d, path), 0) < 0 && errno != ENOENT)
		return err_sys(errno, "removing %s/%s", s->home, path);
	TRY(store_blob_delete_row(s, d));
	TRY(store_forget_layers_of_blob(s, d, lost));
	TRY(store_forget_records_of(s, STORE_REF_BLOB, digest_text(d, text), lost));
	TRY(store_list_digests(s, "SELECT src FROM links WHERE dst = ?1 AND sparse = 0", d, &above));
	{
		AUTO_QUERY struct query q = {0};
		TRY(query_open(s, "UPDATE links SET sparse = 1 WHERE dst = ?1", &q));
		query_digest(&q, 1, d);
		TRY(query_run(&q));
	}
	for (size_t i = 0; i < above.len; i++)
		TRY(store_forget_blob(s, vec_at(&above, i), false, lost));
	return NULL;
}
