/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what a node gives, and the host. */
#include "base/mem.h"
#include "base/path.h"
#include "dagger/dagger_schema.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define GITIGNORE_MAX (1u << 20)
#define GITIGNORE_DEPTH 32

struct err *call_solve(struct call *c, struct node *n, struct snapshot *out)
{
	TRY(services_for(c, n));
	return session_solve(c->d->session, n, c->cancel, out);
}

struct err *view_of(struct call *c, struct node *n, int *fd)
{
	TRY(services_for(c, n));
	return session_view(c->d->session, n, c->cancel, fd);
}

struct directory *directory_new(struct call *c, struct node *n, const char *path)
{
	struct directory *dir = OBJECT_NEW(c, "Directory", directory);

	dir->node = n;
	dir->path = keep_text(c->d, path);
	return dir;
}

struct file *file_new(struct call *c, struct node *n, const char *path)
{
	struct file *f = OBJECT_NEW(c, "File", file);

	f->node = n;
	f->path = keep_text(c->d, path);
	return f;
}

struct err *told_absence(struct err *e, const char *path)
{
	enum err_kind kind = err_kind(e);
	bool no_dir = err_sysno(e) == ENOTDIR;

	if (kind != ERR_NOT_FOUND && !no_dir)
		return e;
	err_ignore(e, "said in the words that clients expect");
	return err_new(no_dir ? ERR_INVALID : ERR_NOT_FOUND, "%s: %s", path,
		no_dir ? "not a directory" : "no such file or directory");
}

/* ---- stat ---- */

static const char *type_name(mode_t mode)
{
	return S_ISDIR(mode)   ? "DIRECTORY"
	       : S_ISLNK(mode) ? "SYMLINK"
	       : S_ISREG(mode) ? "REGULAR"
			       : "UNKNOWN";
}

struct err *stat_give(struct call *c, struct node *n, const char *path, bool follow)
{
	AUTO_FD int view = -1;
	struct stat st;

	TRY(view_of(c, n, &view));
	struct err *e = root_stat(view, path, follow, &st);
	if (e)
		return told_absence(e, path);
	struct stat_facts *s = OBJECT_NEW(c, "Stat", stat_facts);
	s->name = keep_text(c->d, path_base(path));
	s->size = st.st_size;
	s->permissions = st.st_mode & 07777;
	s->type = type_name(st.st_mode);
	call_give(c, s);
	return NULL;
}

static bool of_type(mode_t mode, const char *type)
{
	return !type || cstr_starts(type, type_name(mode));
}

struct err *exists_give(struct call *c, struct node *n, const char *path, const char *type, bool follow)
{
	AUTO_FD int view = -1;
	struct stat st;

	TRY(view_of(c, n, &view));
	/* What is asked for as a link is not looked through. */
	bool link = type && cstr_starts(type, "SYMLINK");
	struct err *e = root_stat(view, path, follow && !link, &st);
	bool absent = err_kind(e) == ERR_NOT_FOUND || err_sysno(e) == ENOTDIR;
	if (e && !absent)
		return e;
	gql_out_bool(c->out, !e && of_type(st.st_mode, type));
	err_ignore(e, "absence is an answer");
	return NULL;
}

static const struct stat_facts *stat_self(struct call *c)
{
	return (const struct stat_facts *)(const void *)c->self;
}

struct err *resolve_stat_name(struct call *c)
{
	gql_out_string(c->out, str_c(stat_self(c)->name));
	return NULL;
}

struct err *resolve_stat_size(struct call *c)
{
	gql_out_int(c->out, stat_self(c)->size);
	return NULL;
}

struct err *resolve_stat_permissions(struct call *c)
{
	gql_out_int(c->out, stat_self(c)->permissions);
	return NULL;
}

struct err *resolve_stat_file_type(struct call *c)
{
	gql_out_enum(c->out, stat_self(c)->type);
	return NULL;
}

/* ---- the host ---- */

