/* SPDX-License-Identifier: Apache-2.0 */
/* images_import_stream: one image from an archive that is read once. */
#include "image_fixture.h"

/* An archive in the making: two layers, their config, and what names them. */
struct archive {
	struct buf layer[2];
	struct digest diff_id[2];
	char hex[2][DIGEST_TEXT_MAX];
	char *config, *config_name, *manifest;
};

static void archive_fini(struct archive *a)
{
	buf_fini(&a->layer[0]);
	buf_fini(&a->layer[1]);
	free(a->config);
	free(a->config_name);
	free(a->manifest);
}

/* format: of a layer's name, with its diff id's hex digits as the argument. */
static void make_archive(struct archive *a, const char *text, const char *format)
{
	const struct member_spec one[] = {{"bin", {0}}, {"bin/tool", STR("#!/bin/sh\n")}};
	const struct member_spec two[] = {{"etc", {0}}, {"etc/motd", str_c(text)}};
	struct digest config;
	char hex[DIGEST_TEXT_MAX], name[2][200];
	make_tar(one, 2, &a->layer[0]);
	make_tar(two, 2, &a->layer[1]);
	for (int i = 0; i < 2; i++) {
		digest_of(a->layer[i].ptr, a->layer[i].len, &a->diff_id[i]);
		digest_hex(&a->diff_id[i], a->hex[i]);
		snprintf(name[i], sizeof(name[i]), "%s%s", a->hex[i], format);
	}
	a->config = mem_printf(
		"{\"created\":\"1970-01-01T00:00:01Z\",\"architecture\":\"amd64\",\"os\":\"linux\","
		"\"config\":null,\"rootfs\":{\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"],\"type\":\"layers\"},"
		"\"history\":[{\"comment\":\"store paths: [one]\"},{\"comment\":\"store paths: [two]\"}]}",
		a->hex[0], a->hex[1]);
	digest_of(a->config, strlen(a->config), &config);
	a->config_name = mem_printf("%s.json", digest_hex(&config, hex));
	a->manifest = mem_printf(
		"[{\"Config\":\"%s\",\"RepoTags\":[\"evil/name:latest\"],\"Layers\":[\"%s\",\"%s\"]}]",
		a->config_name, name[0], name[1]);
}

#define NIX_NAME "/layer.tar"

/* As dockerTools writes it: layers, config, and manifest.json last. */
static void pack(const struct archive *a, struct buf *out)
{
	AUTO_FREE char *one = mem_printf("%s" NIX_NAME, a->hex[0]);
	AUTO_FREE char *two = mem_printf("%s" NIX_NAME, a->hex[1]);
	const struct member_spec m[] = {{a->hex[0], {0}}, {one, buf_str(&a->layer[0])}, {a->hex[1], {0}},
		{two, buf_str(&a->layer[1])}, {a->config_name, str_c(a->config)},
		{"manifest.json", str_c(a->manifest)}};
	make_tar(m, ARRAY_LEN(m), out);
}

struct bytes {
	struct str left;
	size_t step; /* 0: as much as there is room for */
	struct err *(*at_end)(void);
};

static struct err *give(void *ctx, void *p, size_t *len)
{
	struct bytes *b = ctx;
	size_t n = *len < b->left.len ? *len : b->left.len;
	if (b->step && n > b->step)
		n = b->step;
	if (n > 0)
		memcpy(p, b->left.ptr, n);
	b->left = str_skip(b->left, n);
	*len = n;
	return n == 0 && b->at_end ? b->at_end() : NULL;
}

static struct err *take(struct store *s, struct str archive, struct descriptor *out)
{
	struct bytes b = {.left = archive};
	struct image_stream in = {.source = give, .ctx = &b};
	return images_import_stream(s, &in, out);
}

static void assert_refused(struct fixture *f, struct str archive, const char *wanted)
{
	struct descriptor d;
	assert_fails_with(take(f->store, archive, &d), wanted, wanted);
	assert_no_images(f->store);
}

