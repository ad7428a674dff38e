/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/new_upstream.h"
#include "cli/table.h"
#include "oci/images.h"
#include "repo/repo.h"
#include "repo/scaffold.h"

#include <string.h>

#define FIRST_VERSION "0.1.0"

struct new_args {
	const char *pattern, *version, *upstream, *package;
	struct strvec archs, sha256s;
	bool manifests, dry_run, list, json;
};

#define OPT(field) offsetof(struct new_args, field)

static const struct option options[] = {
	{"pattern", 'p', OPTION_TEXT, "PATTERN", OPT(pattern),
		"go-node, package, go, elixir-node, download or nix (--list tells more)"},
	{"version", 0, OPTION_TEXT, "VERSION", OPT(version),
		"the version that it begins with (default: " FIRST_VERSION ", or upstream's newest tag)"},
	{"upstream", 0, OPTION_TEXT, "URL", OPT(upstream),
		"go: the git repository; download: the file, with {version} and {arch} in its place; nix: "
		"an archive of nixpkgs at a commit"},
	{"arch", 0, OPTION_LIST, "ARCH[=NAME]", OPT(archs),
		"download: an architecture, and what upstream calls it (default: amd64 and arm64)"},
	{"sha256", 0, OPTION_LIST, "[ARCH=]SUM", OPT(sha256s),
		"download, nix: a checksum that is known (default: of what is downloaded now)"},
	{"package", 0, OPTION_TEXT, "PACKAGE", OPT(package),
		"package: the distribution's; go with --upstream: the folder of the main package"},
	{"manifests", 0, OPTION_FLAG, NULL, OPT(manifests),
		"a deployment, a service and a kustomization, too"},
	{"dry-run", 'n', OPTION_FLAG, NULL, OPT(dry_run), "print the files instead of writing them"},
	{"list", 0, OPTION_FLAG, NULL, OPT(list), "the patterns that there are"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};

/* What is asked of upstream, as long as the spec borrows from it. */
struct found {
	struct upstream_tag tag;
	struct vec downloads;
	char *sum, *image;
};

static void found_fini(struct found *f)
{
	upstream_tag_fini(&f->tag);
	upstream_downloads_fini(&f->downloads);
	mem_freep(&f->sum);
	mem_freep(&f->image);
}

static struct err *print_patterns(struct cli *c, bool json)
{
	static const char *const titles[] = {"PATTERN", "BUILT FROM", "MAKES"};
	AUTO_JSON json_t *list = json_array();
	struct table table = {0};

	table_start(&table, titles, ARRAY_LEN(titles));
	for (const struct scaffold_pattern *p = scaffold_patterns; p->name; p++) {
		json_t *o = json_object();
		json_set_text(o, "pattern", p->name);
		json_set_text(o, "file", build_kind_file(p->kind));
		json_set_text(o, "makes", p->summary);
		json_array_append_new(list, o);
		table_cell(&table, p->name);
		table_cell(&table, build_kind_file(p->kind));
		table_cell(&table, p->summary);
	}
	if (json) {
		AUTO_FREE char *text = json_dump_pretty(list);
		fprintf(c->out, "%s\n", text);
	} else {
		table_print(&table, c->out);
	}
	table_fini(&table);
	return NULL;
}

static struct err *check_args(const struct new_args *a, const struct scaffold_pattern *p)
{
	bool download = cstr_eq(p->name, "download"), nix = p->kind == KIND_NIX;
	bool versioned = a->upstream && strstr(a->upstream, "{version}");

	if (a->upstream && !p->upstream)
		return err_hint(err_new(ERR_USAGE, "pattern %s has no upstream", p->name),
			"--upstream goes with go, download and nix");
	if (a->archs.len && !(download && a->upstream))
		return err_new(ERR_USAGE, "--arch goes with --pattern download and --upstream");
	if (a->sha256s.len && !((download || nix) && a->upstream))
		return err_new(ERR_USAGE, "--sha256 goes with --upstream of patterns download and nix");
	if (a->package && (!p->package || (p->upstream && !a->upstream)))
		return err_new(ERR_USAGE,
			"--package goes with --pattern package, or with --pattern go and --upstream");
	if (!a->version && download && a->upstream)
		return err_hint(err_new(ERR_USAGE, "which version is it?"), "say --version %s",
			versioned ? "what is to stand for {version}" : "what the download is one of");
	if (!a->version && a->package && !a->upstream)
		return err_hint(
			err_new(ERR_USAGE, "which version of %s does the distribution have?", a->package),
			"say it with --version; \"apt-cache policy %s\" there knows it", a->package);
	return a->version ? version_check(a->version) : NULL;
}

static struct err *ask_upstream(
	struct cli *c, const struct new_args *a, struct scaffold_spec *spec, struct found *f)
{
	struct upstream_request rq = {.url = a->upstream,
		.version = a->version,
		.archs = &a->archs,
		.sha256s = &a->sha256s,
		.say = c->err,
		.cancel = c->cancel};

	spec->version = a->version ? a->version : FIRST_VERSION;
	if (!a->upstream)
		return NULL;
	if (cstr_eq(spec->pattern->name, "download")) {
		TRY(upstream_downloads(&rq, &f->downloads));
		spec->downloads = f->downloads.ptr;
		spec->download_count = f->downloads.len;
		return NULL;
	}
	if (spec->pattern->kind == KIND_NIX) {
		if (!a->sha256s.len)
			TRY(upstream_nix_sum(a->upstream, c->cancel, &f->sum));
		spec->snapshot = a->upstream;
		spec->sum = f->sum ? f->sum : a->sha256s.ptr[a->sha256s.len - 1];
		return NULL;
	}
	TRY(upstream_find_tag(a->upstream, a->version, c->cancel, &f->tag));
	spec->version = f->tag.version;
	spec->upstream = f->tag.url;
	spec->tag = f->tag.tag;
	spec->commit = f->tag.commit;
	return NULL;
}

static void print_json(
	struct cli *c, const struct scaffold_spec *spec, const struct scaffold *s, bool with_text)
{
	AUTO_JSON json_t *o = json_object();
	json_t *files = json_array();

	json_set_text(o, "container", spec->name);
	json_set_text(o, "pattern", spec->pattern->name);
	json_set_text(o, "version", spec->version);
	json_set_text(o, "dir", s->dir);
	json_set_text(o, "manifests", s->manifests_dir);
	for (size_t i = 0; i < s->files.len; i++) {
		const struct scaffold_file *f = vec_at(&s->files, i);
		json_t *one = json_object();
		json_set_text(one, "path", f->path);
		if (with_text)
			json_set_text(one, "text", buf_cstr(&f->text));
		json_array_append_new(files, one);
	}
	json_object_set_new(o, "files", files);
	AUTO_FREE char *text = json_dump_pretty(o);
	fprintf(c->out, "%s\n", text);
}

static void print_files(struct cli *c, const struct scaffold *s, bool with_text)
{
	for (size_t i = 0; i < s->files.len; i++) {
		const struct scaffold_file *f = vec_at(&s->files, i);
		if (with_text)
			fprintf(c->out, "%s==> %s <==\n%s", i ? "\n" : "", f->path, buf_cstr(&f->text));
		else
			fprintf(c->out, "wrote %s\n", f->path);
	}
}

/* A build by name wants a commit to be named after. */
static bool has_commit(struct repo *repo)
{
	struct commit head = {0};
	struct err *e = repo_resolve(repo, "HEAD", &head);
	bool has = e == NULL;

	err_free(e);
	commit_fini(&head);
	return has;
}

/* Manifests last: a check of the commit that has them finds what they pin. */
static void print_next(struct cli *c, struct repo *repo, const char *name, const struct scaffold *s)
{
	AUTO_FREE char *commit = mem_printf("  git add %s && git commit && git push\n", s->dir);
	bool first = !has_commit(repo);

	fprintf(c->out, "\nnext:\n%s  cooper build %s\n%s  cooper release %s\n", first ? commit : "", name,
		first ? "" : commit, name);
	if (s->manifests_dir)
		fprintf(c->out, "  cooper pin %s\n  git add %s && git commit && git push\n", name,
			s->manifests_dir);
}

static struct err *make(struct cli *c, const struct new_args *a, struct repo *repo,
	const struct scaffold_pattern *pattern, const char *name)
{
	struct scaffold_spec spec = {.pattern = pattern, .name = name, .package = a->package};
	AUTO(found_fini) struct found found = {.downloads = VEC_OF(struct scaffold_download)};
	AUTO(scaffold_fini) struct scaffold made = {0};
	AUTO(repo_config_fini) struct repo_config cfg = {0};

	TRY(repo_config_load(repo, NULL, &cfg));
	TRY(scaffold_check(repo, &cfg, name, a->manifests));
	TRY(ask_upstream(c, a, &spec, &found));
	if (a->manifests)
		spec.image = found.image = mem_printf(
			"%s/%s/%s", cfg.registry ? cfg.registry : IMAGES_OWN_REGISTRY, cfg.namespace_, name);
	TRY(scaffold_make(&spec, &cfg, &made));
	if (!a->dry_run)
		TRY(scaffold_write(repo, &made));
	if (a->json) {
		print_json(c, &spec, &made, a->dry_run);
		return NULL;
	}
	print_files(c, &made, a->dry_run);
	if (!a->dry_run)
		print_next(c, repo, name, &made);
	return NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	const struct new_args *a = args;
	const struct scaffold_pattern *pattern = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;

	if (a->list)
		return print_patterns(c, a->json);
	if (!operands->len)
		return err_hint(err_new(ERR_USAGE, "cooper new: what is it to be called?"),
			"usage: cooper new NAME --pattern PATTERN");
	if (!a->pattern)
		return err_hint(err_new(ERR_USAGE, "cooper new: of which pattern?"),
			"say --pattern; cooper new --list shows what there is");
	TRY(scaffold_pattern_find(a->pattern, &pattern));
	TRY(check_args(a, pattern));
	TRY(repo_open(".", &repo));
	return make(c, a, repo, pattern, operands->ptr[0]);
}

const struct command cmd_new = {
	.name = "new",
	.summary = "scaffold a container of a known pattern",
	.operands = "NAME",
	.details = "Writes containers/NAME with a small program, so that it builds at once; comments say "
		   "what to "
		   "change. With --upstream the real thing is written down: the tag of a git repository with "
		   "its "
		   "commit, or downloads with their checksums. Nothing is ever overwritten.",
	.min = 0,
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct new_args),
	.run = run,
};
