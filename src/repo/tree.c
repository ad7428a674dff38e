/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

struct err *repo_check_path(const char *path)
{
	AUTO_FREE char *clean = path_clean(path);
	if (path_is_abs(path) || path_has_dotdot(str_c(path)) || (*path && !cstr_eq(clean, path)))
		return err_new(ERR_INVALID, "\"%s\" is not a plain path inside the repository", path);
	return NULL;
}

struct err *repo_commit_tree(const struct repo *r, const struct commit *c, git_tree **out)
{
	git_oid id;
	TRY(repo_oid(r, c->id, &id));
	AUTO(git_commit_freep) git_commit *commit = NULL;
	int rc = r->g->git_commit_lookup(&commit, r->git, &id);
	if (rc == 0)
		rc = r->g->git_commit_tree(out, commit);
	return rc < 0 ? repo_git_error(r, rc, "reading commit %s", c->short_id) : NULL;
}

/* *out NULL when there is no such path. */
static struct err *entry_at(
	const struct repo *r, const struct commit *c, const char *path, git_tree_entry **out)
{
	AUTO(git_tree_freep) git_tree *tree = NULL;
	TRY(repo_commit_tree(r, c, &tree));
	int rc = r->g->git_tree_entry_bypath(out, tree, path);
	if (rc == GIT_ENOTFOUND) {
		*out = NULL;
		return NULL;
	}
	return rc < 0 ? repo_git_error(r, rc, "looking for %s at %s", path, c->short_id) : NULL;
}

static struct err *not_a_file(const char *path, const char *what)
{
	return err_new(ERR_INVALID, "%s is %s, not a file", path, what);
}

static struct err *read_blob(
	const struct repo *r, const char *path, const git_oid *id, size_t max, struct buf *out)
{
	AUTO(git_odb_freep) git_odb *odb = NULL;
	int rc = r->g->git_repository_odb(&odb, r->git);
	size_t size = 0;
	git_object_t type = GIT_OBJECT_INVALID;
	if (rc == 0)
		rc = r->g->git_odb_read_header(&size, &type, odb, id);
	if (rc == 0 && size > max)
		return err_new(
			ERR_INVALID, "%s has %zu bytes, more than the %zu that are allowed", path, size, max);
	AUTO(git_blob_freep) git_blob *blob = NULL;
	if (rc == 0)
		rc = r->g->git_blob_lookup(&blob, r->git, id);
	if (rc < 0)
		return err_hint(repo_git_error(r, rc, "reading %s", path),
			"if this is a partial clone, fetch the rest: git fetch --refetch");
	buf_add(out, r->g->git_blob_rawcontent(blob), (size_t)r->g->git_blob_rawsize(blob));
	return NULL;
}

static struct err *read_work(const struct repo *r, const char *path, size_t max, struct buf *out, bool *found)
{
	AUTO_FD int root = -1, fd = -1;
	TRY(file_open(AT_FDCWD, r->root, O_PATH | O_DIRECTORY, 0, &root));
	struct stat st;
	struct err *e = root_stat(root, path, false, &st);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "absence is an answer");
		*found = false;
		return NULL;
	}
	TRY(e);
	if (!S_ISREG(st.st_mode))
		return not_a_file(path, S_ISDIR(st.st_mode)   ? "a directory"
					: S_ISLNK(st.st_mode) ? "a link"
							      : "special");
	TRY(root_open(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd));
	TRY(fd_read_all(fd, max, path, out));
	*found = true;
	return NULL;
}

struct err *repo_read_at(
	struct repo *r, const struct commit *c, const char *path, size_t max, struct buf *out, bool *found)
{
	TRY(repo_check_path(path));
	if (!c)
		return read_work(r, path, max, out, found);
	AUTO(git_tree_entry_freep) git_tree_entry *entry = NULL;
	TRY(entry_at(r, c, path, &entry));
	*found = entry != NULL;
	if (!entry)
		return NULL;
	switch (r->g->git_tree_entry_filemode(entry)) {
	case GIT_FILEMODE_BLOB:
	case GIT_FILEMODE_BLOB_EXECUTABLE:
		return read_blob(r, path, r->g->git_tree_entry_id(entry), max, out);
	case GIT_FILEMODE_LINK:
		return not_a_file(path, "a link");
	case GIT_FILEMODE_COMMIT:
		return not_a_file(path, "a submodule");
	default:
		return not_a_file(path, "a directory");
	}
}