static void in_order(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0};
	AUTO_BUF struct buf tar = {0};
	struct descriptor image, again;
	make_archive(&a, "hello\n", NIX_NAME);
	pack(&a, &tar);
	assert_ok(take(f->store, buf_str(&tar), &image));
	assert_no_images(f->store);

	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	assert_ok(images_read(f->store, &image.digest, &m, &c));
	struct digest config;
	digest_of(a.config, strlen(a.config), &config);
	assert_true(digest_eq(&m.config.digest, &config));
	assert_int_equal(m.entries.len, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct descriptor *layer = vec_at(&m.entries, i);
		AUTO_BUF struct buf blob = {0}, want = {0};
		assert_string_equal(layer->media_type, MEDIA_OCI_LAYER_GZIP);
		assert_ok(store_blob_read(f->store, &layer->digest, 1 << 20, &blob));
		compress(CODEC_GZIP, buf_str(&a.layer[i]), &want);
		assert_int_equal(blob.len, want.len);
		assert_memory_equal(blob.ptr, want.ptr, want.len);
	}
	/* However it comes, it is the same image. */
	const size_t steps[] = {1, 511, 0};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct bytes b = {.left = buf_str(&tar), .step = steps[i]};
		struct image_stream in = {.source = give, .ctx = &b};
		assert_ok(images_import_stream(f->store, &in, &again));
		assert_true(digest_eq(&again.digest, &image.digest));
	}
	const enum codec codecs[] = {CODEC_GZIP, CODEC_ZSTD};
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		AUTO_BUF struct buf packed = {0};
		compress(codecs[i], buf_str(&tar), &packed);
		assert_ok(take(f->store, buf_str(&packed), &again));
		assert_true(digest_eq(&again.digest, &image.digest));
	}
}

static struct err *add_label(void *ctx, json_t *config)
{
	json_set_text(config, "author", ctx);
	return NULL;
}

static void edited(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0};
	AUTO_BUF struct buf tar = {0};
	struct descriptor image;
	make_archive(&a, "hello\n", NIX_NAME);
	pack(&a, &tar);
	struct bytes b = {.left = buf_str(&tar)};
	char author[] = "somebody";
	struct image_stream in = {.source = give, .ctx = &b, .edit = add_label, .edit_ctx = author};
	assert_ok(images_import_stream(f->store, &in, &image));
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	assert_ok(images_read(f->store, &image.digest, &m, &c));
	assert_string_equal(json_string_value(json_object_get(c.json, "author")), "somebody");
	assert_int_equal(json_array_size(json_object_get(c.json, "history")), 2);
	assert_string_equal(json_string_value(json_object_get(c.json, "created")), "1970-01-01T00:00:01Z");
}

/* Layers that are known by their names are hashed, and what is not there is stored. */
static void known_layers(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0}, b = {0};
	AUTO_BUF struct buf first = {0}, second = {0};
	struct descriptor image, next;
	make_archive(&a, "hello\n", NIX_NAME);
	make_archive(&b, "hello again\n", NIX_NAME);
	pack(&a, &first);
	pack(&b, &second);
	assert_ok(take(f->store, buf_str(&first), &image));
	assert_ok(take(f->store, buf_str(&second), &next));
	AUTO(manifest_fini) struct manifest m = {0}, n = {0};
	AUTO(image_config_fini) struct image_config c = {0}, d = {0};
	assert_ok(images_read(f->store, &image.digest, &m, &c));
	assert_ok(images_read(f->store, &next.digest, &n, &d));
	const struct descriptor *was = vec_at(&m.entries, 0), *is = vec_at(&n.entries, 0);
	assert_true(digest_eq(&was->digest, &is->digest));
	assert_int_equal(was->size, is->size);
	was = vec_at(&m.entries, 1);
	is = vec_at(&n.entries, 1);
	assert_false(digest_eq(&was->digest, &is->digest));

	/* The name of a known layer over other bytes. */
	AUTO_BUF struct buf lie = {0};
	AUTO_FREE char *name = mem_printf("%s" NIX_NAME, a.hex[0]);
	const struct member_spec member[] = {{name, buf_str(&b.layer[1])}, {a.config_name, str_c(a.config)},
		{"manifest.json", str_c(a.manifest)}};
	make_tar(member, ARRAY_LEN(member), &lie);
	struct err *e = take(f->store, buf_str(&lie), &next);
	assert_int_equal(err_kind(e), ERR_CORRUPT);
	assert_fails_with(e, "its name says sha256:", "lie");
}

