/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "base/vec.h"
#include "oci/layout_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct err *fd_sink(void *ctx, const void *p, size_t len)
{
	return fd_write_all(*(const int *)ctx, p, len, "archive");
}

static struct err *write_archive(struct export_set *set, enum image_format format, int fd)
{
	return format == IMAGE_OCI_ARCHIVE ? export_oci_tar(set, fd_sink, &fd)
					   : export_docker_tar(set, fd_sink, &fd);
}

/* The place beside path where it is made. Caller frees. */
static char *beside(const char *path)
{
	char random[17];
	random_hex(random, 8);
	AUTO_FREE char *dir = path_dir(path);
	AUTO_FREE char *name = mem_printf(".%s.%s.tmp", path_base(path), random);
	return path_join(dir, name);
}

/* A file without a name until it is whole, where the file system can do that: then not even a kill leaves it
 * behind. */
static struct err *open_unnamed(const char *path, const char *temporary, bool *named, int *fd)
{
	AUTO_FREE char *dir = path_dir(path);
	*named = false;
	*fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
	if (*fd >= 0)
		return NULL;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return err_sys(errno, "writing %s", path);
	*named = true;
	return file_open(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0644, fd);
}

static struct err *publish(const char *path, const char *temporary, bool named, int fd)
{
	if (!named) {
		AUTO_FREE char *proc = mem_printf("/proc/self/fd/%d", fd);
		if (linkat(AT_FDCWD, proc, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW))
			return err_sys(errno, "writing %s", path);
	}
	if (rename(temporary, path)) {
		int sysno = errno;
		unlink(temporary);
		return err_sys(sysno, "writing %s", path);
	}
	return NULL;
}

/* Devices, pipes and sockets are written to; a file is replaced. */
static bool is_special(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static struct err *export_archive(struct export_set *set, enum image_format format, const char *path)
{
	if (cstr_eq(path, "-"))
		return write_archive(set, format, STDOUT_FILENO);
	AUTO_FD int fd = -1;
	if (is_special(path)) {
		TRY(file_open(AT_FDCWD, path, O_WRONLY | O_NOCTTY, 0, &fd));
		return write_archive(set, format, fd);
	}
	AUTO_FREE char *temporary = beside(path);
	bool named = false;
	TRY(open_unnamed(path, temporary, &named, &fd));
	struct err *e = write_archive(set, format, fd);
	if (e) {
		if (named)
			unlink(temporary);
		return e;
	}
	return publish(path, temporary, named, fd);
}

enum target { TARGET_NONE, TARGET_EMPTY, TARGET_LAYOUT };

/* May what stands at path be replaced? Only nothing, an empty directory, or an earlier layout. */
static struct err *check_target(const char *path, enum target *target)
{
	AUTO_STRVEC struct strvec names = {0};
	struct stat st;
	*target = TARGET_NONE;
	if (stat(path, &st))
		return NULL;
	if (!S_ISDIR(st.st_mode))
		return err_new(ERR_EXISTS, "%s exists and is not a directory", path);
	TRY(dir_list(AT_FDCWD, path, &names));
	*target = names.len ? TARGET_LAYOUT : TARGET_EMPTY;
	if (!names.len || (strvec_has(&names, "oci-layout") && strvec_has(&names, "index.json")))
		return NULL;
	return err_hint(err_new(ERR_EXISTS, "directory %s is not empty and holds no OCI image layout", path),
		"name a new or empty directory");
}

/* Where the file system cannot exchange: for a moment nothing is at path. */
static int exchange_in_steps(const char *temporary, const char *path)
{
	AUTO_FREE char *aside = beside(path);
	if (rename(path, aside))
		return -1;
	if (rename(temporary, path)) {
		int sysno = errno;
		if (rename(aside, path))
			return -1;
		errno = sysno;
		return -1;
	}
	return rename(aside, temporary);
}

static int rename_as(const char *temporary, const char *path, enum target target)
{
	unsigned how = target == TARGET_NONE ? RENAME_NOREPLACE : RENAME_EXCHANGE;
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, how) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -1;
	if (target != TARGET_NONE)
		return exchange_in_steps(temporary, path);
	/* Of directories this replaces no more than an empty one. */
	int r = rename(temporary, path);
	if (r && errno == ENOTEMPTY)
		errno = EEXIST;
	return r;
}

