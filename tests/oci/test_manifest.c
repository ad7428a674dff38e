/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image.h"

#include "base/vec.h"

#include <stdio.h>
#include <string.h>

#include "table.h"

/* A case file: the content type ("-": none), what is expected, "---", the document. */
struct document {
	char *content_type, *expect;
	struct str text;
};
typedef void document_fn(const char *name, const struct document *d);

static void each_document(const char *dir_name, document_fn *fn)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_FREE char *dir = mem_printf("%s/%s", CASE_DIR, dir_name);
	assert_ok(dir_list(AT_FDCWD, dir, &names));
	assert_true(names.len > 0);
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", dir, names.ptr[i]);
		AUTO_BUF struct buf text = {0};
		assert_ok(file_read(AT_FDCWD, path, 1 << 20, &text));
		struct str rest = buf_str(&text), type, expect, rule;
		assert_true(str_split(&rest, '\n', &type) && str_split(&rest, '\n', &expect));
		assert_true(str_split(&rest, '\n', &rule) && str_eq_c(rule, "---"));
		AUTO_FREE char *content_type = str_eq_c(type, "-") ? NULL : mem_strndup(type.ptr, type.len);
		AUTO_FREE char *expected = mem_strndup(expect.ptr, expect.len);
		fn(names.ptr[i], &(struct document){content_type, expected, rest});
	}
}

static void check_manifest(const char *name, const struct document *d)
{
	struct manifest m;
	struct err *e = manifest_parse(d->text, d->content_type, &m);
	if (e)
		print_message("%s\n", name);
	assert_ok(e);
	AUTO_FREE char *is = mem_printf("%s %zu %s %s", m.kind == MANIFEST_IMAGE ? "image" : "index",
		m.entries.len, m.media_type, m.artifact_type ? m.artifact_type : "-");
	assert_string_equal(is, d->expect);
	manifest_fini(&m);
}

static void reject_manifest(const char *name, const struct document *d)
{
	struct manifest m;
	assert_fails_with(manifest_parse(d->text, d->content_type, &m), d->expect, name);
}

static void manifests(void **state)
{
	(void)state;
	each_document("cases/manifests", check_manifest);
	each_document("reject/manifests", reject_manifest);
}

static void check_config(const char *name, const struct document *d)
{
	(void)name;
	struct image_config c;
	char text[128];
	assert_ok(image_config_parse(d->text, &c));
	AUTO_FREE char *is = mem_printf("%zu %s", c.diff_ids.len, platform_text(&c.platform, text));
	assert_string_equal(is, d->expect);
	image_config_fini(&c);
}

static void reject_config(const char *name, const struct document *d)
{
	struct image_config c;
	assert_fails_with(image_config_parse(d->text, &c), d->expect, name);
}

static void configs(void **state)
{
	(void)state;
	each_document("cases/configs", check_config);
	each_document("reject/configs", reject_config);
}

static void sizes(void **state)
{
	(void)state;
	struct manifest m;
	struct image_config c;
	size_t n = MANIFEST_MAX + 1;
	AUTO_FREE char *big = mem_alloc(n);
	memset(big, ' ', n);
	assert_fails_with(manifest_parse(str_n(big, n), NULL, &m), "larger than 4 MiB", "4 MiB and a byte");
	assert_fails_with(image_config_parse(str_n(big, n), &c), "larger than 4 MiB", "4 MiB and a byte");
	assert_fails_with(manifest_parse(str_n(big, n - 1), NULL, &m), "manifest: line", "4 MiB of blanks");
	assert_fails_with(manifest_parse(str_n("{\"a\":\"\0\"}", 9), NULL, &m), "manifest: line", "NUL");
}

static struct descriptor entry(const char *digest_of_text, const char *platform)
{
	struct descriptor d;
	descriptor_of(str_c(digest_of_text), MEDIA_OCI_MANIFEST, &d);
	d.has_platform = platform != NULL;
	if (platform)
		assert_ok(platform_parse(platform, &d.platform));
	return d;
}