/* An image does not depend on what else was in the store: here a layer in the gzip form of somebody else. */
static void foreign_form(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0};
	AUTO_BUF struct buf tar = {0}, foreign = {0};
	struct descriptor image, other_image;
	make_archive(&a, "hello\n", NIX_NAME);
	pack(&a, &tar);
	/* Two members instead of one: the same bytes in another form. */
	compress(CODEC_GZIP, str_n(a.layer[0].ptr, 1000), &foreign);
	compress(CODEC_GZIP, str_skip(buf_str(&a.layer[0]), 1000), &foreign);
	AUTO(store_closep) struct store *other = open_store(f, "other");
	struct layer l = {.diff_id = a.diff_id[0], .blob_size = foreign.len};
	snprintf(l.media_type, sizeof(l.media_type), "%s", MEDIA_OCI_LAYER_GZIP);
	assert_ok(store_blob_put(other, foreign.ptr, foreign.len, &l.blob));
	assert_ok(store_layer_add(other, &l));
	assert_ok(take(f->store, buf_str(&tar), &image));
	for (int i = 0; i < 2; i++) {
		assert_ok(take(other, buf_str(&tar), &other_image));
		assert_true(digest_eq(&image.digest, &other_image.digest));
	}
}

/* What other writers put beside and around. */
static void other_forms(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0}, v25 = {0};
	AUTO_BUF struct buf tar = {0};
	struct descriptor want, got;
	make_archive(&a, "hello\n", NIX_NAME);
	pack(&a, &tar);
	assert_ok(take(f->store, buf_str(&tar), &want));

	/* docker save before 25: layers under ids of their own, the manifest first, the second one a link. */
	AUTO_FREE char *script = mem_printf(
		"set -e; cd %s; mkdir -p a/5f01 a/6e02 a/7d03; mv one a/5f01/layer.tar; mv two "
		"a/7d03/layer.tar;"
		"ln -s ../7d03/layer.tar a/6e02/layer.tar; echo -n 1.0 | tee a/5f01/VERSION "
		">a/6e02/VERSION;"
		"echo '{\"id\":\"5f01\"}' | tee a/5f01/json >a/6e02/json; echo '{}' >a/repositories;"
		"sed 's|%s/|5f01/|; s|%s/|6e02/|' <manifest >a/manifest.json; mv config a/%s;"
		"tar -C a -cf docker.tar manifest.json repositories 5f01 6e02 7d03 %s",
		f->dir, a.hex[0], a.hex[1], a.config_name, a.config_name);
	free(write_file(f, "one", buf_str(&a.layer[0])));
	free(write_file(f, "two", buf_str(&a.layer[1])));
	free(write_file(f, "config", str_c(a.config)));
	free(write_file(f, "manifest", str_c(a.manifest)));
	assert_int_equal(system(script), 0);
	AUTO_FREE char *path = mem_printf("%s/docker.tar", f->dir);
	AUTO_BUF struct buf docker = {0};
	assert_ok(file_read(AT_FDCWD, path, 1 << 20, &docker));
	assert_ok(take(f->store, buf_str(&docker), &got));
	assert_true(digest_eq(&want.digest, &got.digest));

	/* docker save from 25 on: an OCI layout with a manifest.json. */
	make_archive(&v25, "hello\n", "");
	AUTO_FREE char *one = mem_printf("blobs/sha256/%s", a.hex[0]);
	AUTO_FREE char *two = mem_printf("blobs/sha256/%s", a.hex[1]);
	AUTO_FREE char *config = mem_printf("blobs/sha256/%.64s", a.config_name);
	AUTO_FREE char *manifest =
		mem_printf("[{\"Config\":\"%s\",\"Layers\":[\"%s\",\"%s\"]}]", config, one, two);
	const struct member_spec m[] = {{"blobs", {0}}, {"blobs/sha256", {0}}, {config, str_c(a.config)},
		{one, buf_str(&a.layer[0])}, {two, buf_str(&a.layer[1])},
		{"index.json", STR("{\"schemaVersion\":2,\"manifests\":[]}")},
		{"manifest.json", str_c(manifest)},
		{"oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}")}};
	AUTO_BUF struct buf modern = {0};
	make_tar(m, ARRAY_LEN(m), &modern);
	assert_ok(take(f->store, buf_str(&modern), &got));
	assert_true(digest_eq(&want.digest, &got.digest));
}

