/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/layer.h"
#include "base/mem.h"
#include "exec/executor_internal.h"
#include "sys/file.h"
#include "sys/userns.h"

#include <fcntl.h>
#include <string.h>

static struct err *get_layer(struct sandbox_executor *sx, const char *id, struct layer *out)
{
	bool found;
	TRY(store_layer_get(sx->store, id, out, &found));
	if (!found)
		return err_hint(err_new(ERR_NOT_FOUND, "layer %s is not in the store any more", id),
			"build again; it was removed in the meantime");
	return NULL;
}

/* Held while one form of a layer is made, by thread or process: others wait and then find it. */
static struct err *lock_layer(struct sandbox_executor *sx, const char *what, const char *id,
	const struct step_io *io, struct store_lock **out)
{
	AUTO_FREE char *name = mem_printf("%s:%s", what, id);
	return store_lock(sx->store, name, false, io->cancel, NULL, out);
}

static struct err *need_blob_here(
	struct sandbox_executor *sx, const struct layer *l, const struct step_io *io)
{
	int64_t size;
	TRY(store_blob_stat(sx->store, &l->blob, &size));
	if (size >= 0)
		return NULL;
	struct descriptor d = {.digest = l->blob, .size = l->blob_size};
	struct transfer_io tio = transfer_of(io);
	snprintf(d.media_type, sizeof(d.media_type), "%s", l->media_type);
	char text[DIGEST_TEXT_MAX];
	if (!sx->remote)
		return err_new(ERR_NOT_FOUND, "layer %s is not in the store", digest_text(&l->blob, text));
	return remote_fetch_blob(sx->remote, NULL, &d, &tio);
}

static struct err *unpack_into(
	struct sandbox_executor *sx, struct layer *l, const struct step_io *io, int rootfd)
{
	AUTO_FD int fd = -1;
	uint64_t size;
	char text[DIGEST_TEXT_MAX];
	struct digest diff_id;
	struct tar_read_result done;
	TRY(store_blob_open(sx->store, &l->blob, &fd, &size));
	struct fd_source src = {.fd = fd, .what = digest_text(&l->blob, text)};
	struct tar_read_options opt = {
		.layer = true,
		.rootless = sx->run.rootless,
		.squash_owners = userns_one_id(),
		.cancel = io->cancel,
		.declared_size = l->tar_size,
	};
	struct err *e = layer_unpack(fd_source_read, &src, rootfd, &opt, &diff_id, &done);
	if (e)
		return err_wrap(e, "unpacking the layer %s", text);
	if (digest_is_set(&l->diff_id) && !digest_eq(&l->diff_id, &diff_id)) {
		char want[DIGEST_TEXT_MAX], got[DIGEST_TEXT_MAX];
		return err_new(ERR_CORRUPT, "layer %s holds %s, its image says %s", text,
			digest_text(&diff_id, got), digest_text(&l->diff_id, want));
	}
	l->diff_id = diff_id;
	return NULL;
}

static struct err *make_tree(struct sandbox_executor *sx, struct layer *l, const struct step_io *io)
{
	if (!digest_is_set(&l->blob))
		return err_hint(err_new(ERR_NOT_FOUND, "the files of layer %s are gone", l->id),
			"build with --no-cache to make them again");
	TRY(need_blob_here(sx, l, io));
	AUTO(store_tree_abandonp) struct store_tree_writer *w = NULL;
	TRY(store_tree_begin(sx->store, &w));
	TRY(unpack_into(sx, l, io, store_tree_fd(w)));
	TRY(store_tree_commit(steal(&w), l->tar_size ? l->tar_size : l->blob_size, l->tree));
	return store_layer_update(sx->store, l);
}

struct unpacking {
	struct sandbox_executor *sx;
	struct layer *layer;
	const struct step_io *io;
};

static struct err *fill_squashed(void *ctx, int fd, const char *dir)
{
	struct unpacking *u = ctx;
	(void)dir;
	TRY(need_blob_here(u->sx, u->layer, u->io));
	return unpack_into(u->sx, u->layer, u->io, fd);
}

