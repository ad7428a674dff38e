/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that push. */
#pragma once

#include "remote/remote_internal.h"

struct push {
	struct remote *remote;
	const struct reference *to;
	struct route route;
	struct vec blobs;     /* of struct descriptor, each once */
	struct vec manifests; /* of struct descriptor, children before what names them */
};

/* One blob to the registry, by the cheapest way there is. */
MUST_USE struct err *push_blob(struct push *p, const struct descriptor *d, const struct transfer_io *io);
/* Is it there? By HEAD. kind: "blobs" or "manifests". */
MUST_USE struct err *push_exists(struct push *p, const char *kind, const char *name,
	const struct transfer_io *io, bool *out, struct digest *digest);
/* A call to the repository that is pushed to. */
struct call push_call(struct push *p, const char *method, const char *path, const struct transfer_io *io);