/* A layer in which nothing is: a tar that is all end marker. */
static void empty_layer(void **state)
{
	struct fixture *f = *state;
	static const char zeros[1024];
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	struct descriptor image;
	digest_of(zeros, sizeof(zeros), &d);
	digest_hex(&d, hex);
	AUTO_FREE char *name = mem_printf("%s/layer.tar", hex);
	AUTO_FREE char *config = mem_printf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{"
					    "\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}",
		hex);
	AUTO_FREE char *manifest = mem_printf("[{\"Config\":\"config.json\",\"Layers\":[\"%s\"]}]", name);
	const struct member_spec m[] = {{name, str_n(zeros, sizeof(zeros))}, {"config.json", str_c(config)},
		{"manifest.json", str_c(manifest)}};
	AUTO_BUF struct buf tar = {0};
	make_tar(m, ARRAY_LEN(m), &tar);
	assert_ok(take(f->store, buf_str(&tar), &image));
	/* And from a file. */
	AUTO_FREE char *path = write_file(f, "empty.tar", buf_str(&tar));
	assert_ok(try_import(f, f->store, path, "empty"));
	assert_true(digest_eq(&name_at(f, 0)->digest, &image.digest));
}

/* ---- what is refused ---- */

static void lies(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0}, b = {0};
	make_archive(&a, "hello\n", NIX_NAME);
	make_archive(&b, "other\n", NIX_NAME);
	AUTO_FREE char *one = mem_printf("%s" NIX_NAME, a.hex[0]);
	AUTO_FREE char *two = mem_printf("%s" NIX_NAME, a.hex[1]);
	const struct {
		const char *wanted;
		struct member_spec m[5];
	} cases[] = {
		{"but the config says",
			{{one, buf_str(&a.layer[0])}, {two, buf_str(&b.layer[1])},
				{a.config_name, str_c(a.config)}, {"manifest.json", str_c(a.manifest)}}},
		{"has the digest sha256:",
			{{one, buf_str(&a.layer[0])}, {two, buf_str(&a.layer[1])},
				{a.config_name, str_c(b.config)}, {"manifest.json", str_c(a.manifest)}}},
		{"which the archive does not hold",
			{{one, buf_str(&a.layer[0])}, {a.config_name, str_c(a.config)},
				{"manifest.json", str_c(a.manifest)}}},
		{"twice", {{one, buf_str(&a.layer[0])}, {one, buf_str(&a.layer[0])},
				  {a.config_name, str_c(a.config)}, {"manifest.json", str_c(a.manifest)}}},
		{"as a layer, which it is not",
			{{one, buf_str(&a.layer[0])}, {two, STR("{\"no\":\"tar\"}")},
				{a.config_name, str_c(a.config)}, {"manifest.json", str_c(a.manifest)}}},
		{"as a config, which it is not",
			{{one, buf_str(&a.layer[0])}, {two, buf_str(&a.layer[1])},
				{a.config_name, buf_str(&a.layer[1])}, {"manifest.json", str_c(a.manifest)}}},
		{"no manifest.json", {{one, buf_str(&a.layer[0])}, {two, buf_str(&a.layer[1])},
					     {a.config_name, str_c(a.config)}}},
		{"is an OCI archive", {{"oci-layout", STR("{}")}, {"index.json", STR("{}")}}},
		{"is a root file system", {{"etc", {0}}, {"etc/hostname", STR("cask\n")}}},
		{"not that of a docker-archive", {{"manifest.json", STR("{\"some\":\"manifest\"}")}}},
		{"not that of a docker-archive", {{"manifest.json", STR("[]")}}},
		{"2 images", {{"manifest.json", STR("[{\"Config\":\"a\"},{\"Config\":\"b\"}]")}}},
		{"manifest.json", {{"manifest.json", STR("[{\"Config\":")}}},
		{"\"Config\"", {{"manifest.json", STR("[{\"Config\":3}]")}}},
		{"0 layers but the config 2",
			{{"c.json", str_c(a.config)},
				{"manifest.json", STR("[{\"Config\":\"c.json\",\"Layers\":[]}]")}}},
		{"../../etc/passwd", {{"manifest.json", STR("[{\"Config\":\"../../etc/passwd\"}]")}}},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t count = 0;
		AUTO_BUF struct buf tar = {0};
		while (count < ARRAY_LEN(cases[i].m) && cases[i].m[count].path)
			count++;
		make_tar(cases[i].m, count, &tar);
		assert_refused(f, buf_str(&tar), cases[i].wanted);
	}
	assert_refused(f, STR(""), "nothing at all");
	assert_refused(f, STR("not a tar but text, and quite a lot of it"), "not a tar archive");
}

