/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one file system has that another has not, or has otherwise, as a layer of its own: for those of which
 * one was not made from the other. What is missing is not told.
 */
#include "base/mem.h"
#include "exec/executor_internal.h"
#include "exec/file_op.h"
#include "exec/rootfs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct sides {
	struct file_tree *old, *new;
	const struct step_io *io;
};

static struct err *pick_all(struct file_tree *t, const struct cancel *cancel, struct vec *out)
{
	TRY(file_tree_pick(t, file_tree_root(t), NULL, NULL, out));
	return file_tree_hash(t, out, cancel);
}

static bool same(const struct file_entry *a, const struct file_entry *b)
{
	if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->rdev != b->rdev)
		return false;
	if (S_ISREG(a->mode))
		return a->has_content && b->has_content &&
		       memcmp(a->content, b->content, sizeof(a->content)) == 0;
	return !S_ISLNK(a->mode) || cstr_eq(a->link, b->link);
}

/* Mark what differs, and the directories that lead to it. */
static struct err *mark(struct sides *s, const struct vec *picks, bool *wanted)
{
	for (size_t i = 1; i < picks->len; i++) {
		const struct picked *p = vec_at(picks, i);
		struct file_entry *other = NULL;
		TRY(file_tree_find(s->old, p->rel, false, &other));
		wanted[i] = !other || !same(p->entry, other);
	}
	/* Parents stand before what is in them. */
	for (size_t i = picks->len; i-- > 1;) {
		const struct picked *p = vec_at(picks, i);
		for (size_t k = i; wanted[i] && k-- > 0;) {
			const struct picked *above = vec_at(picks, k);
			if (above->entry == p->entry->parent) {
				wanted[k] = true;
				break;
			}
		}
	}
	return NULL;
}

static struct err *keep_wanted(struct sides *s, struct vec *picks)
{
	AUTO_FREE bool *wanted = mem_array(picks->len + 1, sizeof(*wanted));
	size_t n = 1;

	TRY(mark(s, picks, wanted));
	for (size_t i = 1; i < picks->len; i++) {
		struct picked *p = vec_at(picks, i);
		if (!wanted[i])
			continue;
		/* The name it is linked to may be left out. */
		p->hardlink = 0;
		memmove(vec_at(picks, n++), p, sizeof(*p));
	}
	picks->len = picks->len ? n : 0;
	return NULL;
}

static struct err *fill(struct sides *s, int fd)
{
	struct vec now = VEC_OF(struct picked), before = VEC_OF(struct picked);
	struct file_target ft = {.rootfd = fd, .cancel = s->io->cancel};
	const struct dressing how = {.keep_mtime = true, .keep_owner = true};

	struct err *e = pick_all(s->old, s->io->cancel, &before);
	if (!e)
		e = pick_all(s->new, s->io->cancel, &now);
	if (!e)
		e = keep_wanted(s, &now);
	if (!e)
		e = file_put_picks(&ft, s->new, &how, &now, fd);
	vec_fini(&before);
	vec_fini(&now);
	return e;
}

static struct err *open_side(struct sandbox_executor *sx, const struct snapshot *s, const struct step_io *io,
	struct file_tree **out)
{
	const struct file_tree_options opt = {.what = "the difference", .owners = true};
	int view = -1;

	TRY(rootfs_view(&sx->run, s, io, &view));
	return file_tree_new(view, &opt, out);
}

struct err *tree_diff(struct sandbox_executor *sx, const struct snapshot *from, const struct snapshot *to,
	const struct step_io *io, struct snapshot *out)
{
	AUTO(file_tree_freep) struct file_tree *old = NULL;
	AUTO(file_tree_freep) struct file_tree *new = NULL;
	AUTO(store_tree_abandonp) struct store_tree_writer *w = NULL;
	struct layer l;

	TRY(open_side(sx, from, io, &old));
	TRY(open_side(sx, to, io, &new));
	struct sides s = {.old = old, .new = new, .io = io};
	TRY(store_tree_begin(sx->store, &w));
	TRY(fill(&s, store_tree_fd(w)));
	TRY(layer_of_tree(sx, steal(&w), &l));
	strvec_push(&out->layers, l.id);
	return NULL;
}
