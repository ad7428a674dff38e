/* SPDX-License-Identifier: Apache-2.0 */
/* What directories hold. */
#include "base/mem.h"
#include "base/path.h"
#include "dagger/dagger_schema.h"
#include "sys/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#define DEPTH_MAX 256

static const struct directory *self(struct call *c)
{
	return (const struct directory *)(const void *)c->self;
}

static struct err *open_at(struct call *c, const char *path, int *fd)
{
	AUTO_FD int view = -1;

	TRY(view_of(c, self(c)->node, &view));
	struct err *e = root_open(view, path, O_RDONLY | O_DIRECTORY, 0, fd);
	return e ? told_absence(e, path) : NULL;
}

static void give_names(struct call *c, const struct strvec *names)
{
	struct gql_out *items = gql_out_list(c->out, names->len);

	for (size_t i = 0; i < names->len; i++)
		gql_out_string(&items[i], str_c(names->ptr[i]));
}

static bool is_directory(int fd, const char *name)
{
	struct stat st;

	return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

struct err *resolve_directory_entries(struct call *c)
{
	AUTO_STRVEC struct strvec names = {0}, shown = {0};
	const char *asked = arg_text(c, ARG_Directory_entries_path), *path = NULL;
	AUTO_FD int fd = -1;

	TRY(path_inside(c->d, self(c)->path, asked ? asked : ".", &path));
	TRY(open_at(c, path, &fd));
	TRY(dir_list(fd, ".", &names));
	for (size_t i = 0; i < names.len; i++)
		strvec_pushf(&shown, "%s%s", names.ptr[i], is_directory(fd, names.ptr[i]) ? "/" : "");
	give_names(c, &shown);
	return NULL;
}

/* Match path against pattern, both relative, a component at a time; "**" is any number of them. */
static bool matches(const char *pattern, const char *path)
{
	size_t p = strcspn(pattern, "/"), n = strcspn(path, "/");

	if (p == 2 && strncmp(pattern, "**", 2) == 0) {
		const char *rest = pattern[p] ? pattern + p + 1 : "";
		if (!*rest)
			return true;
		for (const char *at = path;; at += strcspn(at, "/") + 1) {
			if (matches(rest, at))
				return true;
			if (!at[strcspn(at, "/")])
				return false;
		}
	}
	AUTO_FREE char *one = mem_strndup(pattern, p);
	AUTO_FREE char *name = mem_strndup(path, n);
	if (path_match(one, name) != 1)
		return false;
	if (!pattern[p] || !path[n])
		return !pattern[p] && !path[n];
	return matches(pattern + p + 1, path + n + 1);
}

static struct err *walk(int fd, const char *dir, const char *pattern, int depth, struct strvec *out)
{
	AUTO_STRVEC struct strvec names = {0};

	if (depth == DEPTH_MAX)
		return err_new(ERR_UNSUPPORTED, "the directory is nested deeper than %d levels", DEPTH_MAX);
	TRY(dir_list(fd, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = mem_printf("%s%s", dir, names.ptr[i]);
		bool folder = is_directory(fd, names.ptr[i]);
		if (matches(pattern, path))
			strvec_pushf(out, "%s%s", path, folder ? "/" : "");
		if (!folder)
			continue;
		AUTO_FREE char *below = mem_printf("%s/", path);
		AUTO_FD int inner = -1;
		TRY(file_open(fd, names.ptr[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &inner));
		TRY(walk(inner, below, pattern, depth + 1, out));
	}
	return NULL;
}

struct err *resolve_directory_glob(struct call *c)
{
	AUTO_STRVEC struct strvec found = {0};
	const char *pattern = arg_text(c, ARG_Directory_glob_pattern);
	AUTO_FD int fd = -1;

	TRY(open_at(c, self(c)->path, &fd));
	TRY(walk(fd, "", pattern, 0, &found));
	give_names(c, &found);
	return NULL;
}

struct err *resolve_directory_exists(struct call *c)
{
	const char *path = NULL;

	TRY(path_inside(c->d, self(c)->path, arg_text(c, ARG_Directory_exists_path), &path));
	return exists_give(c, self(c)->node, path, arg_text(c, ARG_Directory_exists_expectedType),
		!arg_flag(c, ARG_Directory_exists_doNotFollowSymlinks));
}

struct err *resolve_directory_stat(struct call *c)
{
	const char *path = NULL;

	TRY(path_inside(c->d, self(c)->path, arg_text(c, ARG_Directory_stat_path), &path));
	return stat_give(c, self(c)->node, path, !arg_flag(c, ARG_Directory_stat_doNotFollowSymlinks));
}

struct err *resolve_directory_find_up(struct call *c)
{
	const char *name = arg_text(c, ARG_Directory_findUp_name), *start = NULL;
	AUTO_FD int fd = -1;

	TRY(open_at(c, self(c)->path, &fd));
	TRY(path_inside(c->d, "/", arg_text(c, ARG_Directory_findUp_start), &start));
	AUTO_FREE char *at = mem_strdup(start);
	for (;;) {
		AUTO_FREE char *path = path_join(at, name);
		struct stat st;
		struct err *e = root_stat(fd, path, true, &st);
		if (!e) {
			gql_out_string(c->out, str_c(path + 1));
			return NULL;
		}
		err_ignore(e, "the next one up may have it");
		if (cstr_eq(at, "/"))
			break;
		char *up = path_dir(at);
		mem_freep(&at);
		at = up;
	}
	gql_out_null(c->out);
	return NULL;
}

struct err *resolve_directory_name(struct call *c)
{
	AUTO_FREE char *name = mem_printf("%s/", path_base(self(c)->path));

	gql_out_string(c->out, str_c(name));
	return NULL;
}

struct err *resolve_directory_digest(struct call *c)
{
	struct digest d;
	char text[DIGEST_TEXT_MAX];

	TRY(services_for(c, self(c)->node));
	TRY(session_digest(c->d->session, self(c)->node, self(c)->path, c->cancel, &d));
	gql_out_string(c->out, str_c(digest_text(&d, text)));
	return NULL;
}

struct err *resolve_directory_export(struct call *c)
{
	const char *path = host_path(c, arg_text(c, ARG_Directory_export_path));
	struct node *n = NULL;

	TRY(directory_root(c->d, self(c), &n));
	TRY(services_for(c, n));
	if (arg_flag(c, ARG_Directory_export_wipe))
		TRY(tree_remove(AT_FDCWD, path));
	TRY(session_export_dir(c->d->session, n, path, c->cancel));
	gql_out_string(c->out, str_c(path));
	return NULL;
}
