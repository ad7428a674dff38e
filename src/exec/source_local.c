/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "exec/executor_internal.h"
#include "exec/file_op.h"
#include "exec/git_tool.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The directory that "host:PATH" or "host#WORD:PATH" names; NULL if it is of another form. */
static const char *host_dir(const char *name)
{
	const char *colon = strchr(name, ':');
	bool host = cstr_starts(name, "host:") || cstr_starts(name, "host#");

	return host && colon && path_is_abs(colon + 1) ? colon + 1 : NULL;
}

static struct err *find_source(struct sandbox_executor *sx, const char *name, struct local_source *out)
{
	for (size_t i = 0; i < sx->local_count; i++) {
		if (strcmp(sx->locals[i].name, name) == 0) {
			*out = sx->locals[i];
			return NULL;
		}
	}
	if (sx->host_dirs && host_dir(name)) {
		*out = (struct local_source){.name = "host directory", .dir = host_dir(name)};
		return NULL;
	}
	return err_new(ERR_NOT_FOUND, "there is no local directory called \"%s\" in this build", name);
}

static struct err *open_dir(const struct local_source *src, int *fd)
{
	struct err *e = file_open(AT_FDCWD, src->dir, O_RDONLY | O_DIRECTORY, 0, fd);
	if (!e)
		return NULL;
	return err_wrap(e, "the directory for \"%s\"", src->name);
}

struct commit_filling {
	struct git_export export;
	const struct step_io *io;
};

static struct err *fill_from_commit(void *ctx, int fd, const char *dir)
{
	struct commit_filling *f = ctx;
	AUTO_STRVEC struct strvec submodules = {0};
	(void)fd;
	f->export.dir = dir;
	TRY(git_submodules(f->export.git_dir, f->export.tree, f->export.cancel, &submodules));
	for (size_t i = 0; i < submodules.len; i++)
		event_warn(f->io->events, (struct source_range){0},
			"%s is a submodule: its files are not part of the commit and are left out",
			submodules.ptr[i]);
	return git_export(&f->export);
}

/* The files of a commit, written out once for each tree id; equal trees of other commits are found again. */
static struct err *commit_dir(
	struct sandbox_executor *sx, const struct local_source *src, const struct step_io *io, char **out)
{
	AUTO_FREE char *tree = NULL;
	AUTO_FREE char *scratch = NULL;
	struct layer l;
	TRY(git_tree_id(src->git_dir, src->commit, src->subdir, io->cancel, &tree));
	AUTO_FREE char *key = mem_printf("git-tree-1:%s", tree);
	TRY(store_scratch(sx->store, &scratch));
	struct commit_filling f = {
		.export = {.git_dir = src->git_dir, .tree = tree, .scratch = scratch, .cancel = io->cancel},
		.io = io,
	};
	struct layer_recipe recipe = {.key = key, .fill = fill_from_commit, .ctx = &f};
	struct err *e = layer_by_recipe(sx, &recipe, io, &l);
	e = err_first(e, tree_remove(AT_FDCWD, scratch));
	if (e)
		return err_wrap(e, "reading the files of commit %.12s", src->commit);
	TRY(sandbox_need_tree(sx, l.id, io, &l));
	*out = store_tree_dir(sx->store, l.tree);
	return NULL;
}

static struct err *new_tree(
	struct sandbox_executor *sx, const struct node *n, const struct step_io *io, struct file_tree **out)
{
	const struct op_local *op = &node_op(n)->local;
	struct local_source src;
	AUTO_FREE char *commit = NULL;
	AUTO_FD int fd = -1;
	TRY(find_source(sx, op->name, &src));
	struct local_source at = src;
	if (src.commit) {
		TRY(commit_dir(sx, &src, io, &commit));
		at.dir = commit;
		at.git_modes = true;
	}
	TRY(open_dir(&at, &fd));
	AUTO_FREE char *real = realpath(at.dir, NULL);
	if (!real)
		return err_sys(errno, "the directory for \"%s\": %s", src.name, at.dir);
	AUTO_FREE char *what = src.commit ? mem_printf("the %s (commit %.12s)", src.name, src.commit)
					  : mem_printf("the %s (%s)", src.name, src.dir);
	struct file_tree_options opt = {
		.exclude = op->exclude,
		.include = op->include,
		.git_modes = at.git_modes,
		.live = true,
		.what = what,
		.cache = stat_cache_open(sx->store, real),
	};
	return file_tree_new(steal_fd(&fd), &opt, out);
}

