/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a build would be made from, found out without running its steps: sources are pinned as a build pins
 * them, and the definition digest is the very one that the build would write as the label dev.cooper.inputs.
 * Two evaluations can be compared input by input, and one can be put over the layers of an image that was
 * built from equal inputs.
 *
 * Threads: any, on separate values.
 */
#pragma once

#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "base/vec.h"
#include "oci/image.h"

#include <stdint.h>

enum input_kind {
	INPUT_FILE,       /* of a local directory: read by a step */
	INPUT_IMAGE,      /* base image, by its manifest */
	INPUT_URL,        /* a download, by its content */
	INPUT_GIT,        /* a repository, by commit */
	INPUT_STEP,       /* what is done: an instruction, a call of a pipeline */
	INPUT_CONFIG,     /* a setting of the image: only in changes */
	INPUT_SETTING,    /* of this machine, that changes what every step makes */
	INPUT_DERIVATION, /* of a default.nix */
	INPUT_SCRIPT,     /* a file that described the build. Does not count by itself: what it said does */
};
#define INPUT_KINDS 9
const char *input_kind_name(enum input_kind k); /* "file", "image", ... */

struct build_input {
	enum input_kind kind;
	char *name;    /* for people: "containers/notes/main.go", "debian:bookworm-slim", "RUN make" */
	char *state;   /* equal for equal ones */
	char *file;    /* where it is asked for; NULL: not known */
	uint32_t line; /* in file, from 1 */
};

struct evaluation {
	struct digest inputs; /* what dev.cooper.inputs would say */
	json_t *config; /* whole document without layers and that label; NULL: known from a build only */
	struct strvec annotations; /* "K=V", of the manifest */
	struct vec list;           /* of struct build_input */
};
void evaluation_init(struct evaluation *e);
void evaluation_fini(struct evaluation *e);
/* Borrowed until the next one. */
struct build_input *evaluation_add(struct evaluation *e, enum input_kind kind, const char *name);

/* Kept for later comparison: {"inputs","config","list":[{kind,name,state,file?,line?}]}. Caller owns. */
json_t *evaluation_json(const struct evaluation *e);
MUST_USE struct err *evaluation_parse(struct str text, struct evaluation *out);

struct input_change {
	enum input_kind kind;
	char *name;
	char *from, *to; /* NULL: was not, or is not, there */
	char *text;      /* the whole for people: "containers/notes/main.go changed" */
};
void input_changes_fini(struct vec *changes);
/* Why to has another digest than from: vec of struct input_change, appended; nothing if the digests are
 * equal. At least one entry otherwise. */
void evaluation_compare(const struct evaluation *from, const struct evaluation *to, struct vec *changes);

struct engine;
struct build_request;
/* Of a Dockerfile. ERR_NOT_FOUND and the like as a build fails before its first step. */
MUST_USE struct err *engine_evaluate(
	struct engine *e, const struct build_request *rq, struct evaluation *out);
/*
 * The image that a build of the evaluated would give, over the layers of an image of the store (manifest and
 * config; layers need not be here). ERR_INVALID unless that one's own inputs are equal. Into the store.
 */
MUST_USE struct err *engine_relabel(struct engine *e, const struct evaluation *evaluated,
	const struct digest *image, struct descriptor *out);
