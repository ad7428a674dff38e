/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "oci/import_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Members of an archive that are kept while it is told what it is; others are only counted. */
#define ENTRIES_MAX 10000000
/* Links kept of an archive; image archives have one for each repeated layer. */
#define LINKS_MAX 100000

static struct err *import_file_open(const struct image_import *im, struct import_file *out)
{
	struct import_file f = {.fd = -1, .path = im->path, .cancel = im->cancel};
	TRY(file_open(AT_FDCWD, im->path, O_RDONLY | O_NOCTTY, 0, &f.fd));
	struct stat st;
	AUTO_FD int fd = f.fd;
	if (fstat(fd, &st))
		return err_sys(errno, "reading %s", im->path);
	if (!S_ISREG(st.st_mode))
		return err_hint(
			err_new(ERR_UNSUPPORTED, "not a regular file"), "save the archive to a file first");
	f.fd = steal_fd(&fd);
	*out = f;
	return NULL;
}

static void import_file_close(struct import_file *f)
{
	decompressor_free(f->plain);
	f->plain = NULL;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

struct err *import_file_rewind(struct import_file *f)
{
	decompressor_free(f->plain);
	f->plain = NULL;
	uint8_t first[8];
	ssize_t n = pread(f->fd, first, sizeof(first), 0);
	if (n < 0 || lseek(f->fd, 0, SEEK_SET) < 0)
		return err_sys(errno, "reading %s", f->path);
	f->codec = codec_detect(first, (size_t)n);
	f->raw = (struct fd_source){.fd = f->fd, .what = f->path};
	if (f->codec == CODEC_NONE)
		return NULL;
	return decompressor_new(fd_source_read, &f->raw, IMPORT_BYTES_MAX, NULL, &f->plain);
}

struct err *import_file_read(void *ctx, void *p, size_t *len)
{
	struct import_file *f = ctx;
	TRY(cancel_check(f->cancel));
	return f->plain ? decompressor_read(f->plain, p, len) : fd_source_read(&f->raw, p, len);
}

static void import_scan_fini(struct import_scan *scan)
{
	buf_fini(&scan->index);
	buf_fini(&scan->manifest);
	map_freep(&scan->links);
}

void import_add_name(struct vec *names, const struct reference *ref, const struct descriptor *target)
{
	struct import_name *n = vec_push(names);
	reference_copy(ref, &n->ref);
	descriptor_copy(target, &n->target);
}

/* ---- telling what a tar holds ---- */

bool import_is_rootfs_member(const char *path)
{
	static const char *const dirs[] = {"bin", "boot", "dev", "etc", "home", "lib", "lib64", "proc",
		"root", "run", "sbin", "srv", "sys", "tmp", "usr", "var", NULL};
	struct str rest = str_c(path), first;
	str_split(&rest, '/', &first);
	for (const char *const *d = dirs; *d; d++)
		if (str_eq_c(first, *d))
			return true;
	return false;
}

struct err *import_entry_source(void *ctx, void *p, size_t *len)
{
	return tar_entry_read(ctx, p, len);
}

struct err *import_read_document(byte_source *source, void *ctx, size_t max, struct buf *out)
{
	buf_clear(out);
	for (;;) {
		char part[16384];
		size_t n = sizeof(part);
		TRY(source(ctx, part, &n));
		if (n == 0)
			return NULL;
		if (out->len + n > max)
			return err_new(
				ERR_INVALID, "a document of the archive is larger than %zu bytes", max);
		buf_add(out, part, n);
	}
}

static struct err *keep_document(struct tar_reader *r, const struct tar_entry *e, struct buf *out)
{
	buf_clear(out);
	/* Too large to be the document of an archive: then it is a file of a root file system. */
	return e->size > MANIFEST_MAX ? NULL
				      : import_read_document(import_entry_source, r, MANIFEST_MAX, out);
}

struct err *import_keep_link(struct map *links, const char *path, const struct tar_entry *e)
{
	if (map_len(links) >= LINKS_MAX)
		return err_new(ERR_INVALID, "the archive holds more than %d links", LINKS_MAX);
	if (e->hardlink) {
		map_set_c(links, path, path_rooted(e->link));
		return NULL;
	}
	AUTO_FREE char *dir = path_dir(path);
	AUTO_FREE char *target = path_resolve(dir, e->link);
	map_set_c(links, path, path_rooted(target));
	return NULL;
}

/* Ends the walk without being a failure of it. */
static struct err *enough(void)
{
	return err_new(ERR_EXISTS, "enough is known");
}

static struct err *scan_entry(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	struct import_scan *scan = ctx;
	AUTO_FREE char *path = path_rooted(e->path);
	if (++scan->entries > ENTRIES_MAX)
		return err_new(ERR_INVALID, "the archive holds more than %d entries", ENTRIES_MAX);
	/* Then the walk may end early. */
	if (import_is_rootfs_member(path)) {
		scan->rootfs = true;
		return enough();
	}
	if (e->link)
		return import_keep_link(scan->links, path, e);
	if (!S_ISREG(e->mode))
		return NULL;
	if (cstr_eq(path, "oci-layout"))
		scan->oci_layout = true;
	if (cstr_eq(path, "index.json"))
		return keep_document(r, e, &scan->index);
	if (cstr_eq(path, "manifest.json"))
		return keep_document(r, e, &scan->manifest);
	return NULL;
}

static struct err *scan_archive(struct import_file *f, struct import_scan *scan)
{
	scan->links = map_new(free);
	TRY(import_file_rewind(f));
	struct err *e = tar_each(import_file_read, f, NULL, scan_entry, scan);
	if (e && scan->rootfs && err_kind(e) == ERR_EXISTS) {
		err_free(e);
		e = NULL;
	}
	return e;
}

bool import_is_docker_manifest(struct str text)
{
	json_t *list = json_loadb(text.ptr ? text.ptr : "", text.len, 0, NULL);
	bool is = json_is_array(list) && json_object_get(json_array_get(list, 0), "Config");
	json_decref(list);
	return is;
}

static struct err *check_is_tar(struct import_file *f)
{
	char first[512];
	size_t have = 0;
	TRY(import_file_rewind(f));
	while (have < sizeof(first)) {
		size_t n = sizeof(first) - have;
		TRY(import_file_read(f, first + have, &n));
		if (n == 0)
			break;
		have += n;
	}
	if (have < sizeof(first) || !tar_looks_like(first, have))
		return err_hint(err_new(ERR_INVALID, "neither an image archive nor a tar"),
			"docker save, OCI archives, OCI layout directories and root file system tars can be "
			"imported");
	return NULL;
}

static struct err *import_archive(struct store *s, const struct image_import *im, struct vec *names)
{
	AUTO(import_file_close) struct import_file f = {.fd = -1};
	AUTO(import_scan_fini) struct import_scan scan = {0};
	TRY(import_file_open(im, &f));
	TRY(check_is_tar(&f));
	TRY(scan_archive(&f, &scan));
	if (!scan.rootfs && scan.oci_layout && scan.index.len)
		return import_oci_archive(s, im, &f, &scan, names);
	if (!scan.rootfs && import_is_docker_manifest(buf_str(&scan.manifest)))
		return import_docker(s, im, &f, &scan, names);
	TRY(import_file_rewind(&f));
	return import_rootfs(s, im, &f, names);
}

static struct err *import_any(struct store *s, const struct image_import *im, struct vec *names)
{
	struct stat st;
	if (stat(im->path, &st))
		return err_sys(errno, "looking at it");
	if (!S_ISDIR(st.st_mode))
		return import_archive(s, im, names);
	AUTO_FD int dirfd = -1;
	TRY(file_open(AT_FDCWD, im->path, O_RDONLY | O_DIRECTORY, 0, &dirfd));
	return import_oci_dir(s, im, dirfd, names);
}

static void names_fini(struct vec *names)
{
	for (size_t i = 0; i < names->len; i++) {
		struct import_name *n = vec_at(names, i);
		reference_fini(&n->ref);
		descriptor_fini(&n->target);
	}
	vec_fini(names);
}

static struct err *set_names(struct store *s, const struct vec *names, const char *origin)
{
	for (size_t i = 0; i < names->len; i++) {
		const struct import_name *n = vec_at(names, i);
		TRY(images_set_name(s, &n->ref, &n->target, origin));
	}
	return NULL;
}

static struct err *report_names(struct store *s, const struct vec *names, struct vec *out)
{
	for (size_t i = 0; i < names->len; i++) {
		const struct import_name *n = vec_at(names, i);
		struct stored_image image;
		bool found = false;
		TRY(images_get(s, &n->ref, &image, &found));
		if (found)
			vec_push_copy(out, &image);
	}
	return NULL;
}

struct err *images_import(struct store *s, const struct image_import *im, struct vec *out)
{
	AUTO(names_fini) struct vec names = VEC_OF(struct import_name);
	struct err *e = import_any(s, im, &names);
	if (e)
		return err_wrap(e, "importing %s", im->path);
	AUTO_FREE char *origin = mem_printf("imported from %s", path_base(im->path));
	TRY(store_begin(s));
	e = set_names(s, &names, origin);
	if (e) {
		store_rollback(s);
		return e;
	}
	TRY(store_commit(s));
	return report_names(s, &names, out);
}
