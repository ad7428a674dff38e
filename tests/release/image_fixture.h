/* SPDX-License-Identifier: Apache-2.0 */
/* An engine with a store of its own, and images published in it. Include after git_fixture.h. */
#pragma once

#include "oci/images.h"
#include "registry/registry.h"
#include "release/release.h"

static struct engine *engine;

static inline int open_engine(void **state)
{
	if (make_tmp(state))
		return -1;
	AUTO_FREE char *store = path_join(tmp, "store");
	struct engine_options opt = {.home = store};
	AUTO(err_freep) struct err *e = engine_open(&opt, &engine);
	return e ? -1 : 0;
}

static inline int close_engine(void **state)
{
	engine_closep(&engine);
	return drop_tmp(state);
}

/* An image without layers, which says of what commit it is (NULL: it does not). */
static inline void publish(const char *repository, const char *tag, const char *revision)
{
	struct store *s = engine_store(engine);
	AUTO_FREE char *label =
		revision ? mem_printf("\"org.opencontainers.image.revision\":\"%s\",", revision)
			 : mem_strdup("");
	AUTO_FREE char *config =
		mem_printf("{\"created\":\"2026-01-02T03:04:05Z\",\"architecture\":\"amd64\","
			   "\"os\":\"linux\",\"config\":{\"Labels\":{%s\"tag\":\"%s\"}},"
			   "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
			label, tag);
	AUTO(descriptor_fini) struct descriptor c = {0}, image = {0};
	descriptor_of(str_c(config), MEDIA_OCI_CONFIG, &c);
	assert_null(store_blob_put(s, config, strlen(config), NULL));
	AUTO_FREE char *manifest = manifest_write(&c, NULL, 0, NULL);
	assert_null(images_put_manifest(s, str_c(manifest), MEDIA_OCI_MANIFEST, &image));
	bool already = false;
	AUTO(err_freep) struct err *e = registry_publish(s, repository, tag, &image, false, &already);
	if (e)
		fail_msg("%s", err_message(e));
}
