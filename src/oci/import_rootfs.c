/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "oci/import_internal.h"

/* Nothing of the machine or the day may enter the digest. */
#define ROOTFS_CREATED "1980-01-02T00:00:00Z"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static json_t *one_text(const char *s)
{
	json_t *a = json_array();
	json_array_append_new(a, json_text(s));
	return a;
}

static char *rootfs_config(const struct platform *p, const struct digest *diff_id)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_JSON json_t *o = json_object();
	json_object_set_new(o, "created", json_text(ROOTFS_CREATED));
	json_object_set_new(o, "architecture", json_text(p->arch));
	json_object_set_new(o, "os", json_text(p->os));
	if (*p->variant)
		json_object_set_new(o, "variant", json_text(p->variant));
	json_t *config = json_object();
	json_object_set_new(config, "Env", one_text("PATH=" DEFAULT_PATH));
	json_object_set_new(config, "Cmd", one_text("/bin/sh"));
	json_object_set_new(o, "config", config);
	json_t *rootfs = json_object();
	json_object_set_new(rootfs, "type", json_text("layers"));
	json_object_set_new(rootfs, "diff_ids", one_text(digest_text(diff_id, text)));
	json_object_set_new(o, "rootfs", rootfs);
	json_t *history = json_object();
	json_object_set_new(history, "created", json_text(ROOTFS_CREATED));
	json_object_set_new(history, "created_by", json_text("cooper image import"));
	json_t *list = json_array();
	json_array_append_new(list, history);
	json_object_set_new(o, "history", list);
	return json_dump(o, false);
}

struct err *import_rootfs(
	struct store *s, const struct image_import *im, struct import_file *f, struct vec *names)
{
	if (!im->name)
		return err_hint(err_new(ERR_INVALID, "a root file system has no name of its own"),
			"say what to call it, for example debian:bookworm-slim");
	struct platform p;
	if (im->platform)
		TRY(platform_parse(im->platform, &p));
	else
		platform_host(&p);
	AUTO(reference_fini) struct reference ref = {0};
	TRY(reference_parse(im->name, true, &ref));

	struct import_layer layer;
	struct import_layer_options opt = {.recompress = true, .check = true, .cancel = im->cancel};
	TRY(import_layer_store(s, import_file_read, f, &opt, &layer));
	AUTO_FREE char *config = rootfs_config(&p, &layer.diff_id);
	struct descriptor config_desc, manifest_desc;
	descriptor_of(str_c(config), MEDIA_OCI_CONFIG, &config_desc);
	TRY(store_blob_put(s, config, config_desc.size, NULL));
	AUTO_FREE char *manifest = manifest_write(&config_desc, &layer.blob, 1, NULL);
	TRY(images_put_manifest(s, str_c(manifest), MEDIA_OCI_MANIFEST, &manifest_desc));
	TRY(import_layer_register(s, &layer));
	import_add_name(names, &ref, &manifest_desc);
	return NULL;
}
