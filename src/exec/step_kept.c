/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program writes into a mounted directory, kept as a layer of its own over what was mounted. Record
 * "local" "mounted:<layer the step made>:<target>": the layer's id.
 */
#include "base/mem.h"
#include "exec/step_internal.h"

struct err *step_kept_begin(struct step *s)
{
	s->kept = arena_array(s->arena, s->op->mount_count + 1, sizeof(struct store_tree_writer *));
	for (size_t i = 0; i < s->op->mount_count; i++)
		if (s->op->mounts[i].keep)
			TRY(store_tree_begin(s->rc->store, &s->kept[i]));
	return NULL;
}

void step_kept_abandon(struct step *s)
{
	for (size_t i = 0; s->kept && i < s->op->mount_count; i++)
		store_tree_abandonp(&s->kept[i]);
}

static char *record_key(const char *layer, const char *target)
{
	return mem_printf("mounted:%s:%s", layer, target);
}

static struct err *commit_one(struct step *s, size_t i, int64_t start, const char *layer)
{
	AUTO_FREE char *key = record_key(layer, s->op->mounts[i].target);
	struct layer l = {0};
	uint64_t size = 0;

	TRY(step_settle(store_tree_fd(s->kept[i]), start, s->rc->epoch, &size));
	TRY(store_tree_commit(steal(&s->kept[i]), size, l.tree));
	TRY(store_layer_add(s->rc->store, &l));
	const struct store_ref refs[] = {{STORE_REF_LAYER, l.id}, {STORE_REF_LAYER, layer}};
	return store_record_put(
		s->rc->store, &(struct store_record){"local", key, str_c(l.id), refs, ARRAY_LEN(refs)});
}

struct err *step_kept_commit(struct step *s, int64_t start, const char *layer)
{
	for (size_t i = 0; i < s->op->mount_count; i++)
		if (s->kept[i])
			TRY(commit_one(s, i, start, layer));
	return NULL;
}

struct err *kept_layer(struct store *st, const char *layer, const char *target, struct buf *out)
{
	AUTO_FREE char *key = record_key(layer, target);
	bool found;

	TRY(store_record_get(st, "local", key, out, &found));
	if (!found)
		return err_hint(err_new(ERR_NOT_FOUND,
					"what the step wrote to %s is not in the store any more", target),
			"build with --no-cache to make it again");
	return NULL;
}
