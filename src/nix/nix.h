/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a default.nix: drives nix-build, and takes the image that it gives into the store. The result is
 * an archive (docker-archive, compressed or not) or a program that writes one to its standard output
 * (streamLayeredImage), told apart by content; layers are taken in while they are read, nothing is staged.
 * Threads: any.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/event.h"
#include "oci/image.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct nix_request {
	const char *root; /* absolute: the checked-out repository; expressions may read beside file */
	const char *file; /* relative to root: "containers/ntfy/default.nix" */
	const char *const *labels;   /* "K=V"; NULL-terminated; may be NULL. Written into the config */
	int64_t created;             /* ns: of the config; 0: what Nix says. History stays as it is */
	struct event_stream *events; /* nix-build's own lines are the output of one step */
	const struct cancel *cancel;
};
struct nix_result {
	struct descriptor manifest; /* in the store */
	struct digest inputs;       /* of the derivation: what dev.cooper.inputs says */
};

/* The program, or ERR_NOT_FOUND with how to get it. Caller frees *program. */
MUST_USE struct err *nix_find(const char *name, char **program);
/*
 * What the file's derivation asks for, without building it: equal inputs, equal digest. Nix names what it
 * copies of a checkout after its folder: for equal digests of equal commits the last part of root has to be
 * equal.
 */
MUST_USE struct err *nix_inputs(const struct nix_request *rq, struct digest *out);
/* A wrong fixed-output hash is ERR_INVALID whose text begins with what was specified and what came. The image
 * is held by this process's lease until it is named. */
MUST_USE struct err *nix_build(struct store *s, const struct nix_request *rq, struct nix_result *out);
/*
 * What nix_build would give, over the layers of an image that it gave for the same inputs: only labels and
 * created of rq count. ERR_INVALID if the image's own inputs are others.
 */
MUST_USE struct err *nix_relabel(struct store *s, const struct nix_request *rq, const struct digest *inputs,
	const struct digest *image, struct descriptor *out);
