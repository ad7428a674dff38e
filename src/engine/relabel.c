/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "oci/images.h"

#include <string.h>

static struct err *inputs_of(const struct image_config *cfg, struct digest *out)
{
	const json_t *labels = json_object_get(json_object_get(cfg->json, "config"), "Labels");
	const char *text = json_string_value(json_object_get(labels, INPUTS_LABEL));
	struct err *e = text ? digest_parse(str_c(text), out) : NULL;

	return e ? err_wrap(e, "label " INPUTS_LABEL) : NULL;
}

static struct err *check(
	const struct evaluation *evaluated, const struct manifest *m, const struct image_config *cfg)
{
	struct digest inputs = {0};
	char have[DIGEST_TEXT_MAX], want[DIGEST_TEXT_MAX];

	TRY(inputs_of(cfg, &inputs));
	if (!digest_eq(&inputs, &evaluated->inputs))
		return err_new(ERR_INVALID, "the image was built from other inputs: %s, not %s",
			digest_text(&inputs, have), digest_text(&evaluated->inputs, want));
	if (m->entries.len != cfg->diff_ids.len)
		return err_new(ERR_CORRUPT, "the image has %zu layers, and its config knows %zu",
			m->entries.len, cfg->diff_ids.len);
	return NULL;
}

/* Of a layer its digest, size and type, as a build writes them. */
static void copy_layers(const struct manifest *m, struct vec *out)
{
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *from = vec_at(&m->entries, i);
		struct descriptor *to = vec_push(out);
		to->digest = from->digest;
		to->size = from->size;
		memcpy(to->media_type, from->media_type, sizeof(to->media_type));
	}
}

struct err *engine_relabel(struct engine *e, const struct evaluation *evaluated, const struct digest *image,
	struct descriptor *out)
{
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config cfg = {0};
	AUTO(vec_fini) struct vec layers = VEC_OF(struct descriptor);
	AUTO_JSON json_t *config = json_deep_copy(evaluated->config);
	AUTO_JSON json_t *diff_ids = json_array();
	char text[DIGEST_TEXT_MAX];
	struct descriptor made = {0};

	TRY(images_read(e->store, image, &m, &cfg));
	TRY(check(evaluated, &m, &cfg));
	copy_layers(&m, &layers);
	for (size_t i = 0; i < cfg.diff_ids.len; i++)
		json_array_append_new(diff_ids, json_string(digest_text(vec_at(&cfg.diff_ids, i), text)));
	const struct image_parts parts = {
		.config = config,
		.inputs = &evaluated->inputs,
		.layers = &layers,
		.diff_ids = diff_ids,
		.annotations = strvec_list(&evaluated->annotations),
	};
	return engine_put_image(e, &parts, out, &made);
}
