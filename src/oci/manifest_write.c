/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image.h"

#include <stdlib.h>

static json_t *platform_json(const struct platform *p)
{
	json_t *o = json_object();
	json_object_set_new(o, "architecture", json_text(p->arch));
	json_object_set_new(o, "os", json_text(p->os));
	if (*p->os_version)
		json_object_set_new(o, "os.version", json_text(p->os_version));
	if (*p->variant)
		json_object_set_new(o, "variant", json_text(p->variant));
	return o;
}

/* A copy with its keys sorted, so that equal annotations give equal bytes. */
static json_t *sorted(const json_t *map)
{
	char *text = json_dump(map, true);
	json_t *copy = json_loads(text, 0, NULL);
	free(text);
	return copy;
}

json_t *descriptor_json(const struct descriptor *d)
{
	char digest[DIGEST_TEXT_MAX];
	json_t *o = json_object();
	json_object_set_new(o, "mediaType", json_text(d->media_type));
	json_object_set_new(o, "digest", json_text(digest_text(&d->digest, digest)));
	json_object_set_new(o, "size", json_integer((json_int_t)d->size));
	if (d->urls.len)
		json_object_set_new(o, "urls", json_from_strings(strvec_list(&d->urls)));
	json_t *annotations = d->annotations ? json_loads(d->annotations, 0, NULL) : NULL;
	if (annotations && json_object_size(annotations))
		json_object_set_new(o, "annotations", sorted(annotations));
	json_decref(annotations);
	if (d->has_platform)
		json_object_set_new(o, "platform", platform_json(&d->platform));
	json_set_text(o, "artifactType", d->artifact_type);
	return o;
}

static json_t *head(const char *media_type)
{
	json_t *o = json_object();
	json_object_set_new(o, "schemaVersion", json_integer(2));
	json_object_set_new(o, "mediaType", json_text(media_type));
	return o;
}

/* Adds the list and the annotations, dumps and frees o. */
static char *finish(
	json_t *o, const char *key, const struct descriptor *d, size_t count, const json_t *annotations)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, descriptor_json(&d[i]));
	json_object_set_new(o, key, list);
	if (annotations && json_object_size(annotations))
		json_object_set_new(o, "annotations", sorted(annotations));
	char *text = json_dump(o, false);
	json_decref(o);
	return text;
}

char *manifest_write(const struct descriptor *config, const struct descriptor *layers, size_t count,
	const json_t *annotations)
{
	json_t *o = head(MEDIA_OCI_MANIFEST);
	json_object_set_new(o, "config", descriptor_json(config));
	return finish(o, "layers", layers, count, annotations);
}

char *index_write(const struct descriptor *manifests, size_t count, const json_t *annotations)
{
	return finish(head(MEDIA_OCI_INDEX), "manifests", manifests, count, annotations);
}
