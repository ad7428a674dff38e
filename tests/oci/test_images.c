/* SPDX-License-Identifier: Apache-2.0 */
#include "store/maintain.h"

#include "image_fixture.h"

/* ---- root file systems ---- */

static void rootfs(void **state)
{
	struct fixture *f = *state;
	AUTO_BUF struct buf tar = {0};
	make_rootfs(&tar);
	AUTO_FREE char *path = write_file(f, "root.tar", buf_str(&tar));
	assert_ok(try_import(f, f->store, path, "debian:bookworm-slim"));
	assert_int_equal(f->names.len, 1);
	assert_string_equal(name_at(f, 0)->name, "docker.io/library/debian:bookworm-slim");
	assert_string_equal(name_at(f, 0)->origin, "imported from root.tar");
	struct digest image = name_at(f, 0)->digest, plain;
	digest_of(tar.ptr, tar.len, &plain);

	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	assert_ok(images_read(f->store, &image, &m, &c));
	assert_int_equal(c.diff_ids.len, 1);
	assert_true(digest_eq(vec_at(&c.diff_ids, 0), &plain));
	assert_string_equal(c.platform.arch, "amd64");
	assert_string_equal(json_string_value(json_object_get(c.json, "created")), "1980-01-02T00:00:00Z");
	const struct descriptor *layer = vec_at(&m.entries, 0);
	assert_string_equal(layer->media_type, MEDIA_OCI_LAYER_GZIP);

	AUTO_STRVEC struct strvec ids = {0};
	struct layer l;
	bool found = false;
	assert_ok(images_layers(f->store, &m, &c, &ids));
	assert_int_equal(ids.len, 1);
	assert_ok(store_layer_get(f->store, ids.ptr[0], &l, &found));
	assert_true(found && digest_eq(&l.blob, &layer->digest) && digest_eq(&l.diff_id, &plain));
	assert_int_equal(l.tar_size, tar.len);

	/* However it was compressed, it is the same image. */
	const enum codec codecs[] = {CODEC_GZIP, CODEC_ZSTD};
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		AUTO_BUF struct buf packed = {0};
		compress(codecs[i], buf_str(&tar), &packed);
		AUTO_FREE char *other = write_file(f, "root.tar.x", buf_str(&packed));
		assert_ok(try_import(f, f->store, other, "other"));
		assert_true(digest_eq(&name_at(f, 0)->digest, &image));
	}
}

static void rootfs_refused(void **state)
{
	struct fixture *f = *state;
	AUTO_BUF struct buf tar = {0};
	make_rootfs(&tar);
	AUTO_FREE char *path = write_file(f, "root.tar", buf_str(&tar));
	assert_fails_with(try_import(f, f->store, path, NULL), "no name of its own", "no name");
	assert_fails_with(try_import(f, f->store, path, "A b"), "repository name", "bad name");
	AUTO_FREE char *cut = write_file(f, "cut.tar", str_n(tar.ptr, 1600));
	assert_fails_with(try_import(f, f->store, cut, "x"), "cut.tar", "cut");
	AUTO_FREE char *text = write_file(f, "text", STR("not a tar, but text that goes on\n"));
	assert_fails_with(try_import(f, f->store, text, "x"), "neither an image archive nor a tar", "text");
	AUTO_FREE char *empty = write_file(f, "empty", STR(""));
	assert_fails_with(try_import(f, f->store, empty, "x"), "neither an image archive nor a tar", "empty");
	AUTO_BUF struct buf climbing = {0};
	const struct member_spec m[] = {{"etc/x", STR("1")}, {"a/../../b", STR("2")}};
	make_tar(m, 2, &climbing);
	AUTO_FREE char *climbs = write_file(f, "climbs.tar", buf_str(&climbing));
	assert_fails_with(try_import(f, f->store, climbs, "x"), "a/../../b", "climbing");
	AUTO_FREE char *gone = mem_printf("%s/gone", f->dir);
	assert_fails_with(try_import(f, f->store, gone, "x"), "gone", "absent");
	assert_fails_with(try_import(f, f->store, "/dev/null", "x"), "not a regular file", "/dev/null");
	assert_no_images(f->store);
}

