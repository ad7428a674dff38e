/* SPDX-License-Identifier: Apache-2.0 */
/* docker-archives in files: what manifest.json names is known before its members are read. */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "oci/docker_archive_internal.h"

#include <sys/stat.h>

static struct err *want(struct docker_archive *d, const char *path, bool layer)
{
	AUTO_FREE char *at = NULL;
	TRY(docker_resolve(d, path, &at));
	struct docker_member *m = map_get_c(d->members, at);
	if (m && m->layer != layer)
		return err_new(ERR_INVALID, "manifest.json: \"%s\" is named as config and as layer", path);
	if (!m) {
		m = mem_new(struct docker_member);
		m->layer = layer;
		map_set_c(d->members, at, m);
	}
	return NULL;
}

static struct err *want_all(struct docker_archive *d, const json_t *list)
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

static struct err *take_config(struct tar_reader *r, const struct tar_entry *e, struct docker_member *m)
{
	if (e->size > CONFIG_MAX)
		return err_new(
			ERR_INVALID, "image config \"%s\" is larger than %u MiB", e->path, CONFIG_MAX >> 20);
	return docker_take_document(import_entry_source, r, m);
}

static struct err *take_member(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	struct docker_archive *d = ctx;
	TRY(cancel_check(d->cancel));
	if (!S_ISREG(e->mode) || e->hardlink)
		return NULL;
	AUTO_FREE char *path = path_rooted(e->path);
	struct docker_member *m = map_get_c(d->members, path);
	if (!m)
		return NULL;
	if (m->done)
		return err_new(ERR_INVALID, "the archive holds \"%s\" twice", e->path);
	m->done = true;
	return m->layer ? docker_take_layer(d, import_entry_source, r, e->path, NULL, m)
			: take_config(r, e, m);
}

static struct err *name_image(
	const struct image_import *im, const json_t *o, const struct descriptor *image, struct vec *names)
{
	AUTO_STRVEC struct strvec tags = {0};
	if (im->name)
		strvec_push(&tags, im->name);
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

static struct err *import_all(struct docker_archive *d, const struct image_import *im, struct import_file *f,
	const json_t *list, struct vec *names)
{
	if (json_array_size(list) == 0)
		return err_new(ERR_INVALID, "manifest.json names no image");
	if (im->name && json_array_size(list) > 1)
		return err_hint(err_new(ERR_INVALID, "the archive holds %zu images, not one to be called %s",
					json_array_size(list), im->name),
			"leave the name out to take them by the names in the archive");
	TRY(want_all(d, list));
	TRY(import_file_rewind(f));
	TRY(tar_each(import_file_read, f, NULL, take_member, d));
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct descriptor image;
		TRY(docker_put_image(d, json_array_get(list, i), &image));
		TRY(name_image(im, json_array_get(list, i), &image, names));
	}
	return NULL;
}

struct err *import_docker(struct store *s, const struct image_import *im, struct import_file *f,
	const struct import_scan *scan, struct vec *names)
{
	AUTO_JSON json_t *list = NULL;
	TRY(json_parse(buf_str(&scan->manifest), "manifest.json", &list));
	AUTO(map_freep) struct map *members = docker_members();
	struct docker_archive d = {.s = s, .cancel = im->cancel, .links = scan->links, .members = members};
	return import_all(&d, im, f, list, names);
}
