/* SPDX-License-Identifier: Apache-2.0 */
/* Which manifests and containers a check looks at: when in doubt, all. */
#include "base/mem.h"
#include "base/path.h"
#include "release/check_internal.h"
#include "repo/service_versions.h"

#include <string.h>

void check_scope_fini(struct check_scope *s)
{
	mem_freep(&s->text);
	map_freep(&s->units);
}

/* ---- what belongs together ---- */

/* Of a path below dir: dir, and the first folder below it ("" for a file right in it). Caller frees; NULL for
 * a path elsewhere. */
static char *unit_below(const char *path, const char *dir)
{
	if (!path_below(path, dir))
		return NULL;
	const char *rest = path + strlen(dir);
	rest += *rest == '/';
	const char *slash = strchr(rest, '/');
	return mem_printf("%s\n%.*s", dir, slash ? (int)(slash - rest) : 0, rest);
}

static void add_units(const struct repo_config *cfg, const char *path, struct map *units)
{
	AUTO_FREE char *container = unit_below(path, cfg->containers);
	if (container)
		map_set_c(units, container, NULL);
	for (size_t i = 0; i < cfg->manifests.len; i++) {
		AUTO_FREE char *unit = unit_below(path, cfg->manifests.ptr[i]);
		if (unit)
			map_set_c(units, unit, NULL);
	}
}

static bool has_unit(const struct check_scope *s, const char *path, const char *dir)
{
	AUTO_FREE char *unit = unit_below(path, dir);
	return unit && map_has(s->units, str_c(unit));
}

bool check_scope_has(const struct check_scope *s, const struct repo_config *cfg, const char *path)
{
	bool has = s->all || has_unit(s, path, cfg->containers);
	for (size_t i = 0; i < cfg->manifests.len && !has; i++)
		has = has_unit(s, path, cfg->manifests.ptr[i]);
	return has;
}

bool check_scope_has_manifests(const struct check_scope *s, const struct repo_config *cfg)
{
	struct str unit;
	void *ignored = NULL;
	for (size_t i = 0; !s->all && map_next(s->units, &i, &unit, &ignored);)
		for (size_t k = 0; k < cfg->manifests.len; k++)
			if (str_starts(unit, cfg->manifests.ptr[k]) &&
				unit.ptr[strlen(cfg->manifests.ptr[k])] == '\n')
				return true;
	return s->all;
}

/* ---- against what ---- */

static void take_all(struct check_scope *s, const char *why)
{
	mem_freep(&s->text);
	s->all = true;
	s->text = mem_printf("everything: %s", why);
}

/* What git cannot tell is no reason to look at less. */
static void take_all_after(struct check_scope *s, struct err *e)
{
	AUTO_FREE char *text = err_text(e);
	take_all(s, text);
	err_ignore(e, "everything is checked instead");
}

static void compare(const struct check_request *rq, const struct repo_config *cfg, const struct commit *base,
	const char *name, struct check_scope *s)
{
	AUTO_STRVEC struct strvec paths = {0};
	struct err *e = repo_changed(rq->repo, base, &paths);
	if (e) {
		take_all_after(s, e);
		return;
	}
	s->text = mem_printf("what changed since %s (%s)", name, base->short_id);
	static const char *const concern_all[] = {"cooper.yaml", SERVICE_VERSIONS_FILE};
	for (size_t i = 0; i < ARRAY_LEN(concern_all); i++)
		if (strvec_has(&paths, concern_all[i])) {
			AUTO_FREE char *why = mem_printf("%s changed", concern_all[i]);
			take_all(s, why);
		}
	s->units = map_new(NULL);
	for (size_t i = 0; i < paths.len; i++)
		add_units(cfg, paths.ptr[i], s->units);
}

