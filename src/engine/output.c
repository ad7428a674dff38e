/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static struct err *plain_executor(struct engine *e, struct executor **out)
{
	struct remote *remote = NULL;

	TRY(engine_remote(e, &remote));
	const struct sandbox_executor_options opt = {
		.store = e->store, .remote = remote, .epoch = FIXED_EPOCH};
	return sandbox_executor_new(&opt, out);
}

static struct err *write_tar(
	struct executor *ex, const struct snapshot *s, const char *path, const struct step_io *io)
{
	if (cstr_eq(path, "-"))
		return snapshot_export_tar(ex, s, STDOUT_FILENO, io);
	AUTO_FREE char *partial = mem_printf("%s.partial-%d", path, (int)getpid());
	AUTO_FD int fd = -1;
	TRY(file_open(AT_FDCWD, partial, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd));
	struct err *e = snapshot_export_tar(ex, s, fd, io);
	if (!e && (fsync(fd) < 0 || rename(partial, path) < 0))
		e = err_sys(errno, "writing %s", path);
	if (e)
		unlink(partial);
	return e;
}

static struct err *output_files(struct engine *e, const struct build_result *r, const struct build_output *o,
	const struct cancel *cancel)
{
	const struct snapshot s = {.layers = r->layers};
	const struct step_io io = {0, NULL, cancel};
	struct executor *ex = NULL;

	TRY(plain_executor(e, &ex));
	struct err *failure = o->kind == OUTPUT_DIR ? snapshot_export_dir(ex, &s, o->path, &io)
						    : write_tar(ex, &s, o->path, &io);
	sandbox_executor_free(ex);
	return failure;
}

static struct err *fetch_blob(struct engine *e, const struct descriptor *d, const struct transfer_io *io)
{
	struct remote *remote = NULL;
	int64_t size = -1;

	TRY(store_blob_stat(e->store, &d->digest, &size));
	if (size >= 0)
		return NULL;
	TRY(engine_remote(e, &remote));
	return remote_fetch_blob(remote, NULL, d, io);
}

#define INDEX_DEPTH_MAX 4

struct missing {
	struct engine *e;
	const struct transfer_io *io;
	struct map *seen; /* digests of manifests */
};

static struct err *fetch_missing(struct missing *f, const struct digest *manifest, int depth);

static struct err *fetch_named(struct missing *f, const struct manifest *m, int depth)
{
	if (m->kind == MANIFEST_IMAGE)
		TRY(fetch_blob(f->e, &m->config, f->io));
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *d = vec_at(&m->entries, i);
		/* Caches of BuildKit have layers as entries of an index. */
		if (m->kind == MANIFEST_INDEX && media_type_is_manifest(d->media_type))
			TRY(fetch_missing(f, &d->digest, depth + 1));
		else
			TRY(remote_without_foreign(fetch_blob(f->e, d, f->io), d, f->io));
	}
	return NULL;
}

static struct err *fetch_missing(struct missing *f, const struct digest *manifest, int depth)
{
	AUTO_BUF struct buf bytes = {0};
	AUTO(manifest_fini) struct manifest m = {0};
	char text[DIGEST_TEXT_MAX];

	TRY(cancel_check(f->io->cancel));
	if (map_has(f->seen, str_c(digest_text(manifest, text))))
		return NULL;
	map_set_c(f->seen, text, f);
	if (depth > INDEX_DEPTH_MAX)
		return err_new(ERR_INVALID, "indexes are nested deeper than %d", INDEX_DEPTH_MAX);
	TRY(store_blob_read(f->e->store, manifest, MANIFEST_MAX, &bytes));
	struct err *e = manifest_parse(buf_str(&bytes), NULL, &m);
	if (e)
		return err_wrap(e, "%s", text);
	return fetch_named(f, &m, depth);
}

struct err *engine_fetch_missing(
	struct engine *e, const struct digest *manifest, const struct transfer_io *io)
{
	AUTO(map_freep) struct map *seen = map_new(NULL);
	return fetch_missing(&(struct missing){e, io, seen}, manifest, 0);
}

static struct err *output_archive(struct engine *e, const struct build_result *r,
	const struct reference *name, enum image_format format, const char *path, const struct cancel *cancel)
{
	const struct transfer_io io = {.cancel = cancel};

	TRY(engine_fetch_missing(e, &r->manifest.digest, &io));
	return images_export(e->store, &r->manifest, name, format, path, cancel);
}

struct err *engine_output(struct engine *e, const struct build_result *r, const struct reference *name,
	const struct build_output *o, const struct cancel *cancel)
{
	switch (o->kind) {
	case OUTPUT_STORE:
	case OUTPUT_NONE:
		return NULL;
	case OUTPUT_OCI_LAYOUT:
		return output_archive(e, r, name, IMAGE_OCI_LAYOUT, o->path, cancel);
	case OUTPUT_OCI_ARCHIVE:
		return output_archive(e, r, name, IMAGE_OCI_ARCHIVE, o->path, cancel);
	case OUTPUT_DOCKER_ARCHIVE:
		return output_archive(e, r, name, IMAGE_DOCKER_ARCHIVE, o->path, cancel);
	case OUTPUT_DIR:
	case OUTPUT_TAR:
		return output_files(e, r, o, cancel);
	}
	return err_new(ERR_BUG, "output kind %d", (int)o->kind);
}
