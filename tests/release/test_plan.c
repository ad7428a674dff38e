/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../repo/git_fixture.h"

#include "release/release.h"

static void make_repo(void)
{
	sh("git init -q --bare origin.git; git init -q lab; cd lab; mkdir -p containers/web containers/both "
	   "containers/py "
	   "containers/none;"
	   "printf 'ARG CONTAINER_APP_VERSION=1.2.3\\nFROM scratch\\n' > containers/web/Dockerfile;"
	   "printf 'ARG CONTAINER_APP_VERSION=v2.0\\nFROM scratch\\n' > containers/both/Dockerfile;"
	   "printf '{ inherit version; }\\n' > containers/both/default.nix;"
	   "printf 'FROM scratch\\n' > containers/py/Dockerfile; printf 'VERSION = \"3\"\\n' > "
	   "containers/py/container.py;"
	   "printf 'FROM scratch\\n' > containers/none/Dockerfile;"
	   "git add .; git commit -qm first; git remote add origin ../origin.git; git push -q -u origin "
	   "main");
}

static struct err *plan(const char *name, const char *ref, bool force, struct release_plan *p)
{
	AUTO(repo_freep) struct repo *r = open_at("lab");
	struct release_request rq = {.repo = r, .name = name, .ref = ref, .force = force, .dry_run = true};
	return release_plan_make(&rq, p);
}

static const struct release_job *job(const struct release_plan *p, size_t i)
{
	assert_true(i < p->jobs.len);
	return vec_at(&p->jobs, i);
}

static void test_plain(void **state)
{
	(void)state;
	make_repo();
	AUTO_FREE char *sha = output("git -C lab rev-parse --short=7 HEAD");
	AUTO(release_plan_fini) struct release_plan p = {0};
	assert_null(plan("web", NULL, false, &p));
	assert_int_equal(p.jobs.len, 1);
	assert_false(p.dirty || p.forced);
	assert_null(p.source_url);
	const struct release_job *j = job(&p, 0);
	AUTO_FREE char *want = mem_printf("127.0.0.1:5000/lab/web:v1.2.3-%s", sha);
	assert_string_equal(j->reference, want);
	assert_string_equal(j->version, "1.2.3");
	assert_string_equal(j->runner, "k8s");
	assert_int_equal(j->kind, KIND_DOCKERFILE);
}

static void test_kinds(void **state)
{
	(void)state;
	make_repo();
	AUTO(release_plan_fini) struct release_plan both = {0}, py = {0}, none = {0};
	assert_null(plan("both", NULL, false, &both));
	assert_int_equal(both.jobs.len, 2);
	assert_int_equal(job(&both, 1)->kind, KIND_NIX);
	assert_string_equal(job(&both, 1)->version, "v2.0");
	assert_true(cstr_starts(job(&both, 1)->tag, "v2.0-") && cstr_ends(job(&both, 1)->tag, "-nix"));
	assert_string_equal(job(&both, 1)->runner, "nix-container-builder");
	assert_null(plan("py", NULL, false, &py));
	assert_int_equal(py.jobs.len, 1);
	assert_int_equal(job(&py, 0)->kind, KIND_CONTAINER_PY);
	assert_string_equal(job(&py, 0)->version, "3");
	expect(plan("none", NULL, false, &none), ERR_INVALID,
		"containers/none/Dockerfile declares no version / add a line: ARG "
		"CONTAINER_APP_VERSION=1.2.3");
	expect(plan("nope", NULL, false, &none), ERR_NOT_FOUND,
		"did you mean \"none\"? There are: both (dockerfile+nix)");
	expect(plan("web", "no-such", false, &none), ERR_NOT_FOUND, "no-such");
	assert_int_equal(none.jobs.len, 0);
}

static void test_dirty(void **state)
{
	(void)state;
	make_repo();
	sh("cd lab; echo new > containers/both/note; sed -i s/1.2.3/9.9/ containers/web/Dockerfile; echo x "
	   ">> containers/web/extra");
	AUTO(release_plan_fini) struct release_plan p = {0}, again = {0}, other = {0}, named = {0};
	expect(plan("web", NULL, false, &p), ERR_INVALID,
		"containers/web has changes that are not committed: containers/web/Dockerfile, "
		"containers/web/extra");
	assert_null(plan("web", "HEAD", false, &named));
	assert_string_equal(job(&named, 0)->version, "1.2.3");
	assert_false(named.dirty);
	assert_null(plan("web", NULL, true, &p));
	assert_true(p.dirty && p.forced);
	const struct release_job *j = job(&p, 0);
	assert_string_equal(j->version, "9.9");
	assert_non_null(strstr(j->tag, "-dirty-"));
	assert_null(plan("web", NULL, true, &again));
	assert_string_equal(job(&again, 0)->tag, j->tag);
	sh("cd lab; chmod +x containers/web/extra");
	assert_null(plan("web", NULL, true, &other));
	assert_string_not_equal(job(&other, 0)->tag, j->tag);
}

static void test_dirty_elsewhere(void **state)
{
	(void)state;
	make_repo();
	sh("cd lab; echo x > containers/both/note; echo x > top");
	AUTO(release_plan_fini) struct release_plan p = {0};
	assert_null(plan("web", NULL, false, &p));
	assert_false(p.dirty);
}

static void test_unpushed(void **state)
{
	(void)state;
	make_repo();
	sh("cd lab; git commit -q --allow-empty -m 'not pushed'");
	AUTO(release_plan_fini) struct release_plan p = {0}, old = {0};
	expect(plan("web", NULL, false, &p), ERR_INVALID, "(\"not pushed\") is on no branch of a remote");
	assert_null(plan("web", "origin/main", false, &old));
	assert_null(plan("web", NULL, true, &p));
	assert_true(p.forced && !p.dirty);
	AUTO_FREE char *sha = output("git -C lab rev-parse --short=7 HEAD");
	AUTO_FREE char *want = mem_printf("v1.2.3-%s-unpushed", sha);
	assert_string_equal(job(&p, 0)->tag, want);
}

static void test_settings_of_the_commit(void **state)
{
	(void)state;
	make_repo();
	sh("cd lab; printf 'registry: forge.example\\nnamespace: team/lab\\nrunners: {dockerfile: big}\\n' > "
	   "cooper.yaml; git add .;"
	   "git commit -qm settings; git push -q; git remote set-url origin "
	   "https://u:p@forge.example/team/lab.git;"
	   "echo 'namespace: other' > cooper.yaml");
	AUTO_FREE char *sha = output("git -C lab rev-parse --short=7 HEAD");
	AUTO(release_plan_fini) struct release_plan p = {0}, first = {0};
	assert_null(plan("web", NULL, false, &p));
	AUTO_FREE char *want = mem_printf("forge.example/team/lab/web:v1.2.3-%s", sha);
	assert_string_equal(job(&p, 0)->reference, want);
	assert_string_equal(job(&p, 0)->runner, "big");
	assert_string_equal(p.source_url, "https://forge.example/team/lab");
	assert_null(plan("web", "HEAD~1", false, &first));
	assert_true(cstr_starts(job(&first, 0)->reference, "127.0.0.1:5000/lab/web:"));
}

#define GIT_TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop_tmp)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GIT_TEST(test_plain),
		GIT_TEST(test_kinds),
		GIT_TEST(test_dirty),
		GIT_TEST(test_dirty_elsewhere),
		GIT_TEST(test_unpushed),
		GIT_TEST(test_settings_of_the_commit),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
