/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "nix/nix_internal.h"
#include "oci/images.h"

#include <string.h>

/* The same order whatever was there: an image that gets other labels must be the one that a build gives. */
static void set_last(json_t *o, const char *key, const char *text)
{
	json_object_del(o, key);
	json_set_text(o, key, text);
}

struct err *nix_edit_config(void *ctx, json_t *config)
{
	const struct nix_config *edit = ctx;
	const char *const *labels = edit->rq->labels;
	/* Nix's own writers leave them null. */
	json_t *have = json_need_object(json_need_object(config, "config"), "Labels");
	char inputs[DIGEST_TEXT_MAX], when[CLOCK_TEXT_MAX];

	for (size_t i = 0; labels && labels[i]; i++) {
		const char *eq = strchr(labels[i], '=');
		AUTO_FREE char *key =
			mem_strndup(labels[i], eq ? (size_t)(eq - labels[i]) : strlen(labels[i]));
		set_last(have, key, eq ? eq + 1 : "");
	}
	set_last(have, INPUTS_LABEL, digest_text(edit->inputs, inputs));
	if (edit->rq->created)
		json_set_text(config, "created", clock_rfc3339(edit->rq->created, when));
	return NULL;
}

static struct err *check_inputs(const struct image_config *c, const struct digest *inputs)
{
	const json_t *labels = json_object_get(json_object_get(c->json, "config"), "Labels");
	const char *has = json_string_value(json_object_get(labels, INPUTS_LABEL));
	char want[DIGEST_TEXT_MAX];

	if (!cstr_eq(has, digest_text(inputs, want)))
		return err_new(ERR_INVALID, "the image was built from other inputs: %s, not %s",
			has ? has : "unknown ones", want);
	return NULL;
}

struct err *nix_relabel(struct store *s, const struct nix_request *rq, const struct digest *inputs,
	const struct digest *image, struct descriptor *out)
{
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	struct nix_config edit = {.rq = rq, .inputs = inputs};
	struct descriptor config;

	TRY(images_read(s, image, &m, &c));
	TRY(check_inputs(&c, inputs));
	TRY(nix_edit_config(&edit, c.json));
	AUTO_FREE char *text = json_dump(c.json, false);
	descriptor_of(str_c(text), MEDIA_OCI_CONFIG, &config);
	TRY(store_blob_put(s, text, config.size, NULL));
	AUTO_FREE char *manifest = manifest_write(&config, m.entries.ptr, m.entries.len, NULL);
	return images_put_manifest(s, str_c(manifest), MEDIA_OCI_MANIFEST, out);
}
