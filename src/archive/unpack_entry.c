/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/unpack_internal.h"

#include "archive/tree_marks_internal.h"
#include "base/mem.h"
#include "sys/file.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A run of zeros this long becomes a hole: tars hold sparse files in full. */
#define HOLE_MIN (32u * 1024u)

static struct err *failed(const struct wanted *w, const char *what)
{
	return err_sys(errno, "tar entry '%s': %s", w->text, what);
}

static struct err *denied(const struct wanted *w, const char *what)
{
	return err_hint(err_new(ERR_DENIED, "tar entry '%s': %s", w->text, what),
		"without root this needs a user namespace with subordinate ids: see /etc/subuid and "
		"/etc/subgid");
}

/* The name is free after: files are unlinked, directories removed with all in them. */
static struct err *unpack_clear_way(struct unpack *u, const struct wanted *w)
{
	struct stat st;
	if (fstatat(w->dirfd, w->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : failed(w, "looking at what is there");
	unpack_forget_parent(u);
	if (!S_ISDIR(st.st_mode)) {
		if (unlinkat(w->dirfd, w->name, 0) < 0 && errno != ENOENT)
			return failed(w, "replacing what is there");
		return NULL;
	}
	struct err *e = tree_remove(w->dirfd, w->name);
	return e ? err_wrap(e, "tar entry '%s': replacing the directory there", w->text) : NULL;
}

static struct err *chown_failed(const struct wanted *w)
{
	if (errno != EPERM && errno != EINVAL)
		return failed(w, "setting its owner");
	AUTO_FREE char *what = mem_printf("its owner %u:%u cannot be set here", w->uid, w->gid);
	return denied(w, what);
}

static struct err *set_owner(const struct unpack *u, int fd, const struct wanted *w)
{
	if (u->opt->squash_owners || fchown(fd, w->uid, w->gid) == 0)
		return NULL;
	return chown_failed(w);
}

static struct err *set_owner_at(const struct unpack *u, const struct wanted *w)
{
	if (u->opt->squash_owners || fchownat(w->dirfd, w->name, w->uid, w->gid, AT_SYMLINK_NOFOLLOW) == 0)
		return NULL;
	return chown_failed(w);
}

/* Attributes of security modules this kernel or file system does not have are no content. */
static struct err *set_xattr(
	const struct unpack *u, int fd, const struct wanted *w, const char *name, const void *p, size_t n)
{
	struct err *e = xattr_set(fd, name, p, n);
	if (!e)
		return NULL;
	bool refused = err_sysno(e) == EPERM || err_sysno(e) == ENOTSUP;
	bool capability = strcmp(name, "security.capability") == 0;
	if (refused && strncmp(name, "user.", 5) != 0 && (!capability || u->opt->squash_owners)) {
		err_ignore(e, "not settable here, and no part of the content");
		return NULL;
	}
	if (refused && capability) {
		err_ignore(e, "said in our own words");
		return denied(w, "its file capabilities cannot be set here");
	}
	return err_wrap(e, "tar entry '%s'", w->text);
}

static struct err *set_xattrs(const struct unpack *u, int fd, const struct wanted *w)
{
	if (!w->entry || archive_entry_xattr_reset(w->entry) == 0)
		return NULL;
	const char *name;
	const void *value;
	size_t len;
	while (archive_entry_xattr_next(w->entry, &name, &value, &len) == 0)
		if (name && mark_xattr_travels(name))
			TRY(set_xattr(u, fd, w, name, value, len));
	return NULL;
}

static struct err *set_times(int fd, const struct wanted *w)
{
	struct timespec times[2] = {w->mtime, w->mtime};
	return futimens(fd, times) < 0 ? failed(w, "setting its time") : NULL;
}

static struct err *set_times_at(const struct wanted *w)
{
	struct timespec times[2] = {w->mtime, w->mtime};
	if (utimensat(w->dirfd, w->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(w, "setting its time");
	return NULL;
}

static void note_dir(struct unpack *u, const struct wanted *w, const struct stat *st)
{
	struct dir_note *n = vec_push(&u->dirs);
	n->path = mem_strdup(w->path);
	n->seq = u->dirs.len;
	n->dev = st->st_dev;
	n->ino = st->st_ino;
	n->mode = w->mode;
	n->set_mode = (w->mode & 0700) != 0700;
	n->mtime = w->mtime;
}

/* Its time, and a mode that would lock us out, wait until the end. */
static struct err *dress_dir(struct unpack *u, int fd, const struct wanted *w)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return failed(w, "looking at it");
	TRY(set_owner(u, fd, w));
	TRY(set_xattrs(u, fd, w));
	if (fchmod(fd, w->mode | 0700) < 0)
		return failed(w, "setting its mode");
	note_dir(u, w, &st);
	return NULL;
}

static struct err *mark_opaque(int fd, const struct wanted *w)
{
	struct err *e = xattr_set(fd, MARK_OPAQUE_XATTR, MARK_OPAQUE_VALUE, strlen(MARK_OPAQUE_VALUE));
	return e ? err_wrap(e, "tar entry '%s': marking the directory opaque", w->text) : NULL;
}

struct err *unpack_dir(struct unpack *u, const struct wanted *w)
{
	bool opaque = false;
	if (mkdirat(w->dirfd, w->name, 0700) < 0) {
		struct stat st;
		if (errno != EEXIST || fstatat(w->dirfd, w->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return failed(w, "making the directory");
		if (!S_ISDIR(st.st_mode)) {
			/* Deleted and made anew in one layer: what lies below must not show through. */
			opaque = u->opt->layer && mark_is_whiteout(&st);
			TRY(unpack_clear_way(u, w));
			if (mkdirat(w->dirfd, w->name, 0700) < 0)
				return failed(w, "making the directory");
		}
	}
	AUTO_FD int fd = openat(w->dirfd, w->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return failed(w, "opening the directory");
	if (opaque)
		TRY(mark_opaque(fd, w));
	return dress_dir(u, fd, w);
}

struct err *unpack_root(struct unpack *u, const struct wanted *w)
{
	AUTO_FD int fd = openat(u->rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed(w, "opening the directory");
	return dress_dir(u, fd, w);
}

static struct err *write_at(int fd, const uint8_t *p, size_t len, uint64_t at, const struct wanted *w)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(w, "writing");
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return NULL;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && p[len / 2] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Write, leaving out long runs of zeros. *end is where the file ends so far. */
static struct err *write_sparse(
	int fd, const uint8_t *p, size_t len, uint64_t at, const struct wanted *w, uint64_t *end)
{
	size_t start = 0, i = 0;
	while (i + HOLE_MIN <= len) {
		if (!all_zero(p + i, HOLE_MIN)) {
			i += HOLE_MIN;
			continue;
		}
		TRY(write_at(fd, p + start, i - start, at + start, w));
		i += HOLE_MIN;
		start = i;
	}
	if (start < len)
		*end = at + len;
	return write_at(fd, p + start, len - start, at + start, w);
}

static struct err *write_data(struct unpack *u, int fd, const struct wanted *w)
{
	uint64_t total = 0, end = 0;
	for (;;) {
		const void *p;
		size_t len;
		uint64_t at;
		TRY(tar_reader_data(u->reader, &p, &len, &at));
		if (len == 0)
			break;
		if (at > w->size || len > w->size - at)
			return err_new(ERR_CORRUPT, "tar entry '%s': more data than it says", w->text);
		TRY(cancel_check(u->opt->cancel));
		TRY(write_sparse(fd, p, len, at, w, &end));
		total += len;
	}
	/* A hole at the end has not made the file long enough. */
	if (end < w->size && ftruncate(fd, (off_t)w->size) < 0)
		return failed(w, "setting its size");
	u->result.bytes += total;
	return NULL;
}

static struct err *create_file(struct unpack *u, const struct wanted *w, int *out)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	*out = openat(w->dirfd, w->name, flags, 0600);
	if (*out >= 0)
		return NULL;
	if (errno == EEXIST) {
		TRY(unpack_clear_way(u, w));
		*out = openat(w->dirfd, w->name, flags, 0600);
	}
	return *out < 0 ? failed(w, "making the file") : NULL;
}

struct err *unpack_file(struct unpack *u, const struct wanted *w)
{
	AUTO_FD int fd = -1;
	TRY(create_file(u, w, &fd));
	if (w->size > 0)
		TRY(write_data(u, fd, w));
	/* Writing and chown drop setuid bits and capabilities: those come after. */
	TRY(set_owner(u, fd, w));
	TRY(set_xattrs(u, fd, w));
	if (fchmod(fd, w->mode) < 0)
		return failed(w, "setting its mode");
	return set_times(fd, w);
}

struct err *unpack_symlink(struct unpack *u, const struct wanted *w, const char *target)
{
	if (!*target)
		return err_new(ERR_INVALID, "tar entry '%s': a symbolic link to nothing", w->text);
	if (symlinkat(target, w->dirfd, w->name) < 0) {
		if (errno != EEXIST)
			return failed(w, "making the symbolic link");
		TRY(unpack_clear_way(u, w));
		if (symlinkat(target, w->dirfd, w->name) < 0)
			return failed(w, "making the symbolic link");
	}
	TRY(set_owner_at(u, w));
	return set_times_at(w);
}

static struct err *check_device(struct unpack *u, const struct wanted *w)
{
	if (u->opt->layer && S_ISCHR(w->type) && w->rdev == 0)
		return err_new(ERR_INVALID,
			"tar entry '%s': the device 0:0 cannot stand in a layer, it means a deleted file",
			w->text);
	struct device_note *before = map_get_c(u->devices, w->path);
	if (before && (before->type != w->type || before->rdev != w->rdev))
		return err_new(ERR_INVALID,
			"tar entry '%s': the same device is named twice with different numbers", w->text);
	struct device_note note = {w->type, w->rdev};
	if (!before)
		map_set_c(u->devices, w->path, mem_dup(&note, sizeof(note)));
	return NULL;
}

struct err *unpack_node(struct unpack *u, const struct wanted *w)
{
	bool device = !S_ISFIFO(w->type);
	if (device)
		TRY(check_device(u, w));
	TRY(unpack_clear_way(u, w));
	if (mknodat(w->dirfd, w->name, w->type | 0600, w->rdev) < 0) {
		if (errno != EPERM)
			return failed(w, "making the node");
		if (!device || !(u->opt->rootless || u->opt->squash_owners))
			return denied(w, "the device cannot be made here");
		/* As all rootless runtimes do: /dev is mounted over when something runs in it. */
		u->result.devices_left_out++;
		return NULL;
	}
	TRY(set_owner_at(u, w));
	/* Ours since mknodat, so no link to follow. */
	if (fchmodat(w->dirfd, w->name, w->mode, 0) < 0)
		return failed(w, "setting its mode");
	return set_times_at(w);
}

struct err *unpack_opaque(const struct wanted *w)
{
	AUTO_FD int fd = openat(w->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? failed(w, "opening the directory") : mark_opaque(fd, w);
}

/*
 * A whiteout speaks of the layers below only: what this layer itself has under the name stays, but a
 * directory then hides what was there.
 */
struct err *unpack_whiteout(struct unpack *u, const struct wanted *w, const char *deleted)
{
	(void)u;
	struct stat st;
	if (mknodat(w->dirfd, deleted, S_IFCHR, 0) == 0)
		return NULL;
	if (errno == EPERM)
		return denied(w, "the mark of a deleted file (a device 0:0) cannot be made here");
	if (errno != EEXIST || fstatat(w->dirfd, deleted, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(w, "making the mark of a deleted file");
	if (!S_ISDIR(st.st_mode))
		return NULL;
	AUTO_FD int fd = openat(w->dirfd, deleted, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? failed(w, "opening the directory") : mark_opaque(fd, w);
}

struct err *unpack_hardlink(
	struct unpack *u, const struct wanted *w, const char *target, int dirfd2, const char *name2)
{
	char text[TAR_NAME_TEXT_MAX];
	struct stat from, there;
	if (fstatat(dirfd2, name2, &from, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return failed(w, "looking at the target of the hard link");
		return err_new(ERR_INVALID,
			"tar entry '%s': a hard link to '%s', which is not in the archive", w->text,
			tar_name_text(target, text));
	}
	if (S_ISDIR(from.st_mode) || (u->opt->layer && mark_is_whiteout(&from)))
		return err_new(ERR_INVALID, "tar entry '%s': a hard link to '%s', which is no file", w->text,
			tar_name_text(target, text));
	if (fstatat(w->dirfd, w->name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == from.st_ino &&
		there.st_dev == from.st_dev)
		return NULL;
	TRY(unpack_clear_way(u, w));
	if (linkat(dirfd2, name2, w->dirfd, w->name, 0) < 0)
		return failed(w, "making the hard link");
	return NULL;
}
