/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/file_op.h"

#include "base/mem.h"
#include "base/path.h"
#include "exec/rootfs.h"
#include "exec/user.h"
#include "sys/file.h"
#include "sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_job {
	struct sandbox_executor *sx;
	const struct node *node;
	const struct snapshot *const *inputs;
	const struct step_io *io;
	struct file_target target;
	struct vec trees; /* of struct job_tree */
};

struct job_tree {
	size_t input;
	struct file_tree *tree, *owned;
};

static void file_job_fini(struct file_job *j)
{
	for (size_t i = 0; i < j->trees.len; i++)
		file_tree_free(((struct job_tree *)vec_at(&j->trees, i))->owned);
	vec_fini(&j->trees);
}

struct err *input_tree(struct sandbox_executor *sx, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct file_tree **out,
	struct file_tree **owned)
{
	const struct node *in = i < node_input_count(n) ? node_input(n, i) : NULL;
	*owned = NULL;
	if (in && node_op(in)->kind == OP_LOCAL && !input)
		return local_tree(sx, in, io, out);
	static const struct snapshot empty;
	int fd = -1;
	TRY(rootfs_view(&sx->run, input ? input : &empty, io, &fd));
	const char *name = in && node_label(in)->name ? node_label(in)->name : "the source";
	struct file_tree_options opt = {.owners = true, .what = name};
	TRY(file_tree_new(fd, &opt, owned));
	*out = *owned;
	return NULL;
}

static struct err *job_tree(struct file_job *j, size_t input, struct file_tree **out)
{
	for (size_t i = 0; i < j->trees.len; i++) {
		struct job_tree *t = vec_at(&j->trees, i);
		if (t->input == input) {
			*out = t->tree;
			return NULL;
		}
	}
	struct job_tree made = {.input = input};
	const struct snapshot *s = input < node_input_count(j->node) ? j->inputs[input] : NULL;
	TRY(input_tree(j->sx, j->node, input, s, j->io, &made.tree, &made.owned));
	vec_push_copy(&j->trees, &made);
	*out = made.tree;
	return NULL;
}

/* The root in which the names of owners are looked up; *opened is closed by the caller. */
static struct err *root_of_names(struct file_job *j, const struct file_action *a, int *opened, int *out)
{
	size_t input = (size_t)a->names_from;
	const struct node *in = node_input(j->node, input);
	AUTO(snapshot_fini) struct snapshot local = {0};

	*out = j->target.rootfd;
	if (!input)
		return NULL;
	if (in && node_op(in)->kind == OP_LOCAL && !j->inputs[input])
		TRY(local_fetch(j->sx, in, j->io, &local));
	TRY(rootfs_view(&j->sx->run, j->inputs[input] ? j->inputs[input] : &local, j->io, opened));
	*out = *opened;
	return NULL;
}

static struct err *find_owner(struct file_job *j, const struct file_action *a, struct dressing *how)
{
	AUTO_FD int opened = -1;
	int root = -1;

	TRY(root_of_names(j, a, &opened, &root));
	struct err *e = image_owner_lookup(root, a->owner, &how->uid, &how->gid);
	if (e && node_op(j->node)->file.link)
		e = err_hint(err_wrap(e, "--chown=%s", a->owner),
			"with --link only numbers can be used: the base is not looked at");
	return e;
}

static struct err *dressing_of(struct file_job *j, const struct file_action *a, struct dressing *how)
{
	how->keep_owner = a->kind == FILE_COPY && a->keep_owner && !a->owner;
	if (a->owner && *a->owner)
		TRY(find_owner(j, a, how));
	how->has_mode = a->mode && *a->mode;
	if (how->has_mode)
		TRY(mode_spec_parse(a->mode, &how->mode));
	return NULL;
}

static struct err *copy_all(struct file_job *j, const struct file_action *a, struct dressing *how,
	struct file_tree *t, const struct vec *matches)
{
	for (size_t i = 0; i < matches->len; i++) {
		const struct copy_match *m = vec_at(matches, i);
		bool done = false;
		if (a->unpack)
			TRY(file_unpack_match(&j->target, t, a, how, m, &done));
		if (!done)
			TRY(file_put_match(&j->target, t, a, how, m));
	}
	return NULL;
}

static struct err *do_copy(struct file_job *j, const struct file_action *a, struct dressing *how)
{
	struct file_tree *t;
	struct vec matches = VEC_OF(struct copy_match);
	TRY(job_tree(j, (size_t)a->input, &t));
	how->keep_mtime = !file_tree_is_live(t);
	j->target.replace = a->replace;
	/* Who owns a file on this machine means nothing elsewhere. */
	how->keep_owner = how->keep_owner && !file_tree_is_live(t);
	struct err *e = copy_sources(t, a, &matches);
	if (!e)
		e = copy_all(j, a, how, t, &matches);
	copy_matches_fini(&matches);
	return e;
}

static struct err *do_mkdir(struct file_job *j, const struct file_action *a, const struct dressing *how)
{
	uint32_t mode = how->has_mode ? mode_spec_apply(&how->mode, 0755, true) : 0755;
	struct made_dir dir = {.mode = mode, .uid = how->uid, .gid = how->gid, .mtime = j->target.epoch};
	if (a->make_parents)
		return root_make_dirs(j->target.rootfd, a->dest, &dir, NULL);
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	TRY(root_open_parent(j->target.rootfd, a->dest, &dirfd, &name));
	if (mkdirat(dirfd, name, 0700) < 0)
		return err_sys(errno, "making the directory %s", a->dest);
	AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "making the directory %s", a->dest);
	return file_dress(fd, how->uid, how->gid, mode, j->target.epoch, a->dest);
}

