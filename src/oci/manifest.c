/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void descriptor_fini(struct descriptor *d)
{
	free(d->annotations);
	free(d->artifact_type);
	strvec_fini(&d->urls);
	*d = (struct descriptor){0};
}

void descriptor_copy(const struct descriptor *from, struct descriptor *to)
{
	*to = *from;
	to->annotations = mem_strdup(from->annotations);
	to->artifact_type = mem_strdup(from->artifact_type);
	to->urls = (struct strvec){0};
	strvec_push_all(&to->urls, strvec_list(&from->urls));
}

void descriptor_of(struct str bytes, const char *media_type, struct descriptor *out)
{
	*out = (struct descriptor){.size = bytes.len};
	digest_of(bytes.ptr, bytes.len, &out->digest);
	snprintf(out->media_type, sizeof(out->media_type), "%s", media_type);
}

void manifest_fini(struct manifest *m)
{
	descriptor_fini(&m->config);
	for (size_t i = 0; i < m->entries.len; i++)
		descriptor_fini(vec_at(&m->entries, i));
	vec_fini(&m->entries);
	descriptor_fini(&m->subject);
	free(m->artifact_type);
	free(m->annotations);
	*m = (struct manifest){0};
}

/* Text of a bounded field: absent leaves out empty. */
static struct err *get_bounded(const json_t *o, const char *key, const char *what, char *out, size_t size)
{
	const char *s = NULL;
	TRY(json_get_string(o, key, what, &s));
	if (!s)
		return NULL;
	if (strlen(s) >= size)
		return err_new(ERR_INVALID, "%s: \"%s\" is longer than %zu characters", what, key, size - 1);
	snprintf(out, size, "%s", s);
	return NULL;
}

static struct err *get_annotations(const json_t *o, const char *what, char **out)
{
	json_t *map = NULL;
	TRY(json_get_object(o, "annotations", what, &map));
	if (!map)
		return NULL;
	const char *key;
	json_t *v;
	json_object_foreach(map, key, v)
	{
		if (!json_is_string(v))
			return err_new(ERR_INVALID, "%s: annotation \"%s\" must be a string", what, key);
	}
	*out = json_dump(map, false);
	return NULL;
}

static struct err *get_platform(const json_t *o, const char *what, struct descriptor *d)
{
	json_t *p = NULL;
	TRY(json_get_object(o, "platform", what, &p));
	if (!p)
		return NULL;
	d->has_platform = true;
	TRY(get_bounded(p, "os", what, d->platform.os, sizeof(d->platform.os)));
	TRY(get_bounded(p, "architecture", what, d->platform.arch, sizeof(d->platform.arch)));
	TRY(get_bounded(p, "variant", what, d->platform.variant, sizeof(d->platform.variant)));
	return get_bounded(p, "os.version", what, d->platform.os_version, sizeof(d->platform.os_version));
}

static struct err *get_digest_and_size(const json_t *o, const char *what, struct descriptor *d)
{
	const char *digest = NULL;
	TRY(json_get_string(o, "digest", what, &digest));
	if (!digest)
		return err_new(ERR_INVALID, "%s: \"digest\" is missing", what);
	struct err *e = digest_parse(str_c(digest), &d->digest);
	if (e)
		return err_wrap(e, "%s", what);
	int64_t size = -1;
	if (!json_object_get(o, "size"))
		return err_new(ERR_INVALID, "%s: \"size\" is missing", what);
	TRY(json_get_int(o, "size", what, &size));
	if (size < 0)
		return err_new(ERR_INVALID, "%s: \"size\" must not be negative", what);
	d->size = (uint64_t)size;
	return NULL;
}

static struct err *descriptor_fill(const json_t *o, const char *what, struct descriptor *d)
{
	if (!json_is_object(o))
		return err_new(ERR_INVALID, "%s: must be a descriptor object", what);
	TRY(get_bounded(o, "mediaType", what, d->media_type, sizeof(d->media_type)));
	if (!*d->media_type)
		return err_new(ERR_INVALID, "%s: \"mediaType\" is missing", what);
	TRY(get_digest_and_size(o, what, d));
	TRY(get_annotations(o, what, &d->annotations));
	TRY(get_platform(o, what, d));
	TRY(json_get_strings(o, "urls", what, &d->urls));
	const char *type = NULL;
	TRY(json_get_string(o, "artifactType", what, &type));
	if (type && *type)
		d->artifact_type = mem_strdup(type);
	return NULL;
}

struct err *descriptor_parse(const json_t *o, const char *what, struct descriptor *out)
{
	struct descriptor d = {0};
	struct err *e = descriptor_fill(o, what, &d);
	if (e)
		descriptor_fini(&d);
	else
		*out = d;
	return e;
}

static struct err *get_entries(const json_t *doc, const char *key, struct vec *out)
{
	json_t *list = NULL;
	TRY(json_get_array(doc, key, "manifest", &list));
	for (size_t i = 0; i < json_array_size(list); i++) {
		AUTO_FREE char *what = mem_printf("manifest: %s[%zu]", key, i);
		struct descriptor d;
		TRY(descriptor_parse(json_array_get(list, i), what, &d));
		vec_push_copy(out, &d);
	}
	return NULL;
}

/* The bare media type of a Content-Type header. */
static void bare_media_type(const char *content_type, char out[128])
{
	struct str s = str_c(content_type);
	ptrdiff_t semicolon = str_index(s, ';');
	s = str_trim(semicolon >= 0 ? str_n(s.ptr, (size_t)semicolon) : s);
	if (s.len >= 128)
		s.len = 0;
	snprintf(out, 128, STR_FMT, STR_ARG(s));
}

