/* SPDX-License-Identifier: Apache-2.0 */
/* What both ways of reading a docker-archive share: its members, and the image that manifest.json makes of
 * them. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "oci/import_internal.h"

/* A member that is part of an image, or may be. */
struct docker_member {
	bool layer;       /* else a document */
	bool done;        /* it was in the archive */
	struct buf bytes; /* of a document */
	struct import_layer taken;
};

struct docker_archive {
	struct store *s;
	const struct cancel *cancel;
	const struct map *links; /* as struct import_scan's */
	struct map *members;     /* rooted path -> struct docker_member; docker_members */
	image_config_edit *edit; /* NULL: configs are kept byte for byte */
	void *edit_ctx;
};
struct map *docker_members(void);

/* Through links inside the archive; never out of it, as rooted paths cannot climb. Caller frees. */
MUST_USE struct err *docker_resolve(const struct docker_archive *d, const char *path, char **out);
/* Take a member in from its bytes. claimed: as in struct import_layer_options. */
MUST_USE struct err *docker_take_document(byte_source *source, void *ctx, struct docker_member *m);
MUST_USE struct err *docker_take_layer(const struct docker_archive *d, byte_source *source, void *ctx,
	const char *path, const struct digest *claimed, struct docker_member *m);
/* The image that o, an element of manifest.json, describes: its manifest in the store. */
MUST_USE struct err *docker_put_image(
	const struct docker_archive *d, const json_t *o, struct descriptor *out);