static struct err *open_dest_parent(
	struct file_job *j, const struct file_action *a, const struct dressing *how, int *dirfd, char **name)
{
	AUTO_FREE char *dir = path_dir(a->dest);
	const char *base = path_base(a->dest);
	if (!*base)
		return err_new(ERR_INVALID, "%s is a directory", a->dest);
	struct dressing above = *how;
	above.has_mode = false;
	TRY(file_make_parents(&j->target, &above, dir, dirfd));
	TRY(file_clear_way(*dirfd, base, a->dest));
	*name = mem_strdup(base);
	return NULL;
}

static struct err *do_mkfile(struct file_job *j, const struct file_action *a, const struct dressing *how)
{
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	TRY(open_dest_parent(j, a, how, &dirfd, &name));
	AUTO_FD int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(errno, "writing %s", a->dest);
	TRY(fd_write_all(fd, a->data.ptr, a->data.len, a->dest));
	uint32_t mode = how->has_mode ? mode_spec_apply(&how->mode, 0644, false) : 0644;
	return file_dress(fd, how->uid, how->gid, mode, j->target.epoch, a->dest);
}

static struct err *do_symlink(struct file_job *j, const struct file_action *a, const struct dressing *how)
{
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	struct timespec t = timespec_of_ns(j->target.epoch), times[2] = {t, t};
	TRY(open_dest_parent(j, a, how, &dirfd, &name));
	if (symlinkat(a->target, dirfd, name) < 0 ||
		fchownat(dirfd, name, how->uid, how->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
		utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "making the link %s", a->dest);
	return NULL;
}

static struct err *do_remove(struct file_job *j, const struct file_action *a)
{
	AUTO_FD int dirfd = -1;
	AUTO_FREE char *name = NULL;
	struct stat st;
	struct err *e = root_open_parent(j->target.rootfd, a->dest, &dirfd, &name);
	if (!e && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		e = err_sys(errno, "removing %s", a->dest);
	if (e && a->allow_missing && (err_kind(e) == ERR_NOT_FOUND || err_sysno(e) == ENOTDIR)) {
		err_ignore(e, "nothing to remove");
		return NULL;
	}
	TRY(e);
	return tree_remove(dirfd, name);
}

static struct err *do_action(struct file_job *j, const struct file_action *a)
{
	struct dressing how = {0};
	TRY(cancel_check(j->io->cancel));
	struct str rest = str_c(a->dest), part;
	while (str_split(&rest, '/', &part))
		if (str_starts(part, ".wh."))
			return file_check_name(".wh.", a->dest);
	TRY(dressing_of(j, a, &how));
	switch (a->kind) {
	case FILE_COPY:
		return do_copy(j, a, &how);
	case FILE_MKDIR:
		return do_mkdir(j, a, &how);
	case FILE_MKFILE:
		return do_mkfile(j, a, &how);
	case FILE_SYMLINK:
		return do_symlink(j, a, &how);
	case FILE_REMOVE:
		return do_remove(j, a);
	case FILE_TIMES:
		return file_set_times(j->target.rootfd, a->dest, a->seconds);
	}
	return err_new(ERR_BUG, "unknown file action %d", (int)a->kind);
}

/* The base's files with the new tree on top, writable; scratch is the new tree itself. */
static struct err *mount_target(
	struct file_job *j, const struct snapshot *base, struct store_tree_writer *w, int *fd)
{
	if (!base->layers.len)
		return file_open(store_tree_fd(w), ".", O_RDONLY | O_DIRECTORY, 0, fd);
	AUTO_STRVEC struct strvec lowers = {0};
	TRY(rootfs_lowers(&j->sx->run, base, j->io, &lowers));
	AUTO_FREE char *upper = mem_printf("%s/fs", store_tree_path(w));
	AUTO_FREE char *work = mem_printf("%s/work", store_tree_path(w));
	TRY(rootfs_upper_look(lowers.ptr[lowers.len - 1], upper));
	if (mkdir(work, 0700) < 0)
		return err_sys(errno, "making %s", work);
	struct overlay_request rq = {
		.lowers = strvec_list(&lowers), .lower_count = lowers.len, .upper = upper, .work = work};
	return mount_overlay(&rq, fd);
}

static struct err *run_actions(struct file_job *j, const struct snapshot *base, struct store_tree_writer *w)
{
	const struct op_file *op = &node_op(j->node)->file;
	AUTO_FD int fd = -1;
	int64_t start = file_clock();
	TRY(mount_target(j, base, w, &fd));
	j->target.rootfd = fd;
	for (size_t i = 0; i < op->action_count; i++)
		TRY(do_action(j, &op->actions[i]));
	fd_closep(&fd);
	return settle_dir_times(store_tree_fd(w), start, j->sx->run.epoch);
}

struct err *file_run(struct sandbox_executor *sx, const struct node *n, const struct snapshot *const *inputs,
	const struct step_io *io, struct snapshot *out)
{
	static const struct snapshot scratch;
	const struct snapshot *base = node_input_count(n) && inputs[0] ? inputs[0] : &scratch;
	AUTO(store_tree_abandonp) struct store_tree_writer *w = NULL;
	AUTO(file_job_fini)
	struct file_job j = {
		.sx = sx,
		.node = n,
		.inputs = inputs,
		.io = io,
		.target = {.epoch = sx->run.epoch, .cancel = io->cancel},
		.trees = VEC_OF(struct job_tree),
	};
	TRY(store_tree_begin(sx->store, &w));
	TRY(run_actions(&j, node_op(n)->file.link ? &scratch : base, w));
	struct layer l;
	TRY(layer_of_tree(sx, steal(&w), &l));
	snapshot_copy(base, out);
	strvec_push(&out->layers, l.id);
	return NULL;
}
