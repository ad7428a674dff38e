/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"
#include "sys/file.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

bool repo_shallow(const struct repo *r)
{
	return repo_is_shallow(r);
}

static struct err *fill(struct repo *r, const git_oid *id, struct commit *out)
{
	AUTO(git_commit_freep) git_commit *c = NULL;
	int rc = r->g->git_commit_lookup(&c, r->git, id);
	if (rc == GIT_ENOTFOUND && repo_is_shallow(r))
		return err_hint(
			err_new(ERR_NOT_FOUND, "the history before this is not here: the clone is shallow"),
			"git fetch --unshallow");
	if (rc < 0)
		return repo_git_error(r, rc, "reading a commit");
	repo_fill_commit(r, c, out);
	return NULL;
}

struct err *repo_merge_base(
	struct repo *r, const struct commit *a, const struct commit *b, struct commit *out, bool *found)
{
	git_oid x, y, base;
	TRY(repo_oid(r, a->id, &x));
	TRY(repo_oid(r, b->id, &y));
	int rc = r->g->git_merge_base(&base, r->git, &x, &y);
	*found = rc == 0;
	if (rc == GIT_ENOTFOUND)
		return NULL;
	if (rc < 0)
		return repo_git_error(r, rc, "finding where %s and %s parted", a->short_id, b->short_id);
	return fill(r, &base, out);
}

struct err *repo_parent(struct repo *r, const struct commit *c, struct commit *out, bool *found)
{
	git_oid id;
	TRY(repo_oid(r, c->id, &id));
	AUTO(git_commit_freep) git_commit *commit = NULL;
	int rc = r->g->git_commit_lookup(&commit, r->git, &id);
	if (rc < 0)
		return repo_git_error(r, rc, "reading commit %s", c->short_id);
	*found = r->g->git_commit_parentcount(commit) > 0;
	return *found ? fill(r, r->g->git_commit_parent_id(commit, 0), out) : NULL;
}

/* ---- the work tree ---- */

static struct err *git(
	const struct repo *r, const struct strvec *env, const char *const *args, struct buf *out)
{
	AUTO_STRVEC struct strvec argv = {0};
	strvec_push(&argv, "git");
	strvec_push_all(&argv, args);
	const struct process_request rq = {
		.argv = strvec_list(&argv), .env = strvec_list(env), .dir = r->root};
	return process_run(&rq, out, NULL);
}

static struct err *write_commit(
	const struct repo *r, const struct strvec *env, const struct commit *head, struct buf *id)
{
	static const char *const read_head[] = {"read-tree", "HEAD", NULL};
	static const char *const add[] = {"add", "--all", "--", ".", NULL};
	static const char *const write[] = {"write-tree", NULL};
	AUTO_BUF struct buf tree = {0}, ignored = {0};
	TRY(git(r, env, read_head, &ignored));
	TRY(git(r, env, add, &ignored));
	TRY(git(r, env, write, &tree));
	AUTO_FREE char *tree_id = mem_strndup(buf_cstr(&tree), str_trim(buf_str(&tree)).len);
	const char *const commit[] = {
		"commit-tree", tree_id, "-p", head->id, "-m", "the work tree, not committed", NULL};
	return git(r, env, commit, id);
}

/* As of HEAD's time, so that nothing of now is in what is made of it. */
static void commit_environment(const char *index, const struct commit *head, struct strvec *env)
{
	AUTO_FREE char *when = mem_printf("%lld +0000", (long long)(head->time / 1000000000));
	repo_git_environment(env);
	envlist_set(env, "GIT_INDEX_FILE", index);
	envlist_set(env, "GIT_AUTHOR_DATE", when);
	envlist_set(env, "GIT_COMMITTER_DATE", when);
	envlist_set(env, "GIT_AUTHOR_NAME", "cooper");
	envlist_set(env, "GIT_AUTHOR_EMAIL", "cooper@localhost");
	envlist_set(env, "GIT_COMMITTER_NAME", "cooper");
	envlist_set(env, "GIT_COMMITTER_EMAIL", "cooper@localhost");
}

struct err *repo_commit_of_work_tree(struct repo *r, struct commit *out)
{
	AUTO(commit_fini) struct commit head = {0};
	AUTO_STRVEC struct strvec changed = {0}, env = {0};
	AUTO_BUF struct buf id = {0};
	bool dirty = false;
	TRY(repo_resolve(r, "HEAD", &head));
	TRY(repo_dirty(r, "", &dirty, &changed));
	if (!dirty)
		return repo_resolve(r, head.id, out);
	const char *tmp = getenv("TMPDIR");
	AUTO_FREE char *dir = path_join(tmp && *tmp ? tmp : "/tmp", "cooper-index-XXXXXX");
	if (!mkdtemp(dir))
		return err_sys(errno, "making %s", dir);
	AUTO_FREE char *index = path_join(dir, "index");
	commit_environment(index, &head, &env);
	struct err *e = write_commit(r, &env, &head, &id);
	err_ignore(tree_remove(AT_FDCWD, dir), "an index that nobody uses any more");
	if (e)
		return err_wrap(e, "writing down the work tree");
	AUTO_FREE char *hex = mem_strndup(buf_cstr(&id), str_trim(buf_str(&id)).len);
	return repo_resolve(r, hex, out);
}