static void pick(const struct descriptor *entries, size_t count, const char *want, const char *expect)
{
	struct platform p;
	struct manifest index;
	assert_ok(platform_parse(want, &p));
	AUTO_FREE char *text = index_write(entries, count, NULL);
	assert_ok(manifest_parse(str_c(text), NULL, &index));
	const struct descriptor *d = manifest_pick(&index, &p);
	if (expect) {
		struct digest wanted;
		digest_of(expect, strlen(expect), &wanted);
		assert_non_null(d);
		assert_true(digest_eq(&d->digest, &wanted));
	} else {
		assert_null(d);
	}
	manifest_fini(&index);
}

static void picking(void **state)
{
	(void)state;
	struct descriptor all[] = {entry("attestation", "unknown/unknown"), entry("amd64", "linux/amd64"),
		entry("arm6", "linux/arm/v6"), entry("arm7", "linux/arm/v7"),
		entry("arm64", "linux/arm64/v8"), entry("windows", "windows/amd64")};
	pick(all, ARRAY_LEN(all), "linux/amd64", "amd64");
	pick(all, ARRAY_LEN(all), "linux/amd64/v3", "amd64");
	pick(all, ARRAY_LEN(all), "linux/arm", "arm7");
	pick(all, ARRAY_LEN(all), "linux/arm/v6", "arm6");
	pick(all, ARRAY_LEN(all), "linux/arm64", "arm64");
	pick(all, ARRAY_LEN(all), "linux/riscv64", NULL);
	pick(all, 1, "linux/amd64", NULL);
	struct descriptor silent[] = {entry("silent", NULL), entry("amd64", "linux/amd64")};
	pick(silent, 2, "linux/amd64", "amd64");
	pick(silent, 1, "linux/amd64", "silent");
	pick(silent, 0, "linux/amd64", NULL);
}

#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void writers(void **state)
{
	(void)state;
	struct descriptor config, layer;
	descriptor_of(STR(""), MEDIA_OCI_CONFIG, &config);
	descriptor_of(STR(""), MEDIA_OCI_LAYER_GZIP, &layer);
	layer.annotations = mem_strdup("{\"z\":\"1\",\"a\":\"2\"}");
	AUTO_JSON json_t *annotations = json_object();
	json_object_set_new(annotations, "b", json_text("x"));
	json_object_set_new(annotations, "a", json_text("y"));
	AUTO_FREE char *text = manifest_write(&config, &layer, 1, annotations);
	assert_string_equal(text,
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
		"\",\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" EMPTY
		"\",\"size\":0},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER_GZIP "\",\"digest\":\"" EMPTY
		"\",\"size\":0,\"annotations\":{\"a\":\"2\",\"z\":\"1\"}}],\"annotations\":{\"a\":\"y\","
		"\"b\":\"x\"}}");
	free(layer.annotations);
	layer.annotations = NULL;
	struct descriptor image = entry("", "linux/arm/v7");
	AUTO_FREE char *index = index_write(&image, 1, NULL);
	assert_string_equal(index,
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
		"\",\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" EMPTY
		"\",\"size\":0,\"platform\":{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v7\"}}]"
		"}");
	AUTO_FREE char *none = manifest_write(&config, NULL, 0, NULL);
	assert_non_null(strstr(none, "\"layers\":[]"));
}

static void media_types(void **state)
{
	(void)state;
	assert_true(media_type_is_index(MEDIA_DOCKER_LIST));
	assert_false(media_type_is_index(MEDIA_OCI_MANIFEST));
	assert_true(media_type_is_manifest(MEDIA_OCI_INDEX));
	assert_true(media_type_is_manifest(MEDIA_DOCKER_MANIFEST));
	assert_false(media_type_is_manifest(MEDIA_OCI_CONFIG));
	assert_true(media_type_is_layer(MEDIA_DOCKER_LAYER_GZIP));
	assert_true(media_type_is_layer(MEDIA_OCI_LAYER_ZSTD));
	assert_true(media_type_is_foreign_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
	assert_false(media_type_is_foreign_layer(MEDIA_OCI_LAYER));
	assert_false(media_type_is_layer(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifests),
		cmocka_unit_test(configs),
		cmocka_unit_test(sizes),
		cmocka_unit_test(picking),
		cmocka_unit_test(writers),
		cmocka_unit_test(media_types),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
