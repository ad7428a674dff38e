/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image.h"

static const char *const layer_types[] = {
	MEDIA_OCI_LAYER,
	MEDIA_OCI_LAYER_GZIP,
	MEDIA_OCI_LAYER_ZSTD,
	MEDIA_DOCKER_LAYER_GZIP,
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
};

static const char *const foreign_layer_types[] = {
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

bool media_type_is_index(const char *media_type)
{
	return cstr_eq(media_type, MEDIA_OCI_INDEX) || cstr_eq(media_type, MEDIA_DOCKER_LIST);
}

bool media_type_is_manifest(const char *media_type)
{
	return media_type_is_index(media_type) || cstr_eq(media_type, MEDIA_OCI_MANIFEST) ||
	       cstr_eq(media_type, MEDIA_DOCKER_MANIFEST);
}

bool media_type_is_foreign_layer(const char *media_type)
{
	for (size_t i = 0; i < ARRAY_LEN(foreign_layer_types); i++)
		if (cstr_eq(media_type, foreign_layer_types[i]))
			return true;
	return false;
}

bool media_type_is_layer(const char *media_type)
{
	for (size_t i = 0; i < ARRAY_LEN(layer_types); i++)
		if (cstr_eq(media_type, layer_types[i]))
			return true;
	return media_type_is_foreign_layer(media_type);
}
