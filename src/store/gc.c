/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collecting in two steps, so that nothing goes away under a process that was told it is there. The argument
 * stands in docs/formats.md, "Store".
 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_FOR (14 * 24 * 3600 * CLOCK_SECOND)
#define KEEP_BYTES (UINT64_C(20) << 30)

struct gc_plan gc_plan_of(const struct store_gc_options *opt)
{
	struct gc_plan plan = {.now = clock_now()};
	if (opt)
		plan.opt = *opt;
	if (plan.opt.keep_for <= 0)
		plan.opt.keep_for = KEEP_FOR;
	if (plan.opt.keep_bytes == 0)
		plan.opt.keep_bytes = KEEP_BYTES;
	if (plan.opt.keep_count == 0)
		plan.opt.keep_count = UINT64_MAX;
	return plan;
}

static int latest_first(const void *a, const void *b)
{
	const struct graph_node *x = *(struct graph_node *const *)a, *y = *(struct graph_node *const *)b;
	if (x->used != y->used)
		return x->used < y->used ? 1 : -1;
	return str_cmp(x->name, y->name);
}

static bool is_without(const struct gc_plan *plan, const struct graph_node *n)
{
	return plan->opt.dry_run && plan->opt.without && map_has(plan->opt.without, n->name);
}

/* Records of the evictable spaces, and layers that nothing names: they are found again by what they hold. */
static void candidates(struct graph *g, const struct gc_plan *plan, struct vec *out)
{
	for (size_t i = 0; i < g->nodes.len; i++) {
		struct graph_node *n = graph_at(g, i);
		if (n->marked || is_without(plan, n))
			continue;
		if (n->kind == NODE_RECORD || (n->kind == NODE_LAYER && !n->referred))
			vec_push_copy(out, &n);
	}
	vec_sort(out, latest_first);
}

static void mark_cache(struct graph *g, const struct gc_plan *plan)
{
	struct vec list AUTO(vec_fini) = VEC_OF(struct graph_node *);
	struct vec fresh AUTO(vec_fini) = VEC_OF(size_t);
	candidates(g, plan, &list);
	uint64_t bytes = 0, count = 0;
	for (size_t i = 0; i < list.len; i++) {
		struct graph_node *n = *(struct graph_node **)vec_at(&list, i);
		if (n->marked)
			continue;
		if (count >= plan->opt.keep_count || n->used < plan->now - plan->opt.keep_for)
			break;
		vec_clear(&fresh);
		graph_mark(g, (size_t)(n - graph_at(g, 0)), &fresh);
		uint64_t more = 0;
		for (size_t k = 0; k < fresh.len; k++)
			more += graph_at(g, *(size_t *)vec_at(&fresh, k))->bytes;
		if (more <= plan->opt.keep_bytes - bytes) {
			bytes += more;
			count++;
			continue;
		}
		for (size_t k = 0; k < fresh.len; k++)
			graph_at(g, *(size_t *)vec_at(&fresh, k))->marked = false;
	}
}

static void mark_all(struct graph *g, const struct gc_plan *plan, const struct map *leases)
{
	for (size_t i = 0; i < g->nodes.len; i++)
		if (graph_at(g, i)->root && !is_without(plan, graph_at(g, i)))
			graph_mark(g, i, NULL);
	bool all = map_has(leases, STR(LEASE_ALL));
	for (size_t i = 0; all && i < g->nodes.len; i++)
		if (graph_at(g, i)->kind != NODE_RECORD)
			graph_mark(g, i, NULL);
	struct str line;
	void *value;
	for (size_t i = 0; map_next(leases, &i, &line, &value);)
		graph_mark(g, graph_find(g, line), NULL);
	if (!plan->opt.all)
		mark_cache(g, plan);
}

