/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../repo/git_fixture.h"

#include "base/clock.h"
#include "image_fixture.h"
#include "release/release.h"

static void list(const char *name, size_t max, struct buf *out)
{
	static const char *const marks[] = {"main", "branch", "unknown"};
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(release_listing_fini) struct release_listing all = {0};
	struct release_list_request rq = {.engine = engine, .repo = r, .name = name, .max = max};
	AUTO(err_freep) struct err *e = release_list(&rq, &all);
	if (e)
		fail_msg("%s", err_message(e));
	for (size_t i = 0; i < all.containers.len; i++) {
		const struct listed_container *l = vec_at(&all.containers, i);
		buf_addf(out, "%s:", l->image);
		if (l->error)
			buf_addf(out, " error %s", l->error);
		for (size_t k = 0; k < l->tags.len; k++) {
			const struct listed_tag *t = vec_at(&l->tags, k);
			assert_int_equal(t->provenance == PROVENANCE_UNKNOWN, t->reason != NULL);
			buf_addf(out, " %s[%s]", t->tag, marks[t->provenance]);
			for (size_t p = 0; p < t->pinned.len; p++) {
				const struct listed_pin *pin = *(struct listed_pin **)vec_at(&t->pinned, p);
				buf_addf(out, "%s:%u", pin->file, pin->line);
			}
		}
		for (size_t k = 0; k < l->pins.len; k++) {
			const struct listed_pin *p = vec_at(&l->pins, k);
			if (!p->listed)
				buf_addf(out, " not listed: %s:%u", p->file, p->line);
		}
		buf_adds(out, "\n");
	}
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
	AUTO(release_listing_fini) struct release_listing all = {0};
	struct release_list_request rq = {.engine = engine, .repo = r, .name = "web"};
	assert_null(release_list(&rq, &all));
	assert_string_equal(all.main, "main");
	assert_string_equal(all.tip.id, one);
	assert_int_equal(all.fetched, 0);
	const struct listed_container *l = vec_at(&all.containers, 0);
	const struct listed_tag *t = vec_at(&l->tags, 0);
	assert_string_equal(t->revision, one);
	assert_string_equal(t->version, "1.0");
	assert_true(digest_is_set(&t->digest));
	assert_int_equal(t->created, INT64_C(1767323045) * CLOCK_SECOND);
	assert_string_equal(l->container.kinds, "dockerfile");
}

static void manifest(const char *file, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/lab/argocd/manifests/%s", tmp, file);
	AUTO_FREE char *dir = path_dir(path);
	sh("mkdir -p '%s'", dir);
	assert_null(file_replace(AT_FDCWD, path, text, strlen(text), 0644, false));
}

static void test_pinned(void **state)
{
	(void)state;
	make_repo();
	AUTO_FREE char *one = output("git -C lab rev-parse main~2"),
		       *two = output("git -C lab rev-parse main~1");
	AUTO_FREE char *old = mem_printf("v1.0-%.7s", one), *mid = mem_printf("v1.1-%.7s", one),
		       *new = mem_printf("v1.2-%.7s", two);
	publish("lab/web", old, one);
	publish("lab/web", mid, one);
	publish("lab/web", new, two);
	AUTO_FREE char *deployment =
		mem_printf("kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n"
			   "        - image: 127.0.0.1:5000/lab/web:%s\n"
			   "        - image: 127.0.0.1:5000/lab/web-two:v1\n"
			   "        - image: 127.0.0.1:5000/lab/web:v9.9-1234567\n",
			old);
	manifest("one/deployment.yaml", deployment);
	AUTO_FREE char *entry = mem_printf(
		"images:\n  - name: web\n    newName: 127.0.0.1:5000/lab/web\n    newTag: %s\n", new);
	manifest("two/kustomization.yaml", entry);
	AUTO_FREE char *want =
		mem_printf("127.0.0.1:5000/lab/web: %s[main]argocd/manifests/two/kustomization.yaml:4 "
			   "%s[main]argocd/manifests/one/deployment.yaml:6 not listed: "
			   "argocd/manifests/one/deployment.yaml:8\n",
			new, old);
	check("web", 1, want);
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
		GIT_TEST(test_pinned),
		GIT_TEST(test_registry_away),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
