/* SPDX-License-Identifier: Apache-2.0 */
/* What the embedded registry has under its tags, seen as images of the store: no server need run for that. */
#include "base/mem.h"
#include "oci/images_internal.h"

#include <stdio.h>
#include <string.h>

#define SPACE_TAG "tag"
#define SPACE_MANIFEST "manifest"

static bool is_own(const struct reference *name)
{
	return cstr_eq(name->registry, IMAGES_OWN_REGISTRY) || cstr_eq(name->registry, "localhost:5000");
}

static struct err *decode(const char *key, struct str value, struct stored_image *out)
{
	AUTO_FREE char *what = mem_printf("registry record %s", key);
	AUTO_JSON json_t *o = NULL;
	AUTO(descriptor_fini) struct descriptor d = {0};
	TRY(json_parse(value, what, &o));
	TRY(descriptor_parse(o, what, &d));
	*out = (struct stored_image){.digest = d.digest,
		.size = d.size,
		.name = mem_printf("%s/%s", IMAGES_OWN_REGISTRY, key),
		.origin = mem_strdup("published")};
	snprintf(out->media_type, sizeof(out->media_type), "%s", d.media_type);
	return NULL;
}

struct err *images_published_get(
	struct store *s, const struct reference *name, struct stored_image *out, bool *found)
{
	char text[DIGEST_TEXT_MAX];
	bool pinned = digest_is_set(&name->digest);
	AUTO_BUF struct buf value = {0};
	*found = false;
	if (!is_own(name))
		return NULL;
	AUTO_FREE char *key =
		pinned ? mem_printf("%s@%s", name->repository, digest_text(&name->digest, text))
		       : mem_printf("%s:%s", name->repository, name->tag ? name->tag : "latest");
	TRY(store_record_get(s, pinned ? SPACE_MANIFEST : SPACE_TAG, key, &value, found));
	return *found ? decode(key, buf_str(&value), out) : NULL;
}

static struct err *list_row(void *ctx, const struct store_record_row *row)
{
	struct stored_image i;
	TRY(decode(row->key, row->value, &i));
	vec_push_copy(ctx, &i);
	return NULL;
}

struct err *images_published_list(struct store *s, struct vec *out)
{
	return store_record_each(s, SPACE_TAG, "", NULL, 0, list_row, out);
}
