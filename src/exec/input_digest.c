/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/copy_source.h"
#include "exec/executor_internal.h"

#include <string.h>
#include <sys/stat.h>

static struct err *hash_matches(
	struct file_tree *t, struct vec *matches, const struct cancel *cancel, struct hasher *h)
{
	hasher_add_u64(h, matches->len);
	for (size_t i = 0; i < matches->len; i++) {
		const struct copy_match *m = vec_at(matches, i);
		TRY(file_tree_hash(t, &m->picks, cancel));
		hasher_add_field(h, str_c(m->name));
		hasher_add_field(h, str_c(m->kept ? m->kept : ""));
		picks_digest(t, &m->picks, h);
	}
	return NULL;
}

static struct err *hash_source(
	struct file_tree *t, const char *path, const struct cancel *cancel, struct hasher *h)
{
	struct file_entry *e;
	struct vec picks = VEC_OF(struct picked);
	TRY(file_tree_find(t, path, true, &e));
	hasher_add_u64(h, e != NULL);
	if (!e)
		return NULL; /* the step itself says what is missing */
	struct err *err = file_tree_pick(t, e, NULL, NULL, &picks);
	if (!err)
		err = file_tree_hash(t, &picks, cancel);
	if (!err)
		picks_digest(t, &picks, h);
	vec_fini(&picks);
	return err;
}

/* Where names of owners are looked up. */
static struct err *hash_names(struct file_tree *t, const struct cancel *cancel, struct hasher *h)
{
	TRY(hash_source(t, "etc/passwd", cancel, h));
	return hash_source(t, "etc/group", cancel, h);
}

struct err *file_input_digest(struct sandbox_executor *sx, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct digest *out)
{
	const struct op_file *op = &node_op(n)->file;
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	AUTO(file_tree_freep) struct file_tree *owned = NULL;
	struct file_tree *t;
	TRY(input_tree(sx, n, i, input, io, &t, &owned));
	for (size_t a = 0; a < op->action_count; a++) {
		if (op->actions[a].owner && op->actions[a].names_from == (int)i)
			TRY(hash_names(t, io->cancel, h));
		if (op->actions[a].kind != FILE_COPY || op->actions[a].input != (int)i)
			continue;
		struct vec matches = VEC_OF(struct copy_match);
		struct err *e = copy_sources(t, &op->actions[a], &matches);
		if (!e)
			e = hash_matches(t, &matches, io->cancel, h);
		copy_matches_fini(&matches);
		TRY(e);
	}
	TRY(file_tree_save(t));
	hasher_finish(h, out);
	return NULL;
}

struct err *mounts_input_digest(struct sandbox_executor *sx, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct digest *out)
{
	const struct op_exec *op = &node_op(n)->exec;
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	AUTO(file_tree_freep) struct file_tree *owned = NULL;
	struct file_tree *t;
	TRY(input_tree(sx, n, i, input, io, &t, &owned));
	for (size_t m = 0; m < op->mount_count; m++)
		if (op->mounts[m].input == (int)i)
			TRY(hash_source(t, op->mounts[m].source ? op->mounts[m].source : "", io->cancel, h));
	TRY(file_tree_save(t));
	hasher_finish(h, out);
	return NULL;
}