const char *host_path(struct call *c, const char *path)
{
	AUTO_FREE char *full = path_resolve(c->d->workdir, path);

	return arena_strdup(c->arena, full);
}

/* One line of a .gitignore in dir ("" or "a/b/") as ignore files have it. */
static void add_git_pattern(const char *dir, struct str line, struct strvec *out)
{
	line = str_trim(line);
	if (!line.len || line.ptr[0] == '#')
		return;
	bool negated = line.ptr[0] == '!';
	if (negated)
		line = str_skip(line, 1);
	while (line.len > 1 && line.ptr[line.len - 1] == '/')
		line.len--;
	ptrdiff_t slash = str_index(line, '/');
	bool anchored = slash >= 0;
	if (slash == 0)
		line = str_skip(line, 1);
	if (line.len)
		strvec_pushf(
			out, "%s%s%s" STR_FMT, negated ? "!" : "", dir, anchored ? "" : "**/", STR_ARG(line));
}

static struct err *read_gitignores(int root, const char *dir, int depth, struct strvec *out)
{
	AUTO_FREE char *file = mem_printf("%s.gitignore", dir);
	AUTO_BUF struct buf text = {0};
	AUTO_STRVEC struct strvec names = {0};
	AUTO_FD int fd = -1;
	bool found;