static void link_loop(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *script = mem_printf("set -e; cd %s; ln -s y x; ln -s x y; echo "
					    "'[{\"Config\":\"x\",\"Layers\":[]}]' >manifest.json;"
					    "tar -cf loop.tar x y manifest.json",
		f->dir);
	AUTO_FREE char *path = mem_printf("%s/loop.tar", f->dir);
	AUTO_BUF struct buf tar = {0};
	assert_int_equal(system(script), 0);
	assert_ok(file_read(AT_FDCWD, path, 1 << 20, &tar));
	assert_refused(f, buf_str(&tar), "do not end");
}

static void truncated(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0};
	AUTO_BUF struct buf tar = {0}, packed = {0};
	struct descriptor d;
	make_archive(&a, "hello\n", NIX_NAME);
	pack(&a, &tar);
	/* The end marker alone may be cut: all that it holds came. */
	for (size_t cut = 0; cut + 1024 < tar.len; cut += 256) {
		struct err *e = take(f->store, str_n(tar.ptr, cut), &d);
		if (!e)
			fail_msg("taken when cut at %zu of %zu", cut, tar.len);
		err_free(e);
	}
	compress(CODEC_GZIP, buf_str(&tar), &packed);
	for (size_t cut = 0; cut < packed.len; cut += 37) {
		struct err *e = take(f->store, str_n(packed.ptr, cut), &d);
		if (!e)
			fail_msg("taken when cut at %zu of %zu", cut, packed.len);
		err_free(e);
	}
	assert_no_images(f->store);
}

static void too_much(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *spaces = mem_alloc(5 << 20);
	memset(spaces, ' ', 5 << 20);
	const struct member_spec m[] = {{"big.json", str_n(spaces, 5 << 20)}};
	AUTO_BUF struct buf tar = {0}, many = {0};
	make_tar(m, 1, &tar);
	assert_refused(f, buf_str(&tar), "too large for a document");
	struct tar_writer *w = NULL;
	assert_ok(tar_writer_new(to_buf, &many, &w));
	for (int i = 0; i < 20001; i++) {
		char name[32];
		snprintf(name, sizeof(name), "d%d", i);
		assert_ok(tar_writer_dir(w, name, 0));
	}
	assert_ok(tar_writer_close(w));
	assert_refused(f, buf_str(&many), "more than 20000 entries");
}

/* Holes cost nothing to make: they must not keep us busy. */
static void sparse_bomb(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *script = mem_printf("set -e; cd %s; truncate -s 200G layer.tar; printf x >>layer.tar;"
					    "tar -S -cf gnu.tar layer.tar; tar -S --format=pax -cf pax.tar "
					    "layer.tar",
		f->dir);
	assert_int_equal(system(script), 0);
	const char *const names[] = {"gnu.tar", "pax.tar"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", f->dir, names[i]);
		AUTO_BUF struct buf tar = {0};
		assert_ok(file_read(AT_FDCWD, path, 1 << 20, &tar));
		assert_refused(f, buf_str(&tar), "a sparse file");
	}
}

static struct err *program_failed(void)
{
	return err_new(ERR_EXITED, "the program ended with status 3");
}

static void source_fails(void **state)
{
	struct fixture *f = *state;
	AUTO(archive_fini) struct archive a = {0};
	AUTO_BUF struct buf tar = {0};
	struct descriptor d;
	make_archive(&a, "hello\n", NIX_NAME);
	pack(&a, &tar);
	/* Also when all of it had come by then: who wrote it says that it is not what it should be. */
	struct bytes b = {.left = buf_str(&tar), .at_end = program_failed};
	struct image_stream in = {.source = give, .ctx = &b};
	struct err *e = images_import_stream(f->store, &in, &d);
	assert_int_equal(err_kind(e), ERR_EXITED);
	assert_fails_with(e, "ended with status 3", "source");
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	cancel_set(cancel);
	b = (struct bytes){.left = buf_str(&tar)};
	in.cancel = cancel;
	e = images_import_stream(f->store, &in, &d);
	assert_int_equal(err_kind(e), ERR_CANCELED);
	err_free(e);
	assert_no_images(f->store);
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(in_order),
		FIXTURE_TEST(edited),
		FIXTURE_TEST(known_layers),
		FIXTURE_TEST(foreign_form),
		FIXTURE_TEST(other_forms),
		FIXTURE_TEST(empty_layer),
		FIXTURE_TEST(lies),
		FIXTURE_TEST(link_loop),
		FIXTURE_TEST(truncated),
		FIXTURE_TEST(too_much),
		FIXTURE_TEST(sparse_bomb),
		FIXTURE_TEST(source_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