struct err *gc_estimate(struct store *s, const struct gc_plan *plan, struct store_gc_result *out)
{
	AUTO(map_freep) struct map *leases = NULL;
	AUTO_GRAPH struct graph g = {0};
	TRY(store_leases(s, &leases));
	TRY(graph_snapshot(s, &g));
	mark_all(&g, plan, leases);
	for (size_t i = 0; i < g.nodes.len; i++) {
		const struct graph_node *n = graph_at(&g, i);
		if (n->marked)
			continue;
		out->blobs += n->kind == NODE_BLOB;
		out->layers += n->kind == NODE_LAYER;
		out->records += n->kind == NODE_RECORD;
		out->trees += n->kind == NODE_LAYER && n->tree[0];
		out->bytes += n->kind == NODE_RECORD ? 0 : n->bytes;
	}
	return NULL;
}

/* ---- first step: choose and doom ---- */

static struct err *set_doom(struct store *s, const struct graph_node *n, bool doom)
{
	AUTO_QUERY struct query q = {0};
	if (n->kind == NODE_BLOB) {
		struct digest d;
		TRY(digest_parse(n->name, &d));
		TRY(query_open(s, "UPDATE blobs SET doomed = ?1 WHERE digest = ?2", &q));
		query_digest(&q, 2, &d);
	} else {
		TRY(query_open(s, "UPDATE layers SET doomed = ?1 WHERE id = ?2", &q));
		query_str(&q, 2, n->name);
	}
	query_int(&q, 1, doom);
	return query_run(&q);
}

static struct err *rescue_line(struct store *s, struct str line)
{
	bool alive = false;
	if (line.ptr[0] == 'b') {
		struct digest d;
		struct err *e = digest_parse(str_skip(line, 2), &d);
		if (!e)
			return store_blob_rescue(s, &d, &alive);
		err_ignore(e, "a torn last line: its owner has not looked yet");
	} else if (line.ptr[0] == 'l') {
		AUTO_FREE char *id = mem_strndup(line.ptr + 2, line.len - 2);
		return store_layer_rescue(s, id, &alive);
	}
	return NULL;
}

static struct err *doom_node(struct store *s, const struct graph_node *n, struct store_gc_result *out)
{
	if (n->kind == NODE_RECORD) {
		if (n->marked)
			return NULL;
		out->records++;
		return store_record_drop(s, n->rowid, n->name.ptr);
	}
	if (!n->marked)
		return n->doomed ? NULL : set_doom(s, n, true);
	if (!n->doomed)
		return NULL;
	AUTO_FREE char *line = mem_printf("%c %s", (char)n->kind, n->name.ptr);
	return rescue_line(s, str_c(line));
}

static struct err *doom(struct store *s, const struct gc_plan *plan, struct store_gc_result *out)
{
	AUTO(map_freep) struct map *leases = NULL;
	AUTO_GRAPH struct graph g = {0};
	TRY(store_leases(s, &leases));
	TRY(graph_load(s, &g));
	mark_all(&g, plan, leases);
	for (size_t i = 0; i < g.nodes.len; i++)
		TRY(doom_node(s, graph_at(&g, i), out));
	/* The dooms must be on disk before the first file goes. */
	s->tx_durable = true;
	return NULL;
}

/* ---- second step: remove what is still doomed ---- */

struct removal {
	struct vec blobs;     /* struct digest */
	struct strvec layers; /* ids */
	struct strvec trees;  /* ids */
	struct strvec aside;  /* names in the session's directory */
	struct store_gc_result count;
};

static void removal_fini(struct removal *r)
{
	vec_fini(&r->blobs);
	strvec_fini(&r->layers);
	strvec_fini(&r->trees);
	strvec_fini(&r->aside);
}

