/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/engine_internal.h"

#include <string.h>

/* Labels that say when and from which commit: equal inputs must give one digest at every commit. */
static const char *const provenance_labels[] = {"org.opencontainers.image.created",
	"org.opencontainers.image.revision", "org.opencontainers.image.source",
	"org.opencontainers.image.version", INPUTS_LABEL};

bool is_provenance_label(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(provenance_labels); i++)
		if (cstr_eq(key, provenance_labels[i]))
			return true;
	return false;
}

static void strip_times(json_t *config)
{
	json_t *history = json_object_get(config, "history");
	json_t *labels = json_object_get(json_object_get(config, "config"), "Labels");

	json_object_del(config, "created");
	for (size_t i = 0; i < json_array_size(history); i++)
		json_object_del(json_array_get(history, i), "created");
	for (size_t i = 0; labels && i < ARRAY_LEN(provenance_labels); i++)
		json_object_del(labels, provenance_labels[i]);
}

static void hash_annotations(struct hasher *h, const char *const *annotations)
{
	for (size_t i = 0; annotations && annotations[i]; i++) {
		AUTO_FREE char *key = mem_strndup(annotations[i], strcspn(annotations[i], "="));
		if (!is_provenance_label(key))
			hasher_add_field(h, str_c(annotations[i]));
	}
}

struct err *build_inputs_digest(struct build *b, struct digest *out)
{
	AUTO_JSON json_t *config = json_deep_copy(b->file.config);
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	const struct solved_node *root = solve_result_node(b->solved, b->file.root);

	strip_times(config);
	AUTO_FREE char *text = json_dump(config, true);
	if (root)
		hasher_add(h, root->key.bytes, digest_len(root->key.algo));
	hasher_add_field(h, str_c(text));
	hash_annotations(h, b->rq->annotations);
	hasher_finish(h, out);
	return NULL;
}

static void set_label(json_t *document, const char *key, const char *value)
{
	json_set_text(json_need_object(json_need_object(document, "config"), "Labels"), key, value);
}

/* Base images without a full history get entries for the layers they do not explain: tools match the two by
 * count. */
static void explain_layers(json_t *document, size_t layers)
{
	json_t *history = json_object_get(document, "history");
	size_t explained = 0;

	if (!history) {
		history = json_array();
		json_object_set_new(document, "history", history);
	}
	for (size_t i = 0; i < json_array_size(history); i++)
		explained += !json_is_true(json_object_get(json_array_get(history, i), "empty_layer"));
	for (; explained < layers; explained++) {
		json_t *entry = json_object();
		json_set_text(entry, "created", json_string_value(json_object_get(document, "created")));
		json_set_text(entry, "created_by", "layer of the base image without history");
		json_array_insert_new(history, 0, entry);
	}
}

/*
 * The layer with its compressed form named. It need not be here: a base's layers stay where they came from
 * until somebody wants their bytes.
 */
static struct err *layer_named(struct build *b, const char *id, struct layer *out)
{
	enum codec codec = b->rq->codec == CODEC_NONE ? CODEC_GZIP : b->rq->codec;
	struct step_io io = {0, b->rq->events, b->rq->cancel};
	bool found = false;

	TRY(store_layer_get(b->engine->store, id, out, &found));
	if (found && digest_is_set(&out->blob) && digest_is_set(&out->diff_id))
		return NULL;
	return layer_need_blob(b->ex, id, (int)codec, &io, out);
}

static struct err *collect_layers(
	struct build *b, const struct snapshot *s, struct vec *descriptors, json_t *diff_ids)
{
	for (size_t i = 0; i < s->layers.len; i++) {
		struct layer layer = {0};
		char text[DIGEST_TEXT_MAX];
		TRY(layer_named(b, s->layers.ptr[i], &layer));
		struct descriptor *d = vec_push(descriptors);
		d->digest = layer.blob;
		d->size = layer.blob_size;
		memcpy(d->media_type, layer.media_type, sizeof(layer.media_type));
		json_array_append_new(diff_ids, json_string(digest_text(&layer.diff_id, text)));
	}
	return NULL;
}

