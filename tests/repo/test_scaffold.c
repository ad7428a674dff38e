/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "repo/scaffold.h"

#include <string.h>

#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static struct repo_config cfg;

static int read_config(void **state)
{
	(void)state;
	err_ignore(repo_config_parse(STR("containers: images\nmanifests: [deploy]\n"), "c", "lab", &cfg),
		"checked next");
	return cfg.containers ? 0 : -1;
}

static int free_config(void **state)
{
	(void)state;
	repo_config_fini(&cfg);
	return 0;
}

static const struct scaffold_pattern *pattern(const char *name)
{
	const struct scaffold_pattern *p = NULL;
	assert_null(scaffold_pattern_find(name, &p));
	return p;
}

static const struct scaffold_file *file(const struct scaffold *s, const char *path)
{
	for (size_t i = 0; i < s->files.len; i++) {
		const struct scaffold_file *f = vec_at(&s->files, i);
		if (cstr_eq(f->path, path))
			return f;
	}
	fail_msg("no file %s", path);
	return NULL;
}

static void assert_holds(const struct scaffold *s, const char *path, const char *text)
{
	const struct scaffold_file *f = file(s, path);
	if (!strstr(buf_cstr(&f->text), text))
		fail_msg("%s holds no \"%s\":\n%s", path, text, buf_cstr(&f->text));
}

