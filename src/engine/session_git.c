/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "engine/session_internal.h"
#include "exec/git_tool.h"
#include "sys/file.h"

#include <fcntl.h>

static struct err *git(
	const char *git_dir, const char *const *args, const struct cancel *cancel, struct buf *out)
{
	const struct git_call c = {.git_dir = git_dir, .args = args, .cancel = cancel};

	return git_run(&c, out);
}

struct err *session_git_refs(
	struct session *s, const char *url, const struct cancel *cancel, struct strvec *out)
{
	AUTO_BUF struct buf text = {0};
	const char *const args[] = {"ls-remote", "--quiet", "--", url, NULL};
	(void)s;

	TRY(git(NULL, args, cancel, &text));
	struct str rest = buf_str(&text), line;
	while (str_split(&rest, '\n', &line)) {
		ptrdiff_t tab = str_index(line, '\t');
		if (tab >= 0)
			strvec_push_str(out, str_skip(line, (size_t)tab + 1));
	}
	return NULL;
}

struct err *session_git_merge_base(struct session *s, const char *url, const char *a, const char *b,
	const struct cancel *cancel, char **out)
{
	AUTO_FREE char *dir = NULL;
	AUTO_BUF struct buf text = {0}, none = {0};
	TRY(store_scratch(s->engine->store, &dir));
	const char *const clone[] = {"clone", "--quiet", "--bare", "--", url, dir, NULL};
	const char *const base[] = {"merge-base", a, b, NULL};

	TRY(git(NULL, clone, cancel, &none));
	TRY(git(dir, base, cancel, &text));
	struct str id = str_trim(buf_str(&text));
	*out = mem_strndup(id.ptr, id.len);
	return NULL;
}

struct err *session_checkout(
	struct session *s, const char *git_dir, const char *commit, const struct cancel *cancel, char **dir)
{
	AUTO_FREE char *scratch = NULL;
	AUTO_FREE char *tree = NULL;

	TRY(store_scratch(s->engine->store, &scratch));
	AUTO_FREE char *files = path_join(scratch, "files");
	TRY(dir_make_all(AT_FDCWD, files, 0755));
	TRY(git_tree_id(git_dir, commit, NULL, cancel, &tree));
	const struct git_export x = {.git_dir = git_dir,
		.tree = tree,
		.scratch = scratch,
		.dir = files,
		.mtime = s->epoch,
		.cancel = cancel};
	TRY(git_export(&x));
	*dir = steal(&files);
	return NULL;
}