static void canceled(void **state)
{
	struct fixture *f = *state;
	AUTO_BUF struct buf tar = {0};
	make_rootfs(&tar);
	AUTO_FREE char *path = write_file(f, "root.tar", buf_str(&tar));
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	cancel_set(cancel);
	struct image_import im = {.path = path, .name = "x", .cancel = cancel};
	struct err *e = images_import(f->store, &im, &f->names);
	assert_int_equal(err_kind(e), ERR_CANCELED);
	err_free(e);
	assert_no_images(f->store);
}

/* ---- out and in again ---- */

static struct descriptor import_rootfs_as(struct fixture *f, const char *name)
{
	AUTO_BUF struct buf tar = {0};
	make_rootfs(&tar);
	AUTO_FREE char *path = write_file(f, "root.tar", buf_str(&tar));
	assert_ok(try_import(f, f->store, path, name));
	return image_at(f, 0);
}

static void round_trip(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = import_rootfs_as(f, "host.tld/team/app:v1");
	AUTO(reference_fini) struct reference name = {0};
	assert_ok(reference_parse("host.tld/team/app:v1", false, &name));
	const enum image_format formats[] = {IMAGE_OCI_LAYOUT, IMAGE_OCI_ARCHIVE, IMAGE_DOCKER_ARCHIVE};
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		AUTO_FREE char *path = mem_printf("%s/out%zu", f->dir, i);
		AUTO_FREE char *home = mem_printf("store%zu", i);
		assert_ok(images_export(f->store, &image, &name, formats[i], path, NULL));
		/* Again over what is there. */
		assert_ok(images_export(f->store, &image, &name, formats[i], path, NULL));
		AUTO(store_closep) struct store *other = open_store(f, home);
		assert_ok(try_import(f, other, path, NULL));
		assert_string_equal(name_at(f, 0)->name, "host.tld/team/app:v1");
		assert_true(digest_eq(&name_at(f, 0)->digest, &image.digest));
		assert_ok(try_import(f, other, path, "renamed:2"));
		assert_string_equal(name_at(f, 0)->name, "docker.io/library/renamed:2");
	}
}