/*
 * With one id an unpacked layer lacks its owners. Such a tree must not stand for the layer when there are
 * more ids, nor the layer's own tree, with owners that have no id here, for it: it is a layer of its own.
 */
static struct err *squashed_tree(struct sandbox_executor *sx, struct layer *l, const struct step_io *io)
{
	struct unpacking u = {.sx = sx, .layer = l, .io = io};
	AUTO_FREE char *key = mem_printf("one-id:%s", l->id);
	struct layer_recipe recipe = {.key = key, .fill = fill_squashed, .ctx = &u};
	struct layer squashed = {0};
	TRY(layer_by_recipe(sx, &recipe, io, &squashed));
	memcpy(l->tree, squashed.tree, sizeof(l->tree));
	return NULL;
}

struct err *sandbox_need_tree(
	struct sandbox_executor *sx, const char *layer_id, const struct step_io *io, struct layer *out)
{
	struct layer l = {0};
	TRY(get_layer(sx, layer_id, &l));
	if (userns_one_id() && digest_is_set(&l.blob)) {
		TRY(squashed_tree(sx, &l, io));
	} else if (!l.tree[0]) {
		AUTO(store_unlockp) struct store_lock *lock = NULL;
		TRY(lock_layer(sx, "tree", layer_id, io, &lock));
		TRY(get_layer(sx, layer_id, &l));
		if (!l.tree[0])
			TRY(make_tree(sx, &l, io));
	}
	*out = l;
	return NULL;
}

static struct err *open_tree(struct sandbox_executor *sx, const struct layer *l, int *fd)
{
	AUTO_FREE char *dir = store_tree_dir(sx->store, l->tree);
	return file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, fd);
}

static struct err *hash_layer(struct sandbox_executor *sx, struct layer *l, const struct step_io *io)
{
	AUTO_FD int fd = -1;
	if (!l->tree[0] && digest_is_set(&l->blob)) {
		uint64_t size;
		char text[DIGEST_TEXT_MAX];
		TRY(need_blob_here(sx, l, io));
		TRY(store_blob_open(sx->store, &l->blob, &fd, &size));
		struct fd_source src = {.fd = fd, .what = digest_text(&l->blob, text)};
		return layer_blob_diff_id(fd_source_read, &src, 0, &l->diff_id, &l->tar_size);
	}
	TRY(sandbox_need_tree(sx, l->id, io, l));
	TRY(open_tree(sx, l, &fd));
	struct tar_write_options opt = {.cancel = io->cancel};
	return layer_diff_id(fd, &opt, &l->diff_id, &l->tar_size);
}

struct err *sandbox_need_diff_id(
	struct sandbox_executor *sx, const char *layer_id, const struct step_io *io, struct layer *out)
{
	struct layer l = {0};
	TRY(get_layer(sx, layer_id, &l));
	if (!digest_is_set(&l.diff_id)) {
		AUTO(store_unlockp) struct store_lock *lock = NULL;
		TRY(lock_layer(sx, "diff", layer_id, io, &lock));
		TRY(get_layer(sx, layer_id, &l));
		if (!digest_is_set(&l.diff_id)) {
			TRY(hash_layer(sx, &l, io));
			TRY(store_layer_update(sx->store, &l));
		}
	}
	*out = l;
	return NULL;
}

static struct err *write_blob(void *ctx, const void *p, size_t len)
{
	return store_blob_write(ctx, p, len);
}

static void blob_abandon(struct store_blob_writer **w)
{
	store_blob_abandonp(w);
}

static struct err *pack_layer(
	struct sandbox_executor *sx, struct layer *l, int codec, const struct step_io *io)
{
	struct digest diff_id;
	AUTO_FD int fd = -1;
	AUTO(blob_abandon) struct store_blob_writer *w = NULL;
	TRY(open_tree(sx, l, &fd));
	TRY(store_blob_begin(sx->store, &w));
	struct tar_write_options opt = {.cancel = io->cancel};
	TRY(layer_pack(fd, &opt, (enum codec)codec, write_blob, w, &diff_id, &l->tar_size));
	if (digest_is_set(&l->diff_id) && !digest_eq(&l->diff_id, &diff_id))
		return err_hint(err_new(ERR_CORRUPT, "the files of layer %s changed in the store", l->id),
			"run cooper store verify");
	l->diff_id = diff_id;
	l->blob_size = store_blob_written(w);
	TRY(store_blob_commit(steal(&w), NULL, &l->blob));
	snprintf(l->media_type, sizeof(l->media_type), "%s",
		codec == CODEC_ZSTD   ? MEDIA_OCI_LAYER_ZSTD
		: codec == CODEC_GZIP ? MEDIA_OCI_LAYER_GZIP
				      : MEDIA_OCI_LAYER);
	return store_layer_update(sx->store, l);
}

