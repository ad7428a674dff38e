/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "oci/images.h"
#include "registry/collect.h"
#include "registry/registry_internal.h"
#include "store/maintain.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The default of the policy. */
#define GRACE (24 * 3600 * CLOCK_SECOND)

struct fixture {
	char dir[64];
	struct store *s;
};

static void assert_ok(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	fail_msg("%s", text);
}

static void assert_kind(struct err *e, enum err_kind kind)
{
	assert_int_equal(err_kind(e), kind);
	err_free(e);
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	snprintf(f->dir, sizeof(f->dir), "/tmp/cooper-registry-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	AUTO_FREE char *home = mem_printf("%s/store", f->dir);
	assert_ok(store_open(home, NULL, &f->s));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->s);
	assert_ok(tree_remove(AT_FDCWD, f->dir));
	free(f);
	return 0;
}

/* An image of one "layer" holding text; put tells which blobs to have. */
static struct descriptor make_image(struct fixture *f, const char *text, bool with_layer)
{
	struct descriptor config, layer, image;
	const char *doc = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
			  "\"diff_ids\":[]}}";
	descriptor_of(str_c(doc), MEDIA_OCI_CONFIG, &config);
	descriptor_of(str_c(text), MEDIA_OCI_LAYER_GZIP, &layer);
	assert_ok(store_blob_put(f->s, doc, strlen(doc), NULL));
	if (with_layer)
		assert_ok(store_blob_put(f->s, text, strlen(text), NULL));
	AUTO_FREE char *manifest = manifest_write(&config, &layer, 1, NULL);
	assert_ok(images_put_manifest(f->s, str_c(manifest), NULL, &image));
	return image;
}

static void publishing(void **state)
{
	struct fixture *f = *state;
	struct descriptor one = make_image(f, "one", true), two = make_image(f, "two", true), got;
	bool already = true, found = false;
	assert_ok(registry_publish(f->s, "team/app", "v1", &one, false, &already));
	assert_false(already);
	assert_ok(registry_publish(f->s, "team/app", "v1", &one, false, &already));
	assert_true(already);
	assert_kind(registry_publish(f->s, "team/app", "v1", &two, false, &already), ERR_EXISTS);
	assert_ok(registry_get(f->s, "team/app", "v1", &got, &found));
	assert_true(found && digest_eq(&got.digest, &one.digest) && got.size == one.size);
	assert_string_equal(got.media_type, MEDIA_OCI_MANIFEST);
	assert_ok(registry_publish(f->s, "team/app", "v1", &two, true, &already));
	assert_false(already);
	assert_ok(registry_get(f->s, "team/app", "v1", &got, &found));
	assert_true(digest_eq(&got.digest, &two.digest));
	assert_ok(registry_get(f->s, "team/app", "v2", &got, &found));
	assert_false(found);
	struct digest layer;
	digest_of("two", 3, &layer);
	assert_ok(records_blob_has(f->s, "team/app", &layer, &found));
	assert_true(found);
	assert_ok(records_blob_has(f->s, "team/other", &layer, &found));
	assert_false(found);
}

static void refused(void **state)
{
	struct fixture *f = *state;
	struct descriptor partial = make_image(f, "absent layer", false), image = make_image(f, "x", true);
	AUTO_STRVEC struct strvec tags = {0};
	assert_kind(registry_publish(f->s, "a", "v1", &partial, false, NULL), ERR_NOT_FOUND);
	assert_kind(registry_publish(f->s, "A", "v1", &image, false, NULL), ERR_INVALID);
	assert_kind(registry_publish(f->s, "a", "v:1", &image, false, NULL), ERR_INVALID);
	assert_ok(registry_tags(f->s, "a", &tags));
	assert_int_equal(tags.len, 0);
}

static void listing(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = make_image(f, "x", true);
	static const char *const names[] = {"b", "a", "a-b", "a/b", "a.b", "ab"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_ok(registry_publish(f->s, names[i], "v2", &image, false, NULL));
		assert_ok(registry_publish(f->s, names[i], "V1", &image, false, NULL));
	}
	AUTO_STRVEC struct strvec tags = {0}, repositories = {0};
	assert_ok(registry_tags(f->s, "a", &tags));
	assert_int_equal(tags.len, 2);
	assert_string_equal(tags.ptr[0], "V1");
	assert_ok(registry_repositories(f->s, &repositories));
	static const char *const sorted[] = {"a", "a-b", "a.b", "a/b", "ab", "b"};
	assert_int_equal(repositories.len, ARRAY_LEN(sorted));
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
		assert_string_equal(repositories.ptr[i], sorted[i]);
}

static void index_publishes_children(void **state)
{
	struct fixture *f = *state;
	struct descriptor children[2] = {make_image(f, "amd64", true), make_image(f, "arm64", true)}, index,
			  got;
	AUTO_FREE char *text = index_write(children, 2, NULL);
	bool found = false;
	assert_ok(images_put_manifest(f->s, str_c(text), NULL, &index));
	assert_ok(registry_publish(f->s, "multi", "v1", &index, false, NULL));
	for (size_t i = 0; i < 2; i++) {
		assert_ok(records_manifest_get(f->s, "multi", &children[i].digest, &got, &found));
		assert_true(found);
	}
}