static void export_refused(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = import_rootfs_as(f, "app");
	AUTO_FREE char *busy = mem_printf("%s/busy", f->dir);
	AUTO_FREE char *inner = mem_printf("%s/busy/file", f->dir);
	assert_int_equal(mkdir(busy, 0755), 0);
	assert_ok(file_replace(AT_FDCWD, inner, "x", 1, 0644, false));
	assert_fails_with(
		images_export(f->store, &image, NULL, IMAGE_OCI_LAYOUT, busy, NULL), "is not empty", "busy");
	assert_fails_with(
		images_export(f->store, &image, NULL, IMAGE_OCI_ARCHIVE, busy, NULL), "busy", "busy");
	struct descriptor gone = {.size = 3, .media_type = MEDIA_OCI_MANIFEST};
	digest_of("abc", 3, &gone.digest);
	AUTO_FREE char *out = mem_printf("%s/new/out", f->dir);
	AUTO_FREE char *dir = mem_printf("%s/new", f->dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	const enum image_format formats[] = {IMAGE_OCI_LAYOUT, IMAGE_OCI_ARCHIVE, IMAGE_DOCKER_ARCHIVE};
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		assert_fails_with(
			images_export(f->store, &gone, NULL, formats[i], out, NULL), "not", "absent image");
	AUTO_STRVEC struct strvec left = {0};
	assert_ok(dir_list(AT_FDCWD, dir, &left));
	assert_int_equal(left.len, 0);
	/* A device is written to, never replaced. */
	assert_ok(images_export(f->store, &image, NULL, IMAGE_OCI_ARCHIVE, "/dev/null", NULL));
	struct stat st;
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

/* ---- docker-archives ---- */

struct docker_spec {
	struct buf layer;
	char *config, *config_name, *manifest;
};

static void docker_fini(struct docker_spec *d)
{
	buf_fini(&d->layer);
	free(d->config);
	free(d->config_name);
	free(d->manifest);
}

static void make_docker(struct docker_spec *d, const char *diff_of, const char *layer_path, const char *tags)
{
	const struct member_spec m[] = {{"hello", STR("hello\n")}};
	struct digest layer, config;
	char text[DIGEST_TEXT_MAX];
	make_tar(m, 1, &d->layer);
	if (diff_of)
		digest_of(diff_of, strlen(diff_of), &layer);
	else
		digest_of(d->layer.ptr, d->layer.len, &layer);
	d->config = mem_printf(
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[\"%s\",\"%s\"]}}",
		digest_text(&layer, text), text);
	digest_of(d->config, strlen(d->config), &config);
	d->config_name = mem_printf("%s.json", digest_hex(&config, text));
	d->manifest = mem_printf("[{\"Config\":\"%s\",\"RepoTags\":%s,\"Layers\":[\"%s\",\"%s\"]}]",
		d->config_name, tags, layer_path, layer_path);
}

static char *write_docker(struct fixture *f, const struct docker_spec *d, struct str layer)
{
	AUTO_BUF struct buf tar = {0};
	const struct member_spec m[] = {{"abc", {0}}, {"abc/layer.tar", layer},
		{d->config_name, str_c(d->config)}, {"manifest.json", str_c(d->manifest)}};
	make_tar(m, ARRAY_LEN(m), &tar);
	return write_file(f, "docker.tar", buf_str(&tar));
}

static void docker_archive(void **state)
{
	struct fixture *f = *state;
	AUTO(docker_fini) struct docker_spec d = {0};
	make_docker(&d, NULL, "abc/layer.tar", "[\"one:1\",\"host.tld/two:2\"]");
	AUTO_FREE char *path = write_docker(f, &d, buf_str(&d.layer));
	assert_ok(try_import(f, f->store, path, NULL));
	assert_int_equal(f->names.len, 2);
	assert_string_equal(name_at(f, 0)->name, "docker.io/library/one:1");
	assert_string_equal(name_at(f, 1)->name, "host.tld/two:2");
	assert_true(digest_eq(&name_at(f, 0)->digest, &name_at(f, 1)->digest));
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	assert_ok(images_read(f->store, &name_at(f, 0)->digest, &m, &c));
	assert_int_equal(m.entries.len, 2);
	/* The config is kept byte for byte: an image id that people know stays. */
	struct digest config;
	digest_of(d.config, strlen(d.config), &config);
	assert_true(digest_eq(&m.config.digest, &config));
	AUTO_BUF struct buf blob = {0};
	const struct descriptor *layer = vec_at(&m.entries, 0);
	assert_ok(store_blob_read(f->store, &layer->digest, 1 << 20, &blob));
	assert_int_equal(codec_detect(blob.ptr, blob.len), CODEC_GZIP);

	/* A layer that came compressed stays as it is. */
	AUTO_BUF struct buf packed = {0};
	compress(CODEC_ZSTD, buf_str(&d.layer), &packed);
	AUTO_FREE char *again = write_docker(f, &d, buf_str(&packed));
	assert_ok(try_import(f, f->store, again, "zstd"));
	AUTO(manifest_fini) struct manifest m2 = {0};
	AUTO(image_config_fini) struct image_config c2 = {0};
	assert_ok(images_read(f->store, &name_at(f, 0)->digest, &m2, &c2));
	const struct descriptor *kept = vec_at(&m2.entries, 0);
	struct digest of_packed;
	digest_of(packed.ptr, packed.len, &of_packed);
	assert_true(digest_eq(&kept->digest, &of_packed));
	assert_string_equal(kept->media_type, MEDIA_OCI_LAYER_ZSTD);

	/* One content in two compressed forms is two layers, each found again. */
	AUTO_STRVEC struct strvec gzip = {0}, zstd = {0}, zstd_again = {0};
	assert_ok(images_layers(f->store, &m, &c, &gzip));
	assert_ok(images_layers(f->store, &m2, &c2, &zstd));
	assert_ok(images_layers(f->store, &m2, &c2, &zstd_again));
	assert_string_not_equal(gzip.ptr[0], zstd.ptr[0]);
	assert_string_equal(zstd.ptr[0], zstd_again.ptr[0]);
}

static void docker_links(void **state)
{
	struct fixture *f = *state;
	AUTO(docker_fini) struct docker_spec d = {0};
	make_docker(&d, NULL, "other/layer.tar", "[\"linked:1\"]");
	AUTO_FREE char *script =
		mem_printf("set -e; cd %s; mkdir -p a/real a/other; mv layer a/real/layer.tar;"
			   "ln -s ../../../../real/layer.tar a/other/layer.tar; mv config a/%s;"
			   "mv manifest a/manifest.json; tar -C a -cf linked.tar .",
			f->dir, d.config_name);
	free(write_file(f, "layer", buf_str(&d.layer)));
	free(write_file(f, "config", str_c(d.config)));
	free(write_file(f, "manifest", str_c(d.manifest)));
	assert_int_equal(system(script), 0);
	AUTO_FREE char *path = mem_printf("%s/linked.tar", f->dir);
	assert_ok(try_import(f, f->store, path, NULL));
	assert_string_equal(name_at(f, 0)->name, "docker.io/library/linked:1");
	AUTO_FREE char *loop = mem_printf("set -e; cd %s/a; rm real/layer.tar;"
					  "ln -s ../other/layer.tar real/layer.tar; tar -cf ../linked.tar .",
		f->dir);
	assert_int_equal(system(loop), 0);
	assert_fails_with(try_import(f, f->store, path, NULL), "do not end", "link loop");
}

static void docker_refused(void **state)
{
	struct fixture *f = *state;
	AUTO(docker_fini) struct docker_spec lie = {0}, missing = {0}, nameless = {0}, escape = {0};
	make_docker(&lie, "another layer", "abc/layer.tar", "[\"x:1\"]");
	AUTO_FREE char *p1 = write_docker(f, &lie, buf_str(&lie.layer));
	struct err *e = try_import(f, f->store, p1, NULL);
	assert_int_equal(err_kind(e), ERR_CORRUPT);
	assert_fails_with(e, "but the config says", "lie");
	make_docker(&missing, NULL, "gone/layer.tar", "[\"x:1\"]");
	AUTO_FREE char *p2 = write_docker(f, &missing, buf_str(&missing.layer));
	assert_fails_with(try_import(f, f->store, p2, NULL), "gone/layer.tar", "missing");
	make_docker(&nameless, NULL, "abc/layer.tar", "null");
	AUTO_FREE char *p3 = write_docker(f, &nameless, buf_str(&nameless.layer));
	assert_fails_with(try_import(f, f->store, p3, NULL), "without a name", "nameless");
	make_docker(&escape, NULL, "../../../../etc/passwd", "[\"x:1\"]");
	AUTO_FREE char *p4 = write_docker(f, &escape, buf_str(&escape.layer));
	assert_fails_with(try_import(f, f->store, p4, NULL), "does not hold", "escape");
	free(lie.config);
	lie.config = mem_strdup("{}");
	AUTO_FREE char *p5 = write_docker(f, &lie, buf_str(&lie.layer));
	assert_fails_with(try_import(f, f->store, p5, NULL), "has the digest", "config name");
	assert_no_images(f->store);
}

/* ---- OCI archives ---- */

static void oci_refused(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = import_rootfs_as(f, "app:1");
	AUTO(store_closep) struct store *other = open_store(f, "other");
	AUTO_FREE char *layout = mem_printf("%s/layout", f->dir);
	assert_ok(images_export(f->store, &image, NULL, IMAGE_OCI_LAYOUT, layout, NULL));
	assert_fails_with(try_import(f, other, layout, NULL), "without a name", "nameless");
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	assert_ok(images_read(f->store, &image.digest, &m, &c));
	const struct descriptor *layer = vec_at(&m.entries, 0);
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *blob = mem_printf("%s/blobs/sha256/%s", layout, digest_hex(&layer->digest, hex));
	AUTO_BUF struct buf bytes = {0};
	assert_ok(file_read(AT_FDCWD, blob, 1 << 20, &bytes));
	bytes.ptr[20] ^= 1;
	assert_ok(file_replace(AT_FDCWD, blob, bytes.ptr, bytes.len, 0644, false));
	struct err *e = try_import(f, other, layout, "x");
	assert_int_equal(err_kind(e), ERR_CORRUPT);
	err_free(e);
	assert_int_equal(unlink(blob), 0);
	assert_fails_with(try_import(f, other, layout, "x"), hex, "missing layer");
	/* A link out of the layout is resolved inside it: there is nothing. */
	assert_int_equal(symlink("/etc/passwd", blob), 0);
	assert_fails_with(try_import(f, other, layout, "x"), hex, "link out");
	AUTO_FREE char *index = mem_printf("%s/index.json", layout);
	assert_ok(file_replace(AT_FDCWD, index, "{\"schemaVersion\":2,\"manifests\":[]}", 34, 0644, false));
	assert_fails_with(try_import(f, other, layout, "x"), "names no image", "empty index");
	assert_int_equal(unlink(index), 0);
	assert_fails_with(try_import(f, other, layout, "x"), "not an OCI image layout", "no index");
	assert_no_images(other);
}

/* ---- names and platforms ---- */

static void name_records(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = import_rootfs_as(f, "b/app:1");
	AUTO(reference_fini) struct reference ref = {0}, pinned = {0}, wrong = {0};
	struct stored_image got;
	bool found = false, removed = false;
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *by_digest = mem_printf("b/app@%s", digest_text(&image.digest, text));
	AUTO_FREE char *by_both = mem_printf("b/app:other@%s", text);
	assert_ok(reference_parse("b/app:1", false, &ref));
	assert_ok(reference_parse(by_digest, false, &pinned));
	assert_ok(images_get(f->store, &pinned, &got, &found));
	assert_true(found && digest_eq(&got.digest, &image.digest));
	stored_image_fini(&got);
	assert_ok(reference_parse(by_both, false, &wrong));
	assert_ok(images_get(f->store, &wrong, &got, &found));
	assert_true(found);
	stored_image_fini(&got);
	digest_of("x", 1, &wrong.digest);
	assert_ok(images_get(f->store, &wrong, &got, &found));
	assert_false(found);
	assert_fails_with(images_set_name(f->store, &wrong, &image, NULL), "its digest is", "wrong digest");
	assert_ok(images_set_name(f->store, &pinned, &image, NULL));
	struct vec all = VEC_OF(struct stored_image);
	assert_ok(images_list(f->store, &all));
	assert_int_equal(all.len, 2);
	for (size_t i = 0; i < all.len; i++)
		stored_image_fini(vec_at(&all, i));
	vec_fini(&all);
	assert_ok(images_remove(f->store, &ref, &removed));
	assert_true(removed);
	assert_ok(images_remove(f->store, &ref, &removed));
	assert_false(removed);
	assert_ok(images_get(f->store, &ref, &got, &found));
	assert_false(found);
}

static void platforms(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = import_rootfs_as(f, "app:1"), index, out;
	struct platform amd64, arm64;
	assert_ok(platform_parse("linux/amd64", &amd64));
	assert_ok(platform_parse("linux/arm64", &arm64));
	assert_ok(images_resolve_platform(f->store, &image.digest, &amd64, &out));
	assert_true(digest_eq(&out.digest, &image.digest));
	assert_int_equal(out.size, image.size);
	assert_fails_with(images_resolve_platform(f->store, &image.digest, &arm64, &out),
		"no variant for linux/arm64", "alone");
	struct descriptor entries[2] = {image, image};
	entries[0].has_platform = entries[1].has_platform = true;
	entries[0].platform = amd64;
	entries[1].platform = arm64;
	digest_of("elsewhere", 9, &entries[1].digest);
	AUTO_FREE char *text = index_write(entries, 2, NULL);
	assert_ok(images_put_manifest(f->store, str_c(text), NULL, &index));
	assert_string_equal(index.media_type, MEDIA_OCI_INDEX);
	assert_ok(images_resolve_platform(f->store, &index.digest, &amd64, &out));
	assert_true(digest_eq(&out.digest, &image.digest));
	assert_string_equal(out.media_type, MEDIA_OCI_MANIFEST);
	struct err *e = images_resolve_platform(f->store, &index.digest, &arm64, &out);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	err_free(e);
	struct platform riscv;
	assert_ok(platform_parse("linux/riscv64", &riscv));
	e = images_resolve_platform(f->store, &index.digest, &riscv, &out);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	assert_string_equal(err_hint_text(e), "it offers linux/amd64, linux/arm64");
	err_free(e);
}

/* Of a pulled image only the manifest and the config need be here: its layers are known, their bytes are
 * elsewhere. */
static void lazy_layers(void **state)
{
	struct fixture *f = *state;
	struct descriptor config, layer, image;
	const char *doc =
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
		"\"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\"]}}";
	descriptor_of(str_c(doc), MEDIA_OCI_CONFIG, &config);
	descriptor_of(STR("somewhere else"), MEDIA_DOCKER_LAYER_GZIP, &layer);
	assert_ok(store_blob_put(f->store, doc, strlen(doc), NULL));
	AUTO_FREE char *text = manifest_write(&config, &layer, 1, NULL);
	assert_ok(images_put_manifest(f->store, str_c(text), NULL, &image));
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	AUTO_STRVEC struct strvec ids = {0}, again = {0};
	struct layer l;
	bool found = false;
	assert_ok(images_read(f->store, &image.digest, &m, &c));
	assert_ok(images_layers(f->store, &m, &c, &ids));
	assert_ok(images_layers(f->store, &m, &c, &again));
	assert_string_equal(ids.ptr[0], again.ptr[0]);
	assert_ok(store_layer_get(f->store, ids.ptr[0], &l, &found));
	assert_true(found && digest_eq(&l.blob, &layer.digest) && l.blob_size == layer.size);
	/* What is built on it gets an OCI manifest, whatever it came with. */
	assert_string_equal(l.media_type, MEDIA_OCI_LAYER_GZIP);
	assert_fails_with(images_export(f->store, &image, NULL, IMAGE_OCI_ARCHIVE, "/dev/null", NULL),
		"is not in the store", "lazy");
	struct store_verify_result verified = {0};
	assert_ok(store_verify(f->store, false, NULL, NULL, NULL, &verified));
	assert_int_equal(verified.problems, 0);
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(rootfs),
		FIXTURE_TEST(rootfs_refused),
		FIXTURE_TEST(canceled),
		FIXTURE_TEST(round_trip),
		FIXTURE_TEST(export_refused),
		FIXTURE_TEST(docker_archive),
		FIXTURE_TEST(docker_links),
		FIXTURE_TEST(docker_refused),
		FIXTURE_TEST(oci_refused),
		FIXTURE_TEST(name_records),
		FIXTURE_TEST(platforms),
		FIXTURE_TEST(lazy_layers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
