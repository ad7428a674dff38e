/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/rootfs.h"

#include "base/mem.h"
#include "exec/step_internal.h"
#include "sys/file.h"
#include "sys/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const no_points[] = {NULL};

/*
 * A directory can be in an overlay once. An image may have equal layers, which are one tree here: its last
 * place is the one that shows, as it hides all that it did further down, deletions too.
 */
static void push_once(struct strvec *dirs, size_t begin, char *dir)
{
	for (size_t i = begin; i < dirs->len; i++) {
		if (cstr_eq(dirs->ptr[i], dir)) {
			strvec_remove(dirs, i);
			break;
		}
	}
	strvec_push_take(dirs, dir);
}

struct err *rootfs_lowers(
	struct run_context *rc, const struct snapshot *s, const struct step_io *io, struct strvec *out)
{
	size_t begin = out->len;
	for (size_t i = 0; s && i < s->layers.len; i++) {
		struct layer l = {0};
		TRY(rc->need_tree(rc->need_tree_ctx, s->layers.ptr[i], io, &l));
		if (!l.tree[0])
			return err_new(ERR_BUG, "layer %s has no tree", s->layers.ptr[i]);
		push_once(out, begin, store_tree_dir(rc->store, l.tree));
	}
	return NULL;
}

struct err *rootfs_upper_look(const char *top, const char *upper)
{
	struct stat st;
	if (stat(top, &st) < 0)
		return err_sys(errno, "reading %s", top);
	if (chown(upper, st.st_uid, st.st_gid) < 0)
		return err_sys(errno, "setting the owner of %s", upper);
	if (chmod(upper, st.st_mode & 07777) < 0)
		return err_sys(errno, "setting the mode of %s", upper);
	return NULL;
}

static struct err *make_dir(const char *path)
{
	if (path && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(errno, "making %s", path);
	return NULL;
}

static struct err *mount_on(const struct strvec *lowers, const struct rootfs_request *rq, int *fd)
{
	struct overlay_request o = {
		.lowers = strvec_list(lowers),
		.lower_count = lowers->len,
		.upper = rq->upper,
		.work = rq->work,
	};
	return mount_overlay(&o, fd);
}

struct err *rootfs_mount(
	struct run_context *rc, const struct rootfs_request *rq, const struct step_io *io, int *fd)
{
	AUTO_STRVEC struct strvec lowers = {0};
	AUTO_FREE char *stub = NULL;
	TRY(stubs_get(rc->cache, rq->points, rc->epoch, &stub));
	strvec_push(&lowers, stub);
	TRY(rootfs_lowers(rc, rq->snapshot, io, &lowers));
	/* Without an upper directory overlayfs wants two lower ones. */
	if (!rq->upper && lowers.len == 1) {
		AUTO_FREE char *empty = NULL;
		TRY(stubs_get(rc->cache, no_points, rc->epoch + 1, &empty));
		strvec_push(&lowers, empty);
	}
	if (rq->upper && lowers.len > 1)
		TRY(rootfs_upper_look(lowers.ptr[lowers.len - 1], rq->upper));
	TRY(make_dir(rq->work));
	AUTO_FD int m = -1;
	TRY(mount_on(&lowers, rq, &m));
	AUTO_STRVEC struct strvec missing = {0};
	TRY(stubs_missing(m, rq->points, &missing));
	if (missing.len) {
		/* Deleted by a layer, or behind a dangling link: an extra layer on top has them. */
		TRY(make_dir(rq->scratch));
		TRY(stubs_make_like(rq->scratch, m, strvec_list(&missing), rc->epoch));
		strvec_push(&lowers, rq->scratch);
		fd_closep(&m);
		AUTO_FREE char *work = rq->work ? mem_printf("%s-again", rq->work) : NULL;
		struct rootfs_request again = *rq;
		again.work = work;
		TRY(make_dir(work));
		TRY(mount_on(&lowers, &again, &m));
	}
	*fd = steal_fd(&m);
	return NULL;
}

struct err *rootfs_view(struct run_context *rc, const struct snapshot *s, const struct step_io *io, int *fd)
{
	struct rootfs_request rq = {.snapshot = s, .points = no_points};
	return rootfs_mount(rc, &rq, io, fd);
}
