/* SPDX-License-Identifier: Apache-2.0 */
/* Which tag a pin gets, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../repo/git_fixture.h"

#include "base/buf.h"
#include "image_fixture.h"
#include "release/pin.h"

#define IMAGE "127.0.0.1:5000/lab/web"
#define DIGEST_0 "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static char *main1, *main2, *side;

static int make_lab(void **state)
{
	if (open_engine(state))
		return -1;
	sh("git init -q lab; cd lab; mkdir -p containers/web argocd/manifests/web; touch "
	   "containers/web/Dockerfile "
	   "containers/web/default.nix; git add .; git commit -qm one; git checkout -q -b side; git commit "
	   "-q "
	   "--allow-empty -m side; git checkout -q main; GIT_COMMITTER_DATE=2026-02-02T00:00:00Z git commit "
	   "-q "
	   "--allow-empty -m two");
	main1 = output("git -C lab rev-parse main~1");
	main2 = output("git -C lab rev-parse main");
	side = output("git -C lab rev-parse side");
	return 0;
}

static int drop_lab(void **state)
{
	mem_freep(&main1);
	mem_freep(&main2);
	mem_freep(&side);
	return close_engine(state);
}

/* "1.0/1" is version 1.0 of the first commit of main, "/2" of the second, "/s" of the branch, "/x" of none;
 * with "n" it is nix. */
static char *tag_of(const char *spec)
{
	const char *slash = strchr(spec, '/');
	const char *commit = slash[1] == '1'   ? main1
			     : slash[1] == '2' ? main2
			     : slash[1] == 's' ? side
					       : "abcdef1";
	return mem_printf("v%.*s-%.7s%s", (int)(slash - spec), spec, commit, slash[2] == 'n' ? "-nix" : "");
}

static void publish_all(const char *specs)
{
	struct str rest = str_c(specs), spec;
	while (str_split(&rest, ' ', &spec)) {
		AUTO_FREE char *copy = mem_strndup(spec.ptr, spec.len);
		AUTO_FREE char *tag = tag_of(copy);
		const char *commit = strchr(copy, '/') + 1;
		publish("lab/web", tag,
			*commit == '1'   ? main1
			: *commit == '2' ? main2
			: *commit == 's' ? side
					 : NULL);
	}
}

/* The manifest has these as tags of containers, one after the other. */
static void pin_all(const char *values)
{
	AUTO_BUF struct buf text = {0};
	struct str rest = str_c(values), value;
	buf_adds(&text, "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n");
	while (str_split(&rest, ' ', &value)) {
		AUTO_FREE char *copy = mem_strndup(value.ptr, value.len);
		AUTO_FREE char *tag = strchr(copy, '/') ? tag_of(copy) : mem_strdup(copy);
		const char *sep = cstr_starts(tag, "sha256:") ? "@" : ":";
		buf_addf(&text, "  - image: " IMAGE "%s%s\n", sep, tag);
	}
	AUTO_FREE char *path = path_join(tmp, "lab/argocd/manifests/web/pod.yaml");
	assert_null(file_replace(AT_FDCWD, path, text.ptr, text.len, 0644, false));
}

static struct err *plan(struct pin_request rq, struct pin_plan *out)
{
	AUTO(repo_freep) struct repo *r = open_at("lab");
	rq.engine = engine;
	rq.repo = r;
	rq.name = "web";
	return pin_plan_make(&rq, out);
}

/* What each pin becomes, in the same words. */
static void expect_plan(struct pin_request rq, const char *want)
{
	AUTO(pin_plan_fini) struct pin_plan p = {0};
	AUTO(err_freep) struct err *e = plan(rq, &p);
	if (e)
		fail_msg("%s", err_message(e));
	AUTO_BUF struct buf got = {0}, wanted = {0};
	struct str rest = str_c(want), spec;
	while (str_split(&rest, ' ', &spec)) {
		AUTO_FREE char *copy = mem_strndup(spec.ptr, spec.len);
		AUTO_FREE char *tag = tag_of(copy);
		buf_addf(&wanted, "%s ", tag);
	}
	for (size_t i = 0; i < p.targets.len; i++)
		buf_addf(&got, "%s ", ((const struct pin_target *)vec_at(&p.targets, i))->tag);
	assert_string_equal(buf_cstr(&got), buf_cstr(&wanted));
}

static void expect_refusal(struct pin_request rq, enum err_kind kind, const char *part)
{
	AUTO(pin_plan_fini) struct pin_plan p = {0};
	expect(plan(rq, &p), kind, part);
	assert_int_equal(p.targets.len, 0);
}

#define NOTHING ((struct pin_request){0})

static void test_newest_of_the_kind(void **state)
{
	(void)state;
	publish_all("1.9.0/1 1.10.0/1 1.10.0/2 2.0.0/s 1.2.0/1n 1.1.0/2n 3.0.0/x");
	pin_all("1.0.0/1 1.0.0/1n 1.10.0/2");
	expect_plan(NOTHING, "1.10.0/2 1.2.0/1n 1.10.0/2");
}

