/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "oci/import_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_SIZE (256u << 10)

/*
 * Bytes on their way: raw (as they come) -> plain (decompressed) -> hashed, and into the blob either raw or
 * compressed anew. Reading plain is what drives it.
 */
struct flow {
	byte_source *source;
	void *ctx;
	uint8_t first[512]; /* looked at to tell the codec */
	size_t first_len, first_at;
	struct store_blob_writer *blob;
	bool keep_raw;
	struct decompressor *plain;
	struct compressor *compressor;
	struct hasher *hasher;
	uint64_t tar_size;
	const struct cancel *cancel;
};

static void flow_fini(struct flow *f)
{
	compressor_free(f->compressor);
	decompressor_free(f->plain);
	hasher_free(f->hasher);
	store_blob_abandon(f->blob);
}

static struct err *flow_peek(struct flow *f)
{
	while (f->first_len < sizeof(f->first)) {
		size_t n = sizeof(f->first) - f->first_len;
		TRY(f->source(f->ctx, f->first + f->first_len, &n));
		if (n == 0)
			break;
		f->first_len += n;
	}
	return NULL;
}

static struct err *flow_raw(void *ctx, void *p, size_t *len)
{
	struct flow *f = ctx;
	TRY(cancel_check(f->cancel));
	size_t left = f->first_len - f->first_at;
	if (left > 0) {
		if (*len > left)
			*len = left;
		memcpy(p, f->first + f->first_at, *len);
		f->first_at += *len;
	} else {
		TRY(f->source(f->ctx, p, len));
	}
	return f->keep_raw && *len > 0 ? store_blob_write(f->blob, p, *len) : NULL;
}

static struct err *flow_plain(void *ctx, void *p, size_t *len)
{
	struct flow *f = ctx;
	if (f->plain)
		TRY(decompressor_read(f->plain, p, len));
	else
		TRY(flow_raw(f, p, len));
	hasher_add(f->hasher, p, *len);
	f->tar_size += *len;
	if (f->tar_size > IMPORT_BYTES_MAX)
		return err_new(ERR_INVALID, "layer is larger than %llu GiB uncompressed",
			(unsigned long long)(IMPORT_BYTES_MAX >> 30));
	return f->compressor && *len > 0 ? compressor_write(f->compressor, p, *len) : NULL;
}

static struct err *blob_sink(void *ctx, const void *p, size_t len)
{
	return store_blob_write(ctx, p, len);
}

static struct err *check_entry(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	(void)ctx;
	(void)r;
	if (path_has_dotdot(str_c(e->path)))
		return err_new(ERR_INVALID, "tar entry \"%s\" climbs out of its root", e->path);
	return NULL;
}

static struct err *drain(byte_source *source, void *ctx)
{
	AUTO_FREE void *p = mem_alloc(COPY_SIZE);
	for (;;) {
		size_t n = COPY_SIZE;
		TRY(source(ctx, p, &n));
		if (n == 0)
			return NULL;
	}
}

static struct err *flow_start(
	struct flow *f, struct store *s, const struct import_layer_options *opt, enum codec codec)
{
	f->keep_raw = !opt->recompress && (codec == CODEC_GZIP || codec == CODEC_ZSTD);
	f->hasher = hasher_new(DIGEST_SHA256);
	f->cancel = opt->cancel;
	TRY(store_blob_begin(s, &f->blob));
	if (codec != CODEC_NONE)
		TRY(decompressor_new(flow_raw, f, IMPORT_BYTES_MAX, NULL, &f->plain));
	if (!f->keep_raw)
		TRY(compressor_new(CODEC_GZIP, blob_sink, f->blob, &f->compressor));
	return NULL;
}

static struct err *flow_run(struct flow *f, bool check)
{
	if (check)
		TRY(tar_each(flow_plain, f, NULL, check_entry, NULL));
	/* What follows the end marks of a tar belongs to its digest, what follows a stream to its blob. */
	TRY(drain(flow_plain, f));
	if (f->keep_raw)
		TRY(drain(flow_raw, f));
	return f->compressor ? compressor_finish(f->compressor) : NULL;
}

struct err *import_layer_store(struct store *s, byte_source *source, void *ctx,
	const struct import_layer_options *opt, struct import_layer *out)
{
	AUTO(flow_fini) struct flow f = {.source = source, .ctx = ctx};
	TRY(flow_peek(&f));
	enum codec codec = codec_detect(f.first, f.first_len);
	if (codec == CODEC_NONE && f.first_len > 0 && !tar_looks_like(f.first, f.first_len))
		return err_new(ERR_INVALID, "layer is not a tar");
	TRY(flow_start(&f, s, opt, codec));
	TRY(flow_run(&f, opt->check));
	struct import_layer l = {.tar_size = f.tar_size};
	hasher_finish(f.hasher, &l.diff_id);
	l.blob.size = store_blob_written(f.blob);
	snprintf(l.blob.media_type, sizeof(l.blob.media_type), "%s",
		f.keep_raw && codec == CODEC_ZSTD ? MEDIA_OCI_LAYER_ZSTD : MEDIA_OCI_LAYER_GZIP);
	TRY(store_blob_commit(steal(&f.blob), NULL, &l.blob.digest));
	*out = l;
	return NULL;
}

struct err *import_layer_register(struct store *s, const struct import_layer *in)
{
	struct layer l;
	bool found = false;
	TRY(store_layer_by_diff_id(s, &in->diff_id, &l, &found));
	if (found && digest_is_set(&l.blob))
		return NULL;
	struct layer add = {.diff_id = in->diff_id,
		.blob = in->blob.digest,
		.blob_size = in->blob.size,
		.tar_size = in->tar_size};
	snprintf(add.media_type, sizeof(add.media_type), "%.95s", in->blob.media_type);
	if (!found)
		return store_layer_add(s, &add);
	snprintf(add.id, sizeof(add.id), "%s", l.id);
	return store_layer_update(s, &add);
}
