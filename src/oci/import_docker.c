/* SPDX-License-Identifier: Apache-2.0 */
/* docker-archive: manifest.json is [{Config, RepoTags, Layers}] naming members of the archive (moby
 * image/spec v1.2). */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "oci/import_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINK_HOPS_MAX 16

/* A member that manifest.json names. */
struct member {
	bool layer, done;
	struct buf config;
	struct import_layer taken;
};

static void member_free(void *p)
{
	struct member *m = p;
	buf_fini(&m->config);
	free(m);
}

struct docker {
	struct store *s;
	const struct image_import *im;
	const struct import_scan *scan;
	struct map *members; /* rooted path -> struct member */
};

/* Through links inside the archive; never out of it, as rooted paths cannot climb. Caller frees. */
static struct err *resolve(const struct docker *d, const char *path, char **out)
{
	char *at = path_rooted(path);
	for (int hop = 0; hop <= LINK_HOPS_MAX; hop++) {
		const char *next = map_get_c(d->scan->links, at);
		if (!next) {
			*out = at;
			return NULL;
		}
		free(at);
		at = mem_strdup(next);
	}
	free(at);
	return err_new(ERR_INVALID, "manifest.json: links of \"%s\" do not end", path);
}

static struct err *want(struct docker *d, const char *path, bool layer)
{
	AUTO_FREE char *at = NULL;
	TRY(resolve(d, path, &at));
	struct member *m = map_get_c(d->members, at);
	if (m && m->layer != layer)
		return err_new(ERR_INVALID, "manifest.json: \"%s\" is named as config and as layer", path);
	if (!m) {
		m = mem_new(struct member);
		m->layer = layer;
		map_set_c(d->members, at, m);
	}
	return NULL;
}

static struct err *found(const struct docker *d, const char *path, struct member **out)
{
	AUTO_FREE char *at = NULL;
	TRY(resolve(d, path, &at));
	struct member *m = map_get_c(d->members, at);
	if (!m || !m->done)
		return err_new(
			ERR_INVALID, "manifest.json names \"%s\", which the archive does not hold", path);
	*out = m;
	return NULL;
}

static struct err *want_all(struct docker *d, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);
		const char *config = NULL;
		AUTO_STRVEC struct strvec layers = {0};
		TRY(json_get_string(o, "Config", "manifest.json", &config));
		TRY(json_get_strings(o, "Layers", "manifest.json", &layers));
		if (!config)
			return err_new(ERR_INVALID, "manifest.json: \"Config\" is missing");
		TRY(want(d, config, false));
		for (size_t k = 0; k < layers.len; k++)
			TRY(want(d, layers.ptr[k], true));
	}
	return NULL;
}

static struct err *entry_source(void *ctx, void *p, size_t *len)
{
	return tar_entry_read(ctx, p, len);
}

static struct err *take_config(struct tar_reader *r, const struct tar_entry *e, struct member *m)
{
	if (e->size > CONFIG_MAX)
		return err_new(
			ERR_INVALID, "image config \"%s\" is larger than %u MiB", e->path, CONFIG_MAX >> 20);
	buf_clear(&m->config);
	for (;;) {
		char part[16384];
		size_t n = sizeof(part);
		TRY(tar_entry_read(r, part, &n));
		if (n == 0)
			return NULL;
		buf_add(&m->config, part, n);
	}
}

static struct err *take_member(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	struct docker *d = ctx;
	TRY(cancel_check(d->im->cancel));
	if (!S_ISREG(e->mode) || e->hardlink)
		return NULL;
	AUTO_FREE char *path = path_rooted(e->path);
	struct member *m = map_get_c(d->members, path);
	if (!m)
		return NULL;
	if (m->done)
		return err_new(ERR_INVALID, "the archive holds \"%s\" twice", e->path);
	m->done = true;
	if (!m->layer)
		return take_config(r, e, m);
	struct import_layer_options opt = {.cancel = d->im->cancel};
	struct err *err = import_layer_store(d->s, entry_source, r, &opt, &m->taken);
	return err ? err_wrap(err, "layer \"%s\"", e->path) : NULL;
}

/* A config is often named by its digest; then that has to be true. */
static struct err *check_config_name(const char *path, const struct member *m)
{
	char text[DIGEST_TEXT_MAX];
	struct str base = str_c(path);
	ptrdiff_t slash = str_rindex(base, '/');
	base = str_skip(base, (size_t)(slash + 1));
	if (str_ends(base, ".json"))
		base.len -= strlen(".json");
	if (str_starts(base, "sha256:"))
		base = str_skip(base, strlen("sha256:"));
	AUTO_FREE char *as_digest = mem_printf("sha256:" STR_FMT, STR_ARG(base));
	if (!digest_valid(str_c(as_digest)))
		return NULL;
	struct digest real;
	digest_of(m->config.ptr, m->config.len, &real);
	if (!cstr_eq(digest_text(&real, text), as_digest))
		return err_new(ERR_CORRUPT, "image config \"%s\" has the digest %s", path, text);
	return NULL;
}

