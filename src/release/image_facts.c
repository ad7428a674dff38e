/* SPDX-License-Identifier: Apache-2.0 */
/* What a released image says of itself. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/evaluate.h"
#include "release/release_internal.h"

#include <string.h>

/* The image's manifest into the store, if it is not there. */
static struct err *find_image(struct engine *e, bool embedded, const struct reference *ref,
	const struct transfer_io *io, struct descriptor *out)
{
	if (embedded) {
		bool found = false;
		TRY(published_here(e, ref, out, &found));
		if (found)
			return NULL;
		AUTO_FREE char *text = reference_text(ref);
		return err_new(ERR_NOT_FOUND, "%s is gone", text);
	}
	struct remote *remote = NULL;
	TRY(engine_remote(e, &remote));
	struct platform host;
	platform_host(&host);
	AUTO(descriptor_fini) struct descriptor manifest = {0};
	return remote_pull_lazy(remote, ref, &host, io, out, &manifest);
}

static void read_config(const struct image_config *cfg, struct image_facts *out)
{
	const json_t *labels = json_object_get(json_object_get(cfg->json, "config"), "Labels");
	const char *revision =
		json_string_value(json_object_get(labels, "org.opencontainers.image.revision"));
	if (revision && strlen(revision) == 40 && strspn(revision, "0123456789abcdef") == 40)
		memcpy(out->revision, revision, sizeof(out->revision));
	const char *inputs = json_string_value(json_object_get(labels, INPUTS_LABEL));
	if (inputs && digest_valid(str_c(inputs)))
		err_ignore(digest_parse(str_c(inputs), &out->inputs), "it was found to be one");
	const char *created = json_string_value(json_object_get(cfg->json, "created"));
	struct err *e = created ? clock_parse_rfc3339(str_c(created), &out->created) : NULL;
	if (e)
		err_ignore(e, "a time that is none is shown as not known");
}

struct err *image_facts_read(struct engine *e, bool embedded, const struct reference *ref,
	const struct transfer_io *io, struct image_facts *out)
{
	struct store *s = engine_store(e);
	AUTO(descriptor_fini) struct descriptor top = {0}, image = {0};
	TRY(find_image(e, embedded, ref, io, &top));
	out->digest = top.digest;
	struct platform host;
	platform_host(&host);
	TRY(images_resolve_platform(s, &top.digest, &host, &image));
	out->image = image.digest;
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config cfg = {0};
	TRY(images_read(s, &image.digest, &m, &cfg));
	for (size_t i = 0; i < m.entries.len; i++)
		out->size += ((const struct descriptor *)vec_at(&m.entries, i))->size;
	read_config(&cfg, out);
	return NULL;
}
