/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between a commit and the work tree. */
#include "repo/repo.h"
#include "repo/repo_internal.h"

#include <string.h>

static void add_path(struct strvec *out, const char *path)
{
	if (path && (!out->len || !cstr_eq(out->ptr[out->len - 1], path)))
		strvec_push(out, path);
}

struct err *repo_changed(struct repo *r, const struct commit *base, struct strvec *out)
{
	AUTO(git_tree_freep) git_tree *tree = NULL;
	AUTO(git_diff_freep) git_diff *diff = NULL;
	git_diff_options opt;
	TRY(repo_commit_tree(r, base, &tree));
	r->g->git_diff_options_init(&opt, GIT_DIFF_OPTIONS_VERSION);
	opt.flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_RECURSE_UNTRACKED_DIRS |
		    GIT_DIFF_INCLUDE_TYPECHANGE | GIT_DIFF_IGNORE_SUBMODULES | GIT_DIFF_SKIP_BINARY_CHECK;
	int rc = r->g->git_diff_tree_to_workdir_with_index(&diff, r->git, tree, &opt);
	if (rc < 0)
		return repo_git_error(r, rc, "comparing %s with the work tree", base->short_id);
	AUTO_STRVEC struct strvec paths = {0};
	size_t count = r->g->git_diff_num_deltas(diff);
	for (size_t i = 0; i < count; i++) {
		const git_diff_delta *d = r->g->git_diff_get_delta(diff, i);
		add_path(&paths, d->old_file.path);
		add_path(&paths, d->new_file.path);
	}
	strvec_sort(&paths);
	for (size_t i = 0; i < paths.len; i++)
		add_path(out, paths.ptr[i]);
	return NULL;
}
