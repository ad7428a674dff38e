/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests of whole repositories: which files, sentinels, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "git_fixture.h"

#include "base/buf.h"
#include "repo/manifests.h"

#include <sys/stat.h>

#define PREFIX "127.0.0.1:5000/lab/"
#define TEMPLATE_OF(image) "{apiVersion: v1, kind: Pod, spec: {containers: [{image: \"" image "\"}]}}"
#define POD(name) TEMPLATE_OF(PREFIX name)

static void put(const char *path, const char *text)
{
	AUTO_FREE char *dir = path_dir(path);
	sh("mkdir -p lab/argocd/manifests/%s", dir);
	AUTO_FREE char *full = mem_printf("%s/lab/argocd/manifests/%s", tmp, path);
	assert_null(file_replace(AT_FDCWD, full, text, strlen(text), 0640, false));
}

static void scan_at(const char *ref, struct manifest_scan *out)
{
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	AUTO(commit_fini) struct commit c = {0};
	assert_null(repo_config_load(r, NULL, &cfg));
	if (ref)
		assert_null(repo_resolve(r, ref, &c));
	AUTO(err_freep) struct err *e = manifests_scan(r, &cfg, ref ? &c : NULL, PREFIX, out);
	if (e)
		fail_msg("%s", err_message(e));
}

/* "file:line service image:tag" and "file:line problem", a line each. */
static void scan_text(const char *ref, struct buf *out)
{
	AUTO(manifest_scan_fini) struct manifest_scan s = {0};
	scan_at(ref, &s);
	for (size_t i = 0; i < s.pins.len; i++) {
		const struct pin *p = vec_at(&s.pins, i);
		buf_addf(out, "%s:%u %s %s:%s%s\n", p->file + strlen("argocd/manifests/"), p->line,
			*p->service ? p->service : "-", p->name, p->tag ? p->tag : "",
			p->problem ? " !" : "");
	}
	for (size_t i = 0; i < s.problems.len; i++) {
		const struct manifest_problem *p = vec_at(&s.problems, i);
		buf_addf(out, "%s:%u %s\n", p->file, p->line, p->text);
	}
}

static void expect_scan(const char *ref, const char *want)
{
	AUTO_BUF struct buf got = {0};
	scan_text(ref, &got);
	assert_string_equal(buf_cstr(&got), want);
}

static void expect_in_scan(const char *part, bool wanted)
{
	AUTO_BUF struct buf got = {0};
	scan_text(NULL, &got);
	if ((strstr(buf_cstr(&got), part) != NULL) != wanted)
		fail_msg("%s\nin\n%s", part, buf_cstr(&got));
}

static void make_lab(void)
{
	sh("git init -q lab");
	put("web/kustomization.yaml", "images:\n- name: " PREFIX "web\n  newTag: v1-1111111\n");
	put("web/deployment.yaml", POD("web:kustomized"));
	put("web/deep/er/b.yml", POD("b:v1-2222222"));
	put("api/Kustomization", "images: [{name: " PREFIX "api, newTag: v1-3333333}]\n");
	put("top.yaml", POD("top:v1-4444444"));
	put("web/notes.txt", POD("no:v1-4444444"));
	put("web/templates/t.yaml", "{{ if x }}\n" POD("no:v1-4444444") "\n{{ end }}\n");
}

#define LAB                                        \
	"api/Kustomization:1 api api:v1-3333333\n" \
	"top.yaml:1 - top:v1-4444444\n"            \
	"web/deep/er/b.yml:1 web b:v1-2222222\n"   \
	"web/kustomization.yaml:3 web web:v1-1111111\n"

static void test_files(void **state)
{
	(void)state;
	make_lab();
	expect_scan(NULL, LAB);
	sh("cd lab; git add .; git commit -qm one");
	put("web/more.yaml", POD("more:v1-5555555"));
	put("top.yaml", POD("top:v2-4444444"));
	expect_scan("HEAD", LAB);
	expect_in_scan("web/more.yaml:1 web more:v1-5555555", true);
	expect_in_scan("top.yaml:1 - top:v2-4444444", true);
}