/* To path, or in the place of what is there. ERR_EXISTS: something came there meanwhile. */
static struct err *put_in_place(const char *temporary, const char *path, enum target target)
{
	if (rename_as(temporary, path, target) == 0)
		return NULL;
	struct err *e = err_sys(errno, "writing %s", path);
	if (err_sysno(e) != EBUSY)
		return e;
	return err_hint(
		e, "what is mounted, or the current directory, cannot be replaced: name a directory in it");
}

/* Made beside, and then put there in one step. */
static struct err *export_beside(struct export_set *set, const char *path, enum target target)
{
	AUTO_FREE char *temporary = beside(path);
	if (mkdir(temporary, 0755))
		return err_sys(errno, "making %s", path);
	struct err *e = export_oci_dir(set, temporary);
	if (!e)
		e = put_in_place(temporary, path, target);
	/* Another copy to the same place was a moment earlier: the later one stays. */
	if (err_kind(e) == ERR_EXISTS && target == TARGET_NONE) {
		struct err *now = check_target(path, &target);
		err_ignore(e, "it is looked at again");
		e = now ? now : put_in_place(temporary, path, target);
	}
	if (!e && target == TARGET_NONE)
		return NULL;
	/* Either what was half made, or what was replaced. */
	struct err *removing = tree_remove(AT_FDCWD, temporary);
	return err_first(e, removing);
}

/* An empty directory may be a mount or the current one, which nothing can replace: it is written into, and
 * what makes it a layout comes last. */
static struct err *export_into(struct export_set *set, const char *path)
{
	const char *const made[] = {"index.json", "oci-layout", "blobs"};
	AUTO_FD int dirfd = -1;
	struct err *e = export_oci_dir(set, path);
	if (!e || err_kind(e) == ERR_EXISTS)
		return e;
	struct err *opening = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &dirfd);
	if (opening)
		return err_first(e, opening);
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		struct err *removing = tree_remove(dirfd, made[i]);
		if (removing)
			err_ignore(removing, "the first failure is told");
	}
	return e;
}

static struct err *export_dir(struct export_set *set, const char *path_in)
{
	enum target target;
	/* "out/" is the directory out. */
	AUTO_FREE char *path = path_clean(path_in);
	TRY(check_target(path, &target));
	return target == TARGET_EMPTY ? export_into(set, path) : export_beside(set, path, target);
}

static struct err *export(struct export_set *set, const struct descriptor *image,
	const struct reference *name, enum image_format format, const char *path)
{
	struct err *e = format == IMAGE_DOCKER_ARCHIVE ? export_gather_docker(set, image, name)
						       : export_gather_oci(set, image, name);
	if (!e)
		e = format == IMAGE_OCI_LAYOUT ? export_dir(set, path) : export_archive(set, format, path);
	return e ? err_wrap(e, "exporting to %s", cstr_eq(path, "-") ? "standard output" : path) : NULL;
}

struct err *images_export(struct store *s, const struct descriptor *image, const struct reference *name,
	enum image_format format, const char *path, const struct cancel *cancel)
{
	AUTO(export_set_fini) struct export_set set = EXPORT_SET(s, cancel);
	return export(&set, image, name, format, path);
}

static struct err *add_to_layout(struct export_set *set, const struct image_copy *c)
{
	/* "out/" is the directory out. */
	AUTO_FREE char *path = path_clean(c->path);
	if (c->ref_name && !layout_ref_name_valid(c->ref_name))
		return err_hint(err_new(ERR_INVALID, "\"%s\" cannot be the name of an image of a layout",
					c->ref_name),
			"letters and digits, between them one of - . _ : @ + / at a time");
	set->ref_name = c->ref_name;
	TRY(export_gather_oci(set, c->image, NULL));
	return layout_add(set, path);
}

struct err *images_copy_to_file(struct store *s, const struct image_copy *c)
{
	AUTO(export_set_fini) struct export_set set = EXPORT_SET(s, c->cancel);
	set.attached = c->attached;
	if (c->attached && c->attached->len && c->format == IMAGE_DOCKER_ARCHIVE)
		return err_hint(
			err_new(ERR_UNSUPPORTED, "a docker-archive cannot hold what is attached to an image"),
			"write an oci-archive");
	if (c->format != IMAGE_OCI_LAYOUT)
		return export(&set, c->image, NULL, c->format, c->path);
	struct err *e = add_to_layout(&set, c);
	return e ? err_wrap(e, "adding to the layout %s", c->path) : NULL;
}
