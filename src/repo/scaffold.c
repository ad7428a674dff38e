/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/scaffold.h"

#include "base/arena.h"
#include "base/digest.h"
#include "base/mem.h"
#include "repo/repo_internal.h"
#include "repo/scaffold_internal.h"
#include "repo/template.h"

#include <string.h>

#define VERSION_PLACE "{version}"
#define ARCH_PLACE "{arch}"
#define LABEL_MAX 63
#define NIX_SUM_MAX 64

const struct scaffold_pattern scaffold_patterns[] = {
	{"go-node", KIND_CONTAINER_PY, "a Go program with a page that Node bundles inside", false, false},
	{"package", KIND_DOCKERFILE,
		"a package of the distribution; --package PACKAGE for one of your choice", false, true},
	{"go", KIND_DOCKERFILE, "a Go program from source; --upstream URL for a git repository elsewhere",
		true, true},
	{"elixir-node", KIND_CONTAINER_PY, "an Elixir release with assets that Node bundles", false, false},
	{"download", KIND_DOCKERFILE,
		"a release downloaded for each architecture, with checksums; --upstream URL for a real one",
		true, false},
	{"nix", KIND_NIX, "layers that Nix makes; --upstream URL (of nixpkgs) for programs that it has", true,
		false},
	{0},
};

static void scaffold_file_fini(struct scaffold_file *f)
{
	mem_freep(&f->path);
	buf_fini(&f->text);
}

void scaffold_fini(struct scaffold *s)
{
	for (size_t i = 0; i < s->files.len; i++)
		scaffold_file_fini(vec_at(&s->files, i));
	vec_fini(&s->files);
	mem_freep(&s->dir);
	mem_freep(&s->manifests_dir);
	*s = (struct scaffold){0};
}

struct err *scaffold_pattern_find(const char *name, const struct scaffold_pattern **out)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_BUF struct buf list = {0};
	for (const struct scaffold_pattern *p = scaffold_patterns; p->name; p++) {
		if (cstr_eq(p->name, name)) {
			*out = p;
			return NULL;
		}
		strvec_push(&names, p->name);
		buf_addf(&list, "%s%s", list.len ? ", " : "", p->name);
	}
	struct err *e = err_new(ERR_USAGE, "there is no pattern \"%s\"", name);
	const char *near = str_suggest(name, strvec_list(&names));
	if (near)
		return err_hint(e, "did you mean \"%s\"? There are: %s", near, buf_cstr(&list));
	return err_hint(e, "there are: %s (cooper new --list)", buf_cstr(&list));
}

static bool alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool only(const char *text, const char *besides)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!alnum(*text) && !strchr(besides, *text))
			return false;
	return true;
}

static bool is_hex(const char *s, size_t len)
{
	return strlen(s) == len && strspn(s, "0123456789abcdef") == len;
}

struct err *scaffold_check_name(const char *name)
{
	if (container_name_valid(str_c(name)))
		return NULL;
	return err_hint(err_new(ERR_INVALID, "\"%s\" cannot be the name of a container", name),
		"at most 128 lower case letters and digits, with single . _ or - between");
}

static struct err *check_name(const struct scaffold_spec *s)
{
	TRY(scaffold_check_name(s->name));
	if (!s->image)
		return NULL;
	if (strpbrk(s->name, "._") || (s->name[0] >= '0' && s->name[0] <= '9') || strlen(s->name) > LABEL_MAX)
		return err_hint(err_new(ERR_INVALID, "\"%s\" cannot be the name of a service", s->name),
			"in manifests names begin with a letter, hold no . or _ and have at most %d "
			"characters; without --manifests it can be made",
			LABEL_MAX);
	return NULL;
}

static bool is_place(const char *p, const char *name)
{
	return strncmp(p, name, strlen(name)) == 0;
}

