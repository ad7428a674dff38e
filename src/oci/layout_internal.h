/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory that is an OCI image layout (image-spec image-layout.md) and is added to. Its bytes are
 * foreign: documents are bounded, and below blobs/ no link is followed.
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "oci/export_internal.h"

#define ANNOTATION_REF_NAME "org.opencontainers.image.ref.name"

/* The grammar of the image-spec's annotations.md: "v1", "docker.io/library/debian:12". */
bool layout_ref_name_valid(const char *name);
/* The name an entry of index.json has; NULL if none. Borrowed. */
const char *layout_ref_name(const json_t *entry);

/*
 * index.json with entries (of struct descriptor) added to old; empty: a new one. What else is in it stays as
 * it is. An entry with a name takes the place of those of that name; where one without a name is the same
 * manifest, that gets the name. Without a name it is added unless the manifest is listed.
 * ERR_INVALID: old is no index. Appends to out.
 */
MUST_USE struct err *layout_index_add(struct str old, const struct vec *entries, struct buf *out);

/* Write what was gathered into the layout at path, which is made if there is none. */
MUST_USE struct err *layout_add(struct export_set *set, const char *path);
