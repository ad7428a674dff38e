/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/manifest_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

#define MAX_FILES 50000
#define MAX_DEPTH 32

const char *pin_form_name(enum pin_form f)
{
	static const char *const names[] = {
		[PIN_KUSTOMIZATION] = "kustomization",
		[PIN_IMAGE] = "image",
		[PIN_CRD] = "crd",
		[PIN_HELM] = "helm",
		[PIN_ENV] = "env",
	};
	return names[f];
}

void pin_fini(struct pin *p)
{
	mem_freep(&p->file);
	mem_freep(&p->service);
	mem_freep(&p->image);
	mem_freep(&p->name);
	mem_freep(&p->tag);
	mem_freep(&p->digest);
	mem_freep(&p->problem);
	*p = (struct pin){0};
}

static void problem_fini(struct manifest_problem *p)
{
	mem_freep(&p->file);
	mem_freep(&p->text);
}

void manifest_scan_fini(struct manifest_scan *s)
{
	for (size_t i = 0; i < s->pins.len; i++)
		pin_fini(vec_at(&s->pins, i));
	for (size_t i = 0; i < s->problems.len; i++)
		problem_fini(vec_at(&s->problems, i));
	vec_fini(&s->pins);
	vec_fini(&s->problems);
	*s = (struct manifest_scan){0};
}

void finding_init(
	struct finding *f, struct str text, const char *path, const char *service, const char *prefix)
{
	*f = (struct finding){
		.arena = arena_new(),
		.text = text,
		.path = path,
		.service = service,
		.prefix = prefix,
		.documents = VEC_OF(struct manifest_node *),
		.pins = VEC_OF(struct found_pin),
		.sentinels = VEC_OF(struct sentinel),
		.kustomizations = VEC_OF(struct kustomization),
		.problems = VEC_OF(struct manifest_problem),
	};
}

void finding_fini(struct finding *f)
{
	for (size_t i = 0; i < f->pins.len; i++)
		pin_fini(&((struct found_pin *)vec_at(&f->pins, i))->pin);
	for (size_t i = 0; i < f->sentinels.len; i++) {
		struct sentinel *s = vec_at(&f->sentinels, i);
		mem_freep(&s->file);
		mem_freep(&s->image);
	}
	for (size_t i = 0; i < f->kustomizations.len; i++) {
		struct kustomization *k = vec_at(&f->kustomizations, i);
		mem_freep(&k->file);
		strvec_fini(&k->names);
		strvec_fini(&k->parts);
		strvec_fini(&k->components);
	}
	for (size_t i = 0; i < f->problems.len; i++)
		problem_fini(vec_at(&f->problems, i));
	vec_fini(&f->documents);
	vec_fini(&f->pins);
	vec_fini(&f->sentinels);
	vec_fini(&f->kustomizations);
	vec_fini(&f->problems);
	arena_freep(&f->arena);
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_place(const void *a, const void *b)
{
	const struct pin *x = a, *y = b;
	int order = strcmp(x->file, y->file);
	if (!order)
		order = compare_u64(x->line, y->line);
	if (!order)
		order = compare_u64(x->column, y->column);
	return order ? order : compare_u64(x->offset, y->offset);
}

static int problem_by_place(const void *a, const void *b)
{
	const struct manifest_problem *x = a, *y = b;
	int order = strcmp(x->file, y->file);
	if (!order)
		order = compare_u64(x->line, y->line);
	return order ? order : strcmp(x->text, y->text);
}

/* What was found goes to out. */
static void hand_over(struct finding *f, struct manifest_scan *out)
{
	if (!out->pins.size)
		out->pins = VEC_OF(struct pin);
	if (!out->problems.size)
		out->problems = VEC_OF(struct manifest_problem);
	for (size_t i = 0; i < f->pins.len; i++)
		vec_push_copy(&out->pins, &((struct found_pin *)vec_at(&f->pins, i))->pin);
	for (size_t i = 0; i < f->problems.len; i++)
		vec_push_copy(&out->problems, vec_at(&f->problems, i));
	vec_clear(&f->pins);
	vec_clear(&f->problems);
	vec_sort(&out->pins, by_place);
	vec_sort(&out->problems, problem_by_place);
}

static struct err *check_prefix(const char *prefix)
{
	size_t len = strlen(prefix);
	if (len < 2 || prefix[len - 1] != '/')
		return err_new(ERR_BUG, "the prefix \"%s\" of images does not end with a slash", prefix);
	return NULL;
}

struct err *manifest_scan_text(
	struct str text, const char *path, const char *service, const char *prefix, struct manifest_scan *out)
{
	TRY(check_prefix(prefix));
	AUTO(finding_fini) struct finding f;
	finding_init(&f, text, path, service, prefix);
	manifest_find(&f);
	hand_over(&f, out);
	return NULL;
}

/* What a scan of many files needs. */
struct scan {
	struct repo *repo;
	const struct commit *commit;
	const char *prefix;
	struct map *seen; /* paths: roots may overlap */
	struct finding all;
};

static void move_all(struct vec *from, struct vec *to)
{
	for (size_t i = 0; i < from->len; i++)
		vec_push_copy(to, vec_at(from, i));
	vec_clear(from);
}

static void scan_problem(struct scan *s, const char *file, char *text)
{
	struct manifest_problem *p = vec_push(&s->all.problems);
	p->file = mem_strdup(file);
	p->text = text;
}

static bool is_manifest(const char *name)
{
	return cstr_ends(name, ".yaml") || cstr_ends(name, ".yml") || cstr_eq(name, "Kustomization");
}

static struct err *scan_file(struct scan *s, const char *path, const char *service)
{
	if (map_has(s->seen, str_c(path)))
		return NULL;
	if (map_len(s->seen) >= MAX_FILES)
		return err_new(ERR_INVALID, "more than %d manifests; %s is one too many", MAX_FILES, path);
	map_set_c(s->seen, path, NULL);
	AUTO_BUF struct buf text = {0};
	bool found = false;
	struct err *e = repo_read_at(s->repo, s->commit, path, MANIFEST_MAX_BYTES, &text, &found);
	if (err_kind(e) == ERR_INVALID) { /* a link, too large: it is said, and others are read */
		scan_problem(s, path, err_text(e));
		err_free(e);
		return NULL;
	}
	TRY(e);
	if (!found)
		return NULL;
	AUTO(finding_fini) struct finding f;
	finding_init(&f, buf_str(&text), path, service, s->prefix);
	manifest_find(&f);
	move_all(&f.pins, &s->all.pins);
	move_all(&f.sentinels, &s->all.sentinels);
	move_all(&f.kustomizations, &s->all.kustomizations);
	move_all(&f.problems, &s->all.problems);
	return NULL;
}

/* A service could hide behind one. */
static bool is_link_to_folder(const struct scan *s, const char *path)
{
	AUTO_FD int root = -1;
	struct stat st = {0};
	if (s->commit)
		return false;
	struct err *e = file_open(AT_FDCWD, repo_root(s->repo), O_PATH | O_DIRECTORY, 0, &root);
	if (!e)
		e = root_stat(root, path, false, &st);
	bool link = !e && S_ISLNK(st.st_mode);
	if (link)
		e = root_stat(root, path, true, &st);
	bool folder = link && !e && S_ISDIR(st.st_mode);
	if (e)
		err_ignore(e, "what leads nowhere holds no manifests");
	return folder;
}

/* service: NULL right in the root, where folders are services. */
static struct err *scan_folder(struct scan *s, const char *dir, const char *service, unsigned depth)
{
	if (depth > MAX_DEPTH)
		return err_new(ERR_INVALID, "%s: folders are nested too deeply", dir);
	AUTO_STRVEC struct strvec names = {0};
	TRY(repo_list_at(s->repo, s->commit, dir, &names));
	if (depth == 0 && !names.len)
		scan_problem(s, dir,
			mem_printf(
				"%s: no such folder, or nothing in it: name the folder of the manifests as "
				"manifests: in cooper.yaml",
				dir));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = path_join(dir, names.ptr[i]);
		const char *base = path_base(path);
		bool folder = cstr_ends(names.ptr[i], "/");
		if (folder && !cstr_eq(base, ".git"))
			TRY(scan_folder(s, path, service ? service : base, depth + 1));
		else if (!folder && is_manifest(base))
			TRY(scan_file(s, path, service ? service : ""));
		else if (!folder && is_link_to_folder(s, path))
			scan_problem(
				s, path, mem_printf("%s is a link to a folder, which is not followed", path));
	}
	return NULL;
}

