/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "oci/layout_internal.h"

#include <stdlib.h>

#define INDEX_DEPTH_MAX 4

void export_set_fini(struct export_set *set)
{
	map_freep(&set->gathered);
	vec_fini(&set->blobs);
	for (size_t i = 0; i < set->entries.len; i++)
		descriptor_fini(vec_at(&set->entries, i));
	vec_fini(&set->entries);
	buf_fini(&set->index);
	buf_fini(&set->docker_manifest);
}

static bool has_blob(const struct export_set *set, const struct digest *d)
{
	for (size_t i = 0; i < set->blobs.len; i++) {
		const struct export_blob *b = vec_at(&set->blobs, i);
		if (digest_eq(&b->digest, d))
			return true;
	}
	return false;
}

static struct err *add_blob(struct export_set *set, const struct digest *d, bool optional)
{
	char text[DIGEST_TEXT_MAX];
	if (has_blob(set, d))
		return NULL;
	int64_t size = -1;
	TRY(store_blob_stat(set->s, d, &size));
	if (size < 0 && optional)
		return NULL;
	if (size < 0)
		return err_new(
			ERR_NOT_FOUND, "blob %s of the image is not in the store", digest_text(d, text));
	struct export_blob *b = vec_push(&set->blobs);
	b->digest = *d;
	b->size = (uint64_t)size;
	return NULL;
}

static struct err *read_manifest(struct export_set *set, const struct digest *d, struct manifest *out)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(set->s, d, MANIFEST_MAX, &bytes));
	struct err *e = manifest_parse(buf_str(&bytes), NULL, out);
	return e ? err_wrap(e, "reading manifest %s", digest_text(d, text)) : NULL;
}

static struct err *gather(struct export_set *set, const struct digest *d, int depth)
{
	if (depth > INDEX_DEPTH_MAX)
		return err_new(ERR_INVALID, "indexes are nested deeper than %d", INDEX_DEPTH_MAX);
	AUTO(manifest_fini) struct manifest m = {0};
	char text[DIGEST_TEXT_MAX];
	TRY(cancel_check(set->cancel));
	if (!set->gathered)
		set->gathered = map_new(NULL);
	if (map_has(set->gathered, str_c(digest_text(d, text))))
		return NULL;
	map_set_c(set->gathered, text, set);
	TRY(add_blob(set, d, false));
	TRY(read_manifest(set, d, &m));
	if (m.kind == MANIFEST_IMAGE)
		TRY(add_blob(set, &m.config.digest, false));
	for (size_t i = 0; i < m.entries.len; i++) {
		const struct descriptor *e = vec_at(&m.entries, i);
		if (m.kind == MANIFEST_INDEX && media_type_is_manifest(e->media_type))
			TRY(gather(set, &e->digest, depth + 1));
		else
			TRY(add_blob(set, &e->digest, media_type_is_foreign_layer(e->media_type)));
	}
	return NULL;
}

static int blob_cmp(const void *a, const void *b)
{
	const struct export_blob *x = a, *y = b;
	return digest_cmp(&x->digest, &y->digest);
}

/* Into the set and as an entry of index.json: a referrer as it stands in lists of them, others under their
 * tag. */
static struct err *add_attached(struct export_set *set, const struct attached *a)
{
	TRY(gather(set, &a->manifest.digest, 0));
	struct descriptor *entry = vec_push(&set->entries);
	descriptor_copy(&a->manifest, entry);
	if (!a->tag)
		return NULL;
	AUTO_JSON json_t *annotations = json_object();
	json_set_text(annotations, ANNOTATION_REF_NAME, a->tag);
	mem_freep(&entry->annotations);
	entry->annotations = json_dump(annotations, true);
	return NULL;
}

/* How the image is called in index.json: text of annotations or NULL. Caller frees. */
static char *image_annotations(const struct export_set *set, const struct reference *name)
{
	if (!name && !set->ref_name)
		return NULL;
	AUTO_JSON json_t *annotations = json_object();
	if (name) {
		struct reference plain = *name;
		plain.digest = (struct digest){0};
		AUTO_FREE char *full = reference_text(name->tag ? &plain : name);
		json_set_text(annotations, "io.containerd.image.name", full);
	}
	json_set_text(annotations, ANNOTATION_REF_NAME, set->ref_name ? set->ref_name : name->tag);
	return json_dump(annotations, true);
}

struct err *export_gather_oci(
	struct export_set *set, const struct descriptor *image, const struct reference *name)
{
	TRY(gather(set, &image->digest, 0));
	struct descriptor *entry = vec_push(&set->entries);
	*entry = (struct descriptor){.digest = image->digest, .size = image->size};
	snprintf(entry->media_type, sizeof(entry->media_type), "%s", image->media_type);
	entry->annotations = image_annotations(set, name);
	for (size_t i = 0; set->attached && i < set->attached->len; i++)
		TRY(add_attached(set, vec_at(set->attached, i)));
	AUTO_FREE char *index = index_write(vec_at(&set->entries, 0), set->entries.len, NULL);
	buf_adds(&set->index, index);
	vec_sort(&set->blobs, blob_cmp);
	return NULL;
}

/* A docker-archive is of one image: of an index, this machine's. */
static struct err *image_of(struct export_set *set, const struct descriptor *image, struct descriptor *out)
{
	if (!media_type_is_index(image->media_type)) {
		*out = *image;
		return NULL;
	}
	struct platform host;
	platform_host(&host);
	return images_resolve_platform(set->s, &image->digest, &host, out);
}

static struct err *docker_layers(struct export_set *set, const struct manifest *m, json_t *paths)
{
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *layer = vec_at(&m->entries, i);
		char hex[DIGEST_TEXT_MAX];
		if (!media_type_is_layer(layer->media_type))
			return err_new(
				ERR_UNSUPPORTED, "a docker-archive cannot hold a %s", layer->media_type);
		TRY(add_blob(set, &layer->digest, false));
		AUTO_FREE char *path = mem_printf("%s.tar.gz", digest_hex(&layer->digest, hex));
		json_array_append_new(paths, json_text(path));
	}
	return NULL;
}

struct err *export_gather_docker(
	struct export_set *set, const struct descriptor *image, const struct reference *name)
{
	char hex[DIGEST_TEXT_MAX];
	struct descriptor one;
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	TRY(image_of(set, image, &one));
	TRY(images_read(set->s, &one.digest, &m, &c));
	AUTO_JSON json_t *o = json_object();
	AUTO_FREE char *config = mem_printf("%s.json", digest_hex(&m.config.digest, hex));
	json_object_set_new(o, "Config", json_text(config));
	json_t *tags = json_array();
	if (name && name->tag) {
		struct reference plain = *name;
		plain.digest = (struct digest){0};
		AUTO_FREE char *tag = reference_familiar(&plain);
		json_array_append_new(tags, json_text(tag));
	}
	json_object_set_new(o, "RepoTags", tags);
	json_t *paths = json_array();
	json_object_set_new(o, "Layers", paths);
	TRY(docker_layers(set, &m, paths));
	vec_sort(&set->blobs, blob_cmp);
	descriptor_copy(&m.config, &set->image);
	AUTO_JSON json_t *list = json_array();
	json_array_append(list, o);
	AUTO_FREE char *text = json_dump(list, false);
	buf_adds(&set->docker_manifest, text);
	return NULL;
}