static void test_roots(void **state)
{
	(void)state;
	make_lab();
	sh("cd lab; mkdir empty; echo 'manifests: [argocd/manifests/web, argocd/manifests, empty, gone]' > "
	   "cooper.yaml");
	expect_scan(NULL,
		"api/Kustomization:1 api api:v1-3333333\n"
		"top.yaml:1 - top:v1-4444444\n"
		"web/deep/er/b.yml:1 deep b:v1-2222222\n"
		"web/kustomization.yaml:3 - web:v1-1111111\n"
		"empty:0 empty: no such folder, or nothing in it: name the folder of the manifests as "
		"manifests: in cooper.yaml\n"
		"gone:0 gone: no such folder, or nothing in it: name the folder of the manifests as "
		"manifests: in cooper.yaml\n");
}

static void test_broken_files(void **state)
{
	(void)state;
	make_lab();
	put("api/bad.yaml", "a: b\n c: d\n");
	put("api/binary.yaml", "a: \xff\n");
	sh("cd lab/argocd/manifests; ln -s ../top.yaml web/link.yaml; ln -s /etc web/etc; ln -s ../api "
	   "web/api; "
	   "mkfifo web/fifo.yaml");
	expect_scan(NULL, LAB
		"argocd/manifests/api/bad.yaml:2 argocd/manifests/api/bad.yaml:2:3: mapping values are not "
		"allowed in this context\n"
		"argocd/manifests/api/binary.yaml:0 argocd/manifests/api/binary.yaml: byte 4: invalid "
		"leading "
		"UTF-8 octet\n"
		"argocd/manifests/web/api:0 argocd/manifests/web/api is a link to a folder, which is not "
		"followed\n"
		"argocd/manifests/web/fifo.yaml:0 argocd/manifests/web/fifo.yaml is special, not a file\n"
		"argocd/manifests/web/link.yaml:0 argocd/manifests/web/link.yaml is a link, not a file\n");
}

static void test_sentinels(void **state)
{
	(void)state;
	sh("git init -q lab");
	put("one/deployment.yaml", POD("one:kustomized"));
	expect_scan(NULL,
		"argocd/manifests/one/deployment.yaml:1 argocd/manifests/one/deployment.yaml:1: " PREFIX
		"one:kustomized: no kustomization takes this file, so nothing sets the tag and it cannot be "
		"pulled\n");
	put("one/kustomization.yaml",
		"images: [{name: " PREFIX "other, newTag: v1}, {name: " PREFIX "one}]\n");
	expect_in_scan("no images entry of its kustomization has this name", true);
	put("one/kustomization.yaml", "images: [{name: " PREFIX "x, newName: " PREFIX "one, newTag: v1}]\n");
	expect_in_scan("no images entry of its kustomization has this name", true);
	put("one/kustomization.yaml", "images: [{name: " PREFIX "one, newTag: v1}]\n");
	expect_scan(NULL, "one/kustomization.yaml:1 one one:v1\n");
	put("two/kustomization.yaml", "images: [{name: " PREFIX "two, newTag: v1}]\n");
	put("one/two.yaml", POD("two:kustomized"));
	expect_in_scan("two:kustomized: no images entry", true);
}

static void test_sentinels_of_a_base(void **state)
{
	(void)state;
	sh("git init -q lab");
	put("x/base/deployment.yaml", POD("x:kustomized"));
	put("x/base/kustomization.yaml", "resources: [deployment.yaml]\n");
	put("x/prod/kustomization.yaml", "resources: [../base]\nimages: [{name: " PREFIX "x, newTag: v1}]\n");
	expect_scan(NULL, "x/prod/kustomization.yaml:2 x x:v1\n");
	put("x/prod/kustomization.yaml",
		"resources: [../other]\nimages: [{name: " PREFIX "x, newTag: v1}]\n");
	expect_in_scan("x:kustomized: no images entry", true);
	put("x/prod/kustomization.yaml",
		"resources: [../base, ../loop]\nimages: [{name: " PREFIX "y, newTag: v1}]\n");
	put("x/loop/kustomization.yaml", "resources: [../base, ../prod, ../loop]\n");
	expect_in_scan("x:kustomized: no images entry", true);
}