static void age_blob(struct fixture *f, const char *repository, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *key = mem_printf("%s@%s", digest_text(d, text), repository);
	AUTO_FREE char *value = mem_printf("{\"size\":1,\"at\":%lld}", (long long)(clock_now() - 2 * GRACE));
	struct store_ref ref = {STORE_REF_BLOB, text};
	assert_ok(store_record_put(f->s, &(struct store_record){SPACE_BLOB, key, str_c(value), &ref, 1}));
}

static uint64_t prune(struct fixture *f)
{
	struct registry_collect_options opt = {0};
	struct registry_collected did = {0};
	assert_ok(registry_collect(f->s, &opt, NULL, &did));
	assert_int_equal(did.tags + did.manifests, 0);
	return did.blobs;
}

static void pruning(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = make_image(f, "kept", true);
	struct digest kept, stray, fresh;
	bool found = false, deleted = false;
	uint64_t dropped;
	assert_ok(registry_publish(f->s, "a", "v1", &image, false, NULL));
	digest_of("kept", 4, &kept);
	assert_ok(store_blob_put(f->s, "stray", 5, &stray));
	assert_ok(store_blob_put(f->s, "fresh", 5, &fresh));
	age_blob(f, "a", &kept);
	age_blob(f, "a", &stray);
	age_blob(f, "other", &kept); /* named by a manifest, but of another repository */
	assert_ok(records_blob_put(f->s, "a", &fresh, 5));
	dropped = prune(f);
	assert_int_equal(dropped, 2);
	assert_ok(records_blob_has(f->s, "a", &kept, &found));
	assert_true(found);
	assert_ok(records_blob_has(f->s, "a", &fresh, &found));
	assert_true(found);
	assert_ok(records_blob_has(f->s, "a", &stray, &found));
	assert_false(found);
	/* Asked for: half of the grace is over, so it starts anew. */
	age_blob(f, "a", &fresh);
	assert_ok(records_blob_refresh(f->s, "a", &fresh, GRACE, &found));
	dropped = prune(f);
	assert_int_equal(dropped, 0);
	/* Once the manifest is deleted its blobs have to go, too. */
	assert_ok(store_begin(f->s));
	assert_ok(records_manifest_delete(f->s, "a", &image.digest, &deleted));
	assert_ok(store_commit(f->s));
	assert_true(deleted);
	assert_ok(registry_get(f->s, "a", "v1", &image, &found));
	assert_false(found);
	age_blob(f, "a", &kept);
	dropped = prune(f);
	assert_int_equal(dropped, 1);
}

static void referrers(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = make_image(f, "signed", true), signature;
	char subject[DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];
	AUTO_FREE char *doc =
		mem_printf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"artifactType\":"
			   "\"application/vnd.example\",\"config\":{\"mediaType\":\"" MEDIA_OCI_EMPTY
			   "\",\"digest\":\"%s\",\"size\":6},"
			   "\"layers\":[],\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST
			   "\",\"digest\":\"%s\",\"size\":1},"
			   "\"annotations\":{\"k\":\"v\"}}",
			"sha256:"
			"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
			digest_text(&image.digest, subject));
	assert_ok(store_blob_put(f->s, "{}", 2, NULL));
	assert_ok(images_put_manifest(f->s, str_c(doc), NULL, &signature));
	assert_ok(registry_publish(f->s, "a", "sig", &signature, false, NULL));
	AUTO_FREE char *key = mem_printf("a@%s/%s", subject, digest_text(&signature.digest, text));
	AUTO_BUF struct buf value = {0};
	bool found = false, deleted = false;
	assert_ok(store_record_get(f->s, SPACE_REFERRER, key, &value, &found));
	assert_true(found);
	AUTO_JSON json_t *o = NULL;
	assert_ok(json_parse(buf_str(&value), "referrer", &o));
	assert_string_equal(json_string_value(json_object_get(o, "artifactType")), "application/vnd.example");
	assert_string_equal(json_string_value(json_object_get(json_object_get(o, "annotations"), "k")), "v");
	assert_ok(records_manifest_delete(f->s, "a", &signature.digest, &deleted));
	buf_clear(&value);
	assert_ok(store_record_get(f->s, SPACE_REFERRER, key, &value, &found));
	assert_false(found);
}

/* What the registry serves must survive a collection of all that is evictable. */
static void survives_gc(void **state)
{
	struct fixture *f = *state;
	struct descriptor image = make_image(f, "published", true);
	struct digest layer;
	struct store_gc_result result = {0};
	int64_t size = -1;
	digest_of("published", 9, &layer);
	assert_ok(registry_publish(f->s, "a", "v1", &image, false, NULL));
	/* The lease of this process goes with it. */
	AUTO_FREE char *home = mem_strdup(store_home(f->s));
	store_close(f->s);
	assert_ok(store_open(home, NULL, &f->s));
	assert_ok(store_gc(f->s, &(struct store_gc_options){.all = true}, NULL, &result));
	assert_ok(store_blob_stat(f->s, &layer, &size));
	assert_int_equal(size, 9);
	assert_ok(store_blob_stat(f->s, &image.digest, &size));
	assert_int_equal(size, image.size);
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(publishing),
		FIXTURE_TEST(refused),
		FIXTURE_TEST(listing),
		FIXTURE_TEST(index_publishes_children),
		FIXTURE_TEST(pruning),
		FIXTURE_TEST(referrers),
		FIXTURE_TEST(survives_gc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
