/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../repo/git_fixture.h"

#include "base/clock.h"
#include "oci/images.h"
#include "registry/registry.h"
#include "release/release.h"
#include "release/release_internal.h"

static struct engine *engine;

static int open_engine(void **state)
{
	if (make_tmp(state))
		return -1;
	AUTO_FREE char *store = path_join(tmp, "store");
	struct engine_options opt = {.home = store};
	AUTO(err_freep) struct err *e = engine_open(&opt, &engine);
	return e ? -1 : 0;
}

static int close_engine(void **state)
{
	engine_closep(&engine);
	return drop_tmp(state);
}

/* An image without layers, with a revision label (NULL: none). */
static void publish(const char *repository, const char *tag, const char *revision)
{
	struct store *s = engine_store(engine);
	AUTO_FREE char *label =
		revision ? mem_printf("{\"org.opencontainers.image.revision\":\"%s\"}", revision)
			 : mem_strdup("{}");
	AUTO_FREE char *config = mem_printf("{\"created\":\"2026-01-02T03:04:05Z\",\"architecture\":"
					    "\"amd64\",\"os\":\"linux\",\"config\":{\"Labels\":%s},"
					    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
		label);
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

static void list(const char *name, size_t max, struct buf *out)
{
	static const char *const marks[] = {"main", "branch", "unknown"};
	AUTO(repo_freep) struct repo *r = open_at("lab");
	struct vec all = VEC_OF(struct listed_container);
	AUTO(err_freep) struct err *e = release_list(engine, r, name, max, NULL, NULL, &all);
	if (e)
		fail_msg("%s", err_message(e));
	for (size_t i = 0; i < all.len; i++) {
		struct listed_container *l = vec_at(&all, i);
		buf_addf(out, "%s:", l->image);
		if (l->error)
			buf_addf(out, " error %s", l->error);
		for (size_t k = 0; k < l->tags.len; k++) {
			const struct listed_tag *t = vec_at(&l->tags, k);
			assert_int_equal(t->provenance == PROVENANCE_UNKNOWN, t->reason != NULL);
			buf_addf(out, " %s[%s]", t->tag, marks[t->provenance]);
		}
		buf_adds(out, "\n");
		listed_container_fini(l);
	}
	vec_fini(&all);
}

static void check(const char *name, size_t max, const char *want)
{
	AUTO_BUF struct buf got = {0};
	list(name, max, &got);
	assert_string_equal(buf_cstr(&got), want);
}

static void make_repo(void)
{
	sh("git init -q lab; cd lab; mkdir -p containers/web containers/api; touch containers/web/Dockerfile "
	   "containers/api/Dockerfile;"
	   "git add .; git commit -qm one; GIT_COMMITTER_DATE=2026-01-03T00:00:00Z git commit -q "
	   "--allow-empty -m two; git branch side;"
	   "git commit -q --allow-empty -m three; git checkout -q side; git commit -q --allow-empty -m side; "
	   "git checkout -q main");
}

static void test_order_and_marks(void **state)
{
	(void)state;
	make_repo();
	AUTO_FREE char *one = output("git -C lab rev-parse main~2"),
		       *two = output("git -C lab rev-parse main~1");
	AUTO_FREE char *side = output("git -C lab rev-parse side");
	AUTO_FREE char *t1 = mem_printf("v0.4.43-%.7s", one), *t2 = mem_printf("v0.4.100-%.7s", one),
		       *t3 = mem_printf("v0.4.100-%.7s", two);
	AUTO_FREE char *t4 = mem_printf("v0.4.192-%.7s", side), *nix = mem_printf("v0.4.43-%.7s-nix", one);
	publish("lab/web", t1, one);
	publish("lab/web", t2, NULL);
	publish("lab/web", t3, two);
	publish("lab/web", t4, side);
	publish("lab/web", nix, one);
	publish("lab/web", "latest", one);
	publish("lab/web", "v0.3.0-0123456", NULL);
	publish("lab/web", "v0.2.0-1234567-dirty-12345678", NULL);
	AUTO_FREE char *all = mem_printf("127.0.0.1:5000/lab/web: %s[branch] %s[main] %s[main] %s[main] "
					 "%s[main] v0.3.0-0123456[unknown] "
					 "v0.2.0-1234567-dirty-12345678[unknown]\n",
		t4, t3, t2, nix, t1);
	check("web", 0, all);
	AUTO_FREE char *few =
		mem_printf("127.0.0.1:5000/lab/api:\n127.0.0.1:5000/lab/web: %s[branch] %s[main]\n", t4, t3);
	check(NULL, 2, few);
}

static void test_label_decides(void **state)
{
	(void)state;
	make_repo();
	AUTO_FREE char *one = output("git -C lab rev-parse main"),
		       *side = output("git -C lab rev-parse side");
	AUTO_FREE char *wrong = mem_printf("v1.0-%.7s", one), *inherited = mem_printf("v2.0-%.7s", one);
	publish("lab/web", wrong, side); /* the tag says main, the image was built from side */
	publish("lab/web", inherited,
		"0123456789012345678901234567890123456789"); /* of the base image's own repository */
	publish("lab/web", "v3.0-gone000", one);             /* not a tag of ours, but the image knows */
	AUTO_FREE char *want = mem_printf(
		"127.0.0.1:5000/lab/web: v3.0-gone000[main] %s[main] %s[branch]\n", inherited, wrong);
	check("web", 0, want);
}

static void test_details(void **state)
{
	(void)state;
	make_repo();
	AUTO_FREE char *one = output("git -C lab rev-parse main");
	AUTO_FREE char *tag = mem_printf("v1.0-%.7s", one);
	publish("lab/web", tag, one);
	AUTO(repo_freep) struct repo *r = open_at("lab");
	struct vec all = VEC_OF(struct listed_container);
	assert_null(release_list(engine, r, "web", 0, NULL, NULL, &all));
	AUTO(listed_container_fini) struct listed_container l = *(struct listed_container *)vec_at(&all, 0);
	vec_fini(&all);
	const struct listed_tag *t = vec_at(&l.tags, 0);
	assert_string_equal(t->revision, one);
	assert_string_equal(t->version, "1.0");
	assert_true(digest_is_set(&t->digest));
	assert_int_equal(t->created, INT64_C(1767323045) * CLOCK_SECOND);
	assert_string_equal(l.container.kinds, "dockerfile");
}

static void test_registry_away(void **state)
{
	(void)state;
	make_repo();
	sh("cd lab; echo 'registry: 127.0.0.1:1' > cooper.yaml");
	AUTO_BUF struct buf got = {0};
	list("web", 4, &got);
	assert_true(cstr_starts(buf_cstr(&got), "127.0.0.1:1/lab/web: error "));
}

#define GIT_TEST(f) cmocka_unit_test_setup_teardown(f, open_engine, close_engine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GIT_TEST(test_order_and_marks),
		GIT_TEST(test_label_decides),
		GIT_TEST(test_details),
		GIT_TEST(test_registry_away),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