static void test_nothing_of_main(void **state)
{
	(void)state;
	pin_all("1.0.0/1");
	expect_refusal(
		NOTHING, ERR_NOT_FOUND, "127.0.0.1:5000/lab/web has no released tag / cooper release web");
	publish_all("2.0.0/s 1.0.0/1");
	pin_all("1.0.0/1n");
	expect_refusal(NOTHING, ERR_NOT_FOUND, "has no released tag of default.nix");
	publish_all("2.0.0/sn");
	expect_refusal(NOTHING, ERR_NOT_FOUND,
		"no tag of default.nix of 127.0.0.1:5000/lab/web is from main; the newest is v2.0.0");
}

static void test_the_label_decides(void **state)
{
	(void)state;
	AUTO_FREE char *lies = tag_of("2.0.0/1");
	publish("lab/web", lies, side); /* its tag says main */
	publish_all("1.0.0/2");
	pin_all("1.0.0/1");
	expect_plan(NOTHING, "1.0.0/2");
	expect_refusal((struct pin_request){.tag = lies}, ERR_INVALID, "[branch]: commit ");
}

static void test_newest_of_branches_too(void **state)
{
	(void)state;
	publish_all("1.0.0/1 1.1.0/s");
	publish("lab/web", "v3.0.0-abcdef1", NULL); /* of no commit here */
	pin_all("1.0.0/1");
	expect_plan(NOTHING, "1.0.0/1");
	expect_plan((struct pin_request){.allow_branch = true}, "1.1.0/s");
}

static void test_downgrades(void **state)
{
	(void)state;
	publish_all("1.0.0/1 1.0.0/2 2.0.0/1");
	AUTO_FREE char *old = tag_of("1.0.0/1"), *new = tag_of("1.0.0/2");
	pin_all("1.0.0/2");
	expect_refusal((struct pin_request){.tag = old}, ERR_INVALID, "is older than");
	expect_plan((struct pin_request){.tag = old, .allow_downgrade = true}, "1.0.0/1");
	pin_all("1.0.0/1");
	expect_plan((struct pin_request){.tag = new}, "1.0.0/2");
	pin_all("1.0.0/s"); /* the same version of a branch may go back to main */
	expect_plan((struct pin_request){.tag = old}, "1.0.0/1");
	pin_all("v3.0.0"); /* names no commit, but a version */
	expect_refusal(NOTHING, ERR_INVALID, "which is pinned / --allow-downgrade");
	pin_all("latest");
	expect_plan(NOTHING, "2.0.0/1");
}

static void test_unknown(void **state)
{
	(void)state;
	publish_all("1.0.0/1");
	publish("lab/web", "latest", NULL);
	publish("lab/web", "v3.0.0-abcdef1", NULL);
	pin_all("1.0.0/1");
	expect_refusal((struct pin_request){.tag = "latest"}, ERR_INVALID,
		"[unknown]: the tag does not name a commit / merge it and release from main, or "
		"--allow-branch");
	expect_refusal((struct pin_request){.tag = "v3.0.0-abcdef1"}, ERR_INVALID,
		"[unknown]: no commit abcdef1 here");
	expect_plan((struct pin_request){.tag = "v3.0.0-abcdef1", .allow_branch = true}, "3.0.0/x");
	expect_refusal((struct pin_request){.tag = "v1/../../x"}, ERR_INVALID, "is no tag of an image");
	expect_refusal(
		(struct pin_request){.tag = "v7.0.0-1234567"}, ERR_NOT_FOUND, "is not in the registry");
}

static void test_digest_alone(void **state)
{
	(void)state;
	publish_all("1.0.0/1 2.0.0/2 1.0.0/1n 3.0.0/2n");
	pin_all(DIGEST_0);
	expect_refusal(NOTHING, ERR_INVALID,
		"so it cannot be told which kind of build it is / name the tag: --tag T");
	AUTO_FREE char *nix = tag_of("1.0.0/1n");
	struct descriptor d = {0};
	bool found = false;
	assert_null(registry_get(engine_store(engine), "lab/web", nix, &d, &found));
	char text[DIGEST_TEXT_MAX];
	pin_all(digest_text(&d.digest, text));
	descriptor_fini(&d);
	expect_plan(NOTHING, "3.0.0/2n");
	sh("rm lab/containers/web/default.nix");
	pin_all(DIGEST_0);
	expect_plan(NOTHING, "2.0.0/2");
}

static void test_a_container_that_is_gone(void **state)
{
	(void)state;
	publish_all("1.0.0/1 2.0.0/2");
	pin_all("1.0.0/1");
	sh("rm -r lab/containers/web");
	expect_plan(NOTHING, "2.0.0/2");
	pin_all("1.0.0/1"); /* and nothing that names it */
	sh("rm lab/argocd/manifests/web/pod.yaml");
	expect_refusal(NOTHING, ERR_NOT_FOUND, "no container \"web\"");
}

#define LAB_TEST(f) cmocka_unit_test_setup_teardown(f, make_lab, drop_lab)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_newest_of_the_kind),
		LAB_TEST(test_nothing_of_main),
		LAB_TEST(test_the_label_decides),
		LAB_TEST(test_newest_of_branches_too),
		LAB_TEST(test_downgrades),
		LAB_TEST(test_unknown),
		LAB_TEST(test_digest_alone),
		LAB_TEST(test_a_container_that_is_gone),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