struct err *scaffold_check_address(const char *url, bool git)
{
	for (const char *p = url; (p = strpbrk(p, "{}")); p += strcspn(p, "}") + (strchr(p, '}') != NULL))
		if (git || (!is_place(p, VERSION_PLACE) && !is_place(p, ARCH_PLACE)))
			return err_hint(err_new(ERR_INVALID, "in the upstream's address: \"%.20s\"", p),
				git ? "it is taken as it is"
				    : "in braces there are " VERSION_PLACE " and " ARCH_PLACE);
	/* Nothing in it is an expansion, a quote or the end of a word to a Dockerfile. */
	if (!only(url, git ? "-._~:/@+,%" : "-._~:/?@!&()+,;=%{}"))
		return err_new(ERR_INVALID,
			"the upstream's address has a blank, a quote or another sign that "
			"none should have");
	const char *scheme = strstr(url, "://");
	size_t authority = scheme ? strcspn(scheme + 3, "/?") : 0;
	if (scheme && !cstr_starts(url, "ssh://") && memchr(scheme + 3, '@', authority))
		return err_hint(err_new(ERR_INVALID, "the upstream's address holds a user or a password"),
			"what is written here gets committed; leave them out");
	return NULL;
}

static struct err *check_package(const struct scaffold_spec *s)
{
	bool go = s->pattern->upstream;
	const char *p = s->package;
	if (!p)
		return NULL;
	if (!s->pattern->package)
		return err_new(ERR_USAGE, "pattern %s takes no package", s->pattern->name);
	if (go && (!only(p, "._/-") || strstr(p, "..") || p[0] == '/' || p[0] == '-'))
		return err_hint(err_new(ERR_INVALID, "\"%s\" is no package of a Go module", p),
			"write the folder of the main package, like ./cmd/server");
	if (!go && (!only(p, "+.-") || strpbrk(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") || !alnum(p[0])))
		return err_hint(err_new(ERR_INVALID, "\"%s\" is no name of a package", p),
			"one name, as the distribution has it: lower case letters, digits, + . -");
	return NULL;
}

static struct err *check_spec(const struct scaffold_spec *s)
{
	TRY(check_name(s));
	TRY(version_check(s->version));
	TRY(check_package(s));
	if (s->upstream) {
		TRY(scaffold_check_address(s->upstream, true));
		if (!only(s->tag, "._/-{}") || !is_hex(s->commit, 40))
			return err_new(ERR_INVALID,
				"%s: tag \"%s\" at \"%s\" is none that can be written down", s->upstream,
				s->tag, s->commit);
	}
	if (s->snapshot) {
		TRY(scaffold_check_address(s->snapshot, true));
		if (!only(s->sum, "-+/=") || strlen(s->sum) > NIX_SUM_MAX)
			return err_hint(
				err_new(ERR_INVALID, "\"%.80s\" is no sha256 sum as Nix writes it", s->sum),
				"it is what \"nix-prefetch-url --unpack\" says");
	}
	for (size_t i = 0; i < s->download_count; i++) {
		const struct scaffold_download *d = &s->downloads[i];
		TRY(scaffold_check_address(d->url, false));
		if (!only(d->arch, ""))
			return err_hint(err_new(ERR_INVALID, "\"%s\" is no architecture", d->arch),
				"as images call them: amd64, arm64, riscv64");
		if (!is_hex(d->sha256, 64))
			return err_hint(err_new(ERR_INVALID, "the checksum of %s is no sha256 sum", d->arch),
				"64 characters, 0 to 9 and a to f");
	}
	return NULL;
}

/* How what was downloaded is unpacked. */
static const struct archive {
	const char *ending, *package, *command;
} archives[] = {
	{".tar", NULL, "tar -xf /download --no-same-owner -C"},
	{".tar.gz", NULL, "tar -xf /download --no-same-owner -C"},
	{".tgz", NULL, "tar -xf /download --no-same-owner -C"},
	{".tar.bz2", "bzip2", "tar -xf /download --no-same-owner -C"},
	{".tbz", "bzip2", "tar -xf /download --no-same-owner -C"},
	{".tar.xz", "xz-utils", "tar -xf /download --no-same-owner -C"},
	{".txz", "xz-utils", "tar -xf /download --no-same-owner -C"},
	{".tar.zst", "zstd", "tar -xf /download --no-same-owner -C"},
	{".zip", "unzip", "unzip -q /download -d"},
};

static const struct archive *archive_of(const char *url)
{
	struct str path = str_n(url, strcspn(url, "?"));
	for (size_t i = 0; i < ARRAY_LEN(archives); i++)
		if (str_ends(path, archives[i].ending))
			return &archives[i];
	return NULL;
}

/* What a Dockerfile writes for the version. */
static const char *with_version(struct arena *a, const char *text)
{
	AUTO_BUF struct buf b = {0};
	buf_add_replaced(&b, text, VERSION_PLACE, "${CONTAINER_APP_VERSION}");
	return arena_strdup(a, buf_cstr(&b));
}

#define VALUES_MAX 20
struct making {
	struct arena *a;
	const struct scaffold_spec *spec;
	const char *dir; /* the container's */
	struct template_value values[VALUES_MAX + 1];
	size_t value_count;
	struct template_rows sections[2];
	struct scaffold *out;
};

static void set(struct making *m, const char *name, const char *text)
{
	m->values[m->value_count++] = (struct template_value){name, text};
}

/* YAML 1.1 takes these for something else than text. */
static const char *yaml_text(struct arena *a, const char *name)
{
	static const char *const words[] = {
		"y", "n", "yes", "no", "on", "off", "true", "false", "null", NULL};
	for (size_t i = 0; words[i]; i++)
		if (cstr_eq(name, words[i]))
			return arena_printf(a, "\"%s\"", name);
	return name;
}

static const char *go_package(struct arena *a, const char *package)
{
	if (!package)
		return ".";
	return *package == '.' ? package : arena_printf(a, "./%s", package);
}

static void set_download_rows(struct making *m)
{
	size_t n = m->spec->download_count;
	const struct template_value **rows = arena_alloc(m->a, (n + 1) * sizeof(*rows));
	for (size_t i = 0; i < n; i++) {
		const struct scaffold_download *d = &m->spec->downloads[i];
		struct template_value *row = arena_alloc(m->a, 4 * sizeof(*row));
		row[0] = (struct template_value){"ARCH", d->arch};
		row[1] = (struct template_value){"URL", with_version(m->a, d->url)};
		row[2] = (struct template_value){"SHA256", d->sha256};
		row[3] = (struct template_value){0};
		rows[i] = row;
	}
	rows[n] = NULL;
	m->sections[0] = (struct template_rows){"DOWNLOAD", rows};
	const struct archive *x = archive_of(m->spec->downloads[0].url);
	if (!x)
		return;
	set(m, "EXTRACT", arena_printf(m->a, "%s /out/opt/%s", x->command, m->spec->name));
	set(m, "TOOLS",
		x->package ? arena_printf(m->a,
				     "RUN apt-get update && apt-get install -y --no-install-recommends %s",
				     x->package)
			   : "");
}

static void set_values(struct making *m)
{
	const struct scaffold_spec *s = m->spec;
	const struct commit none = {.short_id = "0000000"};
	AUTO_FREE char *tag = release_tag(s->version, &none, s->pattern->kind);
	set(m, "NAME", s->name);
	set(m, "VERSION", s->version);
	set(m, "DIR", m->dir);
	set(m, "IMAGE", s->image ? s->image : "");
	set(m, "YAML_NAME", yaml_text(m->a, s->name));
	set(m, "PLACEHOLDER_TAG", arena_strdup(m->a, tag));
	if (s->pattern->package && s->pattern->upstream)
		set(m, "PACKAGE", go_package(m->a, s->package));
	else if (s->package)
		set(m, "PACKAGE", s->package);
	if (s->upstream) {
		set(m, "UPSTREAM", s->upstream);
		set(m, "TAG", with_version(m->a, s->tag));
		set(m, "COMMIT", s->commit);
	}
	if (s->snapshot) {
		set(m, "UPSTREAM", s->snapshot);
		set(m, "SUM", s->sum);
	}
	if (s->download_count)
		set_download_rows(m);
}

/* The folder of templates/ that the container's files come from. */
static const char *template_set(const struct scaffold_spec *s)
{
	if (cstr_eq(s->pattern->name, "download") && s->download_count)
		return archive_of(s->downloads[0].url) ? "download-archive" : "download-file";
	if (cstr_eq(s->pattern->name, "go") && s->upstream)
		return "go-upstream";
	if (cstr_eq(s->pattern->name, "nix") && s->snapshot)
		return "nix-nixpkgs";
	if (cstr_eq(s->pattern->name, "package") && s->package)
		return "package-named";
	return s->pattern->name;
}

/* A file that stands in for a download is checked like one: its sum is known to what is rendered later. */
static void set_sum(struct making *m, const struct scaffold_file *f)
{
	static const char *const sums[][2] = {
		{"-linux-amd64", "SHA256_AMD64"}, {"-linux-arm64", "SHA256_ARM64"}};
	char hex[DIGEST_TEXT_MAX];
	struct digest d;
	for (size_t i = 0; i < ARRAY_LEN(sums); i++) {
		if (!cstr_ends(f->path, sums[i][0]))
			continue;
		digest_of(f->text.ptr, f->text.len, &d);
		set(m, sums[i][1], arena_strdup(m->a, digest_hex(&d, hex)));
	}
}

static struct err *add_file(struct making *m, const struct scaffold_template *t, const char *dir)
{
	struct template_scope scope = {m->values, m->sections};
	struct scaffold_file f = {.path = mem_printf("%s/%s", dir, t->path), .executable = t->executable};
	struct err *e = template_render(str_c(t->text), t->path, &scope, &f.text);
	if (e) {
		scaffold_file_fini(&f);
		return err_wrap(e, "template %s", t->set);
	}
	set_sum(m, &f);
	vec_push_copy(&m->out->files, &f);
	return NULL;
}

/* The build file last: it holds sums of the others. */
static struct err *add_set(struct making *m, const char *name, const char *dir)
{
	const char *build_file = build_kind_file(m->spec->pattern->kind);
	for (int pass = 0; pass < 2; pass++)
		for (const struct scaffold_template *t = scaffold_templates; t->set; t++)
			if (cstr_eq(t->set, name) && cstr_eq(t->path, build_file) == (pass == 1))
				TRY(add_file(m, t, dir));
	return NULL;
}

static int by_path(const void *a, const void *b)
{
	const struct scaffold_file *x = a, *y = b;
	return strcmp(x->path, y->path);
}

static struct err *check_dir(const char *dir)
{
	return only(dir, "-._/ +@")
		       ? NULL
		       : err_new(ERR_UNSUPPORTED,
				 "the folder %s cannot stand in a container.py: letters, digits and "
				 "- . _ / + @ can",
				 dir);
}

struct err *scaffold_make(
	const struct scaffold_spec *spec, const struct repo_config *cfg, struct scaffold *out)
{
	AUTO(arena_freep) struct arena *a = arena_new();
	AUTO(scaffold_fini) struct scaffold made = {.files = VEC_OF(struct scaffold_file)};
	struct making m = {.a = a, .spec = spec, .out = &made};
	TRY(check_spec(spec));
	made.dir = mem_printf("%s/%s", cfg->containers, spec->name);
	TRY(check_dir(made.dir));
	m.dir = made.dir;
	set_values(&m);
	TRY(add_set(&m, template_set(spec), made.dir));
	if (spec->image) {
		made.manifests_dir = mem_printf("%s/%s", cfg->manifests.ptr[0], spec->name);
		TRY(add_set(&m, "manifests", made.manifests_dir));
	}
	vec_sort(&made.files, by_path);
	*out = made;
	made = (struct scaffold){0};
	return NULL;
}