static struct err *need_blob(struct sandbox_executor *sx, const char *layer_id, int codec,
	const struct step_io *io, struct layer *out)
{
	struct layer l = {0};
	AUTO(store_unlockp) struct store_lock *lock = NULL;
	TRY(get_layer(sx, layer_id, &l));
	if (digest_is_set(&l.blob)) {
		TRY(need_blob_here(sx, &l, io));
		*out = l;
		return NULL;
	}
	TRY(lock_layer(sx, "blob", layer_id, io, &lock));
	TRY(sandbox_need_tree(sx, layer_id, io, &l));
	if (!digest_is_set(&l.blob))
		TRY(pack_layer(sx, &l, codec, io));
	*out = l;
	return NULL;
}

static const struct step_io no_io;

struct err *layer_need_tree(
	struct executor *ex, const char *layer_id, const struct step_io *io, struct layer *out)
{
	return sandbox_need_tree(sandbox_of(ex), layer_id, io ? io : &no_io, out);
}

struct err *layer_need_diff_id(
	struct executor *ex, const char *layer_id, const struct step_io *io, struct layer *out)
{
	return sandbox_need_diff_id(sandbox_of(ex), layer_id, io ? io : &no_io, out);
}

struct err *layer_need_blob(
	struct executor *ex, const char *layer_id, int codec, const struct step_io *io, struct layer *out)
{
	return need_blob(sandbox_of(ex), layer_id, codec, io ? io : &no_io, out);
}

struct err *layer_of_tree(struct sandbox_executor *sx, struct store_tree_writer *w, struct layer *out)
{
	struct layer l = {0};
	TRY(store_tree_commit(w, 0, l.tree));
	TRY(store_layer_add(sx->store, &l));
	*out = l;
	return NULL;
}

/* ---- layers found again by what they were made from ---- */

static struct err *find_recipe(struct sandbox_executor *sx, const char *key, struct layer *out, bool *found)
{
	AUTO_BUF struct buf id = {0};
	struct layer l = {0};
	*found = false;
	TRY(store_record_get(sx->store, "local", key, &id, found));
	if (!*found)
		return NULL;
	TRY(store_layer_get(sx->store, buf_cstr(&id), &l, found));
	*found = *found && (l.tree[0] || digest_is_set(&l.blob));
	if (*found)
		*out = l;
	return NULL;
}

struct err *layer_by_recipe(struct sandbox_executor *sx, const struct layer_recipe *r,
	const struct step_io *io, struct layer *out)
{
	bool found;
	AUTO(store_unlockp) struct store_lock *lock = NULL;
	TRY(find_recipe(sx, r->key, out, &found));
	if (found)
		return NULL;
	TRY(lock_layer(sx, "source", r->key, io, &lock));
	TRY(find_recipe(sx, r->key, out, &found));
	if (found)
		return NULL;
	AUTO(store_tree_abandonp) struct store_tree_writer *w = NULL;
	TRY(store_tree_begin(sx->store, &w));
	AUTO_FREE char *dir = mem_printf("%s/fs", store_tree_path(w));
	TRY(r->fill(r->ctx, store_tree_fd(w), dir));
	struct layer l;
	TRY(layer_of_tree(sx, steal(&w), &l));
	struct store_ref ref = {.kind = STORE_REF_LAYER, .name = l.id};
	struct store_record rec = {
		.space = "local", .key = r->key, .value = str_c(l.id), .refs = &ref, .ref_count = 1};
	TRY(store_record_put(sx->store, &rec));
	*out = l;
	return NULL;
}
