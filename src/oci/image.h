/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, indexes and configs (OCI image-spec v1.1; Docker Image Manifest V2 Schema 2), as values with a
 * bound on everything read. Documents are kept byte for byte as blobs; these structs are views of them.
 */
#pragma once

#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "oci/reference.h"

#include <stdbool.h>
#include <stdint.h>

/* The label that says in an image what it was built from. */
#define INPUTS_LABEL "dev.cooper.inputs"

#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_OCI_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define MEDIA_OCI_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"
#define MEDIA_OCI_EMPTY "application/vnd.oci.empty.v1+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER_GZIP "application/vnd.docker.image.rootfs.diff.tar.gzip"

#define MANIFEST_MAX (4u << 20)
#define CONFIG_MAX (4u << 20)

struct descriptor {
	char media_type[128];
	struct digest digest;
	uint64_t size;
	bool has_platform;
	struct platform platform;
	char *annotations;   /* JSON object text or NULL */
	char *artifact_type; /* NULL if absent */
	struct strvec urls;  /* of non-distributable layers */
};
void descriptor_fini(struct descriptor *d);
void descriptor_copy(const struct descriptor *from, struct descriptor *to); /* to owns what it holds */
/* digest of bytes, their length, the media type; nothing else set. */
void descriptor_of(struct str bytes, const char *media_type, struct descriptor *out);
/* One descriptor object of a document; what names its place in messages. Caller calls descriptor_fini. */
MUST_USE struct err *descriptor_parse(const json_t *o, const char *what, struct descriptor *out);
/* As it stands in documents: keys in the order of the image-spec. Caller owns. */
json_t *descriptor_json(const struct descriptor *d);

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

struct manifest {
	enum manifest_kind kind;
	char media_type[128];     /* from the document, else from the transport, else told by its shape */
	struct descriptor config; /* IMAGE */
	struct vec entries;       /* of struct descriptor: layers of an IMAGE, manifests of an INDEX */
	bool has_subject;
	struct descriptor subject;
	char *artifact_type; /* own, or the config's media type for an image; NULL */
	char *annotations;   /* JSON object text or NULL */
};
void manifest_fini(struct manifest *m);
/* content_type may be NULL. ERR_INVALID with the place. */
MUST_USE struct err *manifest_parse(struct str bytes, const char *content_type, struct manifest *out);
/* The entry for a platform; attestation entries (unknown/unknown) never match. NULL if none. Borrowed. */
const struct descriptor *manifest_pick(const struct manifest *index, const struct platform *want);
bool media_type_is_index(const char *media_type);
bool media_type_is_manifest(const char *media_type); /* image or index, OCI or Docker */
bool media_type_is_layer(const char *media_type);
/* Layers that registries need not hold: fetched from the urls of their descriptor. */
bool media_type_is_foreign_layer(const char *media_type);

/* A config's parts that builds need; the whole document stays in json. */
struct image_config {
	json_t *json;        /* the whole document, owned */
	struct vec diff_ids; /* of struct digest */
	struct platform platform;
};
void image_config_fini(struct image_config *c);
MUST_USE struct err *image_config_parse(struct str bytes, struct image_config *out);

/* Canonical OCI manifest of one image. layers: struct descriptor. annotations may be NULL. Caller frees. */
char *manifest_write(const struct descriptor *config, const struct descriptor *layers, size_t count,
	const json_t *annotations);
/* Canonical OCI index. */
char *index_write(const struct descriptor *manifests, size_t count, const json_t *annotations);
