/* SPDX-License-Identifier: Apache-2.0 */
/* index.json of an OCI image layout (image-spec image-layout.md) and what is added to it. */
#include "oci/layout_internal.h"

#include "base/json.h"
#include "base/mem.h"

#include <string.h>

#define REF_NAME_MAX 512

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* How many bytes at s separate two words: 0, 1, or 2 for "--". */
static size_t separator(const char *s)
{
	if (cstr_starts(s, "--"))
		return 2;
	return *s && strchr("-._:@+/", *s) ? 1 : 0;
}

bool layout_ref_name_valid(const char *name)
{
	const char *s = name;
	if (strlen(name) > REF_NAME_MAX)
		return false;
	while (is_alnum(*s)) {
		while (is_alnum(*s))
			s++;
		if (!*s)
			return true;
		s += separator(s);
	}
	return false;
}

const char *layout_ref_name(const json_t *entry)
{
	return json_string_value(json_object_get(json_object_get(entry, "annotations"), ANNOTATION_REF_NAME));
}

static struct err *parse_entries(json_t *index)
{
	json_t *list = json_object_get(index, "manifests");
	/* As some write an empty list. */
	if (!list || json_is_null(list)) {
		json_object_set_new(index, "manifests", json_array());
		return NULL;
	}
	if (!json_is_array(list))
		return err_new(ERR_INVALID, "index.json: \"manifests\" is not a list");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_string(json_object_get(json_array_get(list, i), "digest")))
			return err_new(ERR_INVALID, "index.json: manifest %zu has no digest", i + 1);
	return NULL;
}

static struct err *parse_index(struct str text, json_t **out)
{
	AUTO_JSON json_t *index = NULL;
	int64_t version = 0;
	const char *type = NULL;
	TRY(json_parse(text, "index.json", &index));
	if (!json_is_object(index))
		return err_new(ERR_INVALID, "index.json is not an object");
	TRY(json_get_int(index, "schemaVersion", "index.json", &version));
	TRY(json_get_string(index, "mediaType", "index.json", &type));
	if (version != 2 || (type && !cstr_eq(type, MEDIA_OCI_INDEX)))
		return err_new(ERR_INVALID, "index.json is not an OCI image index of schema version 2");
	TRY(parse_entries(index));
	*out = json_incref(index);
	return NULL;
}

static json_t *new_index(void)
{
	json_t *index = json_object();
	json_object_set_new(index, "schemaVersion", json_integer(2));
	json_object_set_new(index, "mediaType", json_text(MEDIA_OCI_INDEX));
	json_object_set_new(index, "manifests", json_array());
	return index;
}

static bool entry_has_digest(const json_t *entry, const char *digest)
{
	return cstr_eq(json_string_value(json_object_get(entry, "digest")), digest);
}

/* Without a name: listed once, under whatever name. */
static void add_nameless(json_t *list, json_t *entry, const char *digest)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (entry_has_digest(json_array_get(list, i), digest))
			return;
	json_array_append(list, entry);
}

/* A name stands for one: those that had it go, unless that is this one already. */
static bool clear_name(json_t *list, const char *name, const char *digest)
{
	bool there = false;
	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *old = json_array_get(list, i);
		if (!cstr_eq(layout_ref_name(old), name))
			continue;
		if (entry_has_digest(old, digest) && !there)
			there = true;
		else
			json_array_remove(list, i);
	}
	return there;
}

static void add_named(json_t *list, json_t *entry, const char *name, const char *digest)
{
	if (clear_name(list, name, digest))
		return;
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *old = json_array_get(list, i);
		if (!entry_has_digest(old, digest) || layout_ref_name(old))
			continue;
		json_set_text(json_need_object(old, "annotations"), ANNOTATION_REF_NAME, name);
		return;
	}
	json_array_append(list, entry);
}

struct err *layout_index_add(struct str old, const struct vec *entries, struct buf *out)
{
	AUTO_JSON json_t *index = NULL;
	if (old.len)
		TRY(parse_index(old, &index));
	else
		index = new_index();
	json_t *list = json_object_get(index, "manifests");
	for (size_t i = 0; i < entries->len; i++) {
		const struct descriptor *d = vec_at(entries, i);
		AUTO_JSON json_t *entry = descriptor_json(d);
		char digest[DIGEST_TEXT_MAX];
		const char *name = layout_ref_name(entry);
		digest_text(&d->digest, digest);
		if (name)
			add_named(list, entry, name, digest);
		else
			add_nameless(list, entry, digest);
	}
	AUTO_FREE char *text = json_dump(index, false);
	if (strlen(text) > MANIFEST_MAX)
		return err_hint(err_new(ERR_NO_SPACE,
					"index.json would be larger than %u bytes, more than clients read",
					MANIFEST_MAX),
			"name another directory");
	buf_adds(out, text);
	return NULL;
}