/* tip: of the branch. asked: its user named it, so that HEAD may be on it. */
static void compare_branch(const struct check_request *rq, const struct repo_config *cfg,
	const struct commit *tip, const char *name, bool asked, struct check_scope *s)
{
	AUTO(commit_fini) struct commit head = {0}, base = {0};
	bool found = false;
	struct err *e = repo_resolve(rq->repo, "HEAD", &head);
	if (e) {
		take_all_after(s, e);
		return;
	}
	e = repo_merge_base(rq->repo, &head, tip, &base, &found);
	if (e && !repo_shallow(rq->repo)) {
		take_all_after(s, e);
		return;
	}
	if (e)
		err_ignore(e, "a forge fetches the tips alone: they are compared");
	if (found && cstr_eq(base.id, head.id) && !asked) {
		AUTO_FREE char *why = mem_printf("HEAD is on %s", name);
		take_all(s, why);
		return;
	}
	/* Without a common commit the tip does: then rather more than changed here is looked at. */
	compare(rq, cfg, found ? &base : tip, name, s);
}

/* The grammar of git-check-ref-format, narrowed to what branches are called; it comes from whoever opened the
 * pull request. */
static bool branch_name_valid(const char *s)
{
	size_t len = strlen(s);
	return len > 0 && len <= 255 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+") == len &&
	       s[0] != '-' && s[0] != '/' && s[0] != '.' && s[len - 1] != '/' && s[len - 1] != '.' &&
	       !strstr(s, "..") && !strstr(s, "//") && !strstr(s, "/.") && !cstr_ends(s, ".lock");
}

/* The branch of the remote that main belongs to, else of the usual ones. Neither: *name NULL. */
static struct err *find_ci_base(const struct check_request *rq, struct commit *tip, char **name)
{
	AUTO_FREE char *main = NULL;
	TRY(repo_main(rq->repo, &main, NULL));
	const char *slash = main ? strchr(main, '/') : NULL;
	AUTO_FREE char *own = slash ? mem_strndup(main, (size_t)(slash - main)) : mem_strdup("origin");
	const char *const remotes[] = {own, "upstream", "origin"};
	for (size_t i = 0; i < ARRAY_LEN(remotes); i++) {
		AUTO_FREE char *ref = mem_printf("refs/remotes/%s/%s", remotes[i], rq->ci_base);
		struct err *e = repo_resolve(rq->repo, ref, tip);
		if (!e) {
			*name = mem_printf("%s/%s", remotes[i], rq->ci_base);
			return NULL;
		}
		if (err_kind(e) != ERR_NOT_FOUND)
			return e;
		err_ignore(e, "another remote may have it");
	}
	return NULL;
}

static void compare_ci_base(
	const struct check_request *rq, const struct repo_config *cfg, struct check_scope *s)
{
	AUTO(commit_fini) struct commit tip = {0};
	AUTO_FREE char *name = NULL;
	if (!branch_name_valid(rq->ci_base)) {
		take_all(s, "GITHUB_BASE_REF is no name of a branch");
		return;
	}
	struct err *e = find_ci_base(rq, &tip, &name);
	if (e) {
		take_all_after(s, e);
	} else if (!name) {
		AUTO_FREE char *why = mem_printf("branch %s was not fetched", rq->ci_base);
		take_all(s, why);
	} else {
		compare_branch(rq, cfg, &tip, name, false, s);
	}
}

struct err *check_scope_find(
	const struct check_request *rq, const struct repo_config *cfg, struct check_scope *out)
{
	AUTO(commit_fini) struct commit tip = {0};
	AUTO_FREE char *name = NULL;
	if (rq->all) {
		take_all(out, "as asked");
		return NULL;
	}
	if (rq->base) {
		TRY(repo_resolve(rq->repo, rq->base, &tip));
		compare_branch(rq, cfg, &tip, rq->base, true, out);
		return NULL;
	}
	if (rq->ci_base && *rq->ci_base) {
		compare_ci_base(rq, cfg, out);
		return NULL;
	}
	TRY(repo_main_required(rq->repo, &name, &tip));
	compare_branch(rq, cfg, &tip, name, false, out);
	return NULL;
}
