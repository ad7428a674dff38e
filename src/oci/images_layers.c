/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/images.h"

#include <stdio.h>

/* Derived images get OCI manifests: their layers are named by OCI types whatever the base came with. */
static const char *oci_layer_type(const char *media_type)
{
	if (cstr_eq(media_type, MEDIA_DOCKER_LAYER_GZIP))
		return MEDIA_OCI_LAYER_GZIP;
	if (cstr_eq(media_type, "application/vnd.docker.image.rootfs.diff.tar"))
		return MEDIA_OCI_LAYER;
	if (cstr_eq(media_type, "application/vnd.docker.image.rootfs.diff.tar.zstd"))
		return MEDIA_OCI_LAYER_ZSTD;
	return media_type;
}

/*
 * One content may be known in several compressed forms. What is built on an image must name the very blobs of
 * that image, not those that some other image brought first, so a further form is a layer of its own, with an
 * id told by both digests so that it is found again.
 */
static void form_id(const struct digest *diff_id, const struct digest *blob, char id[LAYER_ID_MAX])
{
	char text[DIGEST_TEXT_MAX];
	struct digest d;
	struct hasher *h = hasher_new(DIGEST_SHA256);
	hasher_add_field(h, str_c(digest_text(diff_id, text)));
	hasher_add_field(h, str_c(digest_text(blob, text)));
	hasher_finish(h, &d);
	hasher_free(h);
	snprintf(id, LAYER_ID_MAX, "%.32s", digest_hex(&d, text));
}

static struct err *layer_for(
	struct store *s, const struct digest *diff_id, const struct descriptor *d, struct layer *out)
{
	struct layer l = {.diff_id = *diff_id, .blob = d->digest, .blob_size = d->size};
	const char *media_type = oci_layer_type(d->media_type);
	if (snprintf(l.media_type, sizeof(l.media_type), "%s", media_type) >= (int)sizeof(l.media_type))
		return err_new(ERR_UNSUPPORTED, "layer media type %s is not known", media_type);
	struct layer have;
	bool found = false;
	TRY(store_layer_by_diff_id(s, diff_id, &have, &found));
	if (found && digest_eq(&have.blob, &l.blob)) {
		*out = have;
		return NULL;
	}
	if (found && !digest_is_set(&have.blob)) {
		snprintf(l.id, sizeof(l.id), "%s", have.id);
		*out = l;
		return store_layer_update(s, &l);
	}
	if (found) {
		form_id(diff_id, &l.blob, l.id);
		TRY(store_layer_get(s, l.id, &have, &found));
		if (found) {
			*out = have;
			return NULL;
		}
	}
	TRY(store_layer_add(s, &l));
	*out = l;
	return NULL;
}

struct err *images_layers(
	struct store *s, const struct manifest *m, const struct image_config *c, struct strvec *layer_ids)
{
	if (m->entries.len != c->diff_ids.len)
		return err_new(ERR_INVALID, "image: the manifest has %zu layers but the config %zu diff_ids",
			m->entries.len, c->diff_ids.len);
	AUTO_STRVEC struct strvec ids = {0};
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *d = vec_at(&m->entries, i);
		if (!media_type_is_layer(d->media_type))
			return err_new(ERR_UNSUPPORTED, "image: layer %zu has the unknown media type %s", i,
				d->media_type);
		struct layer l;
		TRY(layer_for(s, vec_at(&c->diff_ids, i), d, &l));
		strvec_push(&ids, l.id);
	}
	strvec_push_all(layer_ids, strvec_list(&ids));
	return NULL;
}
