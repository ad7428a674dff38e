/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "engine/session_internal.h"
#include "exec/git_tool.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

/* As the repository wants to be asked. */
static struct err *git(struct session *s, const struct op_git *repo, const char *const *args,
	const struct cancel *cancel, struct buf *out)
{
	AUTO_BUF struct buf value = {0};
	AUTO_FREE char *origin = repo->auth_secret ? git_http_origin(repo->url) : NULL;
	AUTO_FREE char *header = NULL;
	bool found;

	if (origin) {
		TRY(session_secret(s, repo->auth_secret, &value, &found));
		struct str v = str_trim(buf_str(&value));
		header = found ? mem_printf("Authorization: " STR_FMT, STR_ARG(v)) : NULL;
	}
	const struct git_call c = {.args = args, .auth_url = origin, .auth_header = header, .cancel = cancel};
	struct err *e = git_run(&c, out);
	if (header)
		explicit_bzero(header, strlen(header));
	if (value.ptr)
		explicit_bzero(value.ptr, value.len);
	return e;
}

struct err *session_git_refs(
	struct session *s, const struct op_git *repo, const struct cancel *cancel, struct strvec *out)
{
	AUTO_BUF struct buf text = {0};
	const char *const args[] = {"ls-remote", "--quiet", "--", repo->url, NULL};

	TRY(git(s, repo, args, cancel, &text));
	struct str rest = buf_str(&text), line;
	while (str_split(&rest, '\n', &line)) {
		ptrdiff_t tab = str_index(line, '\t');
		if (tab >= 0)
			strvec_push_str(out, str_skip(line, (size_t)tab + 1));
	}
	return NULL;
}

struct err *session_git_merge_base(struct session *s, const struct op_git *repo, const char *a, const char *b,
	const struct cancel *cancel, char **out)
{
	AUTO_FREE char *dir = NULL;
	AUTO_BUF struct buf text = {0}, none = {0};
	TRY(store_scratch(s->engine->store, &dir));
	const char *const clone[] = {"clone", "--quiet", "--bare", "--", repo->url, dir, NULL};
	const char *const base[] = {"merge-base", a, b, NULL};

	TRY(git(s, repo, clone, cancel, &none));
	TRY(git_run(&(struct git_call){.git_dir = dir, .args = base, .cancel = cancel}, &text));
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
