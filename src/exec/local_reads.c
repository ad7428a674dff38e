/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "exec/copy_source.h"
#include "exec/executor_internal.h"

#include <string.h>
#include <sys/stat.h>

void file_reads_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++) {
		struct file_read *r = vec_at(v, i);
		mem_freep(&r->path);
		mem_freep(&r->state);
	}
	vec_fini(v);
}

static char *state_of(const struct file_entry *e)
{
	struct digest d = {.algo = DIGEST_SHA256};
	char hex[DIGEST_TEXT_MAX];

	if (S_ISLNK(e->mode))
		return mem_printf("link %s", e->link ? e->link : "");
	memcpy(d.bytes, e->content, sizeof(e->content));
	return mem_printf("%04o %s", e->mode & 07777, digest_hex(&d, hex));
}

static struct err *add_picks(
	struct file_tree *t, const struct vec *picks, const struct cancel *cancel, struct vec *out)
{
	TRY(file_tree_hash(t, picks, cancel));
	for (size_t i = 0; i < picks->len; i++) {
		const struct file_entry *e = ((const struct picked *)vec_at(picks, i))->entry;
		if (!S_ISREG(e->mode) && !S_ISLNK(e->mode))
			continue;
		struct file_read *r = vec_push(out);
		r->path = file_entry_path(e);
		r->state = state_of(e);
	}
	return NULL;
}

static struct err *reads_of_copy(
	struct file_tree *t, const struct file_action *a, const struct cancel *cancel, struct vec *out)
{
	struct vec matches = VEC_OF(struct copy_match);
	struct err *e = copy_sources(t, a, &matches);

	for (size_t i = 0; !e && i < matches.len; i++)
		e = add_picks(t, &((struct copy_match *)vec_at(&matches, i))->picks, cancel, out);
	copy_matches_fini(&matches);
	return e;
}

static struct err *reads_below(
	struct file_tree *t, const char *path, const struct cancel *cancel, struct vec *out)
{
	AUTO(vec_fini) struct vec picks = VEC_OF(struct picked);
	struct file_entry *top = NULL;

	TRY(file_tree_find(t, path, true, &top));
	if (!top)
		return NULL;
	TRY(file_tree_pick(t, top, NULL, NULL, &picks));
	return add_picks(t, &picks, cancel, out);
}

struct err *local_reads(
	struct executor *ex, const struct node *n, size_t i, const struct step_io *io, struct vec *out)
{
	const struct op *op = node_op(n);
	struct file_tree *t = NULL;

	TRY(local_tree(sandbox_of(ex), node_input(n, i), io, &t));
	if (op->kind != OP_FILE && op->kind != OP_EXEC)
		return reads_below(t, "", io->cancel, out);
	for (size_t a = 0; op->kind == OP_FILE && a < op->file.action_count; a++)
		if (op->file.actions[a].kind == FILE_COPY && op->file.actions[a].input == (int)i)
			TRY(reads_of_copy(t, &op->file.actions[a], io->cancel, out));
	for (size_t m = 0; op->kind == OP_EXEC && m < op->exec.mount_count; m++)
		if (op->exec.mounts[m].input == (int)i)
			TRY(reads_below(t, op->exec.mounts[m].source ? op->exec.mounts[m].source : "",
				io->cancel, out));
	return NULL;
}