/* Of each folder the first that a sparse checkout leaves out: what is not there must not pass for good. */
static struct err *scan_kept_out(struct scan *s, const char *root)
{
	AUTO_STRVEC struct strvec paths = {0};
	AUTO_FREE char *before = NULL;
	if (s->commit)
		return NULL;
	TRY(repo_kept_out(s->repo, root, &paths));
	for (size_t i = 0; i < paths.len; i++) {
		const char *path = paths.ptr[i];
		AUTO_FREE char *dir = path_dir(path);
		if (!is_manifest(path_base(path)) || map_has(s->seen, str_c(path)) || cstr_eq(dir, before))
			continue;
		mem_freep(&before);
		before = mem_strdup(dir);
		scan_problem(s, path,
			mem_printf("%s is not in the work tree, as it is a sparse checkout: "
				   "git sparse-checkout add %s",
				path, root));
	}
	return NULL;
}

static struct err *scan_root(struct scan *s, const char *root)
{
	TRY(scan_folder(s, root, NULL, 0));
	return scan_kept_out(s, root);
}

struct err *manifests_scan(struct repo *r, const struct repo_config *cfg, const struct commit *c,
	const char *prefix, struct manifest_scan *out)
{
	TRY(check_prefix(prefix));
	AUTO(map_freep) struct map *seen = map_new(NULL);
	struct scan s = {.repo = r, .commit = c, .prefix = prefix, .seen = seen};
	finding_init(&s.all, STR(""), "", "", prefix);
	struct err *e = NULL;
	for (size_t i = 0; i < cfg->manifests.len && !e; i++)
		e = scan_root(&s, cfg->manifests.ptr[i]);
	if (!e) {
		judge_sentinels(&s.all);
		*out = (struct manifest_scan){0};
		hand_over(&s.all, out);
	}
	finding_fini(&s.all);
	return e;
}
