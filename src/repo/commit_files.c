/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"
#include "sys/file.h"
#include "sys/process_foreground.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* git would commit right into the middle of it, or refuse when the files are changed already. */
static struct err *check_nothing_under_way(const struct repo *r)
{
	static const struct {
		const char *file, *what;
	} marks[] = {{"rebase-merge", "rebase"}, {"rebase-apply", "rebase"}, {"MERGE_HEAD", "merge"},
		{"CHERRY_PICK_HEAD", "cherry-pick"}, {"REVERT_HEAD", "revert"}};
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		AUTO_FREE char *path = path_join(r->git_dir, marks[i].file);
		bool there = false;
		TRY(file_exists(AT_FDCWD, path, &there));
		if (there)
			return err_hint(err_new(ERR_INVALID, "a %s is in progress: nothing is committed",
						marks[i].what),
				"finish it first: git %s --continue or --abort", marks[i].what);
	}
	return NULL;
}

/* What is ignored, behind a link or in a submodule looks clean, yet git cannot commit it from here. */
static struct err *check_tracked(struct repo *r, const struct strvec *files)
{
	AUTO(commit_fini) struct commit head = {0};
	TRY(repo_resolve(r, "HEAD", &head));
	for (size_t i = 0; i < files->len; i++) {
		char id[41];
		TRY(repo_object_at(r, &head, files->ptr[i], id));
		if (!*id)
			return err_hint(
				err_new(ERR_INVALID, "%s is not in HEAD, so no commit can hold its change",
					files->ptr[i]),
				"commit it first; or, if it belongs to another repository, change it there");
	}
	return NULL;
}

struct err *repo_check_committed(struct repo *r, const struct strvec *files)
{
	TRY(check_nothing_under_way(r));
	AUTO_BUF struct buf list = {0};
	for (size_t i = 0; i < files->len; i++) {
		bool dirty = false;
		TRY(repo_dirty(r, files->ptr[i], &dirty, NULL));
		if (dirty)
			buf_addf(&list, "%s%s", list.len ? ", " : "", files->ptr[i]);
	}
	if (!list.len)
		return check_tracked(r, files);
	return err_hint(err_new(ERR_INVALID, "changes that are not committed would go into the commit: %s",
				buf_cstr(&list)),
		"commit or stash them first, or commit by hand afterwards");
}

void repo_git_environment(struct strvec *env)
{
	static const char *const local[] = {
		"GIT_DIR=", "GIT_WORK_TREE=", "GIT_INDEX_FILE=", "GIT_COMMON_DIR=", "GIT_OBJECT_DIRECTORY=",
		"GIT_ALTERNATE_OBJECT_DIRECTORIES=", "GIT_PREFIX=", NULL};
	for (char **e = environ; *e; e++) {
		bool skip = false;
		for (size_t i = 0; local[i] && !skip; i++)
			skip = cstr_starts(*e, local[i]);
		if (!skip)
			strvec_push(env, *e);
	}
}

/* What git reads from files, as an argument may not be long: a new one each, in its own folder. */
struct inputs {
	char *message, *paths;
};

static void inputs_fini(struct inputs *in)
{
	char **files[] = {&in->message, &in->paths};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (*files[i])
			unlink(*files[i]);
		mem_freep(files[i]);
	}
}

static struct err *write_input(const struct repo *r, const char *name, struct str text, char **path)
{
	AUTO_FREE char *base = path_join(r->git_dir, name);
	return file_write_beside(AT_FDCWD, base, text.ptr, text.len, 0600, false, path);
}

/* With our terminal: hooks print, and a key may ask for its passphrase. git itself is quiet, and hooks print
 * to its standard error. */
static struct err *git_commit_files(
	const struct repo *r, const struct strvec *files, const char *message, const struct cancel *cancel)
{
	AUTO(inputs_fini) struct inputs in = {0};
	AUTO_STRVEC struct strvec argv = {0}, env = {0};
	AUTO_BUF struct buf paths = {0};
	for (size_t i = 0; i < files->len; i++)
		buf_add(&paths, files->ptr[i], strlen(files->ptr[i]) + 1);
	TRY(write_input(r, "cooper-message", str_c(message), &in.message));
	TRY(write_input(r, "cooper-paths", buf_str(&paths), &in.paths));
	static const char *const words[] = {
		"git", "--literal-pathspecs", "commit", "--quiet", "--only", "--pathspec-file-nul", NULL};
	strvec_push_all(&argv, words);
	strvec_pushf(&argv, "--pathspec-from-file=%s", in.paths);
	strvec_pushf(&argv, "--file=%s", in.message);
	repo_git_environment(&env);
	const struct foreground_request rq = {
		.argv = strvec_list(&argv), .env = strvec_list(&env), .dir = r->root, .pass_fd = -1};
	struct foreground f;
	int status = 0;
	TRY(foreground_start(&rq, &f));
	TRY(foreground_wait(&f, cancel, &status));
	if (!status)
		return NULL;
	return err_with_exit_code(err_new(ERR_EXITED, "git commit ended with status %d", status), status);
}

struct err *repo_commit_files(struct repo *r, const struct strvec *files, const char *message,
	const struct cancel *cancel, struct commit *out)
{
	struct err *e = git_commit_files(r, files, message, cancel);
	if (e)
		return err_hint(err_wrap(e, "the files are changed, but not committed"),
			"solve what git says above and commit them by hand, or undo: git checkout -- FILE");
	return repo_resolve(r, "HEAD", out);
}
