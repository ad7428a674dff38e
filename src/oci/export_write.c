/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/export_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define COPY_SIZE (256u << 10)

struct err *export_send_blob(
	struct export_set *set, const struct digest *d, int fd, uint64_t size, byte_sink *sink, void *ctx)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(d->algo);
	AUTO_FREE void *part = mem_alloc(COPY_SIZE);
	char text[DIGEST_TEXT_MAX];
	struct digest real;

	while (size > 0) {
		TRY(cancel_check(set->cancel));
		ssize_t n = read(fd, part, size < COPY_SIZE ? (size_t)size : COPY_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "reading blob %s", digest_text(d, text));
		if (n == 0)
			break;
		hasher_add(h, part, (size_t)n);
		TRY(sink(ctx, part, (size_t)n));
		size -= (uint64_t)n;
	}
	hasher_finish(h, &real);
	if (digest_eq(&real, d))
		return NULL;
	return err_hint(err_new(ERR_CORRUPT, "blob %s is damaged in the store", digest_text(d, text)),
		"\"cooper store verify --repair\" sets it aside; the next build or pull makes it again");
}

/* ---- a directory ---- */

static struct err *to_fd(void *ctx, const void *p, size_t len)
{
	return fd_write_all(*(int *)ctx, p, len, "the layout");
}

static struct err *copy_blob(struct export_set *set, int dirfd, const struct export_blob *b)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *dir = mem_printf("blobs/%s", digest_algo_name(b->digest.algo));
	AUTO_FREE char *path = mem_printf("%s/%s", dir, digest_hex(&b->digest, hex));
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	uint64_t size = 0;
	TRY(dir_make_all(dirfd, dir, 0755));
	TRY(store_blob_open(set->s, &b->digest, &in, &size));
	TRY(file_open(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0644, &out));
	return export_send_blob(set, &b->digest, in, size, to_fd, &out);
}

static struct err *write_file(int dirfd, const char *path, const void *p, size_t len)
{
	AUTO_FD int fd = -1;
	TRY(file_open(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd));
	return fd_write_all(fd, p, len, path);
}

struct err *export_oci_dir(struct export_set *set, const char *path)
{
	AUTO_FD int dirfd = -1;
	TRY(file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &dirfd));
	for (size_t i = 0; i < set->blobs.len; i++) {
		TRY(cancel_check(set->cancel));
		TRY(copy_blob(set, dirfd, vec_at(&set->blobs, i)));
	}
	TRY(write_file(dirfd, "oci-layout", OCI_LAYOUT, strlen(OCI_LAYOUT)));
	return write_file(dirfd, "index.json", set->index.ptr, set->index.len);
}

/* ---- tars; the order and the times are fixed, so that equal images give equal archives ---- */

static struct err *tar_bytes(struct tar_writer *w, const char *path, const void *p, size_t len)
{
	TRY(tar_writer_file(w, path, len, 0));
	return tar_writer_data(w, p, len);
}

static struct err *to_tar(void *ctx, const void *p, size_t len)
{
	return tar_writer_data(ctx, p, len);
}

static struct err *tar_blob(
	struct export_set *set, struct tar_writer *w, const char *path, const struct digest *d)
{
	AUTO_FD int fd = -1;
	uint64_t size = 0;
	TRY(store_blob_open(set->s, d, &fd, &size));
	TRY(tar_writer_file(w, path, size, 0));
	return export_send_blob(set, d, fd, size, to_tar, w);
}

static struct err *oci_members(struct export_set *set, struct tar_writer *w)
{
	enum digest_algo dir = DIGEST_NONE;
	TRY(tar_bytes(w, "oci-layout", OCI_LAYOUT, strlen(OCI_LAYOUT)));
	TRY(tar_bytes(w, "index.json", set->index.ptr, set->index.len));
	TRY(tar_writer_dir(w, "blobs", 0));
	for (size_t i = 0; i < set->blobs.len; i++) {
		const struct export_blob *b = vec_at(&set->blobs, i);
		char hex[DIGEST_TEXT_MAX];
		AUTO_FREE char *parent = mem_printf("blobs/%s", digest_algo_name(b->digest.algo));
		AUTO_FREE char *path = mem_printf("%s/%s", parent, digest_hex(&b->digest, hex));
		if (b->digest.algo != dir)
			TRY(tar_writer_dir(w, parent, 0));
		dir = b->digest.algo;
		TRY(tar_blob(set, w, path, &b->digest));
	}
	return NULL;
}

static struct err *docker_members(struct export_set *set, struct tar_writer *w)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *config = mem_printf("%s.json", digest_hex(&set->image.digest, hex));
	TRY(tar_bytes(w, "manifest.json", set->docker_manifest.ptr, set->docker_manifest.len));
	TRY(tar_blob(set, w, config, &set->image.digest));
	for (size_t i = 0; i < set->blobs.len; i++) {
		const struct export_blob *b = vec_at(&set->blobs, i);
		AUTO_FREE char *path = mem_printf("%s.tar.gz", digest_hex(&b->digest, hex));
		TRY(tar_blob(set, w, path, &b->digest));
	}
	return NULL;
}

static struct err *write_tar(struct export_set *set, byte_sink *sink, void *ctx,
	struct err *(*members)(struct export_set *, struct tar_writer *))
{
	AUTO(tar_writer_freep) struct tar_writer *w = NULL;
	TRY(tar_writer_new(sink, ctx, &w));
	TRY(members(set, w));
	return tar_writer_close(steal(&w));
}

struct err *export_oci_tar(struct export_set *set, byte_sink *sink, void *ctx)
{
	return write_tar(set, sink, ctx, oci_members);
}

struct err *export_docker_tar(struct export_set *set, byte_sink *sink, void *ctx)
{
	return write_tar(set, sink, ctx, docker_members);
}
