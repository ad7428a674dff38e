/* SPDX-License-Identifier: Apache-2.0 */
/* What is attached to images (oci/attached.h) at a registry: by the referrers API, by the tags that stand for
 * it where a registry has none, and by the tags of cosign. Errors and threads: as remote/remote.h. */
#pragma once

#include "oci/attached.h"
#include "remote/remote.h"

/*
 * All that is attached to an image, to the manifests it names as far as they are in the store, and to what is
 * attached itself, into the store. Appended to out (vec of struct attached), what it is about before it. Asks
 * the registry, no mirror; the bytes may come from mirrors.
 */
MUST_USE struct err *remote_pull_attached(struct remote *r, const struct reference *ref,
	const struct descriptor *image, const struct transfer_io *io, struct vec *out);
/* From the store to a repository that has what they are about. Where the registry does not list a manifest as
 * a referrer, the index at the tag of its subject gets it too. */
MUST_USE struct err *remote_push_attached(struct remote *r, const struct vec *attached,
	const struct reference *to, const struct transfer_io *io);