static struct err *list_doomed(struct store *s, struct removal *r)
{
	AUTO_QUERY struct query blobs = {0}, layers = {0};
	bool row = false;
	TRY(query_open(s, "SELECT digest, size FROM blobs WHERE doomed = 1", &blobs));
	TRY(query_step(&blobs, &row));
	while (row) {
		column_digest(&blobs, 0, vec_push(&r->blobs));
		r->count.bytes += (uint64_t)column_int(&blobs, 1);
		r->count.blobs++;
		TRY(query_step(&blobs, &row));
	}
	TRY(query_open(s,
		"SELECT layers.id, trees.id, trees.size FROM layers LEFT JOIN trees ON trees.id = tree WHERE "
		"doomed = 1",
		&layers));
	TRY(query_step(&layers, &row));
	while (row) {
		strvec_push(&r->layers, column_text(&layers, 0));
		r->count.layers++;
		if (column_text(&layers, 1)[0]) {
			strvec_push(&r->trees, column_text(&layers, 1));
			r->count.trees++;
			r->count.bytes += (uint64_t)column_int(&layers, 2);
		}
		TRY(query_step(&layers, &row));
	}
	return NULL;
}

static struct err *remove_blob(struct store *s, int tmp, const struct digest *d, struct removal *r)
{
	char path[STORE_PATH_MAX], name[TMP_NAME_MAX];
	store_tmp_name(s, 'g', name);
	if (renameat(s->fd, blob_path(d, path), tmp, name) == 0)
		strvec_push(&r->aside, name);
	else if (errno != ENOENT)
		return err_sys(errno, "removing %s/%s", s->home, path);
	return store_blob_delete_row(s, d);
}

/* In a transaction. */
static struct err *rescue_all(struct store *s)
{
	struct removal r AUTO(removal_fini) = {.blobs = VEC_OF(struct digest)};
	bool alive = false;
	TRY(list_doomed(s, &r));
	for (size_t i = 0; i < r.blobs.len; i++)
		TRY(store_blob_rescue(s, vec_at(&r.blobs, i), &alive));
	for (size_t i = 0; i < r.layers.len; i++)
		TRY(store_layer_rescue(s, r.layers.ptr[i], &alive));
	return NULL;
}

/* Inside the transaction, so that nobody can write or rescue one of them at the same time. */
static struct err *remove_doomed(struct store *s, struct removal *r)
{
	AUTO(map_freep) struct map *leases = NULL;
	TRY(store_leases(s, &leases));
	struct str line;
	void *value;
	if (map_has(leases, STR(LEASE_ALL)))
		return rescue_all(s);
	for (size_t i = 0; map_next(leases, &i, &line, &value);)
		TRY(rescue_line(s, line));
	TRY(list_doomed(s, r));
	int tmp = -1;
	TRY(store_tmp(s, &tmp));
	for (size_t i = 0; i < r->blobs.len; i++)
		TRY(remove_blob(s, tmp, vec_at(&r->blobs, i), r));
	for (size_t i = 0; i < r->trees.len; i++)
		TRY(store_tree_forget(s, r->trees.ptr[i]));
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "DELETE FROM layers WHERE id = ?1 AND doomed = 1", &q));
	for (size_t i = 0; i < r->layers.len; i++) {
		query_text(&q, 1, r->layers.ptr[i]);
		TRY(query_run(&q));
	}
	return NULL;
}

static struct err *delete_tree(struct store *s, int tmp, const char *id)
{
	char name[TMP_NAME_MAX], from[STORE_PATH_MAX];
	snprintf(from, sizeof(from), "trees/%s", id);
	if (renameat(s->fd, from, tmp, store_tmp_name(s, 'g', name)) == 0)
		return tree_remove(tmp, name);
	return errno == ENOENT ? NULL : err_sys(errno, "removing %s/%s", s->home, from);
}