struct err *repo_object_at(struct repo *r, const struct commit *c, const char *path, char id[41])
{
	AUTO(git_tree_entry_freep) git_tree_entry *entry = NULL;
	TRY(repo_check_path(path));
	TRY(entry_at(r, c, path, &entry));
	id[0] = '\0';
	if (entry)
		r->g->git_oid_tostr(id, 41, r->g->git_tree_entry_id(entry));
	return NULL;
}

static struct err *list_work(const struct repo *r, const char *path, struct strvec *out)
{
	AUTO_FD int root = -1, dir = -1;
	TRY(file_open(AT_FDCWD, r->root, O_PATH | O_DIRECTORY, 0, &root));
	struct err *e = root_open(root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0, &dir);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "an absent directory lists nothing");
		return NULL;
	}
	TRY(e);
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(dir, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		struct stat st;
		if (fstatat(dir, names.ptr[i], &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue; /* gone meanwhile */
		strvec_pushf(out, "%s%s", names.ptr[i], S_ISDIR(st.st_mode) ? "/" : "");
	}
	return NULL;
}

static struct err *list_tree(const struct repo *r, const git_tree *tree, struct strvec *out)
{
	size_t count = r->g->git_tree_entrycount(tree);
	for (size_t i = 0; i < count; i++) {
		const git_tree_entry *e = r->g->git_tree_entry_byindex(tree, i);
		bool dir = r->g->git_tree_entry_filemode(e) == GIT_FILEMODE_TREE;
		strvec_pushf(out, "%s%s", r->g->git_tree_entry_name(e), dir ? "/" : "");
	}
	return NULL;
}

struct err *repo_list_at(struct repo *r, const struct commit *c, const char *path, struct strvec *out)
{
	TRY(repo_check_path(path));
	AUTO_STRVEC struct strvec names = {0};
	AUTO(git_tree_freep) git_tree *tree = NULL;
	if (!c) {
		TRY(list_work(r, path, &names));
	} else if (!*path) {
		TRY(repo_commit_tree(r, c, &tree));
		TRY(list_tree(r, tree, &names));
	} else {
		AUTO(git_tree_entry_freep) git_tree_entry *entry = NULL;
		TRY(entry_at(r, c, path, &entry));
		if (!entry)
			return NULL;
		if (r->g->git_tree_entry_filemode(entry) != GIT_FILEMODE_TREE)
			return err_new(ERR_INVALID, "%s at %s is not a directory", path, c->short_id);
		int rc = r->g->git_tree_lookup(&tree, r->git, r->g->git_tree_entry_id(entry));
		if (rc < 0)
			return repo_git_error(r, rc, "reading %s at %s", path, c->short_id);
		TRY(list_tree(r, tree, &names));
	}
	strvec_sort(&names);
	strvec_push_all(out, strvec_list(&names));
	return NULL;
}

struct err *repo_kept_out(struct repo *r, const char *dir, struct strvec *out)
{
	AUTO(git_index_freep) git_index *index = NULL;
	TRY(repo_check_path(dir));
	int rc = r->g->git_repository_index(&index, r->git);
	if (rc < 0)
		return repo_git_error(r, rc, "reading the index of %s", r->root);
	size_t count = r->g->git_index_entrycount(index);
	for (size_t i = 0; i < count; i++) {
		const git_index_entry *e = r->g->git_index_get_byindex(index, i);
		if ((e->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) && path_below(e->path, dir))
			strvec_push(out, e->path);
	}
	return NULL;
}