static struct err *schema1(void)
{
	return err_hint(err_new(ERR_UNSUPPORTED,
				"manifest: Docker image manifest version 1 (schema 1) is not supported"),
		"push the image again with a current client: it then gets a version 2 or OCI manifest");
}

static struct err *check_version(const json_t *doc, const char *transport)
{
	if (cstr_starts(transport, "application/vnd.docker.distribution.manifest.v1"))
		return schema1();
	int64_t version = 0;
	if (!json_object_get(doc, "schemaVersion"))
		return err_new(ERR_INVALID, "manifest: \"schemaVersion\" is missing");
	TRY(json_get_int(doc, "schemaVersion", "manifest", &version));
	if (version == 1)
		return schema1();
	if (version != 2)
		return err_new(ERR_INVALID, "manifest: \"schemaVersion\" must be 2");
	return NULL;
}

/*
 * One document must not be read as an image by one reader and as an index by another (CVE-2021-41190), so
 * what the transport says, what the document says and its shape have to agree.
 */
static struct err *settle_type(const json_t *doc, const char *transport, struct manifest *m)
{
	bool image_keys = json_object_get(doc, "config") || json_object_get(doc, "layers");
	bool index_keys = json_object_get(doc, "manifests");
	TRY(get_bounded(doc, "mediaType", "manifest", m->media_type, sizeof(m->media_type)));
	if (media_type_is_manifest(transport)) {
		if (*m->media_type && !cstr_eq(m->media_type, transport))
			return err_new(ERR_INVALID, "manifest: it says it is %s but was sent as %s",
				m->media_type, transport);
		snprintf(m->media_type, sizeof(m->media_type), "%s", transport);
	}
	if (image_keys && index_keys)
		return err_new(ERR_INVALID, "manifest: has both \"manifests\" and \"config\" or \"layers\"");
	if (!*m->media_type) {
		if (!image_keys && !index_keys)
			return err_new(ERR_INVALID, "manifest: neither an image nor an index");
		snprintf(m->media_type, sizeof(m->media_type), "%s",
			index_keys ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST);
	}
	if (!media_type_is_manifest(m->media_type))
		return err_new(ERR_UNSUPPORTED, "manifest: media type %s is not supported", m->media_type);
	m->kind = media_type_is_index(m->media_type) ? MANIFEST_INDEX : MANIFEST_IMAGE;
	if (m->kind == MANIFEST_INDEX && !index_keys && !image_keys)
		return err_new(ERR_INVALID, "manifest: \"manifests\" is missing");
	if (m->kind == MANIFEST_INDEX ? image_keys : index_keys)
		return err_new(
			ERR_INVALID, "manifest: its parts do not fit its media type %s", m->media_type);
	return NULL;
}

static struct err *get_artifact_type(const json_t *doc, struct manifest *m)
{
	const char *type = NULL;
	TRY(json_get_string(doc, "artifactType", "manifest", &type));
	if (type && *type)
		m->artifact_type = mem_strdup(type);
	else if (m->kind == MANIFEST_IMAGE)
		m->artifact_type = mem_strdup(m->config.media_type);
	return NULL;
}

static struct err *manifest_fill(const json_t *doc, const char *transport, struct manifest *m)
{
	if (!json_is_object(doc))
		return err_new(ERR_INVALID, "manifest: must be a JSON object");
	TRY(check_version(doc, transport));
	TRY(settle_type(doc, transport, m));
	if (m->kind == MANIFEST_IMAGE) {
		json_t *config = NULL;
		TRY(json_get_object(doc, "config", "manifest", &config));
		if (!config)
			return err_new(ERR_INVALID, "manifest: \"config\" is missing");
		TRY(descriptor_parse(config, "manifest: config", &m->config));
	}
	TRY(get_entries(doc, m->kind == MANIFEST_IMAGE ? "layers" : "manifests", &m->entries));
	json_t *subject = NULL;
	TRY(json_get_object(doc, "subject", "manifest", &subject));
	if (subject) {
		TRY(descriptor_parse(subject, "manifest: subject", &m->subject));
		m->has_subject = true;
	}
	TRY(get_annotations(doc, "manifest", &m->annotations));
	return get_artifact_type(doc, m);
}

struct err *manifest_parse(struct str bytes, const char *content_type, struct manifest *out)
{
	if (bytes.len > MANIFEST_MAX)
		return err_new(ERR_INVALID, "manifest: larger than %u MiB", MANIFEST_MAX >> 20);
	char transport[128];
	bare_media_type(content_type, transport);
	AUTO_JSON json_t *doc = NULL;
	TRY(json_parse(bytes, "manifest", &doc));
	struct manifest m = {.entries = VEC_OF(struct descriptor)};
	struct err *e = manifest_fill(doc, transport, &m);
	if (e)
		manifest_fini(&m);
	else
		*out = m;
	return e;
}

const struct descriptor *manifest_pick(const struct manifest *index, const struct platform *want)
{
	const struct descriptor *best = NULL;
	int best_score = 0;
	for (size_t i = 0; i < index->entries.len; i++) {
		const struct descriptor *d = vec_at(&index->entries, i);
		if (!media_type_is_manifest(d->media_type))
			continue;
		int match = d->has_platform ? platform_match(want, &d->platform) : 0;
		int score = match ? 1 + match : 0;
		if (!d->has_platform && !d->artifact_type)
			score = 1; /* says nothing: better than nothing */
		if (score > best_score) {
			best = d;
			best_score = score;
		}
	}
	return best;
}
