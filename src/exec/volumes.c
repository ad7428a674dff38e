/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/volumes.h"

#include "archive/tar.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/str.h"
#include "exec/rootfs.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIVATE_MAX 1024

struct volume {
	size_t mount; /* number of the operation's mount */
	char *name;   /* of the directory in volumes/ */
	char *path;
	struct store_lock *lock; /* NULL: an earlier one of the set with this name has it */
};

struct volume_set {
	struct volume *volumes;
	size_t count;
};

void volumes_close(struct volume_set *v)
{
	for (size_t i = 0; v && i < v->count; i++) {
		store_unlock(v->volumes[i].lock);
		free(v->volumes[i].name);
		free(v->volumes[i].path);
	}
	if (v)
		free(v->volumes);
	free(v);
}

void volumes_closep(struct volume_set **v)
{
	volumes_close(steal(v));
}

const char *volumes_path(const struct volume_set *v, size_t mount)
{
	for (size_t i = 0; i < v->count; i++) {
		if (v->volumes[i].mount == mount)
			return v->volumes[i].path;
	}
	return NULL;
}

/* Equal wishes share a directory; other owners, modes or initial files are other volumes. */
static char *volume_name(const struct exec_mount *m, const struct snapshot *const *inputs)
{
	struct hasher *h AUTO(hasher_freep) = hasher_new(DIGEST_SHA256);
	hasher_add_field(h, str_c(m->cache_id ? m->cache_id : m->target));
	bool plain = m->mode == 0755 && m->uid == 0 && m->gid == 0 && m->input == INPUT_NONE;
	if (!plain) {
		hasher_add_u64(h, m->mode);
		hasher_add_u64(h, m->uid);
		hasher_add_u64(h, m->gid);
	}
	if (m->input != INPUT_NONE) {
		const struct snapshot *s = inputs[m->input];
		for (size_t i = 0; s && i < s->layers.len; i++)
			hasher_add_field(h, str_c(s->layers.ptr[i]));
		hasher_add_field(h, str_c(m->source));
	}
	struct digest d;
	hasher_finish(h, &d);
	char hex[DIGEST_TEXT_MAX];
	return mem_strdup(digest_hex(&d, hex));
}

/* ---- making one ---- */

struct spool {
	int fd;
};

static struct err *spool_write(void *ctx, const void *p, size_t len)
{
	struct spool *s = ctx;
	return fd_write_all(s->fd, p, len, "the first files of a cache volume");
}

