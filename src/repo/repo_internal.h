/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#pragma once

#include "repo/git_lib.h"
#include "repo/repo.h"

struct repo {
	const struct git_lib *g;
	git_repository *git;
	char *root, *git_dir;
	char *main_ref; /* configured; NULL: the first that exists of the usual ones */
};

/* An error for what libgit2 answered (rc < 0), ending in its own message. */
MUST_USE struct err *repo_git_error(const struct repo *r, int rc, const char *fmt, ...) PRINTF(3, 4);
void repo_fill_commit(const struct repo *r, const git_commit *c, struct commit *out);
/* The id of a commit that is known to be one. */
MUST_USE struct err *repo_oid(const struct repo *r, const char *hex, git_oid *out);
MUST_USE struct err *repo_commit_tree(const struct repo *r, const struct commit *c, git_tree **out);
/* Our environment for git, without what it sets for hooks: that would name another index or repository. */
void repo_git_environment(struct strvec *env);
/* Has the clone been cut off (git clone --depth)? */
bool repo_is_shallow(const struct repo *r);
/* Commits whose ids begin with hex (4 to 40 characters, borrowed); commits is the answer, of git_oid. Objects
 * of other kinds do not count. */
struct commit_prefix {
	const char *hex;
	struct vec commits;
};
/* For any number at once. commits must be empty. */
MUST_USE struct err *repo_commits_with_prefixes(
	const struct repo *r, struct commit_prefix *list, size_t count);
/* The same of one; adds to out, vec of git_oid. */
MUST_USE struct err *repo_commits_with_prefix(const struct repo *r, const char *hex, struct vec *out);
/* A path of the repository: relative, clean, nothing upwards. "" is the root. */
MUST_USE struct err *repo_check_path(const char *path);
/* "name=url" of each remote. A name with "=" is cut there, which no one has. */
MUST_USE struct err *repo_remotes(const struct repo *r, struct strvec *out);
bool container_name_valid(struct str s);
