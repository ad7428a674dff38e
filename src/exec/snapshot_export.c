/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar.h"
#include "exec/executor_internal.h"
#include "exec/file_op.h"
#include "exec/rootfs.h"
#include "sys/file.h"

#include <fcntl.h>
#include <unistd.h>

static struct err *put_all(struct sandbox_executor *sx, struct file_tree *t, int fd, const struct step_io *io)
{
	struct file_target ft = {.rootfd = fd, .epoch = sx->run.epoch, .cancel = io->cancel};
	/* Only root can give files away; others export what becomes theirs. */
	struct dressing how = {
		.keep_mtime = true, .keep_owner = geteuid() == 0, .uid = geteuid(), .gid = getegid()};
	struct vec picks = VEC_OF(struct picked);
	struct err *e = file_tree_pick(t, file_tree_root(t), NULL, NULL, &picks);
	if (!e)
		e = file_put_picks(&ft, t, &how, &picks, fd);
	vec_fini(&picks);
	return e;
}

struct err *snapshot_view(struct executor *ex, const struct snapshot *s, const struct step_io *io, int *fd)
{
	return rootfs_view(&sandbox_of(ex)->run, s, io, fd);
}

struct err *snapshot_export_dir(
	struct executor *ex, const struct snapshot *s, const char *dir, const struct step_io *io)
{
	static const struct step_io none;
	struct sandbox_executor *sx = sandbox_of(ex);
	AUTO(file_tree_freep) struct file_tree *t = NULL;
	AUTO_FD int out = -1;
	int view = -1;
	io = io ? io : &none;
	TRY(dir_make_all(AT_FDCWD, dir, 0755));
	TRY(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &out));
	TRY(rootfs_view(&sx->run, s, io, &view));
	struct file_tree_options opt = {.what = "the result"};
	TRY(file_tree_new(view, &opt, &t));
	struct err *e = put_all(sx, t, out, io);
	return e ? err_wrap(e, "writing the result to %s", dir) : NULL;
}

static struct err *write_fd(void *ctx, const void *p, size_t len)
{
	return fd_write_all(*(int *)ctx, p, len, "the tar");
}

struct err *snapshot_export_tar(
	struct executor *ex, const struct snapshot *s, int fd, const struct step_io *io)
{
	static const struct step_io none;
	struct sandbox_executor *sx = sandbox_of(ex);
	AUTO_FD int view = -1;
	io = io ? io : &none;
	TRY(rootfs_view(&sx->run, s, io, &view));
	struct tar_write_options opt = {.cancel = io->cancel};
	struct err *e = tar_write_tree(view, &opt, write_fd, &fd);
	return e ? err_wrap(e, "writing the result as a tar") : NULL;
}

static struct err *digest_at(
	struct file_tree *t, const char *path, const struct cancel *cancel, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	struct vec picks = VEC_OF(struct picked);
	struct file_entry *top = NULL;

	TRY(file_tree_find(t, path, true, &top));
	if (!top)
		return err_new(ERR_NOT_FOUND, "%s: no such file or directory", path);
	struct err *e = file_tree_pick(t, top, NULL, NULL, &picks);
	if (!e)
		e = file_tree_hash(t, &picks, cancel);
	if (!e)
		picks_digest(t, &picks, h);
	vec_fini(&picks);
	hasher_finish(h, out);
	return e;
}

struct err *snapshot_digest(struct executor *ex, const struct snapshot *s, const char *path,
	const struct step_io *io, struct digest *out)
{
	AUTO(file_tree_freep) struct file_tree *t = NULL;
	const struct file_tree_options opt = {.what = "the files", .owners = true};
	int view = -1;

	TRY(snapshot_view(ex, s, io, &view));
	TRY(file_tree_new(view, &opt, &t));
	return digest_at(t, path, io->cancel, out);
}
