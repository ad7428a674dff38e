/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images in the store: names ("image" records: "docker.io/library/debian:12" -> manifest digest and media
 * type), manifests and configs as blobs, layers registered by diff id (lazily: a layer may be known while its
 * blob is still remote). Threads: any.
 */
#pragma once

#include "archive/tar.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "oci/attached.h"
#include "oci/image.h"
#include "store/store.h"

/* Where the embedded registry of the store answers unless told otherwise, and so what stands before the
 * images that were published in it. */
#define IMAGES_OWN_REGISTRY "127.0.0.1:5000"

struct stored_image {
	char *name;           /* full reference with tag */
	struct digest digest; /* of the manifest or index */
	char media_type[128];
	uint64_t size;   /* of the manifest */
	int64_t created; /* when the name was set, ns; 0 if not known */
	char *origin;    /* "imported from FILE", "pulled", "built", "published"; NULL if not known */
};
void stored_image_fini(struct stored_image *i);

/* Keep a manifest (or index) and what it names alive: puts the bytes as a blob, links it to its children. Not
 * inside store_begin. */
MUST_USE struct err *images_put_manifest(
	struct store *s, struct str bytes, const char *media_type, struct descriptor *out);
/* The links alone, for a manifest whose bytes are in the store already. Not inside store_begin. */
MUST_USE struct err *images_link_manifest(struct store *s, const struct digest *d, const struct manifest *m);
/* name without tag and digest means "latest"; with a digest alone the name is repository@digest, which target
 * must have. */
MUST_USE struct err *images_set_name(
	struct store *s, const struct reference *name, const struct descriptor *target, const char *origin);
/* What the embedded registry has published answers too, after the names that were set. *found false with
 * success when absent. */
MUST_USE struct err *images_get(
	struct store *s, const struct reference *name, struct stored_image *out, bool *found);
/* Of a name that was set; what is published stays. */
MUST_USE struct err *images_remove(struct store *s, const struct reference *name, bool *removed);
/* All, those that were published too, sorted by name; vec of struct stored_image. */
MUST_USE struct err *images_list(struct store *s, struct vec *out);
/* From a manifest or index digest in the store down to one image manifest for the platform (picks from
 * indexes). ERR_NOT_FOUND lists what is offered. The manifest it leads to is in the store, or ERR_NOT_FOUND
 * names it. */
MUST_USE struct err *images_resolve_platform(
	struct store *s, const struct digest *d, const struct platform *want, struct descriptor *out);
/* Manifest and config of one image in the store. */
MUST_USE struct err *images_read(
	struct store *s, const struct digest *manifest, struct manifest *m, struct image_config *c);
/* Layers of an image (manifest and config in the store) as store layers, made if missing, in order: ids
 * appended to layer_ids. Blobs need not be here. */
MUST_USE struct err *images_layers(
	struct store *s, const struct manifest *m, const struct image_config *c, struct strvec *layer_ids);

/* Take images in. path: docker-archive or OCI archive (plain or compressed tar), OCI layout directory, or a
 * plain root file system tar. name: what to call it (required for a root file system tar; else NULL takes the
 * archive's own names). platform: of a root file system tar, NULL: this machine's. Names that were set are
 * appended to names (vec of struct stored_image). Everything is verified; nothing is named on error. */
struct image_choice {
	const char *ref_name; /* as index.json calls it; NULL: not by name */
	struct digest digest; /* of an entry of index.json or of a manifest in one; unset: not by digest */
};
struct image_import {
	const char *path;
	const char *name;
	const char *platform;
	const struct cancel *cancel;
	/* vec of struct attached, what it is about before it: gets what a layout holds that is attached to
	 * the image that name is set for. NULL: it is passed over. */
	struct vec *attached;
	/* Which image of a layout is meant, with a name. NULL, or neither in it: it must hold one only. */
	const struct image_choice *choice;
};
MUST_USE struct err *images_import(struct store *s, const struct image_import *im, struct vec *names);

/* May change an image config before it is kept. */
typedef struct err *image_config_edit(void *ctx, json_t *config);

/*
 * One image from a docker-archive, plain or compressed, that is read once, from a pipe for example: layers
 * are stored as they pass, wherever manifest.json stands. Those with their digest as name
 * ("<sha256>/layer.tar") that were stored so before are only hashed. The names in the archive do not count
 * and none is set: what is stored is held by this process's lease. Everything is verified; the source is read
 * to its end.
 */
struct image_stream {
	byte_source *source;
	void *ctx;
	image_config_edit *edit; /* NULL: the config is kept byte for byte */
	void *edit_ctx;
	const struct cancel *cancel;
};
MUST_USE struct err *images_import_stream(
	struct store *s, const struct image_stream *in, struct descriptor *manifest);

enum image_format { IMAGE_OCI_LAYOUT, IMAGE_OCI_ARCHIVE, IMAGE_DOCKER_ARCHIVE };
/* Write an image whose blobs are all in the store to path (a directory for the layout), in the place of what
 * is there. Nothing half-written stays: made beside it and renamed. */
MUST_USE struct err *images_export(struct store *s, const struct descriptor *image,
	const struct reference *name, enum image_format format, const char *path,
	const struct cancel *cancel);

struct image_copy {
	const struct descriptor *image;
	const struct vec *attached; /* of struct attached, in the store too; NULL: none */
	const char *ref_name;       /* what a layout calls it; NULL: nothing */
	enum image_format format;
	const char *path;
	const struct cancel *cancel;
};
/*
 * The same with what is attached to it, and a layout is added to: its other images stay, one of the same
 * ref_name is replaced, blobs that are there in the right size are not written. Several may add to one at
 * once, other processes too, where its file system can lock directories. A failure leaves the layout as it
 * was; a kill, a directory ".cooper-*.tmp" in it that the next copy removes, or, in the last moment, blobs
 * that nothing names.
 * ERR_EXISTS: what is at path is no layout. ERR_UNSUPPORTED for a docker-archive with attached.
 */
MUST_USE struct err *images_copy_to_file(struct store *s, const struct image_copy *c);
