/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by images*.c. */
#pragma once

#include "oci/images.h"

/* As images_get and images_list, but of the registry's records: "tag", and "manifest" for a digest. Names
 * that are listed are in bytewise order. */
MUST_USE struct err *images_published_get(
	struct store *s, const struct reference *name, struct stored_image *out, bool *found);
MUST_USE struct err *images_published_list(struct store *s, struct vec *out);