/* What is left has no row any more: the next sweep takes it. */
static struct err *delete_files(struct store *s, const struct removal *r, const struct cancel *cancel)
{
	int tmp = -1;
	struct err *first = NULL;
	TRY(store_tmp(s, &tmp));
	for (size_t i = 0; i < r->aside.len; i++)
		if (unlinkat(tmp, r->aside.ptr[i], 0) < 0 && errno != ENOENT)
			first = err_first(
				first, err_sys(errno, "removing a collected blob of store %s", s->home));
	for (size_t i = 0; i < r->trees.len && !cancel_is_set(cancel); i++)
		first = err_first(first, delete_tree(s, tmp, r->trees.ptr[i]));
	return err_first(first, cancel_check(cancel));
}

struct err *gc_doom(struct store *s, const struct gc_plan *plan, struct store_gc_result *out)
{
	TRY(store_tx_begin(s));
	return store_tx_end(s, doom(s, plan, out));
}

struct err *gc_remove(struct store *s, const struct cancel *cancel, struct store_gc_result *out)
{
	struct removal r AUTO(removal_fini) = {.blobs = VEC_OF(struct digest)};
	TRY(store_tx_begin(s));
	TRY(store_tx_end(s, remove_doomed(s, &r)));
	out->blobs += r.count.blobs;
	out->layers += r.count.layers;
	out->trees += r.count.trees;
	out->bytes += r.count.bytes;
	return delete_files(s, &r, cancel);
}

static struct err *collect_objects(
	struct store *s, const struct gc_plan *plan, const struct cancel *cancel, struct store_gc_result *out)
{
	TRY(gc_doom(s, plan, out));
	TRY(cancel_check(cancel));
	return gc_remove(s, cancel, out);
}

static struct err *collect(
	struct store *s, const struct gc_plan *plan, const struct cancel *cancel, struct store_gc_result *out)
{
	/* Something in tmp that resists removal must not keep the rest. */
	struct err *e = store_sweep(s);
	e = err_first(e, collect_objects(s, plan, cancel, out));
	return err_first(e, gc_files(s, plan, cancel, out));
}

static struct err *shrink_step(struct store *s, bool *more)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	TRY(store_db_exec(locked, "PRAGMA incremental_vacuum(500); PRAGMA wal_checkpoint(PASSIVE)"));
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked, "PRAGMA freelist_count", &q));
	TRY(query_step(&q, more));
	*more = *more && column_int(&q, 0) > 0;
	return NULL;
}

/* In small steps: pages that move are written to the log first, and a disk may be full. */
static void shrink_database(struct store *s)
{
	struct err *e = NULL;
	bool more = true;
	for (int i = 0; i < 64 && more && !e; i++)
		e = shrink_step(s, &more);
	err_ignore(e, "the next gc goes on");
}

struct err *store_gc(struct store *s, const struct store_gc_options *opt, const struct cancel *cancel,
	struct store_gc_result *out)
{
	struct gc_plan plan = gc_plan_of(opt);
	struct store_gc_result result = {0};
	if (plan.opt.dry_run) {
		TRY(gc_estimate(s, &plan, &result));
		TRY(gc_files(s, &plan, cancel, &result));
	} else {
		struct store_lock *lock AUTO(store_unlockp) = NULL;
		TRY(store_lock(s, "gc", false, cancel, NULL, &lock));
		struct err *e = collect(s, &plan, cancel, &result);
		if (err_kind(e) == ERR_NO_SPACE && store_reserve_release(s)) {
			err_ignore(e, "tried again with what was kept aside for this");
			result = (struct store_gc_result){0};
			e = collect(s, &plan, cancel, &result);
		}
		TRY(e);
		shrink_database(s);
		store_reserve_make(s);
	}
	*out = result;
	return NULL;
}

struct err *gc_finish_doomed(struct store *s)
{
	struct removal r AUTO(removal_fini) = {.blobs = VEC_OF(struct digest)};
	{
		struct store *locked AUTO(store_leavep) = store_enter(s);
		TRY(list_doomed(locked, &r));
	}
	if (r.blobs.len == 0 && r.layers.len == 0)
		return NULL;
	TRY(store_tx_begin(s));
	return store_tx_end(s, rescue_all(s));
}