static struct err *spool_read(void *ctx, void *p, size_t *len)
{
	struct spool *s = ctx;
	ssize_t n;
	do
		n = read(s->fd, p, *len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(errno, "reading the first files of a cache volume");
	*len = (size_t)n;
	return NULL;
}

/* Copy the files of from to the directory to, by way of a tar that has no name. */
static struct err *copy_files(struct store *store, int from, int to, const struct cancel *cancel)
{
	struct spool s = {.fd = -1};
	AUTO_FREE char *tmp = mem_printf("%s/tmp", store_home(store));
	AUTO_FD int fd = -1;
	TRY(file_open(AT_FDCWD, tmp, O_TMPFILE | O_RDWR, 0600, &fd));
	s.fd = fd;
	struct tar_write_options out = {.cancel = cancel};
	TRY(tar_write_tree(from, &out, spool_write, &s));
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(errno, "reading the first files of a cache volume");
	struct tar_read_options in = {.cancel = cancel};
	struct tar_read_result result = {0};
	return tar_read_tree(to, &in, spool_read, &s, &result);
}

static struct err *seed(struct run_context *rc, const struct exec_mount *m, const struct snapshot *input,
	const struct step_io *io, int to)
{
	AUTO_FD int view = -1;
	TRY(rootfs_view(rc, input, io, &view));
	AUTO_FD int from = -1;
	/* Inside the root: a link in the image may point anywhere. */
	struct err *e =
		root_open(view, m->source && *m->source ? m->source : ".", O_RDONLY | O_DIRECTORY, 0, &from);
	if (e)
		return err_hint(
			err_wrap(e, "cache mount at %s: source %s", m->target, m->source ? m->source : "/"),
			"the source of a cache mount is a directory of the stage or image that from= names");
	return copy_files(rc->store, from, to, io->cancel);
}

static struct err *make_volume(struct run_context *rc, const struct exec_mount *m,
	const struct snapshot *const *inputs, const struct step_io *io, const struct volume *v)
{
	int home = store_dirfd(rc->store);
	AUTO_FREE char *final = mem_printf("volumes/%s", v->name);
	AUTO_FREE char *fresh = mem_printf("volumes/%s.new", v->name);
	TRY(tree_remove(home, fresh));
	if (mkdirat(home, fresh, 0700) < 0)
		return err_sys(errno, "making cache volume %s", v->path);
	AUTO_FD int dir = -1;
	TRY(file_open(home, fresh, O_RDONLY | O_DIRECTORY, 0, &dir));
	if (m->input != INPUT_NONE)
		TRY(seed(rc, m, inputs[m->input], io, dir));
	if (fchown(dir, m->uid, m->gid) < 0)
		return err_sys(errno, "giving the cache volume of %s to %u:%u", m->target, m->uid, m->gid);
	if (fchmod(dir, m->mode & 07777) < 0)
		return err_sys(errno, "setting the mode of the cache volume of %s", m->target);
	if (renameat(home, fresh, home, final) < 0)
		return err_sys(errno, "making cache volume %s", v->path);
	return NULL;
}

static struct err *touch_used(struct store *store, const char *name)
{
	AUTO_FREE char *used = mem_printf("volumes/%s.used", name);
	AUTO_FD int fd = -1;
	TRY(file_open(store_dirfd(store), used, O_WRONLY | O_CREAT, 0600, &fd));
	return futimens(fd, NULL) == 0 ? NULL : err_sys(errno, "marking cache volume %s as used", name);
}

static struct err *need_volume(struct run_context *rc, const struct exec_mount *m,
	const struct snapshot *const *inputs, const struct step_io *io, struct volume *v)
{
	free(v->path);
	v->path = mem_printf("%s/volumes/%s", store_home(rc->store), v->name);
	AUTO_FREE char *making = mem_printf("volume-make:%s", v->name);
	struct store_lock *lock AUTO(store_unlockp) = NULL;
	TRY(store_lock(rc->store, making, false, io->cancel, NULL, &lock));
	bool there = false;
	TRY(file_exists(AT_FDCWD, v->path, &there));
	if (!there)
		TRY(make_volume(rc, m, inputs, io, v));
	return touch_used(rc->store, v->name);
}

/* ---- locking ---- */

/* The first of name, name.1, name.2, ... that nobody has. */
static struct err *lock_private(struct store *store, struct volume *v)
{
	AUTO_FREE char *base = mem_strdup(v->name);
	for (unsigned i = 0; i < PRIVATE_MAX; i++) {
		if (i) {
			free(v->name);
			v->name = mem_printf("%s.%u", base, i);
		}
		AUTO_FREE char *text = mem_printf("volume:%s", v->name);
		TRY(store_try_lock(store, text, false, &v->lock));
		if (v->lock)
			return NULL;
	}
	return err_new(ERR_UNAVAILABLE, "%d copies of a private cache volume are in use", PRIVATE_MAX);
}

static struct err *lock_one(
	struct store *store, const struct step_io *io, enum cache_sharing sharing, struct volume *v)
{
	if (sharing == CACHE_PRIVATE)
		return lock_private(store, v);
	AUTO_FREE char *text = mem_printf("volume:%s", v->name);
	return store_lock(store, text, sharing == CACHE_SHARED, io->cancel, NULL, &v->lock);
}

static int by_name(const void *a, const void *b)
{
	const struct volume *x = a, *y = b;
	int c = strcmp(x->name, y->name);
	return c ? c : x->mount < y->mount ? -1 : x->mount > y->mount;
}

static struct err *open_all(struct run_context *rc, const struct op_exec *op,
	const struct snapshot *const *inputs, const struct step_io *io, struct volume_set *set)
{
	for (size_t i = 0; i < set->count;) {
		struct volume *first = &set->volumes[i];
		size_t next = i + 1;
		/* One lock for all mounts of a volume, the strictest that one of them wants. */
		enum cache_sharing sharing = op->mounts[first->mount].sharing;
		for (; next < set->count && strcmp(set->volumes[next].name, first->name) == 0; next++) {
			enum cache_sharing other = op->mounts[set->volumes[next].mount].sharing;
			sharing = other == CACHE_SHARED ? sharing : other;
		}
		TRY(lock_one(rc->store, io, sharing, first));
		TRY(need_volume(rc, &op->mounts[first->mount], inputs, io, first));
		for (size_t k = i + 1; k < next; k++)
			set->volumes[k].path = mem_strdup(first->path);
		i = next;
	}
	return NULL;
}

struct err *volumes_open(struct run_context *rc, const struct op_exec *op,
	const struct snapshot *const *inputs, const struct step_io *io, struct volume_set **out)
{
	struct volume_set *set AUTO(volumes_closep) = mem_new(struct volume_set);
	set->volumes = mem_array(op->mount_count + 1, sizeof *set->volumes);
	for (size_t i = 0; i < op->mount_count; i++) {
		if (op->mounts[i].kind != MOUNT_CACHE)
			continue;
		struct volume *v = &set->volumes[set->count++];
		v->mount = i;
		v->name = volume_name(&op->mounts[i], inputs);
	}
	/* Always in one order: two steps with the same two volumes must not wait for each other. */
	qsort(set->volumes, set->count, sizeof *set->volumes, by_name);
	TRY(open_all(rc, op, inputs, io, set));
	*out = steal(&set);
	return NULL;
}
