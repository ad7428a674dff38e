/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/node.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "graph/graph_internal.h"

#include <pthread.h>
#include <string.h>

struct node {
	struct op op;
	struct node **inputs;
	size_t input_count;
	struct node_label label;
	struct digest digest;
	struct digest op_digest;
	uint32_t number;
};

struct graph {
	pthread_mutex_t lock;
	struct arena *arena;
	struct map *nodes; /* identity -> struct node */
	uint32_t count;
};

struct graph *graph_new(void)
{
	struct graph *g = mem_new(struct graph);

	pthread_mutex_init(&g->lock, NULL);
	g->arena = arena_new();
	g->nodes = map_new(NULL);
	return g;
}

void graph_free(struct graph *g)
{
	if (!g)
		return;
	map_free(g->nodes);
	arena_free(g->arena);
	pthread_mutex_destroy(&g->lock);
	mem_freep(&g);
}

void graph_freep(struct graph **g)
{
	graph_free(*g);
	*g = NULL;
}

static void definition_digest(
	const struct digest *op_digest, struct node *const *inputs, size_t input_count, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);

	hasher_add(h, op_digest->bytes, digest_len(op_digest->algo));
	hasher_add_u64(h, input_count);
	for (size_t i = 0; i < input_count; i++) {
		/* scratch is 32 zero bytes, which no definition hashes to */
		static const struct digest scratch = {DIGEST_SHA256, {0}};
		const struct digest *d = inputs[i] ? &inputs[i]->digest : &scratch;
		hasher_add(h, d->bytes, digest_len(d->algo));
	}
	hasher_finish(h, out);
}

/* Found, or made; with the lock held. */
static struct node *intern(struct graph *g, struct str name, const struct op *op, struct node *const *inputs,
	size_t input_count, const struct node_label *label, const struct digest *digest,
	const struct digest *op_digest)
{
	struct node *n = map_get(g->nodes, name);

	if (n)
		return n;
	n = arena_new_of(g->arena, struct node);
	op_copy(g->arena, op, &n->op);
	n->inputs = arena_dup(g->arena, inputs, input_count * sizeof(*inputs));
	n->input_count = input_count;
	n->label = *label;
	n->label.name = arena_strdup(g->arena, label->name ? label->name : op_kind_name(op->kind));
	n->label.where.file = arena_strdup(g->arena, label->where.file);
	n->digest = *digest;
	n->op_digest = *op_digest;
	n->number = ++g->count;
	map_set(g->nodes, name, n);
	return n;
}

struct err *graph_node(struct graph *g, const struct op *op, struct node *const *inputs, size_t input_count,
	const struct node_label *label, struct node **out)
{
	static const struct node_label no_label;
	AUTO_BUF struct buf canonical = {0};
	struct {
		uint8_t digest[32];
		uint8_t ignore_cache;
	} identity;
	struct digest op_digest, digest;

	if (!label)
		label = &no_label;
	TRY(op_check(op, input_count));
	op_canonical(op, &canonical);
	digest_of(canonical.ptr, canonical.len, &op_digest);
	definition_digest(&op_digest, inputs, input_count, &digest);

	memcpy(identity.digest, digest.bytes, sizeof(identity.digest));
	identity.ignore_cache = label->ignore_cache;
	struct str name = str_n((const char *)&identity, sizeof(identity.digest) + 1);
	pthread_mutex_lock(&g->lock);
	struct node *n = intern(g, name, op, inputs, input_count, label, &digest, &op_digest);
	pthread_mutex_unlock(&g->lock);
	*out = n;
	return NULL;
}

const struct op *node_op(const struct node *n)
{
	return &n->op;
}

size_t node_input_count(const struct node *n)
{
	return n->input_count;
}

struct node *node_input(const struct node *n, size_t i)
{
	return n->inputs[i];
}

const struct node_label *node_label(const struct node *n)
{
	return &n->label;
}

const struct digest *node_digest(const struct node *n)
{
	return &n->digest;
}

const struct digest *node_op_digest(const struct node *n)
{
	return &n->op_digest;
}

uint32_t node_number(const struct node *n)
{
	return n->number;
}

const char *op_kind_name(enum op_kind k)
{
	static const char *const names[] = {
		"image", "git", "http", "local", "exec", "file", "merge", "diff", "mount"};

	return names[k];
}

bool op_is_source(enum op_kind k)
{
	return k == OP_IMAGE || k == OP_GIT || k == OP_HTTP || k == OP_LOCAL;
}