static void test_sentinels_kustomize_does_not_reach(void **state)
{
	(void)state;
	sh("git init -q lab");
	put("x/crd.yaml", "{apiVersion: x/v1, kind: X, spec: {image: \"" PREFIX "x:kustomized\"}}");
	put("x/kustomization.yaml", "images: [{name: " PREFIX "x, newTag: v1}]\n");
	expect_in_scan("kustomize sets the tags of containers, not of this field", true);
	put("x/kustomization.yaml", "configurations: [c.yaml]\nimages: [{name: " PREFIX "x, newTag: v1}]\n");
	expect_scan(NULL, "x/kustomization.yaml:2 x x:v1\n");
}

#define X "\"" PREFIX "x:kustomized\""
#define TYPED(kind, spec) "{apiVersion: v1, kind: " kind ", spec: " spec "}"

/* tests/e2e/test_kustomize.py asks kustomize itself. */
static void test_what_kustomize_reaches(void **state)
{
	static const struct {
		bool reached;
		const char *text;
	} cases[] = {
		{true, TYPED("Pod", "{initContainers: [{image: " X "}]}")},
		{true, TYPED("Odd", "{a: {b: {containers: [{image: " X "}]}}}")},
		{true, TYPED("Pod", "{volumes: [{image: {reference: " X "}}]}")},
		{true, TYPED("Odd", "{template: {spec: {volumes: [{image: {reference: " X "}}]}}}")},
		{true, "[{op: add, path: /spec/containers/0/image, value: " X "}]"},
		{true, "[{op: add, path: /spec/initContainers/-, value: {image: " X "}}]"},
		{true, "[{op: add, path: /spec/containers, value: [{image: " X "}]}]"},
		{false, TYPED("Pod", "{ephemeralContainers: [{image: " X "}]}")},
		{false, TYPED("Odd", "{containers: [{sidecarImage: " X "}]}")},
		{false, TYPED("CustomResourceDefinition", "{a: {containers: [{image: " X "}]}}")},
		{false, TYPED("CronJob", "{jobTemplate: {spec: {template: {spec: {volumes: [{image: "
					 "{reference: " X "}}]}}}}}")},
		{false, TYPED("Odd", "{volumes: [{other: {reference: " X ", image: " X "}}]}")},
		{false, "[{op: add, path: /spec/image, value: " X "}]"},
		{false, "[{op: add, path: /spec/a, value: {image: " X "}}]"},
		{false, "[{op: add, path: /image, value: " X "}]"},
		{false, "[{op: add, path: '', value: {image: " X "}}]"},
	};
	(void)state;
	sh("git init -q lab");
	put("x/kustomization.yaml", "images: [{name: " PREFIX "x, newTag: v1}]\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put("x/one.yaml", cases[i].text);
		expect_in_scan("kustomize sets the tags of containers", !cases[i].reached);
	}
}

static void test_components(void **state)
{
	(void)state;
	sh("git init -q lab");
	put("x/pod.yaml", POD("x:kustomized"));
	put("x/kustomization.yaml", "resources: [pod.yaml]\ncomponents: [../_c/one]\n");
	put("_c/one/kustomization.yaml", "components: [../two, ../one, ..]\n");
	put("_c/kustomization.yaml", "resources: [one]\nimages: [{name: " PREFIX "x, newTag: v0}]\n");
	put("_c/two/kustomization.yaml", "kind: Component\n");
	expect_scan(NULL, "_c/kustomization.yaml:2 _c x:v0\n");
	put("_c/one/kustomization.yaml", "components: [../two, ../one]\n");
	expect_in_scan("x:kustomized: no images entry", true);
	put("_c/two/kustomization.yaml", "kind: Component\nimages: [{name: " PREFIX "x, newTag: v1}]\n");
	expect_in_scan("x:kustomized: no images entry", false);
}

static void test_untagged(void **state)
{
	(void)state;
	sh("git init -q lab");
	put("x/pod.yaml", POD("x"));
	expect_scan(NULL, "x/pod.yaml:1 x x: !\n");
	put("x/kustomization.yaml", "images: [{name: " PREFIX "x, newTag: v1}]\n");
	expect_scan(NULL, "x/kustomization.yaml:1 x x:v1\n");
}