static struct err *put_config(
	struct engine *e, json_t *config, json_t *diff_ids, size_t layers, struct descriptor *out)
{
	json_t *rootfs = json_object();

	json_set_text(rootfs, "type", "layers");
	json_object_set(rootfs, "diff_ids", diff_ids);
	json_object_set_new(config, "rootfs", rootfs);
	explain_layers(config, layers);
	AUTO_FREE char *text = json_dump(config, false);
	TRY(store_blob_put(e->store, text, strlen(text), &out->digest));
	out->size = strlen(text);
	memcpy(out->media_type, MEDIA_OCI_CONFIG, sizeof(MEDIA_OCI_CONFIG));
	return NULL;
}

static json_t *annotations_json(const char *const *annotations)
{
	json_t *o = NULL;

	for (size_t i = 0; annotations && annotations[i]; i++) {
		const char *eq = strchr(annotations[i], '=');
		if (!eq)
			continue;
		AUTO_FREE char *key = mem_strndup(annotations[i], (size_t)(eq - annotations[i]));
		if (!o)
			o = json_object();
		json_set_text(o, key, eq + 1);
	}
	return o;
}

struct err *engine_put_image(
	struct engine *e, const struct image_parts *p, struct descriptor *manifest, struct descriptor *config)
{
	AUTO_JSON json_t *annotations = annotations_json(p->annotations);
	char inputs[DIGEST_TEXT_MAX];

	set_label(p->config, INPUTS_LABEL, digest_text(p->inputs, inputs));
	TRY(put_config(e, p->config, p->diff_ids, p->layers->len, config));
	AUTO_FREE char *text = manifest_write(config, p->layers->ptr, p->layers->len, annotations);
	return images_put_manifest(e->store, str_c(text), MEDIA_OCI_MANIFEST, manifest);
}

static struct err *assemble(struct build *b, struct build_result *out, struct vec *layers, json_t *diff_ids)
{
	static const struct snapshot scratch;
	const struct solved_node *root = solve_result_node(b->solved, b->file.root);
	const struct snapshot *s = root ? &root->snapshot : &scratch;
	const struct image_parts parts = {
		.config = b->file.config,
		.inputs = &out->inputs,
		.layers = layers,
		.diff_ids = diff_ids,
		.annotations = b->rq->annotations,
	};
	struct descriptor config = {0};

	TRY(collect_layers(b, s, layers, diff_ids));
	TRY(engine_put_image(b->engine, &parts, &out->manifest, &config));
	out->config_digest = config.digest;
	strvec_push_all(&out->layers, strvec_list(&s->layers));
	return NULL;
}

/*
 * "cache" record "image:<digest>": what an image was assembled to, so that a build in which nothing changed
 * reads one record. Covers the layers' key, the config and the codec.
 */
static void assembled_key(const struct build *b, const struct digest *inputs, struct buf *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	AUTO_FREE char *config = json_dump(b->file.config, true);
	struct digest d;
	char hex[DIGEST_TEXT_MAX];

	hasher_add(h, inputs->bytes, digest_len(inputs->algo));
	hasher_add_field(h, str_c(config));
	hasher_add_u64(h, (uint64_t)b->rq->codec);
	for (size_t i = 0; b->rq->annotations && b->rq->annotations[i]; i++)
		hasher_add_field(h, str_c(b->rq->annotations[i]));
	hasher_finish(h, &d);
	buf_addf(out, "image:%s", digest_hex(&d, hex));
}

static struct err *load_assembled(struct build *b, const char *key, struct build_result *out, bool *found)
{
	AUTO_BUF struct buf value = {0};
	AUTO_JSON json_t *o = NULL;
	struct digest manifest, config;
	int64_t size = -1;

