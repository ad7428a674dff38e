/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/repo.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/repo_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct err *repo_git_error(const struct repo *r, int rc, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	AUTO_FREE char *what = mem_vprintf(fmt, ap);
	va_end(ap);
	const git_error *last = r->g->git_error_last();
	const char *why = last && last->message ? last->message : "unknown reason";
	switch (rc) {
	case GIT_ENOTFOUND:
	case GIT_EUNBORNBRANCH:
		return err_new(ERR_NOT_FOUND, "%s: %s", what, why);
	case GIT_EAMBIGUOUS:
	case GIT_EINVALIDSPEC:
		return err_new(ERR_INVALID, "%s: %s", what, why);
	case GIT_EOWNER:
		return err_new(ERR_DENIED, "%s: %s", what, why);
	default:
		return err_new(ERR_IO, "%s: %s", what, why);
	}
}

/* libgit2 ends directories with a slash. */
static char *without_slash(const char *p)
{
	size_t len = strlen(p);
	while (len > 1 && p[len - 1] == '/')
		len--;
	return mem_strndup(p, len);
}

/* The first directory at or above dir that holds a .git; the root if none does. Caller frees. */
static char *folder_with_git(const char *dir)
{
	AUTO_FREE char *real = realpath(dir, NULL);
	char *at = mem_strdup(real ? real : dir);
	while (strlen(at) > 1) {
		AUTO_FREE char *git = path_join(at, ".git");
		if (access(git, F_OK) == 0)
			return at;
		char *up = path_dir(at);
		mem_freep(&at);
		at = up;
	}
	return at;
}

/* The user trusts repositories of anyone ("*"), which libgit2 1.5 does not understand. */
static bool trusts_all(const struct git_lib *g)
{
	AUTO(git_config_freep) git_config *config = NULL;
	AUTO(git_config_iterator_freep) git_config_iterator *it = NULL;
	if (g->git_config_open_default(&config) < 0 || g->git_config_iterator_new(&it, config) < 0)
		return false;
	bool all = false;
	git_config_entry *entry = NULL;
	while (g->git_config_next(&entry, it) == 0)
		if (cstr_eq(entry->name, "safe.directory") && entry->value)
			all = cstr_eq(entry->value, "*") || (all && *entry->value);
	return all;
}

/* libgit2 1.5 answers "not found" about its own setting when another user owns the repository and none is
 * trusted. */
static bool is_other_owner(const struct git_lib *g, int rc)
{
	const git_error *last = g->git_error_last();
	return rc == GIT_EOWNER || (rc == GIT_ENOTFOUND && last && last->klass == GIT_ERROR_CONFIG);
}

static struct err *open_error(const struct repo *r, int rc, bool other_owner, const char *dir)
{
	AUTO_FREE char *root = folder_with_git(dir);
	if (other_owner)
		return err_hint(err_new(ERR_DENIED, "the git repository %s belongs to another user", root),
			"if you trust it: git config --global --add safe.directory %s", root);
	if (rc == GIT_ENOTFOUND)
		return err_hint(err_new(ERR_NOT_FOUND, "no git repository at or above %s", dir),
			"go into your GitOps repository, or make one: git init");
	return repo_git_error(r, rc, "opening the git repository %s", root);
}

struct err *repo_open(const char *dir, struct repo **out)
{
	const struct git_lib *g = NULL;
	TRY(git_lib_get(&g));
	AUTO(repo_freep) struct repo *r = mem_new(struct repo);
	r->g = g;
	int rc = g->git_repository_open_ext(&r->git, dir, 0, NULL);
	bool other_owner = rc < 0 && is_other_owner(g, rc);
	if (other_owner && trusts_all(g)) {
		g->git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
		rc = g->git_repository_open_ext(&r->git, dir, 0, NULL);
	}
	if (rc < 0)
		return open_error(r, rc, other_owner, dir);
	const char *work = g->git_repository_workdir(r->git);
	if (g->git_repository_is_bare(r->git) || !work)
		return err_hint(err_new(ERR_UNSUPPORTED, "%s is a bare repository: it has no work tree",
					g->git_repository_path(r->git)),
			"clone it and work in the clone");
	r->root = without_slash(work);
	r->git_dir = without_slash(g->git_repository_path(r->git));
	*out = steal(&r);
	return NULL;
}

void repo_free(struct repo *r)
{
	if (!r)
		return;
	git_repository_freep(&r->git);
	mem_freep(&r->root);
	mem_freep(&r->git_dir);
	mem_freep(&r->main_ref);
	mem_freep(&r);
}

