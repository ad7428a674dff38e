/* SPDX-License-Identifier: Apache-2.0 */
/* An image with all its layers compressed in one way, those of its base too. What is in them stays the same,
 * byte for byte. */
#include "archive/compress.h"
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "sys/file.h"

#include <string.h>

#define PIECE (256u << 10)

static const char *type_of(enum codec codec)
{
	return codec == CODEC_ZSTD   ? MEDIA_OCI_LAYER_ZSTD
	       : codec == CODEC_GZIP ? MEDIA_OCI_LAYER_GZIP
				     : MEDIA_OCI_LAYER;
}

/* Also of Docker's types, which end alike. */
static bool is_coded(const char *type, enum codec codec)
{
	return cstr_ends(type, codec == CODEC_ZSTD ? "zstd" : codec == CODEC_GZIP ? "gzip" : ".tar");
}

static struct err *write_blob(void *ctx, const void *p, size_t len)
{
	return store_blob_write(ctx, p, len);
}

static struct err *pass(struct decompressor *from, struct compressor *to, const struct cancel *cancel)
{
	AUTO_FREE char *piece = mem_alloc(PIECE);

	for (;;) {
		size_t len = PIECE;
		TRY(cancel_check(cancel));
		TRY(decompressor_read(from, piece, &len));
		if (!len)
			return compressor_finish(to);
		TRY(compressor_write(to, piece, len));
	}
}

static struct err *recode_blob(struct store *st, const struct digest *from, enum codec codec,
	const struct cancel *cancel, struct digest *to, uint64_t *size)
{
	struct store_blob_writer *w AUTO(store_blob_abandonp) = NULL;
	struct decompressor *in AUTO(decompressor_freep) = NULL;
	struct compressor *out AUTO(compressor_freep) = NULL;
	AUTO_FD int fd = -1;

	TRY(store_blob_open(st, from, &fd, size));
	struct fd_source source = {.fd = fd};
	TRY(store_blob_begin(st, &w));
	TRY(decompressor_new(fd_source_read, &source, 0, NULL, &in));
	TRY(compressor_new(codec, write_blob, w, &out));
	TRY(pass(in, out, cancel));
	*size = store_blob_written(w);
	return store_blob_commit(steal(&w), NULL, to);
}

static struct err *recode_layer(
	struct store *st, json_t *layer, enum codec codec, const struct cancel *cancel)
{
	const char *type = json_string_value(json_object_get(layer, "mediaType"));
	const char *digest = json_string_value(json_object_get(layer, "digest"));
	struct digest from, to;
	char text[DIGEST_TEXT_MAX];
	uint64_t size = 0;

	if (!type || is_coded(type, codec))
		return NULL;
	TRY(digest_parse(str_c(digest), &from));
	TRY(recode_blob(st, &from, codec, cancel, &to, &size));
	json_set_text(layer, "mediaType", type_of(codec));
	json_set_text(layer, "digest", digest_text(&to, text));
	json_object_set_new(layer, "size", json_integer((json_int_t)size));
	return NULL;
}

struct err *engine_recode_layers(
	struct engine *e, enum codec codec, const struct transfer_io *io, struct descriptor *manifest)
{
	AUTO_BUF struct buf bytes = {0};
	AUTO_JSON json_t *o = NULL;

	TRY(engine_fetch_missing(e, &manifest->digest, io));
	TRY(store_blob_read(e->store, &manifest->digest, MANIFEST_MAX, &bytes));
	TRY(json_parse(buf_str(&bytes), "manifest", &o));
	json_t *layers = json_object_get(o, "layers");
	for (size_t i = 0; i < json_array_size(layers); i++)
		TRY(recode_layer(e->store, json_array_get(layers, i), codec, io->cancel));
	AUTO_FREE char *text = json_dump(o, false);
	return images_put_manifest(e->store, str_c(text), MEDIA_OCI_MANIFEST, manifest);
}