/* "@NAME@" and the like. */
static bool has_place(const char *text)
{
	for (const char *p = text; (p = strchr(p, '@')); p++) {
		size_t n = strspn(p + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
		if (n && p[n + 1] == '@')
			return true;
	}
	return false;
}

static void assert_whole(const struct scaffold_spec *spec, const struct scaffold *s)
{
	AUTO_FREE char *path = mem_printf("%s/%s", s->dir, build_kind_file(spec->pattern->kind));
	AUTO_FREE char *version = NULL;
	assert_null(
		version_extract(spec->pattern->kind, buf_str(&file(s, path)->text), path, NULL, &version));
	assert_string_equal(version, spec->version);
	for (size_t i = 0; i < s->files.len; i++) {
		const struct scaffold_file *f = vec_at(&s->files, i);
		assert_false(has_place(buf_cstr(&f->text)));
		assert_null(strstr(buf_cstr(&f->text), "#@"));
		assert_true(cstr_starts(f->path, s->dir) || cstr_starts(f->path, s->manifests_dir));
		if (i)
			assert_true(strcmp(((struct scaffold_file *)vec_at(&s->files, i - 1))->path,
					    f->path) < 0);
	}
}

static void test_every_pattern(void **state)
{
	(void)state;
	for (const struct scaffold_pattern *p = scaffold_patterns; p->name; p++) {
		struct scaffold_spec spec = {
			.pattern = p, .name = "web", .version = "v3.1-rc2", .image = "r/n/web"};
		AUTO(scaffold_fini) struct scaffold s = {0};
		assert_null(scaffold_make(&spec, &cfg, &s));
		assert_string_equal(s.dir, "images/web");
		assert_string_equal(s.manifests_dir, "deploy/web");
		assert_whole(&spec, &s);
		assert_holds(&s, "deploy/web/deployment.yaml", "image: r/n/web:kustomized");
		assert_holds(
			&s, "deploy/web/kustomization.yaml", "- name: r/n/web\n    newTag: v3.1-rc2-0000000");
		assert_holds(&s, "deploy/web/kustomization.yaml",
			p->kind == KIND_NIX ? "-0000000-nix #" : "-0000000 #");
		if (p->kind == KIND_CONTAINER_PY)
			assert_holds(&s, "images/web/container.py", "src.directory(\"images/web\")");
	}
}

static void test_upstream_of_go(void **state)
{
	(void)state;
	struct scaffold_spec spec = {.pattern = pattern("go"),
		.name = "web",
		.version = "1.2",
		.package = "cmd/web",
		.upstream = "https://git.example/web.git",
		.tag = "v{version}",
		.commit = COMMIT};
	AUTO(scaffold_fini) struct scaffold s = {0};
	assert_null(scaffold_make(&spec, &cfg, &s));
	assert_int_equal(s.files.len, 1);
	assert_whole(&spec, &s);
	assert_holds(&s, "images/web/Dockerfile", "ARG UPSTREAM=https://git.example/web.git\n");
	assert_holds(&s, "images/web/Dockerfile", "ARG UPSTREAM_COMMIT=" COMMIT "\n");
	assert_holds(&s, "images/web/Dockerfile", " ${UPSTREAM}#v${CONTAINER_APP_VERSION} ");
	assert_holds(&s, "images/web/Dockerfile", " -o /out/web ./cmd/web\n");
}

static void test_downloads(void **state)
{
	(void)state;
	static const struct {
		const char *url, *extract, *tools;
	} cases[] = {
		{"https://d.example/{version}/w-x86_64.tar.gz",
			"tar -xf /download --no-same-owner -C /out/opt/web", NULL},
		{"https://d.example/w.tar.xz", "tar -xf", "install -y --no-install-recommends xz-utils\n"},
		{"https://d.example/w.tar.zst?x=1&y=.zip", "tar -xf", " zstd\n"},
		{"https://d.example/w.zip", "unzip -q /download -d /out/opt/web", " unzip\n"},
		{"https://d.example/w.bin", NULL, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *url = mem_strdup(cases[i].url);
		struct scaffold_download d[] = {{.arch = (char *)"amd64", .url = url, .sha256 = SUM},
			{.arch = (char *)"riscv64", .url = url, .sha256 = SUM}};
		struct scaffold_spec spec = {.pattern = pattern("download"),
			.name = "web",
			.version = "1.2",
			.downloads = d,
			.download_count = 2};
		AUTO(scaffold_fini) struct scaffold s = {0};
		assert_null(scaffold_make(&spec, &cfg, &s));
		assert_whole(&spec, &s);
		const char *text = buf_cstr(&file(&s, "images/web/Dockerfile")->text);
		assert_non_null(strstr(
			text, "AS download-amd64\nARG CONTAINER_APP_VERSION\nADD --checksum=sha256:" SUM));
		assert_non_null(strstr(text, "AS download-riscv64\n"));
		if (i == 0)
			assert_non_null(strstr(text,
				" https://d.example/${CONTAINER_APP_VERSION}/w-x86_64.tar.gz /download\n"));
		assert_int_equal(strstr(text, cases[i].extract ? cases[i].extract : "AS unpack") != NULL,
			cases[i].extract != NULL);
		if (cases[i].tools)
			assert_non_null(strstr(text, cases[i].tools));
		else
			assert_null(strstr(text, "apt-get"));
	}
}

static void test_snapshot_of_nixpkgs(void **state)
{
	(void)state;
	struct scaffold_spec spec = {.pattern = pattern("nix"),
		.name = "web",
		.version = "1.2",
		.snapshot = "https://forge.example/nixpkgs/archive/0123abc.tar.gz",
		.sum = "sha256-ABCdef+/0="};
	AUTO(scaffold_fini) struct scaffold s = {0};
	assert_null(scaffold_make(&spec, &cfg, &s));
	assert_int_equal(s.files.len, 1);
	assert_whole(&spec, &s);
	assert_holds(&s, "images/web/default.nix",
		"    url = \"https://forge.example/nixpkgs/archive/0123abc.tar.gz\";\n    sha256 = "
		"\"sha256-ABCdef+/0=\";\n");
}

static void refuse(const struct scaffold_spec *spec, const char *said)
{
	AUTO(scaffold_fini) struct scaffold s = {0};
	AUTO(err_freep) struct err *e = scaffold_make(spec, &cfg, &s);
	if (!e)
		fail_msg("taken, instead of: %s", said);
	assert_int_equal(err_kind(e), ERR_INVALID);
	if (!strstr(err_message(e), said))
		fail_msg("\"%s\" instead of \"%s\"", err_message(e), said);
}

static void test_refused(void **state)
{
	(void)state;
	static const char *const names[] = {
		"", "Web", "a/b", "..", ".git", "a..b", "a_", "-a", "a b", "a\n", "a$b"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		refuse(&(struct scaffold_spec){.pattern = pattern("go"), .name = names[i], .version = "1"},
			"cannot be the name of a container");
	static const char *const services[] = {
		"a.b", "a_b", "7zip", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg"};
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		refuse(&(struct scaffold_spec){.pattern = pattern("go"),
			       .name = services[i],
			       .version = "1",
			       .image = "r/n/x"},
			"cannot be the name of a service");
	static const char *const versions[] = {"", "1+2", "${X}", "1 2", "1\"", "-1", "1\n2", "@"};
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		refuse(&(struct scaffold_spec){.pattern = pattern("go"), .name = "a", .version = versions[i]},
			"version");
	static const char *const packages[] = {"", "a b", "$(x)", "-y", "Nginx", "a;b", "a\nb", "a/b"};
	for (size_t i = 0; i < ARRAY_LEN(packages); i++)
		refuse(&(struct scaffold_spec){.pattern = pattern("package"),
			       .name = "a",
			       .version = "1",
			       .package = packages[i]},
			"is no name of a package");
	static const char *const sums[] = {"", "a\"", "${x}", "a b",
		"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg"};
	for (size_t i = 0; i < ARRAY_LEN(sums); i++)
		refuse(&(struct scaffold_spec){.pattern = pattern("nix"),
			       .name = "a",
			       .version = "1",
			       .snapshot = "https://f.example/x",
			       .sum = sums[i]},
			"is no sha256 sum");
	static const char *const folders[] = {"", "../x", "/x", "-x", "a b", "a\"", "$a"};
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		refuse(
			&(struct scaffold_spec){
				.pattern = pattern("go"), .name = "a", .version = "1", .package = folders[i]},
			"is no package of a Go module");
}

static void test_addresses(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		bool git;
		const char *said;
	} cases[] = {
		{"https://d.example/{version}/x-{arch}.tgz?a=b&c=%20", false, NULL},
		{"https://git.example:8443/a/b.git", true, NULL},
		{"ssh://git@git.example/a.git", true, NULL},
		{"git@git.example:a/b.git", true, NULL},
		{"https://d.example/{versoin}", false, "\"{versoin}\""},
		{"https://d.example/{", false, "\"{\""},
		{"https://d.example/}{version}", false, "\"}"},
		{"https://git.example/{version}.git", true, "\"{version}.git\""},
		{"https://d.example/a b", false, "a blank"},
		{"https://d.example/$HOME", false, "a blank"},
		{"https://d.example/\"", false, "a blank"},
		{"https://d.example/a\nRUN", false, "a blank"},
		{"https://git.example/a.git#v1", true, "a blank"},
		{"https://git.example/a.git?x", true, "a blank"},
		{"", true, "a blank"},
		{"https://me:secret@d.example/x", false, "a user or a password"},
		{"https://token@git.example/x.git", true, "a user or a password"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(err_freep) struct err *e = scaffold_check_address(cases[i].url, cases[i].git);
		if (!cases[i].said) {
			assert_null(e);
			continue;
		}
		assert_int_equal(err_kind(e), ERR_INVALID);
		if (!strstr(err_message(e), cases[i].said) || strstr(err_message(e), "secret"))
			fail_msg("%s: %s", cases[i].url, err_message(e));
	}
}

static void test_words_of_yaml(void **state)
{
	(void)state;
	struct scaffold_spec spec = {
		.pattern = pattern("go"), .name = "on", .version = "1", .image = "r/n/on"};
	AUTO(scaffold_fini) struct scaffold s = {0};
	assert_null(scaffold_make(&spec, &cfg, &s));
	assert_holds(&s, "deploy/on/deployment.yaml", "matchLabels: {app: \"on\"}");
	assert_holds(&s, "deploy/on/service.yaml", "  name: \"on\"\n");
	assert_holds(&s, "deploy/on/kustomization.yaml", "namespace: \"on\"\n");
}

static void test_no_such_pattern(void **state)
{
	(void)state;
	const struct scaffold_pattern *p = NULL;
	AUTO(err_freep) struct err *near = scaffold_pattern_find("go_node", &p);
	assert_int_equal(err_kind(near), ERR_USAGE);
	assert_non_null(strstr(err_hint_text(near), "did you mean \"go-node\"?"));
	AUTO(err_freep) struct err *far = scaffold_pattern_find("something else", &p);
	assert_non_null(strstr(err_hint_text(far), "there are: go-node, package, go, "));
	assert_null(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pattern),
		cmocka_unit_test(test_upstream_of_go),
		cmocka_unit_test(test_downloads),
		cmocka_unit_test(test_snapshot_of_nixpkgs),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_words_of_yaml),
		cmocka_unit_test(test_no_such_pattern),
	};
	return cmocka_run_group_tests(tests, read_config, free_config);
}