void repo_freep(struct repo **r)
{
	repo_free(*r);
	*r = NULL;
}

const char *repo_root(const struct repo *r)
{
	return r->root;
}

const char *repo_git_dir(const struct repo *r)
{
	return r->git_dir;
}

void commit_fini(struct commit *c)
{
	mem_freep(&c->subject);
	*c = (struct commit){0};
}

void repo_fill_commit(const struct repo *r, const git_commit *c, struct commit *out)
{
	*out = (struct commit){.time = (int64_t)r->g->git_commit_time(c) * CLOCK_SECOND};
	r->g->git_oid_tostr(out->id, sizeof(out->id), r->g->git_commit_id(c));
	memcpy(out->short_id, out->id, 7);
	const char *subject = r->g->git_commit_summary((git_commit *)c);
	out->subject = mem_strdup(subject ? subject : "");
}

struct err *repo_oid(const struct repo *r, const char *hex, git_oid *out)
{
	int rc = strlen(hex) == 40 ? r->g->git_oid_fromstrn(out, hex, 40) : GIT_EINVALIDSPEC;
	return rc < 0 ? err_new(ERR_BUG, "\"%s\" is no full commit id", hex) : NULL;
}

bool repo_is_shallow(const struct repo *r)
{
	AUTO_FREE char *path = path_join(r->g->git_repository_commondir(r->git), "shallow");
	struct stat st;
	return stat(path, &st) == 0 && st.st_size > 0;
}

static bool all_hex(const char *s)
{
	size_t len = strlen(s);
	return len >= 4 && len <= 40 && strspn(s, "0123456789abcdefABCDEF") == len;
}

/* An abbreviation that fits several objects: the one commit among them, or an error with the candidates. */
static struct err *resolve_ambiguous(struct repo *r, const char *ref, struct commit *out)
{
	AUTO(vec_fini) struct vec found = VEC_OF(git_oid);
	TRY(repo_commits_with_prefix(r, ref, &found));
	if (found.len == 1) {
		AUTO(git_commit_freep) git_commit *c = NULL;
		int rc = r->g->git_commit_lookup(&c, r->git, vec_at(&found, 0));
		if (rc < 0)
			return repo_git_error(r, rc, "reading commit %s", ref);
		repo_fill_commit(r, c, out);
		return NULL;
	}
	AUTO_BUF struct buf list = {0};
	for (size_t i = 0; i < found.len && i < 10; i++) {
		char hex[41];
		buf_addf(&list, "%s%s", i ? ", " : "",
			r->g->git_oid_tostr(hex, sizeof(hex), vec_at(&found, i)));
	}
	if (!found.len)
		return err_new(ERR_NOT_FOUND, "%s fits several objects, none of them a commit", ref);
	return err_hint(err_new(ERR_INVALID, "%s is ambiguous: %zu commits begin with it: %s", ref, found.len,
				buf_cstr(&list)),
		"give more characters of the one you mean");
}

static struct err *not_found(struct repo *r, const char *ref)
{
	if (cstr_eq(ref, "HEAD"))
		return err_hint(
			err_new(ERR_NOT_FOUND, "%s has no commit yet", r->root), "commit something first");
	struct err *e = err_new(ERR_NOT_FOUND, "no branch, tag or commit \"%s\" in %s", ref, r->root);
	AUTO(git_reference_iterator_freep) git_reference_iterator *it = NULL;
	AUTO_STRVEC struct strvec names = {0};
	if (r->g->git_reference_iterator_glob_new(&it, r->git, "refs/*") == 0) {
		git_reference *found = NULL;
		while (names.len < 1000 && r->g->git_reference_next(&found, it) == 0) {
			AUTO(git_reference_freep) git_reference *one = found;
			const char *name = r->g->git_reference_name(one) + strlen("refs/");
			const char *rest = strchr(name, '/');
			if (rest)
				strvec_push(&names, rest + 1);
		}
	}
	const char *near = str_suggest(ref, strvec_list(&names));
	if (near)
		return err_hint(e, "did you mean \"%s\"?", near);
	return err_hint(e, "%s",
		repo_is_shallow(r) ? "the clone is shallow: git fetch --unshallow"
				   : "git fetch, if it is on a remote");
}

