/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "store/store_internal.h"

#include <fcntl.h>
#include <string.h>

struct layer_row {
	struct layer layer;
	bool found, doomed;
	int64_t used;
	/* Of its tree. */
	bool tree_known, synced;
	char boot[BOOT_MAX];
};

/* clang-format off */
#define LAYER_COLUMNS                                                                            \
	"SELECT layers.id, tree, diff_id, blob, blob_size, media_type, tar_size, used, doomed,"   \
	" trees.id IS NOT NULL, synced, boot FROM layers LEFT JOIN trees ON trees.id = tree "
/* clang-format on */

static void copy_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

static void read_row(struct query *q, struct layer_row *row)
{
	struct layer *l = &row->layer;
	copy_text(l->id, sizeof(l->id), column_text(q, 0));
	copy_text(l->tree, sizeof(l->tree), column_text(q, 1));
	column_digest(q, 2, &l->diff_id);
	column_digest(q, 3, &l->blob);
	l->blob_size = (uint64_t)column_int(q, 4);
	copy_text(l->media_type, sizeof(l->media_type), column_text(q, 5));
	l->tar_size = (uint64_t)column_int(q, 6);
	row->used = column_int(q, 7);
	row->doomed = column_int(q, 8) != 0;
	row->tree_known = column_int(q, 9) != 0;
	row->synced = column_int(q, 10) != 0;
	copy_text(row->boot, sizeof(row->boot), column_text(q, 11));
}

static struct err *load_row(struct store *s, const char *id, struct layer_row *row)
{
	*row = (struct layer_row){0};
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked, LAYER_COLUMNS "WHERE layers.id = ?1", &q));
	query_text(&q, 1, id);
	TRY(query_step(&q, &row->found));
	if (row->found)
		read_row(&q, row);
	return NULL;
}

static struct err *delete_layer(struct store *s, const char *id)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "DELETE FROM layers WHERE id = ?1", &q));
	query_text(&q, 1, id);
	return query_run(&q);
}

struct err *store_layer_rescue(struct store *s, const char *id, bool *alive)
{
	struct layer_row row;
	TRY(load_row(s, id, &row));
	*alive = row.found;
	if (!row.found || !row.doomed)
		return NULL;
	/* A blob without a row was never here: it is fetched when needed. One that is being removed was. */
	struct blob_row blob = {0};
	if (digest_is_set(&row.layer.blob))
		TRY(store_blob_row(s, &row.layer.blob, &blob));
	if (blob.found)
		TRY(store_blob_rescue(s, &row.layer.blob, alive));
	if (!*alive)
		return delete_layer(s, id);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "UPDATE layers SET doomed = 0 WHERE id = ?1", &q));
	query_text(&q, 1, id);
	return query_run(&q);
}

static struct err *rescue_in_tx(struct store *s, const char *id, bool *alive)
{
	TRY(store_tx_begin(s));
	return store_tx_end(s, store_layer_rescue(s, id, alive));
}

static bool tree_trusted(struct store *s, const struct layer_row *row)
{
	char path[STORE_PATH_MAX];
	struct stat st;
	if (!row->tree_known || (!row->synced && !cstr_eq(row->boot, store_boot(s))))
		return false;
	snprintf(path, sizeof(path), "trees/%s", row->layer.tree);
	return fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static struct err *forget_tree(struct store *s, const char *tree)
{
	TRY(store_tx_begin(s));
	TRY(store_tx_end(s, store_tree_forget(s, tree)));
	return store_tree_drop_dir(s, tree);
}

/* The hold comes before the look that counts: see "Store" in docs/formats.md. */
static struct err *claim_layer(struct store *s, const char *id, struct layer_row *row)
{
	char line[LEASE_LINE_MAX];
	lease_line('l', id, line);
	bool held = store_holds(s, line);
	TRY(load_row(s, id, row));
	if (!row->found)
		return NULL;
	if (!held) {
		TRY(store_hold(s, line));
		TRY(load_row(s, id, row));
	}
	if (row->found && row->doomed && !s->read_only) {
		bool alive = false;
		TRY(rescue_in_tx(s, id, &alive));
		TRY(load_row(s, id, row));
	}
	if (!row->found)
		return NULL;
	if (row->layer.tree[0] && !tree_trusted(s, row)) {
		if (!s->read_only)
			TRY(forget_tree(s, row->layer.tree));
		row->layer.tree[0] = '\0';
	}
	store_touch_locked(s, line, row->used);
	return NULL;
}

struct err *store_layer_get(struct store *s, const char *id, struct layer *out, bool *found)
{
	*found = false;
	struct layer_row row;
	if (!store_id_valid(id))
		return NULL;
	TRY(claim_layer(s, id, &row));
	if (!row.found)
		return NULL;
	*out = row.layer;
	*found = true;
	return NULL;
}

static struct err *ids_by_diff_id(struct store *s, const struct digest *diff_id, struct strvec *ids)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked,
		"SELECT id FROM layers WHERE diff_id = ?1 ORDER BY tree IS NULL, blob IS NULL, used DESC, id",
		&q));
	query_digest(&q, 1, diff_id);
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		strvec_push(ids, column_text(&q, 0));
	}
}

