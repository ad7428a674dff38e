/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/compress.h"
#include "archive/tar.h"
#include "base/mem.h"
#include "exec/file_op.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_BLOCK 512

/* By content alone: it decompresses (or is plain) and begins like a tar. Whatever fails here is an ordinary
 * file. */
static bool looks_like_archive(int fd, const char *what)
{
	char block[TAR_BLOCK];
	size_t have = 0;
	struct fd_source src = {.fd = fd, .what = what};
	AUTO(decompressor_freep) struct decompressor *z = NULL;
	struct err *e = decompressor_new(fd_source_read, &src, 0, NULL, &z);
	while (!e && have < sizeof(block)) {
		size_t n = sizeof(block) - have;
		e = decompressor_read(z, block + have, &n);
		if (e || n == 0)
			break;
		have += n;
	}
	if (e)
		err_ignore(e, "then it is no archive");
	return have == sizeof(block) && tar_looks_like(block, have);
}

/* With the owners that the archive says; how is NULL, or says others. */
static struct err *extract(
	struct file_target *ft, const struct dressing *how, int in, int dirfd, const char *what)
{
	AUTO(decompressor_freep) struct decompressor *z = NULL;
	AUTO_FD int dir = -1;
	struct fd_source src = {.fd = in, .what = what};
	struct tar_read_result done;
	struct tar_read_options opt = {
		.cancel = ft->cancel, .rootless = userns_is_rootless(), .squash_owners = userns_one_id()};
	if (how) {
		opt.uid = &how->uid;
		opt.gid = &how->gid;
	}
	TRY(root_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0, &dir));
	if (lseek(in, 0, SEEK_SET) < 0)
		return err_sys(errno, "reading %s", what);
	TRY(decompressor_new(fd_source_read, &src, 0, NULL, &z));
	TRY(tar_read_tree(dir, &opt, decompressor_source, z, &done));
	ft->files += done.entries;
	return NULL;
}

struct err *file_unpack_match(struct file_target *ft, struct file_tree *t, const struct file_action *a,
	const struct dressing *how, const struct copy_match *m, bool *done)
{
	AUTO_FD int in = -1;
	AUTO_FD int dirfd = -1;
	*done = false;
	if (!S_ISREG(m->entry->mode) || !m->picks.len)
		return NULL;
	TRY(file_tree_open(t, m->entry, &in));
	if (!looks_like_archive(in, m->path))
		return NULL;
	struct dressing top = *how;
	top.keep_owner = false;
	top.has_mode = false;
	TRY(file_make_parents(ft, &top, a->dest, &dirfd));
	struct err *e = extract(ft, a->owner && *a->owner ? how : NULL, in, dirfd, m->path);
	if (e)
		return err_wrap(e, "unpacking \"/%s\" into %s", m->path, a->dest);
	TRY(file_tree_still_same(t, m->entry, in));
	*done = true;
	return NULL;
}
