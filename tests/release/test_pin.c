/* SPDX-License-Identifier: Apache-2.0 */
/* Pins written and shown: what promote and pin have in common. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../repo/git_fixture.h"

#include "base/buf.h"
#include "release/pin.h"

#define PREFIX "127.0.0.1:5000/lab/"
#define MANIFEST "lab/argocd/manifests/web/all.yaml"

static struct manifest_scan scan;

/* The lines stand in a list, the images among them: "L" a line of no matter, other letters an image. */
static void make_lab(const char *lines, const char *tail)
{
	AUTO_BUF struct buf text = {0};
	buf_adds(&text, "lines:\n");
	for (const char *p = lines; *p; p++)
		if (*p == 'L')
			buf_addf(&text, "- line %td\n", p - lines);
		else
			buf_addf(&text, "- image: " PREFIX "%c:v1-1111111\n", *p);
	buf_adds(&text, tail);
	sh("git init -q lab; mkdir -p lab/argocd/manifests/web");
	AUTO_FREE char *path = path_join(tmp, MANIFEST);
	assert_null(file_replace(AT_FDCWD, path, text.ptr, text.len, 0644, false));
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	assert_null(repo_config_load(r, NULL, &cfg));
	assert_null(manifests_scan(r, &cfg, NULL, PREFIX, &scan));
	sh("cp -r lab before");
}

static struct err *set_all(struct strvec *files, struct buf *diff)
{
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(vec_fini) struct vec targets = VEC_OF(struct pin_target);
	for (size_t i = 0; i < scan.pins.len; i++)
		vec_push_copy(
			&targets, &(struct pin_target){.pin = vec_at(&scan.pins, i), .tag = "v2-2222222"});
	struct err *e = pins_preview(r, PREFIX, targets.ptr, targets.len, files, diff);
	return e ? e : pins_write(r, PREFIX, targets.ptr, targets.len, NULL);
}

static int drop(void **state)
{
	manifest_scan_fini(&scan);
	return drop_tmp(state);
}

/* git itself takes the diff for what was written. */
static void check_diff(const char *lines, const char *tail)
{
	make_lab(lines, tail);
	AUTO_STRVEC struct strvec files = {0};
	AUTO_BUF struct buf diff = {0};
	AUTO(err_freep) struct err *e = set_all(&files, &diff);
	assert_null(e);
	assert_int_equal(files.len, 1);
	assert_string_equal(files.ptr[0], "argocd/manifests/web/all.yaml");
	AUTO_FREE char *path = path_join(tmp, "diff");
	assert_null(file_replace(AT_FDCWD, path, diff.ptr, diff.len, 0644, false));
	sh("cd before && git apply ../diff && cmp ../" MANIFEST
	   " argocd/manifests/web/all.yaml && rm -r .git");
	sh("rm -rf lab before");
	manifest_scan_fini(&scan);
}

static void test_diffs(void **state)
{
	(void)state;
	check_diff("a", "");
	check_diff("aLa", "");
	check_diff("LLLLaLLLLLL", "");
	check_diff("aLLLLLaLLLLLLaLLLLLLLaLLLLLLLLb", "");
	check_diff("aabLLLLLLLLLLLLLLLLLLb", "");
	check_diff("LLLLLLLLa", "- image: " PREFIX "z:v1-1111111");
	check_diff("aLLLL", "- {no: newline}");
}

static void test_one_diff(void **state)
{
	(void)state;
	make_lab("LLLLaLLLL", "");
	AUTO_STRVEC struct strvec files = {0};
	AUTO_BUF struct buf diff = {0};
	assert_null(set_all(&files, &diff));
	assert_string_equal(buf_cstr(&diff), "--- a/argocd/manifests/web/all.yaml\n"
					     "+++ b/argocd/manifests/web/all.yaml\n"
					     "@@ -3,7 +3,7 @@\n"
					     " - line 1\n"
					     " - line 2\n"
					     " - line 3\n"
					     "-- image: " PREFIX "a:v1-1111111\n"
					     "+- image: " PREFIX "a:v2-2222222\n"
					     " - line 5\n"
					     " - line 6\n"
					     " - line 7\n");
}

static void test_texts(void **state)
{
	(void)state;
	char file[] = "m/x.yaml", image[] = PREFIX "a", v1[] = "v1", v2[] = "v2", old[] = "sha256:11",
	     new[] = "sha256:22";
	struct pin p = {.file = file, .line = 3, .image = image, .tag = v1};
	struct pin_target t = {.pin = &p, .tag = "v2", .digest = "sha256:22"};
	AUTO_FREE char *tag = pin_target_text(&t);
	assert_string_equal(tag, "m/x.yaml:3: " PREFIX "a v1 -> v2");
	assert_false(pin_target_is_set(&t));
	p.digest = old;
	AUTO_FREE char *both = pin_target_text(&t);
	assert_string_equal(both, "m/x.yaml:3: " PREFIX "a v1@sha256:11 -> v2@sha256:22");
	p.tag = NULL;
	AUTO_FREE char *digest = pin_target_text(&t);
	assert_string_equal(digest, "m/x.yaml:3: " PREFIX "a sha256:11 -> sha256:22");
	p.digest = new;
	assert_true(pin_target_is_set(&t));
	p.tag = v2;
	assert_true(pin_target_is_set(&t));
	t.digest = "sha256:33";
	assert_false(pin_target_is_set(&t));
}

#define GIT_TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GIT_TEST(test_diffs),
		GIT_TEST(test_one_diff),
		cmocka_unit_test(test_texts),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
