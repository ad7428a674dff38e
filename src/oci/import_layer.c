/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
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
	struct store_blob_writer *blob; /* NULL: only hashed */
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

/* ---- gzip forms that were made here ---- */

/*
 * "cache" record "gzip:<diff id>". Not any blob that the store has of the diff id will do: others compress in
 * other ways, and what an image is must not depend on what else was here.
 */
static void form_key(const struct digest *diff_id, char out[DIGEST_TEXT_MAX + 5])
{
	char hex[DIGEST_TEXT_MAX];
	snprintf(out, DIGEST_TEXT_MAX + 5, "gzip:%s", digest_hex(diff_id, hex));
}

static struct err *form_parse(struct str value, struct import_layer *out)
{
	AUTO_JSON json_t *o = NULL;
	const char *blob = NULL;
	int64_t size = 0, tar_size = 0;
	TRY(json_parse(value, "layer record", &o));
	TRY(json_get_string(o, "blob", "layer record", &blob));
	TRY(json_get_int(o, "size", "layer record", &size));
	TRY(json_get_int(o, "tar_size", "layer record", &tar_size));
	TRY(digest_parse(str_c(blob), &out->blob.digest));
	out->blob.size = (uint64_t)size;
	out->tar_size = (uint64_t)tar_size;
	snprintf(out->blob.media_type, sizeof(out->blob.media_type), "%s", MEDIA_OCI_LAYER_GZIP);
	return NULL;
}

static struct err *form_load(
	struct store *s, const struct digest *diff_id, struct import_layer *out, bool *found)
{
	char key[DIGEST_TEXT_MAX + 5];
	AUTO_BUF struct buf value = {0};
	struct import_layer l = {.diff_id = *diff_id};
	int64_t size = -1;
	form_key(diff_id, key);
	TRY(store_record_get(s, "cache", key, &value, found));
	if (!*found)
		return NULL;
	TRY(form_parse(buf_str(&value), &l));
	TRY(store_blob_stat(s, &l.blob.digest, &size));
	*found = size >= 0;
	if (*found)
		*out = l;
	return NULL;
}

static struct err *form_save(struct store *s, const struct import_layer *l)
{
	char key[DIGEST_TEXT_MAX + 5], blob[DIGEST_TEXT_MAX];
	AUTO_JSON json_t *o = json_object();
	form_key(&l->diff_id, key);
	json_set_text(o, "blob", digest_text(&l->blob.digest, blob));
	json_object_set_new(o, "size", json_integer((json_int_t)l->blob.size));
	json_object_set_new(o, "tar_size", json_integer((json_int_t)l->tar_size));
	AUTO_FREE char *text = json_dump(o, false);
	const struct store_ref ref = {STORE_REF_BLOB, blob};
	return store_record_put(s, &(struct store_record){"cache", key, str_c(text), &ref, 1});
}

/* ---- whole layers ---- */

static struct err *hash_only(struct flow *f, const struct import_layer *known, struct import_layer *out)
{
	struct digest real;
	char is[DIGEST_TEXT_MAX], said[DIGEST_TEXT_MAX];
	TRY(drain(flow_plain, f));
	hasher_finish(f->hasher, &real);
	if (!digest_eq(&real, &known->diff_id))
		return err_new(ERR_CORRUPT, "its name says %s but it is %s",
			digest_text(&known->diff_id, said), digest_text(&real, is));
	*out = *known;
	return NULL;
}

static struct err *store_layer(struct flow *f, struct store *s, const struct import_layer_options *opt,
	enum codec codec, struct import_layer *out)
{
	TRY(flow_start(f, s, opt, codec));
	TRY(flow_run(f, opt->check));
	struct import_layer l = {.tar_size = f->tar_size};
	hasher_finish(f->hasher, &l.diff_id);
	l.blob.size = store_blob_written(f->blob);
	snprintf(l.blob.media_type, sizeof(l.blob.media_type), "%s",
		f->keep_raw && codec == CODEC_ZSTD ? MEDIA_OCI_LAYER_ZSTD : MEDIA_OCI_LAYER_GZIP);
	TRY(store_blob_commit(steal(&f->blob), NULL, &l.blob.digest));
	if (opt->claimed && codec == CODEC_NONE)
		TRY(form_save(s, &l));
	*out = l;
	return NULL;
}

/* An empty one is all end marker. */
static bool may_be_tar(const struct flow *f)
{
	for (size_t i = 0; i < f->first_len; i++)
		if (f->first[i])
			return tar_looks_like(f->first, f->first_len);
	return true;
}

struct err *import_layer_store(struct store *s, byte_source *source, void *ctx,
	const struct import_layer_options *opt, struct import_layer *out)
{
	AUTO(flow_fini) struct flow f = {.source = source, .ctx = ctx, .cancel = opt->cancel};
	struct import_layer known;
	bool is_known = false;
	TRY(flow_peek(&f));
	enum codec codec = codec_detect(f.first, f.first_len);
	if (codec == CODEC_NONE && !may_be_tar(&f))
		return err_new(ERR_INVALID, "layer is not a tar");
	f.hasher = hasher_new(DIGEST_SHA256);
	if (opt->claimed && codec == CODEC_NONE)
		TRY(form_load(s, opt->claimed, &known, &is_known));
	return is_known ? hash_only(&f, &known, out) : store_layer(&f, s, opt, codec, out);
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
