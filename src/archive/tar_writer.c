/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar.h"

#include "archive/tar_header_internal.h"
#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

struct tar_writer {
	byte_sink *sink;
	void *ctx;
	char *path;    /* of the file being written */
	uint64_t size; /* of it */
	uint64_t left; /* bytes of it still to come */
};

static const char zeros[2 * TAR_BLOCK];

struct err *tar_writer_new(byte_sink *sink, void *ctx, struct tar_writer **out)
{
	struct tar_writer *w = mem_new(struct tar_writer);
	w->sink = sink;
	w->ctx = ctx;
	*out = w;
	return NULL;
}

/* The padding of the file before, after checking that all of it came. */
static struct err *end_file(struct tar_writer *w)
{
	if (w->left > 0)
		return err_new(ERR_BUG, "archive: '%s' lacks %" PRIu64 " of its %" PRIu64 " bytes", w->path,
			w->left, w->size);
	size_t pad = (TAR_BLOCK - w->size % TAR_BLOCK) % TAR_BLOCK;
	w->size = 0;
	return pad ? w->sink(w->ctx, zeros, pad) : NULL;
}

static struct err *put_header(struct tar_writer *w, struct tar_header h, int64_t mtime)
{
	AUTO_BUF struct buf b = {0};
	TRY(end_file(w));
	h.mtime = mtime / CLOCK_SECOND - (mtime % CLOCK_SECOND < 0);
	TRY(tar_header_add(&b, &h));
	return w->sink(w->ctx, b.ptr, b.len);
}

struct err *tar_writer_file(struct tar_writer *w, const char *path, uint64_t size, int64_t mtime)
{
	TRY(put_header(
		w, (struct tar_header){.type = TAR_FILE, .path = path, .mode = 0644, .size = size}, mtime));
	mem_freep(&w->path);
	w->path = mem_strdup(path);
	w->size = w->left = size;
	return NULL;
}

struct err *tar_writer_data(struct tar_writer *w, const void *p, size_t len)
{
	if (len > w->left)
		return err_new(ERR_BUG, "archive: '%s' got more than its %" PRIu64 " bytes",
			w->path ? w->path : "", w->size);
	w->left -= len;
	return len ? w->sink(w->ctx, p, len) : NULL;
}

struct err *tar_writer_dir(struct tar_writer *w, const char *path, int64_t mtime)
{
	size_t len = strlen(path);
	AUTO_FREE char *with_slash = mem_printf("%s%s", path, len > 0 && path[len - 1] == '/' ? "" : "/");
	return put_header(w, (struct tar_header){.type = TAR_DIR, .path = with_slash, .mode = 0755}, mtime);
}

struct err *tar_writer_close(struct tar_writer *w)
{
	AUTO(tar_writer_freep) struct tar_writer *mine = w;
	TRY(end_file(mine));
	return mine->sink(mine->ctx, zeros, sizeof(zeros));
}

void tar_writer_freep(struct tar_writer **w)
{
	if (!*w)
		return;
	mem_freep(&(*w)->path);
	mem_freep(w);
}
