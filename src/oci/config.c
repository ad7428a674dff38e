/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/image.h"

#include <stdio.h>
#include <string.h>

void image_config_fini(struct image_config *c)
{
	json_decref(c->json);
	vec_fini(&c->diff_ids);
	*c = (struct image_config){0};
}

static struct err *get_part(const json_t *doc, const char *key, char *out, size_t size)
{
	const char *s = NULL;
	TRY(json_get_string(doc, key, "image config", &s));
	if (s && strlen(s) >= size)
		return err_new(
			ERR_INVALID, "image config: \"%s\" is longer than %zu characters", key, size - 1);
	if (s)
		snprintf(out, size, "%s", s);
	return NULL;
}

static struct err *get_diff_ids(const json_t *doc, struct vec *out)
{
	json_t *rootfs = NULL;
	TRY(json_get_object(doc, "rootfs", "image config", &rootfs));
	if (!rootfs)
		return err_hint(err_new(ERR_INVALID, "image config: \"rootfs\" is missing"),
			"this is not a container image but another kind of artifact");
	const char *type = NULL;
	TRY(json_get_string(rootfs, "type", "image config: rootfs", &type));
	if (type && !cstr_eq(type, "layers"))
		return err_new(ERR_UNSUPPORTED, "image config: rootfs type \"%s\" is not supported", type);
	AUTO_STRVEC struct strvec ids = {0};
	TRY(json_get_strings(rootfs, "diff_ids", "image config: rootfs", &ids));
	for (size_t i = 0; i < ids.len; i++) {
		struct digest d;
		struct err *e = digest_parse(str_c(ids.ptr[i]), &d);
		if (e)
			return err_wrap(e, "image config: rootfs: diff_ids[%zu]", i);
		vec_push_copy(out, &d);
	}
	return NULL;
}

static struct err *config_fill(struct image_config *c)
{
	if (!json_is_object(c->json))
		return err_new(ERR_INVALID, "image config: must be a JSON object");
	struct platform *p = &c->platform;
	TRY(get_part(c->json, "os", p->os, sizeof(p->os)));
	TRY(get_part(c->json, "architecture", p->arch, sizeof(p->arch)));
	TRY(get_part(c->json, "variant", p->variant, sizeof(p->variant)));
	TRY(get_part(c->json, "os.version", p->os_version, sizeof(p->os_version)));
	json_t *config = NULL;
	TRY(json_get_object(c->json, "config", "image config", &config));
	return get_diff_ids(c->json, &c->diff_ids);
}

struct err *image_config_parse(struct str bytes, struct image_config *out)
{
	if (bytes.len > CONFIG_MAX)
		return err_new(ERR_INVALID, "image config: larger than %u MiB", CONFIG_MAX >> 20);
	struct image_config c = {.diff_ids = VEC_OF(struct digest)};
	TRY(json_parse(bytes, "image config", &c.json));
	struct err *e = config_fill(&c);
	if (e)
		image_config_fini(&c);
	else
		*out = c;
	return e;
}