	TRY(root_read(root, file, GITIGNORE_MAX, &text, &found));
	struct str rest = buf_str(&text), line;
	while (found && str_split(&rest, '\n', &line))
		add_git_pattern(dir, line, out);
	if (depth == GITIGNORE_DEPTH)
		return NULL;
	TRY(root_open(root, *dir ? dir : ".", O_RDONLY | O_DIRECTORY, 0, &fd));
	TRY(dir_list(fd, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		struct stat st;
		if (cstr_eq(names.ptr[i], ".git") ||
			fstatat(fd, names.ptr[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			continue;
		AUTO_FREE char *below = mem_printf("%s%s/", dir, names.ptr[i]);
		TRY(read_gitignores(root, below, depth + 1, out));
	}
	return NULL;
}

struct err *gitignore_patterns(
	struct call *c, struct node *n, const char *path, bool wanted, struct strvec *out)
{
	AUTO_FD int view = -1;
	AUTO_FD int dir = -1;

	if (!wanted || !n)
		return NULL;
	TRY(view_of(c, n, &view));
	TRY(root_open(view, path, O_RDONLY | O_DIRECTORY, 0, &dir));
	return read_gitignores(dir, "", 0, out);
}

/* The pattern of a directory as it reads within below ("a/b/") of it; false: it is for somewhere else. */
static bool pattern_within(const char *pattern, const char *below, struct buf *out)
{
	bool negated = *pattern == '!';
	struct str path = str_c(below), name;

	pattern += negated;
	while (str_split(&path, '/', &name) && name.len && !cstr_starts(pattern, "**/")) {
		const char *slash = strchr(pattern, '/');
		AUTO_FREE char *part = mem_strndup(pattern, strcspn(pattern, "/"));
		AUTO_FREE char *text = mem_strndup(name.ptr, name.len);
		if (!slash || path_match(part, text) != 1)
			return false;
		pattern = slash + 1;
	}
	buf_addf(out, "%s%s", negated ? "!" : "", pattern);
	return true;
}

/* What the .gitignore in a directory above, of which dir is the part below, leaves out of dir. */
static struct err *gitignore_above(const char *above, const char *below, struct strvec *out)
{
	AUTO_FREE char *file = path_join(above, ".gitignore");
	AUTO_STRVEC struct strvec all = {0};
	AUTO_BUF struct buf text = {0};
	struct str rest, line;

	struct err *e = file_read(AT_FDCWD, file, GITIGNORE_MAX, &text);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "few directories have one");
		return NULL;
	}
	TRY(e);
	rest = buf_str(&text);
	while (str_split(&rest, '\n', &line))
		add_git_pattern("", line, &all);
	for (size_t i = 0; i < all.len; i++) {
		AUTO_BUF struct buf within = {0};
		if (pattern_within(all.ptr[i], below, &within))
			strvec_push(out, buf_cstr(&within));
	}
	return NULL;
}

/* What the files above dir in its repository leave out of it; *found false if it is in none. */
static struct err *repository_patterns(const char *dir, struct strvec *out, bool *found)
{
	AUTO_STRVEC struct strvec above = {0};
	AUTO_FREE char *at = mem_strdup(dir);

	for (*found = false; !*found;) {
		AUTO_FREE char *git = path_join(at, ".git");
		struct err *e = file_exists(AT_FDCWD, git, found);
		err_ignore(e, "what cannot be looked at is no repository of ours");
		strvec_push(&above, at);
		if (*found || cstr_eq(at, "/"))
			break;
		char *up = path_dir(at);
		mem_freep(&at);
		at = up;
	}
	/* The nearest says the last word; that of dir itself is read with those below it. */
	for (size_t i = above.len; *found && i-- > 1;) {
		const char *rest = dir + strlen(above.ptr[i]);
		AUTO_FREE char *below = mem_printf("%s/", *rest == '/' ? rest + 1 : rest);
		TRY(gitignore_above(above.ptr[i], below, out));
	}
	return NULL;
}

struct err *host_directory_node(struct call *c, const char *dir, const struct strvec *include,
	const struct strvec *exclude, bool no_cache, struct node **out)
{
	const char *name = arena_printf(c->arena, "host:%s", dir);

	if (no_cache) {
		pthread_mutex_lock(&c->d->lock);
		name = arena_printf(c->arena, "host#%u:%s", ++c->d->fresh, dir);
		pthread_mutex_unlock(&c->d->lock);
	}
	const struct op op = {.kind = OP_LOCAL,
		.local = {.name = name,
			.include = include->len ? strvec_list(include) : NULL,
			.exclude = exclude->len ? strvec_list(exclude) : NULL}};
	const struct node_label label = {.name = arena_printf(c->arena, "host directory %s", dir)};
	return session_node(c->d->session, &op, NULL, 0, &label, out);
}

/* Patterns that lead out of the directory match nothing in it. */
static void drop_escaping(struct strvec *patterns)
{
	for (size_t i = patterns->len; i-- > 0;)
		if (path_has_dotdot(str_c(patterns->ptr[i])))
			strvec_remove(patterns, i);
}

/* As clients know it of the API. */
static struct err *host_lacks(const char *path)
{
	struct stat st;

	if (fstatat(AT_FDCWD, path, &st, 0) == 0 || errno != ENOENT)
		return NULL;
	return err_new(ERR_NOT_FOUND, "on the host: %s: no such file or directory", path);
}

struct host_args {
	const char *path;
	unsigned include, exclude;
	bool gitignore, no_cache;
};

static struct err *host_directory(struct call *c, const struct host_args *a, struct node **out)
{
	AUTO_STRVEC struct strvec include = {0}, exclude = {0};
	const char *dir = host_path(c, a->path);
	AUTO_FD int fd = -1;

	arg_texts(c, a->include, &include);
	arg_texts(c, a->exclude, &exclude);
	drop_escaping(&include);
	drop_escaping(&exclude);
	TRY(host_lacks(dir));
	struct err *e = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (e)
		return err_wrap(e, "the directory %s of the host", dir);
	bool in_repository = false;
	if (a->gitignore)
		TRY(repository_patterns(dir, &exclude, &in_repository));
	if (in_repository)
		TRY(read_gitignores(fd, "", 0, &exclude));
	return host_directory_node(c, dir, &include, &exclude, a->no_cache, out);
}

struct err *resolve_host_directory(struct call *c)
{
	const struct host_args a = {
		.path = arg_text(c, ARG_Host_directory_path),
		.include = ARG_Host_directory_include,
		.exclude = ARG_Host_directory_exclude,
		.gitignore = arg_flag(c, ARG_Host_directory_gitignore),
		.no_cache = arg_flag(c, ARG_Host_directory_noCache),
	};
	struct node *n = NULL;

	TRY(host_directory(c, &a, &n));
	call_give(c, directory_new(c, n, "/"));
	return NULL;
}

static struct err *host_file(struct call *c, const char *path, bool no_cache)
{
	AUTO_STRVEC struct strvec include = {0}, none = {0};
	const char *full = host_path(c, path);
	AUTO_FREE char *dir = path_dir(full);
	struct node *n = NULL;
	struct stat st;

	TRY(host_lacks(full));
	if (fstatat(AT_FDCWD, full, &st, 0) < 0)
		return err_sys(errno, "the file %s of the host", full);
	if (!S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "%s on the host is not a file", full);
	/* A name may hold what a pattern gives a meaning. */
	AUTO_BUF struct buf pattern = {0};
	for (const char *s = path_base(full); *s; s++) {
		if (strchr("*?[]\\!#", *s))
			buf_addc(&pattern, '\\');
		buf_addc(&pattern, *s);
	}
	strvec_push(&include, buf_cstr(&pattern));
	TRY(host_directory_node(c, dir, &include, &none, no_cache, &n));
	call_give(c, file_new(c, n, path_at(c->d, "/", path_base(full))));
	return NULL;
}

struct err *resolve_host_file(struct call *c)
{
	return host_file(c, arg_text(c, ARG_Host_file_path), arg_flag(c, ARG_Host_file_noCache));
}

struct err *resolve_host_find_up(struct call *c)
{
	const char *name = arg_text(c, ARG_Host_findUp_name);
	AUTO_FREE char *at = mem_strdup(c->d->workdir);

	for (;;) {
		AUTO_FREE char *path = path_join(at, name);
		bool there = false;
		TRY(file_exists(AT_FDCWD, path, &there));
		if (there) {
			gql_out_string(c->out, str_c(path));
			return NULL;
		}
		if (cstr_eq(at, "/"))
			break;
		char *up = path_dir(at);
		mem_freep(&at);
		at = up;
	}
	gql_out_null(c->out);
	return NULL;
}

struct err *resolve_host_unix_socket(struct call *c)
{
	struct text *t = OBJECT_NEW(c, "Socket", text);

	t->text = keep_text(c->d, host_path(c, arg_text(c, ARG_Host_unixSocket_path)));
	call_give(c, t);
	return NULL;
}

/* ---- addresses ---- */

static const char *address_self(struct call *c)
{
	return ((const struct text *)(const void *)c->self)->text;
}

struct err *resolve_address_value(struct call *c)
{
	gql_out_string(c->out, str_c(address_self(c)));
	return NULL;
}

struct err *resolve_address_directory(struct call *c)
{
	const struct host_args a = {
		.path = address_self(c),
		.include = ARG_Address_directory_include,
		.exclude = ARG_Address_directory_exclude,
		.gitignore = arg_flag(c, ARG_Address_directory_gitignore),
		.no_cache = arg_flag(c, ARG_Address_directory_noCache),
	};
	struct node *n = NULL;

	TRY(host_directory(c, &a, &n));
	call_give(c, directory_new(c, n, "/"));
	return NULL;
}

struct err *resolve_address_file(struct call *c)
{
	return host_file(c, address_self(c), arg_flag(c, ARG_Address_file_noCache));
}

struct err *resolve_address_socket(struct call *c)
{
	struct text *t = OBJECT_NEW(c, "Socket", text);
	const char *path = address_self(c);

	t->text = keep_text(c->d, host_path(c, cstr_starts(path, "unix://") ? path + 7 : path));
	call_give(c, t);
	return NULL;
}

struct err *resolve_address_secret(struct call *c)
{
	struct secret *s = NULL;

	TRY(secret_of_uri(c, address_self(c), NULL, &s));
	call_give(c, s);
	return NULL;
}

struct err *resolve_address_container(struct call *c)
{
	TRY(container_of_address(c, address_self(c)));
	return NULL;
}
