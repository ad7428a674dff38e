/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/path.h"
#include "exec/git_tool.h"
#include "release/runner_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

#define FETCH_TRIES 4
#define MIRRORS_DIR "mirrors"

char *runner_folder_name(const char *git_url)
{
	struct str s = str_c(git_url);
	s.len = strcspn(git_url, "?#");
	while (s.len && s.ptr[s.len - 1] == '/')
		s.len--;
	ptrdiff_t cut = str_rindex(s, '/');
	if (cut < 0)
		cut = str_rindex(s, ':');
	if (cut >= 0)
		s = str_skip(s, (size_t)cut + 1);
	if (str_ends(s, ".git") && s.len > 4)
		s.len -= 4;
	if (!s.len || str_eq_c(s, ".") || str_eq_c(s, "..") || str_eq_c(s, ".git"))
		return mem_strdup("repository");
	return mem_strndup(s.ptr, s.len);
}

char *runner_clean_url(const char *git_url)
{
	const char *rest = strstr(git_url, "://");
	if (!rest)
		return mem_strdup(git_url);
	rest += 3;
	struct str authority = str_n(rest, strcspn(rest, "/?#"));
	ptrdiff_t at = str_rindex(authority, '@');
	return at < 0 ? mem_strdup(git_url)
		      : mem_printf("%.*s%s", (int)(rest - git_url), git_url, rest + at + 1);
}

static struct err *git(
	const char *git_dir, const char *work_tree, const struct cancel *cancel, const char *const *args)
{
	return git_run(
		&(struct git_call){
			.git_dir = git_dir, .work_tree = work_tree, .args = args, .cancel = cancel},
		NULL);
}

static struct err *has_commit(const char *mirror, const char *commit, const struct cancel *cancel, bool *out)
{
	AUTO_FREE char *spec = mem_printf("%s^{commit}", commit);
	const char *const args[] = {"cat-file", "-e", spec, NULL};
	struct err *e = git(mirror, NULL, cancel, args);
	*out = !e;
	if (err_kind(e) != ERR_EXITED)
		return e;
	err_free(e);
	return NULL;
}

static struct err *init_mirror(struct runner *r, const char *mirror, const struct cancel *cancel)
{
	AUTO_FREE char *dir = path_join(engine_home(r->opt->engine), MIRRORS_DIR);
	const char *const args[] = {"init", "-q", "--bare", "--", mirror, NULL};
	TRY(dir_make_all(AT_FDCWD, dir, 0700));
	return git(NULL, NULL, cancel, args);
}

/* All branches; then, if none has it, the commit by its id, which not every server gives. */
static struct err *fetch_once(
	struct runner *r, const char *mirror, const char *commit, const struct cancel *cancel, bool *found)
{
	const char *const branches[] = {"fetch", "-q", "--no-tags", "--prune", "--no-write-fetch-head", "--",
		r->opt->git, "+refs/heads/*:refs/heads/*", NULL};
	const char *const by_id[] = {
		"fetch", "-q", "--no-tags", "--no-write-fetch-head", "--", r->opt->git, commit, NULL};
	TRY(git(mirror, NULL, cancel, branches));
	TRY(has_commit(mirror, commit, cancel, found));
	if (*found)
		return NULL;
	struct err *e = git(mirror, NULL, cancel, by_id);
	if (err_kind(e) == ERR_EXITED)
		err_ignore(e, "the server does not give what no branch has");
	else
		TRY(e);
	return has_commit(mirror, commit, cancel, found);
}

static struct err *fetch(
	struct runner *r, const char *mirror, const char *commit, const struct cancel *cancel)
{
	AUTO_FREE char *shown = runner_clean_url(r->opt->git);
	bool found = false;
	/* A network that is away for some seconds must not fail a release; what is refused fails soon enough.
	 */
	for (int64_t wait = CLOCK_SECOND, i = 1;; wait *= 3, i++) {
		struct err *e = fetch_once(r, mirror, commit, cancel, &found);
		if (!e)
			break;
		if (i == FETCH_TRIES || cancel_is_set(cancel))
			return err_wrap(e, "fetching %s from %s", commit, shown);
		err_free(e);
		runner_pause(cancel, wait);
	}
	if (found)
		return NULL;
	return err_hint(err_new(ERR_NOT_FOUND, "%s has no commit %s on any branch", shown, commit),
		"push it, and release again");
}

static struct err *update_mirror(
	struct runner *r, const char *commit, const struct cancel *cancel, char **mirror)
{
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	bool found = false, there = false;
	digest_of(r->opt->git, strlen(r->opt->git), &d);
	AUTO_FREE char *path =
		mem_printf("%s/" MIRRORS_DIR "/%s.git", engine_home(r->opt->engine), digest_hex(&d, hex));
	AUTO_FREE char *head = path_join(path, "HEAD");
	AUTO_FREE char *lock_name = mem_printf("mirror:%s", hex);
	struct store_lock *lock AUTO(store_unlockp) = NULL;
	TRY(store_lock(engine_store(r->opt->engine), lock_name, false, cancel, NULL, &lock));
	TRY(file_exists(AT_FDCWD, head, &there));
	if (!there)
		TRY(init_mirror(r, path, cancel));
	TRY(has_commit(path, commit, cancel, &found));
	if (!found)
		TRY(fetch(r, path, commit, cancel));
	*mirror = steal(&path);
	return NULL;
}

/* A repository of its own, with the mirror's objects: what a build does to it is gone with it. */
static struct err *make_clone(struct runner *r, const char *mirror, const char *commit, const char *dir,
	const struct cancel *cancel)
{
	AUTO_FREE char *git_dir = path_join(dir, ".git");
	/* Builds can read the settings: they are not to find credentials there. */
	AUTO_FREE char *url = runner_clean_url(r->opt->git);
	const char *const make[] = {
		"clone", "-q", "--shared", "--no-checkout", "--no-tags", "--", mirror, dir, NULL};
	const char *const name[] = {"remote", "set-url", "origin", url, NULL};
	const char *const checkout[] = {"checkout", "-q", "--detach", commit, NULL};
	TRY(git(NULL, NULL, cancel, make));
	TRY(git(git_dir, NULL, cancel, name));
	return git(git_dir, dir, cancel, checkout);
}

struct err *runner_checkout(
	struct runner *r, const char *commit, const char *scratch, const struct cancel *cancel, char **dir)
{
	AUTO_FREE char *mirror = NULL;
	/* The server's word: git would take another text for an option. */
	if (strlen(commit) != 40 || strspn(commit, "0123456789abcdef") != 40)
		return err_new(ERR_INVALID, "\"%.60s\" is no commit", commit);
	/* The default namespace is the folder's name. */
	AUTO_FREE char *folder = runner_folder_name(r->opt->git);
	AUTO_FREE char *path = path_join(scratch, folder);
	TRY(update_mirror(r, commit, cancel, &mirror));
	struct err *e = make_clone(r, mirror, commit, path, cancel);
	if (e)
		return err_wrap(e, "checking out %s", commit);
	*dir = steal(&path);
	return NULL;
}