static struct err *gather_layers(
	const struct docker *d, const struct strvec *paths, const struct image_config *c, struct vec *out)
{
	if (paths->len != c->diff_ids.len)
		return err_new(ERR_INVALID, "manifest.json has %zu layers but the config %zu diff_ids",
			paths->len, c->diff_ids.len);
	for (size_t i = 0; i < paths->len; i++) {
		struct member *m = NULL;
		TRY(found(d, paths->ptr[i], &m));
		const struct digest *claimed = vec_at(&c->diff_ids, i);
		char is[DIGEST_TEXT_MAX], said[DIGEST_TEXT_MAX];
		if (!digest_eq(claimed, &m->taken.diff_id))
			return err_new(ERR_CORRUPT, "layer \"%s\" is %s but the config says %s",
				paths->ptr[i], digest_text(&m->taken.diff_id, is),
				digest_text(claimed, said));
		vec_push_copy(out, &m->taken.blob);
		TRY(import_layer_register(d->s, &m->taken));
	}
	return NULL;
}

static struct err *put_image(const struct docker *d, const json_t *o, struct descriptor *out)
{
	const char *config_path = NULL;
	AUTO_STRVEC struct strvec paths = {0};
	TRY(json_get_string(o, "Config", "manifest.json", &config_path));
	TRY(json_get_strings(o, "Layers", "manifest.json", &paths));
	struct member *m = NULL;
	TRY(found(d, config_path, &m));
	TRY(check_config_name(config_path, m));
	AUTO(image_config_fini) struct image_config c = {0};
	TRY(image_config_parse(buf_str(&m->config), &c));
	AUTO(vec_fini) struct vec layers = VEC_OF(struct descriptor);
	TRY(gather_layers(d, &paths, &c, &layers));
	struct descriptor config;
	descriptor_of(buf_str(&m->config), MEDIA_OCI_CONFIG, &config);
	TRY(store_blob_put(d->s, m->config.ptr, m->config.len, NULL));
	AUTO_FREE char *manifest = manifest_write(&config, layers.ptr, layers.len, NULL);
	return images_put_manifest(d->s, str_c(manifest), MEDIA_OCI_MANIFEST, out);
}

static struct err *name_image(
	const struct docker *d, const json_t *o, const struct descriptor *image, struct vec *names)
{
	AUTO_STRVEC struct strvec tags = {0};
	if (d->im->name)
		strvec_push(&tags, d->im->name);
	else
		TRY(json_get_strings(o, "RepoTags", "manifest.json", &tags));
	if (tags.len == 0)
		return err_hint(err_new(ERR_INVALID, "the archive holds an image without a name"),
			"say what to call it");
	for (size_t i = 0; i < tags.len; i++) {
		AUTO(reference_fini) struct reference ref = {0};
		TRY(reference_parse(tags.ptr[i], true, &ref));
		import_add_name(names, &ref, image);
	}
	return NULL;
}

static struct err *import_all(struct docker *d, struct import_file *f, const json_t *list, struct vec *names)
{
	if (json_array_size(list) == 0)
		return err_new(ERR_INVALID, "manifest.json names no image");
	if (d->im->name && json_array_size(list) > 1)
		return err_hint(err_new(ERR_INVALID, "the archive holds %zu images, not one to be called %s",
					json_array_size(list), d->im->name),
			"leave the name out to take them by the names in the archive");
	TRY(want_all(d, list));
	TRY(import_file_rewind(f));
	TRY(tar_each(import_file_read, f, NULL, take_member, d));
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct descriptor image;
		TRY(put_image(d, json_array_get(list, i), &image));
		TRY(name_image(d, json_array_get(list, i), &image, names));
	}
	return NULL;
}

struct err *import_docker(struct store *s, const struct image_import *im, struct import_file *f,
	const struct import_scan *scan, struct vec *names)
{
	AUTO_JSON json_t *list = NULL;
	TRY(json_parse(buf_str(&scan->manifest), "manifest.json", &list));
	AUTO(map_freep) struct map *members = map_new(member_free);
	struct docker d = {.s = s, .im = im, .scan = scan, .members = members};
	return import_all(&d, f, list, names);
}
