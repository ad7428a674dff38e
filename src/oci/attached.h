/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is attached to images: signatures, attestations, SBOMs. Either a manifest that names what it is about
 * as its subject (image-spec v1.1), or a tag made of the digest it is about: "sha256-<hex>.sig", as cosign
 * makes them.
 */
#pragma once

#include "base/compiler.h"
#include "base/vec.h"
#include "oci/image.h"

struct attached {
	struct descriptor manifest;
	struct digest subject; /* what it is about */
	char *tag;             /* by which it is found; NULL: as a referrer */
};
void attached_list_fini(struct vec *list); /* of struct attached */

/* The tag that stands for a digest (distribution-spec v1.1, "Referrers Tag Schema"): "sha256-<hex>". Caller
 * frees. */
char *attached_tag_of(const struct digest *d);
/* "sha256-<hex>.<word>": *subject is what it is about. */
bool attached_tag_parse(const char *tag, struct digest *subject);
