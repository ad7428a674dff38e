/* SPDX-License-Identifier: Apache-2.0 */
/* docker-archive: manifest.json is [{Config, RepoTags, Layers}] naming members of the archive (moby
 * image/spec v1.2). Here what it leads to, once its members were taken in. */
#include "oci/docker_archive_internal.h"

#include "base/mem.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#define LINK_HOPS_MAX 16

static void member_free(void *p)
{
	struct docker_member *m = p;
	buf_fini(&m->bytes);
	free(m);
}

struct map *docker_members(void)
{
	return map_new(member_free);
}

/* ---- taking members in ---- */

struct err *docker_take_document(byte_source *source, void *ctx, struct docker_member *m)
{
	return import_read_document(source, ctx, CONFIG_MAX, &m->bytes);
}

struct err *docker_take_layer(const struct docker_archive *d, byte_source *source, void *ctx,
	const char *path, const struct digest *claimed, struct docker_member *m)
{
	struct import_layer_options opt = {.claimed = claimed, .cancel = d->cancel};
	struct err *err = import_layer_store(d->s, source, ctx, &opt, &m->taken);
	return err ? err_wrap(err, "layer \"%s\"", path) : NULL;
}

/* ---- what manifest.json names ---- */

struct err *docker_resolve(const struct docker_archive *d, const char *path, char **out)
{
	char *at = path_rooted(path);
	for (int hop = 0; hop <= LINK_HOPS_MAX; hop++) {
		const char *next = map_get_c(d->links, at);
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

static struct err *found(
	const struct docker_archive *d, const char *path, bool layer, struct docker_member **out)
{
	AUTO_FREE char *at = NULL;
	TRY(docker_resolve(d, path, &at));
	struct docker_member *m = map_get_c(d->members, at);
	if (!m || !m->done)
		return err_new(
			ERR_INVALID, "manifest.json names \"%s\", which the archive does not hold", path);
	if (m->layer != layer)
		return err_new(ERR_INVALID, "manifest.json names \"%s\" as a %s, which it is not", path,
			layer ? "layer" : "config");
	*out = m;
	return NULL;
}

/* A config is often named by its digest; then that has to be true. */
static struct err *check_config_name(const char *path, const struct docker_member *m)
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
	digest_of(m->bytes.ptr, m->bytes.len, &real);
	if (!cstr_eq(digest_text(&real, text), as_digest))
		return err_new(ERR_CORRUPT, "image config \"%s\" has the digest %s", path, text);
	return NULL;
}

static struct err *gather_layers(const struct docker_archive *d, const struct strvec *paths,
	const struct image_config *c, struct vec *out)
{
	if (paths->len != c->diff_ids.len)
		return err_new(ERR_INVALID, "manifest.json has %zu layers but the config %zu diff_ids",
			paths->len, c->diff_ids.len);
	for (size_t i = 0; i < paths->len; i++) {
		struct docker_member *m = NULL;
		TRY(found(d, paths->ptr[i], true, &m));
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

static struct err *put_config(const struct docker_archive *d, const struct docker_member *m,
	const struct image_config *c, struct descriptor *out)
{
	AUTO_FREE char *edited = NULL;
	struct str bytes = buf_str(&m->bytes);
	if (d->edit) {
		TRY(d->edit(d->edit_ctx, c->json));
		edited = json_dump(c->json, false);
		bytes = str_c(edited);
	}
	descriptor_of(bytes, MEDIA_OCI_CONFIG, out);
	return store_blob_put(d->s, bytes.ptr, bytes.len, NULL);
}

struct err *docker_put_image(const struct docker_archive *d, const json_t *o, struct descriptor *out)
{
	const char *config_path = NULL;
	AUTO_STRVEC struct strvec paths = {0};
	TRY(json_get_string(o, "Config", "manifest.json", &config_path));
	TRY(json_get_strings(o, "Layers", "manifest.json", &paths));
	if (!config_path)
		return err_new(ERR_INVALID, "manifest.json: \"Config\" is missing");
	struct docker_member *m = NULL;
	TRY(found(d, config_path, false, &m));
	TRY(check_config_name(config_path, m));
	AUTO(image_config_fini) struct image_config c = {0};
	TRY(image_config_parse(buf_str(&m->bytes), &c));
	AUTO(vec_fini) struct vec layers = VEC_OF(struct descriptor);
	TRY(gather_layers(d, &paths, &c, &layers));
	struct descriptor config;
	TRY(put_config(d, m, &c, &config));
	AUTO_FREE char *manifest = manifest_write(&config, layers.ptr, layers.len, NULL);
	return images_put_manifest(d->s, str_c(manifest), MEDIA_OCI_MANIFEST, out);
}