	TRY(store_record_get(b->engine->store, "cache", key, &value, found));
	if (!*found)
		return NULL;
	*found = false;
	TRY(json_parse(buf_str(&value), "image record", &o));
	const char *m = json_string_value(json_object_get(o, "manifest"));
	const char *c = json_string_value(json_object_get(o, "config"));
	TRY(digest_parse(str_c(m), &manifest));
	TRY(digest_parse(str_c(c), &config));
	TRY(store_blob_stat(b->engine->store, &manifest, &size));
	if (size < 0)
		return NULL;
	out->manifest.digest = manifest;
	out->manifest.size = (uint64_t)size;
	memcpy(out->manifest.media_type, MEDIA_OCI_MANIFEST, sizeof(MEDIA_OCI_MANIFEST));
	out->config_digest = config;
	TRY(json_get_strings(o, "layers", "image record", &out->layers));
	*found = true;
	return NULL;
}

static struct err *save_assembled(struct build *b, const char *key, const struct build_result *r)
{
	AUTO_JSON json_t *o = json_object();
	char manifest[DIGEST_TEXT_MAX], config[DIGEST_TEXT_MAX];

	json_set_text(o, "manifest", digest_text(&r->manifest.digest, manifest));
	json_set_text(o, "config", digest_text(&r->config_digest, config));
	json_object_set_new(o, "layers", json_from_strings(strvec_list(&r->layers)));
	AUTO_FREE char *text = json_dump(o, false);
	const struct store_ref ref = {STORE_REF_BLOB, manifest};
	return store_record_put(b->engine->store, &(struct store_record){"cache", key, str_c(text), &ref, 1});
}

struct err *build_assemble(struct build *b, struct build_result *out)
{
	AUTO_JSON json_t *diff_ids = json_array();
	AUTO_BUF struct buf key = {0};
	struct vec layers = VEC_OF(struct descriptor);
	char inputs[DIGEST_TEXT_MAX];
	bool found = false;

	TRY(build_inputs_digest(b, &out->inputs));
	set_label(b->file.config, INPUTS_LABEL, digest_text(&out->inputs, inputs));
	assembled_key(b, &out->inputs, &key);
	if (!b->rq->isolated && !b->rq->no_cache)
		TRY(load_assembled(b, buf_cstr(&key), out, &found));
	if (found)
		return NULL;
	struct err *e = assemble(b, out, &layers, diff_ids);
	vec_fini(&layers);
	if (!e && !b->rq->isolated)
		e = save_assembled(b, buf_cstr(&key), out);
	return e;
}

/* OCI media type -> Docker's; layers in other forms have none of Docker's and stay. */
static const char *docker_type(const char *oci)
{
	static const char *const types[][2] = {{MEDIA_OCI_MANIFEST, MEDIA_DOCKER_MANIFEST},
		{MEDIA_OCI_CONFIG, MEDIA_DOCKER_CONFIG}, {MEDIA_OCI_LAYER_GZIP, MEDIA_DOCKER_LAYER_GZIP}};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (cstr_eq(oci, types[i][0]))
			return types[i][1];
	return oci;
}

static void use_docker_type(json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "mediaType"));

	if (type)
		json_set_text(o, "mediaType", docker_type(type));
}

struct err *engine_docker_manifest(struct engine *e, struct descriptor *manifest)
{
	AUTO_BUF struct buf bytes = {0};
	AUTO_JSON json_t *o = NULL;

	TRY(store_blob_read(e->store, &manifest->digest, MANIFEST_MAX, &bytes));
	TRY(json_parse(buf_str(&bytes), "manifest", &o));
	json_t *layers = json_object_get(o, "layers");
	use_docker_type(o);
	use_docker_type(json_object_get(o, "config"));
	for (size_t i = 0; i < json_array_size(layers); i++)
		use_docker_type(json_array_get(layers, i));
	AUTO_FREE char *text = json_dump(o, false);
	return images_put_manifest(e->store, str_c(text), MEDIA_DOCKER_MANIFEST, manifest);
}