struct err *repo_resolve(struct repo *r, const char *ref, struct commit *out)
{
	if (!*ref)
		return err_new(ERR_INVALID, "an empty revision");
	AUTO(git_object_freep) git_object *obj = NULL;
	int rc = r->g->git_revparse_single(&obj, r->git, ref);
	if (rc == GIT_EAMBIGUOUS && all_hex(ref))
		return resolve_ambiguous(r, ref, out);
	if (rc == GIT_ENOTFOUND)
		return not_found(r, ref);
	if (rc < 0)
		return repo_git_error(r, rc, "finding revision \"%s\"", ref);
	AUTO(git_object_freep) git_object *commit = NULL;
	if (r->g->git_object_peel(&commit, obj, GIT_OBJECT_COMMIT) < 0) {
		/* An abbreviation may also fit a file or folder that happens to be looked up first. */
		return err_new(ERR_INVALID, "\"%s\" is not a commit", ref);
	}
	repo_fill_commit(r, (git_commit *)commit, out);
	return NULL;
}

struct err *repo_dirty(struct repo *r, const char *path, bool *dirty, struct strvec *changed)
{
	TRY(repo_check_path(path));
	git_status_options opt;
	r->g->git_status_options_init(&opt, GIT_STATUS_OPTIONS_VERSION);
	opt.show = GIT_STATUS_SHOW_INDEX_AND_WORKDIR;
	opt.flags = GIT_STATUS_OPT_INCLUDE_UNTRACKED | GIT_STATUS_OPT_RECURSE_UNTRACKED_DIRS |
		    GIT_STATUS_OPT_DISABLE_PATHSPEC_MATCH;
	char *below[] = {(char *)path};
	if (*path)
		opt.pathspec = (git_strarray){.strings = below, .count = 1};
	AUTO(git_status_list_freep) git_status_list *list = NULL;
	int rc = r->g->git_status_list_new(&list, r->git, &opt);
	if (rc < 0)
		return repo_git_error(r, rc, "comparing %s with the last commit", *path ? path : r->root);
	size_t count = r->g->git_status_list_entrycount(list), found = 0;
	for (size_t i = 0; i < count; i++) {
		const git_status_entry *s = r->g->git_status_byindex(list, i);
		const git_diff_delta *d = s->index_to_workdir ? s->index_to_workdir : s->head_to_index;
		const char *name = d && d->new_file.path ? d->new_file.path : "";
		if (s->status == GIT_STATUS_CURRENT || !path_below(name, path))
			continue;
		if (found++ < 5 && changed)
			strvec_push(changed, name);
	}
	*dirty = found > 0;
	return NULL;
}

static struct err *remote_tips(struct repo *r, struct vec *out)
{
	AUTO(git_reference_iterator_freep) git_reference_iterator *it = NULL;
	int rc = r->g->git_reference_iterator_glob_new(&it, r->git, "refs/remotes/*");
	if (rc < 0)
		return repo_git_error(r, rc, "listing remote branches");
	git_reference *found = NULL;
	while ((rc = r->g->git_reference_next(&found, it)) == 0) {
		AUTO(git_reference_freep) git_reference *ref = found;
		AUTO(git_object_freep) git_object *tip = NULL;
		/* A dangling origin/HEAD is common and means nothing. */
		if (r->g->git_reference_peel(&tip, ref, GIT_OBJECT_COMMIT) == 0)
			vec_push_copy(out, r->g->git_commit_id((git_commit *)tip));
	}
	return rc == GIT_ITEROVER ? NULL : repo_git_error(r, rc, "listing remote branches");
}

struct err *repo_is_pushed(struct repo *r, const struct commit *c, bool *pushed, bool *has_remote)
{
	AUTO_STRVEC struct strvec remotes = {0};
	TRY(repo_remotes(r, &remotes));
	git_oid id;
	TRY(repo_oid(r, c->id, &id));
	AUTO(vec_fini) struct vec tips = VEC_OF(git_oid);
	TRY(remote_tips(r, &tips));
	*has_remote = remotes.len > 0;
	*pushed = !*has_remote;
	for (size_t i = 0; i < tips.len && !*pushed; i++)
		*pushed = r->g->git_oid_equal(vec_at(&tips, i), &id);
	if (*pushed || !tips.len)
		return NULL;
	int rc = r->g->git_graph_reachable_from_any(r->git, &id, tips.ptr, tips.len);
	if (rc < 0 && !repo_is_shallow(r))
		return repo_git_error(r, rc, "looking for commit %s on the remotes", c->short_id);
	*pushed = rc == 1;
	return NULL;
}