struct err *local_tree(
	struct sandbox_executor *sx, const struct node *n, const struct step_io *io, struct file_tree **out)
{
	const struct digest *d = node_op_digest(n);
	struct str key = str_n((const char *)d->bytes, digest_len(d->algo));
	struct err *e = NULL;
	pthread_mutex_lock(&sx->local_lock);
	struct file_tree *t = map_get(sx->trees, key);
	if (!t) {
		e = new_tree(sx, n, io, &t);
		if (!e)
			map_set(sx->trees, key, t);
	}
	pthread_mutex_unlock(&sx->local_lock);
	if (!e)
		*out = t;
	return e;
}

static struct err *whole_digest(
	struct file_tree *t, const struct vec *picks, const struct cancel *cancel, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	TRY(file_tree_hash(t, picks, cancel));
	picks_digest(t, picks, h);
	hasher_finish(h, out);
	return file_tree_save(t);
}

struct err *local_pin(
	struct sandbox_executor *sx, const struct node *n, const struct step_io *io, struct source_pin *out)
{
	struct file_tree *t;
	struct vec picks = VEC_OF(struct picked);
	struct digest d;
	char text[DIGEST_TEXT_MAX];
	TRY(local_tree(sx, n, io, &t));
	struct err *e = file_tree_pick(t, file_tree_root(t), NULL, NULL, &picks);
	if (!e)
		e = whole_digest(t, &picks, io->cancel, &d);
	vec_fini(&picks);
	TRY(e);
	out->text = mem_strdup(digest_text(&d, text));
	out->digest = d;
	return NULL;
}

struct local_filling {
	struct sandbox_executor *sx;
	struct file_tree *tree;
	const struct step_io *io;
};

static struct err *fill_from_tree(void *ctx, int fd, const char *dir)
{
	struct local_filling *l = ctx;
	int64_t start = file_clock();
	struct file_target ft = {.rootfd = fd, .epoch = l->sx->run.epoch, .cancel = l->io->cancel};
	struct dressing how = {0};
	struct vec picks = VEC_OF(struct picked);
	(void)dir;
	struct err *e = file_tree_pick(l->tree, file_tree_root(l->tree), NULL, NULL, &picks);
	if (!e)
		e = file_put_picks(&ft, l->tree, &how, &picks, fd);
	vec_fini(&picks);
	TRY(e);
	return settle_dir_times(fd, start, l->sx->run.epoch);
}

struct err *local_fetch(
	struct sandbox_executor *sx, const struct node *n, const struct step_io *io, struct snapshot *out)
{
	struct local_filling filling = {.sx = sx, .io = io};
	struct layer l;
	AUTO(source_pin_fini) struct source_pin pin = {0};
	TRY(local_pin(sx, n, io, &pin));
	TRY(local_tree(sx, n, io, &filling.tree));
	AUTO_FREE char *key = mem_printf("local-1:%s:%lld", pin.text, (long long)sx->run.epoch);
	struct layer_recipe recipe = {.key = key, .fill = fill_from_tree, .ctx = &filling};
	TRY(layer_by_recipe(sx, &recipe, io, &l));
	strvec_push(&out->layers, l.id);
	return NULL;
}

/* ---- single files, for frontends ---- */

static struct err *read_from_dir(
	const struct local_source *src, const char *path, size_t max, struct buf *out, bool *found)
{
	AUTO_FD int root = -1;
	TRY(open_dir(src, &root));
	struct err *e = root_read(root, path, max, out, found);
	return e ? err_wrap(e, "%s", src->dir) : NULL;
}

struct err *local_source_read(
	const struct local_source *src, const char *path, size_t max, struct buf *out, bool *found)
{
	if (!src->commit)
		return read_from_dir(src, path, max, out, found);
	AUTO_FREE char *inside = path_join(src->subdir ? src->subdir : "", path);
	AUTO_FREE char *clean = path_rooted(inside);
	return git_read_file(src->git_dir, src->commit, clean, max, out, found);
}