struct err *store_layer_by_diff_id(
	struct store *s, const struct digest *diff_id, struct layer *out, bool *found)
{
	*found = false;
	if (!digest_is_set(diff_id))
		return NULL;
	AUTO_STRVEC struct strvec ids = {0};
	TRY(ids_by_diff_id(s, diff_id, &ids));
	for (size_t i = 0; i < ids.len; i++) {
		struct layer_row row;
		TRY(claim_layer(s, ids.ptr[i], &row));
		if (!row.found)
			continue;
		bool better = !*found || (row.layer.tree[0] && !out->tree[0]);
		if (better)
			*out = row.layer;
		*found = true;
		if (out->tree[0])
			break;
	}
	return NULL;
}

static struct err *check_tree(struct store *s, const char *tree)
{
	if (!tree[0])
		return NULL;
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "SELECT 1 FROM trees WHERE id = ?1", &q));
	query_text(&q, 1, tree);
	bool known = false;
	TRY(query_step(&q, &known));
	return known ? NULL : err_new(ERR_INVALID, "tree %s is not in store %s", tree, s->home);
}

/* A blob that is here must not be on its way out. It may also be remote still: images are pulled lazily. */
static struct err *check_blob(struct store *s, const struct digest *blob)
{
	bool alive = false;
	return digest_is_set(blob) ? store_blob_rescue(s, blob, &alive) : NULL;
}

static void bind_layer(struct query *q, const struct layer *l)
{
	query_text(q, 1, l->id);
	query_text(q, 2, l->tree[0] ? l->tree : NULL);
	query_digest(q, 3, &l->diff_id);
	query_digest(q, 4, &l->blob);
	query_int(q, 5, (int64_t)l->blob_size);
	query_text(q, 6, l->media_type);
	query_int(q, 7, (int64_t)l->tar_size);
}

static struct err *insert_layer(struct store *s, const struct layer *l)
{
	TRY(check_tree(s, l->tree));
	TRY(check_blob(s, &l->blob));
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s,
		"INSERT INTO layers(id, tree, diff_id, blob, blob_size, media_type, tar_size, created, used)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) ON CONFLICT DO NOTHING",
		&q));
	bind_layer(&q, l);
	query_int(&q, 8, clock_now());
	TRY(query_run(&q));
	if (sqlite3_changes(s->db) == 1)
		return NULL;
	/* Two at once may add the same, under an id that they derive from it. */
	struct layer_row row;
	bool alive = false;
	TRY(store_layer_rescue(s, l->id, &alive));
	TRY(load_row(s, l->id, &row));
	if (digest_is_set(&l->diff_id) && digest_is_set(&l->blob) &&
		digest_eq(&l->diff_id, &row.layer.diff_id) && digest_eq(&l->blob, &row.layer.blob))
		return NULL;
	return err_new(ERR_EXISTS, "layer %s exists already", l->id);
}

struct err *store_layer_add(struct store *s, struct layer *l)
{
	char line[LEASE_LINE_MAX];
	if (!l->id[0])
		random_hex(l->id, 16);
	else if (!store_id_valid(l->id))
		return err_new(ERR_INVALID, "\"%s\" cannot name a layer", l->id);
	TRY(store_hold(s, lease_line('l', l->id, line)));
	TRY(store_tx_begin(s));
	return store_tx_end(s, insert_layer(s, l));
}

/* Nothing that is there is replaced: another process may be using the very tree it was told of. */
static struct err *update_layer(struct store *s, const struct layer *l)
{
	bool alive = false;
	TRY(store_layer_rescue(s, l->id, &alive));
	if (!alive)
		return err_new(ERR_NOT_FOUND, "layer %s is not in store %s", l->id, s->home);
	TRY(check_tree(s, l->tree));
	TRY(check_blob(s, &l->blob));
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s,
		"UPDATE layers SET tree = coalesce(tree, ?2), diff_id = coalesce(diff_id, ?3),"
		" blob_size = CASE WHEN blob IS NULL AND ?4 IS NOT NULL THEN ?5 ELSE blob_size END,"
		" media_type = CASE WHEN blob IS NULL AND ?4 IS NOT NULL OR media_type = '' THEN ?6 ELSE "
		"media_type END,"
		" blob = coalesce(blob, ?4), tar_size = CASE WHEN tar_size = 0 THEN ?7 ELSE tar_size END "
		"WHERE id = ?1",
		&q));
	bind_layer(&q, l);
	return query_run(&q);
}

struct err *store_layer_update(struct store *s, const struct layer *l)
{
	TRY(store_writable(s));
	if (!store_id_valid(l->id))
		return err_new(ERR_INVALID, "\"%s\" cannot name a layer", l->id);
	/* A layer of ours may have lost its tree to a reboot or a sweep: then the new one takes its place. */
	struct layer_row row;
	TRY(claim_layer(s, l->id, &row));
	TRY(store_tx_begin(s));
	return store_tx_end(s, update_layer(s, l));
}