struct stamp {
	int64_t mtime;
	ino_t inode;
	mode_t mode;
};

static struct stamp stamp_of(const char *path)
{
	AUTO_FREE char *full = mem_printf("%s/lab/argocd/manifests/%s", tmp, path);
	struct stat st;
	assert_int_equal(stat(full, &st), 0);
	return (struct stamp){.mtime = stat_mtime_ns(&st), .inode = st.st_ino, .mode = st.st_mode & 07777};
}

static void expect_file(const char *path, const char *want)
{
	AUTO_FREE char *full = mem_printf("%s/lab/argocd/manifests/%s", tmp, path);
	AUTO_BUF struct buf got = {0};
	assert_null(file_read(AT_FDCWD, full, 1 << 20, &got));
	assert_string_equal(buf_cstr(&got), want);
}

static struct err *apply(const struct manifest_scan *s, const char *tag, bool env)
{
	AUTO(repo_freep) struct repo *r = open_at("lab");
	AUTO(vec_fini) struct vec changes = VEC_OF(struct pin_change);
	for (size_t i = 0; i < s->pins.len; i++)
		vec_push_copy(
			&changes, &(struct pin_change){.pin = vec_at(&s->pins, i), .tag = tag, .env = env});
	return manifests_apply(r, PREFIX, changes.ptr, changes.len);
}

static void test_apply(void **state)
{
	(void)state;
	sh("git init -q lab");
	put("x/a.yaml", "# head\n" POD("x:v1-1111111") " # keep\n");
	put("x/b.yaml", POD("x:v2-2222222"));
	sh("chmod 0640 lab/argocd/manifests/x/a.yaml");
	struct stamp a = stamp_of("x/a.yaml"), b = stamp_of("x/b.yaml");
	AUTO(manifest_scan_fini) struct manifest_scan s = {0};
	scan_at(NULL, &s);
	assert_int_equal(s.pins.len, 2);
	assert_null(apply(&s, "v2-2222222", false));
	expect_file("x/a.yaml", "# head\n" POD("x:v2-2222222") " # keep\n");
	struct stamp a2 = stamp_of("x/a.yaml"), b2 = stamp_of("x/b.yaml");
	assert_int_equal(a2.mode, 0640);
	assert_true(a2.inode != a.inode);
	assert_true(b2.inode == b.inode && b2.mtime == b.mtime);
	expect(apply(&s, "v3-3333333", false), ERR_INVALID, "a.yaml:2: " PREFIX "x: it is no longer there");
}

static void test_a_refusal_writes_nothing(void **state)
{
	(void)state;
	sh("git init -q lab");
	put("x/a.yaml", POD("x:v1-1111111"));
	put("x/b.yaml", "{apiVersion: v1, kind: Pod, args: [\"" PREFIX "x:v1-1111111\"]}");
	AUTO(manifest_scan_fini) struct manifest_scan s = {0};
	scan_at(NULL, &s);
	expect(apply(&s, "v2-2222222", false), ERR_INVALID, "argocd/manifests/x/b.yaml:1: ");
	expect_file("x/a.yaml", POD("x:v1-1111111"));
	assert_null(apply(&s, "v2-2222222", true));
	expect_file("x/b.yaml", "{apiVersion: v1, kind: Pod, args: [\"" PREFIX "x:v2-2222222\"]}");
}

#define GIT_TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop_tmp)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GIT_TEST(test_files),
		GIT_TEST(test_roots),
		GIT_TEST(test_broken_files),
		GIT_TEST(test_sentinels),
		GIT_TEST(test_sentinels_of_a_base),
		GIT_TEST(test_sentinels_kustomize_does_not_reach),
		GIT_TEST(test_what_kustomize_reaches),
		GIT_TEST(test_components),
		GIT_TEST(test_untagged),
		GIT_TEST(test_apply),
		GIT_TEST(test_a_refusal_writes_nothing),
	};
	return cmocka_run_group_tests(tests, make_home, drop_home);
}
