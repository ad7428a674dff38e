/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/mem.h"
#include "oci/images.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[64];

void ok(struct err *e)
{
	if (!e)
		return;
	char *text = err_text(e);
	fail_msg("%s [%s]", text, err_hint_text(e) ? err_hint_text(e) : "");
}

void refused(struct err *e, enum err_kind kind, const char *part)
{
	AUTO(err_freep) struct err *mine = e;
	if (!mine) {
		fail_msg("no error, but one with '%s' was due", part);
		return;
	}
	AUTO_FREE char *text = err_text(mine);
	AUTO_FREE char *all = mem_printf("%s\n%s", text, err_hint_text(mine) ? err_hint_text(mine) : "");
	if (err_kind(mine) != kind || !strstr(all, part))
		fail_msg("%s: '%s' lacks '%s'", err_kind_name(err_kind(mine)), all, part);
}

const char *fixture_start(void)
{
	const char *const unset[] = {"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG",
		"REGISTRY_AUTH_FILE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy",
		"ALL_PROXY"};
	snprintf(folder, sizeof(folder), "/tmp/cooper-remote-XXXXXX");
	assert_non_null(mkdtemp(folder));
	setenv("HOME", folder, 1);
	for (size_t i = 0; i < ARRAY_LEN(unset); i++)
		unsetenv(unset[i]);
	return folder;
}

void fixture_end(void)
{
	ok(tree_remove(AT_FDCWD, folder));
}

struct store *fixture_store(const char *name)
{
	struct store *s = NULL;
	AUTO_FREE char *home = mem_printf("%s/%s", folder, name);
	ok(store_open(home, NULL, &s));
	return s;
}

char *fixture_file(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", folder, name);
	ok(file_replace(AT_FDCWD, path, text, strlen(text), 0600, false));
	return path;
}

/* ---- images ---- */

static void fill(struct buf *b, size_t len, unsigned seed)
{
	buf_reserve(b, len);
	uint32_t v = seed * 2654435761u + 1;
	for (size_t i = 0; i < len; i += 4) {
		v = v * 1664525u + 1013904223u;
		buf_add(b, &v, len - i < 4 ? len - i : 4);
	}
}

static void describe(struct descriptor *d, const struct buf *b, const char *type)
{
	*d = (struct descriptor){.size = b->len};
	snprintf(d->media_type, sizeof(d->media_type), "%s", type);
	digest_of(buf_cstr(b), b->len, &d->digest);
}

void image_make(struct test_image *image, unsigned seed)
{
	const size_t sizes[LAYERS] = {BIG_LAYER, 100 << 10, seed % 2 ? 7 : 0};
	*image = (struct test_image){0};
	buf_addf(&image->config, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":"
				 "\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < LAYERS; i++) {
		char text[DIGEST_TEXT_MAX];
		fill(&image->layers[i], sizes[i], seed * 10 + (unsigned)i);
		describe(&image->layer_descriptors[i], &image->layers[i], MEDIA_OCI_LAYER);
		buf_addf(&image->config, "%s\"%s\"", i ? "," : "",
			digest_text(&image->layer_descriptors[i].digest, text));
	}
	buf_adds(&image->config, "]}}");
	describe(&image->config_descriptor, &image->config, MEDIA_OCI_CONFIG);
	char *text = manifest_write(&image->config_descriptor, image->layer_descriptors, LAYERS, NULL);
	buf_adds(&image->manifest, text);
	mem_freep(&text);
	describe(&image->descriptor, &image->manifest, MEDIA_OCI_MANIFEST);
}

void image_fini(struct test_image *image)
{
	for (size_t i = 0; i < LAYERS; i++)
		buf_fini(&image->layers[i]);
	buf_fini(&image->config);
	buf_fini(&image->manifest);
}

void image_put(struct store *s, const struct test_image *image)
{
	struct descriptor d = {0};
	for (size_t i = 0; i < LAYERS; i++)
		ok(store_blob_put(s, buf_cstr(&image->layers[i]), image->layers[i].len, NULL));
	ok(store_blob_put(s, image->config.ptr, image->config.len, NULL));
	ok(images_put_manifest(s, buf_str(&image->manifest), MEDIA_OCI_MANIFEST, &d));
	assert_true(digest_eq(&d.digest, &image->descriptor.digest));
}

static void check_blob(struct store *s, const struct descriptor *d, const struct buf *want)
{
	AUTO_BUF struct buf got = {0};
	ok(store_blob_read(s, &d->digest, BIG_LAYER, &got));
	assert_int_equal(got.len, want->len);
	assert_memory_equal(buf_cstr(&got), buf_cstr(want), want->len);
}

void image_check(struct store *s, const struct test_image *image)
{
	check_blob(s, &image->descriptor, &image->manifest);
	check_blob(s, &image->config_descriptor, &image->config);
	for (size_t i = 0; i < LAYERS; i++)
		check_blob(s, &image->layer_descriptors[i], &image->layers[i]);
}
