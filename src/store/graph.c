/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/store_internal.h"

#include <string.h>

void graph_fini(struct graph *g)
{
	map_freep(&g->index);
	vec_fini(&g->nodes);
	vec_fini(&g->edges);
}

struct graph_node *graph_at(const struct graph *g, size_t i)
{
	return vec_at(&g->nodes, i);
}

size_t graph_find(const struct graph *g, struct str line)
{
	uintptr_t at = (uintptr_t)map_get(g->index, line);
	return at ? at - 1 : NO_NODE;
}

static struct graph_node *add_node(struct graph *g, enum node_kind kind, const char *name)
{
	AUTO_FREE char *line = mem_printf("%c %s", (char)kind, name);
	struct graph_node *n = vec_push(&g->nodes);
	map_set_c(g->index, line, (void *)(uintptr_t)g->nodes.len);
	n->kind = kind;
	n->edges = NO_NODE;
	return n;
}

static void add_edge(struct graph *g, size_t from, size_t to)
{
	if (from == NO_NODE || to == NO_NODE)
		return;
	struct graph_node *n = graph_at(g, from);
	struct graph_edge *e = vec_push(&g->edges);
	*e = (struct graph_edge){.to = to, .next = n->edges};
	n->edges = g->edges.len - 1;
	if (n->kind != NODE_BLOB)
		graph_at(g, to)->referred = true;
}

static size_t find_digest(const struct graph *g, const struct digest *d)
{
	char line[LEASE_LINE_MAX];
	return graph_find(g, str_c(lease_blob(d, line)));
}

static struct err *load_blobs(struct store *s, struct graph *g)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "SELECT digest, size, used, doomed FROM blobs", &q));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		struct digest d;
		char text[DIGEST_TEXT_MAX];
		column_digest(&q, 0, &d);
		struct graph_node *n = add_node(g, NODE_BLOB, digest_text(&d, text));
		n->bytes = (uint64_t)column_int(&q, 1);
		n->used = column_int(&q, 2);
		n->doomed = column_int(&q, 3) != 0;
	}
}

static struct err *load_links(struct store *s, struct graph *g)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "SELECT src, dst FROM links", &q));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		struct digest from, to;
		column_digest(&q, 0, &from);
		column_digest(&q, 1, &to);
		add_edge(g, find_digest(g, &from), find_digest(g, &to));
	}
}

static struct err *load_layers(struct store *s, struct graph *g)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s,
		"SELECT layers.id, blob, used, doomed, trees.id, trees.size FROM layers LEFT JOIN trees ON "
		"trees.id = tree",
		&q));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		struct digest blob;
		column_digest(&q, 1, &blob);
		struct graph_node *n = add_node(g, NODE_LAYER, column_text(&q, 0));
		n->used = column_int(&q, 2);
		n->doomed = column_int(&q, 3) != 0;
		snprintf(n->tree, sizeof(n->tree), "%s", column_text(&q, 4));
		n->bytes = (uint64_t)column_int(&q, 5);
		size_t at = g->nodes.len - 1;
		if (digest_is_set(&blob))
			add_edge(g, at, find_digest(g, &blob));
	}
}

static struct err *load_records(struct store *s, struct graph *g)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "SELECT id, space, key, used, length(value) FROM records", &q));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		const char *space = column_text(&q, 1);
		AUTO_FREE char *name = mem_printf("%s/%s", space, column_text(&q, 2));
		struct graph_node *n = add_node(g, NODE_RECORD, name);
		n->rowid = column_int(&q, 0);
		n->root = !store_space_evictable(space);
		n->used = column_int(&q, 3);
		n->bytes = (uint64_t)column_int(&q, 4);
	}
}

static struct err *load_refs(struct store *s, struct graph *g)
{
	static const char kinds[] = {
		[STORE_REF_BLOB] = 'b', [STORE_REF_LAYER] = 'l', [STORE_REF_RECORD] = 'r'};
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s,
		"SELECT 'r ' || space || '/' || key, kind, target FROM refs JOIN records ON id = record",
		&q));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		int64_t kind = column_int(&q, 1);
		if (kind < 0 || kind >= (int64_t)sizeof(kinds))
			continue;
		AUTO_FREE char *to = mem_printf("%c %s", kinds[kind], column_text(&q, 2));
		add_edge(g, graph_find(g, str_c(column_text(&q, 0))), graph_find(g, str_c(to)));
	}
}

struct err *graph_load(struct store *s, struct graph *g)
{
	g->index = map_new(NULL);
	g->nodes = VEC_OF(struct graph_node);
	g->edges = VEC_OF(struct graph_edge);
	TRY(load_blobs(s, g));
	TRY(load_layers(s, g));
	TRY(load_records(s, g));
	TRY(load_links(s, g));
	TRY(load_refs(s, g));
	struct str line;
	void *value;
	for (size_t i = 0; map_next(g->index, &i, &line, &value);)
		graph_at(g, (uintptr_t)value - 1)->name = str_skip(line, 2);
	return NULL;
}

struct err *graph_snapshot(struct store *s, struct graph *g)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	bool own = locked->depth == 0;
	if (own)
		TRY(store_db_exec(s, "BEGIN"));
	struct err *e = graph_load(s, g);
	if (own)
		e = err_first(e, store_db_exec(s, "COMMIT"));
	return e;
}

/* Without recursion: chains of records may be long. */
void graph_mark(struct graph *g, size_t i, struct vec *fresh)
{
	if (i == NO_NODE || graph_at(g, i)->marked)
		return;
	struct vec todo AUTO(vec_fini) = VEC_OF(size_t);
	graph_at(g, i)->marked = true;
	vec_push_copy(&todo, &i);
	while (todo.len > 0) {
		size_t at = *(size_t *)vec_at(&todo, todo.len - 1);
		vec_remove(&todo, todo.len - 1);
		if (fresh)
			vec_push_copy(fresh, &at);
		for (size_t e = graph_at(g, at)->edges; e != NO_NODE;) {
			const struct graph_edge *edge = vec_at(&g->edges, e);
			if (!graph_at(g, edge->to)->marked) {
				graph_at(g, edge->to)->marked = true;
				vec_push_copy(&todo, &edge->to);
			}
			e = edge->next;
		}
	}
}
