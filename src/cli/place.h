/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image is or goes, as people write it:
 *   docker://REF  a registry      store:REF            this machine's store
 *   oci:DIR[:NAME], oci:DIR@DIGEST                     a layout and which image of it
 *   oci-archive:FILE              docker-archive:FILE
 *   REF           as a source: the store if it has that name, else the registry; as a destination: the
 * registry
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "oci/images.h"
#include "oci/reference.h"

enum place_kind { PLACE_ANY, PLACE_REGISTRY, PLACE_STORE, PLACE_FILE };

struct place {
	enum place_kind kind;
	enum image_format format; /* FILE */
	char *path;               /* FILE */
	char *name;               /* of an image of a layout; NULL: none */
	struct digest digest;     /* the same; unset: none */
	struct reference ref;     /* the others */
};
MUST_USE struct err *place_parse(const char *text, struct place *out);
void place_fini(struct place *p);
