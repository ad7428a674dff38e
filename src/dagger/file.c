/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "dagger/dagger_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CONTENTS_MAX ((size_t)128 << 20)

static const struct file *self(struct call *c)
{
	return (const struct file *)(const void *)c->self;
}

static struct err *open_file(struct call *c, const struct file *f, int *fd, struct stat *st)
{
	AUTO_FD int view = -1;

	TRY(view_of(c, f->node, &view));
	struct err *e = root_open(view, f->path, O_RDONLY | O_NONBLOCK, 0, fd);
	if (e)
		return told_absence(e, f->path);
	if (fstat(*fd, st) < 0)
		return err_sys(errno, "reading %s", f->path);
	if (!S_ISREG(st->st_mode))
		return err_new(ERR_INVALID, "%s is %s", f->path,
			S_ISDIR(st->st_mode) ? "a directory, not a regular file" : "not a regular file");
	return NULL;
}

struct err *file_read_all(struct call *c, const struct file *f, struct buf *out)
{
	AUTO_FD int fd = -1;
	struct stat st;

	TRY(open_file(c, f, &fd, &st));
	if ((uint64_t)st.st_size > CONTENTS_MAX)
		return err_new(ERR_UNSUPPORTED, "%s has %lld bytes; contents of up to 128 MiB can be read",
			f->path, (long long)st.st_size);
	return fd_read_all(fd, CONTENTS_MAX, f->path, out);
}

/* Lines [skip, skip + limit) of text. */
static struct str some_lines(struct str text, int64_t skip, int64_t limit)
{
	size_t from = 0, to;

	while (skip-- > 0 && from < text.len) {
		ptrdiff_t nl = str_index(str_skip(text, from), '\n');
		from = nl < 0 ? text.len : from + (size_t)nl + 1;
	}
	for (to = from; limit-- > 0 && to < text.len;) {
		ptrdiff_t nl = str_index(str_skip(text, to), '\n');
		to = nl < 0 ? text.len : to + (size_t)nl + 1;
	}
	return str_n(text.ptr + from, to - from);
}

struct err *resolve_file_contents(struct call *c)
{
	AUTO_BUF struct buf text = {0};
	int64_t skip = arg_int(c, ARG_File_contents_offsetLines, 0);
	int64_t limit = arg_int(c, ARG_File_contents_limitLines, INT64_MAX);

	TRY(file_read_all(c, self(c), &text));
	if (skip > 0 || limit < INT64_MAX)
		gql_out_string(c->out, some_lines(buf_str(&text), skip, limit));
	else
		gql_out_take_string(c->out, &text);
	return NULL;
}

struct err *resolve_file_size(struct call *c)
{
	AUTO_FD int fd = -1;
	struct stat st;

	TRY(open_file(c, self(c), &fd, &st));
	gql_out_int(c->out, st.st_size);
	return NULL;
}

struct err *resolve_file_name(struct call *c)
{
	gql_out_string(c->out, str_c(path_base(self(c)->path)));
	return NULL;
}

struct err *resolve_file_stat(struct call *c)
{
	return stat_give(c, self(c)->node, self(c)->path, true);
}

struct err *resolve_file_digest(struct call *c)
{
	struct digest d;
	char text[DIGEST_TEXT_MAX];

	if (arg_flag(c, ARG_File_digest_excludeMetadata)) {
		AUTO_BUF struct buf all = {0};
		TRY(file_read_all(c, self(c), &all));
		digest_of(all.ptr ? all.ptr : "", all.len, &d);
	} else {
		TRY(services_for(c, self(c)->node));
		TRY(session_digest(c->d->session, self(c)->node, self(c)->path, c->cancel, &d));
	}
	gql_out_string(c->out, str_c(digest_text(&d, text)));
	return NULL;
}

struct err *resolve_file_sync(struct call *c)
{
	AUTO_FD int fd = -1;
	struct stat st;

	TRY(open_file(c, self(c), &fd, &st));
	TRY(object_store(c->d, c->self));
	gql_out_string(c->out, str_c(c->self->id));
	return NULL;
}

/* ---- made of it ---- */

static struct err *copied(struct call *c, const char *dest, const char *owner, const char *verb)
{
	struct node *n = NULL;
	const struct copy cp = {.from = self(c)->node, .source = self(c)->path, .dest = dest, .owner = owner};

	TRY(node_copy(c->d, NULL, &cp, arena_printf(c->arena, "%s %s", verb, dest), &n));
	call_give(c, file_new(c, n, dest));
	return NULL;
}

static const char *own_place(struct call *c)
{
	return path_at(c->d, "/", path_base(self(c)->path));
}

struct err *resolve_file_with_name(struct call *c)
{
	const char *dest = NULL;

	TRY(path_inside(c->d, "/", arg_text(c, ARG_File_withName_name), &dest));
	return copied(c, dest, NULL, "name");
}

struct err *resolve_file_chown(struct call *c)
{
	return copied(c, own_place(c), arg_text(c, ARG_File_chown_owner), "chown");
}

struct err *resolve_file_with_timestamps(struct call *c)
{
	struct node *n = NULL;
	const struct copy cp = {.from = self(c)->node, .source = self(c)->path, .dest = own_place(c)};
	const struct file_action times = {.kind = FILE_TIMES,
		.dest = cp.dest,
		.seconds = arg_int(c, ARG_File_withTimestamps_timestamp, 0)};

	TRY(node_copy(c->d, NULL, &cp, "copy", &n));
	TRY(node_actions(c->d, n, &times, 1, "timestamps", &n));
	call_give(c, file_new(c, n, cp.dest));
	return NULL;
}

static size_t replace(
	struct str text, struct str search, struct str with, int64_t skip, bool all, struct buf *out)
{
	size_t done = 0;

	while (text.len) {
		const char *at = memmem(text.ptr, text.len, search.ptr, search.len);
		if (!at || (done && !all))
			break;
		size_t before = (size_t)(at - text.ptr);
		buf_add(out, text.ptr, before);
		buf_addstr(out, skip > 0 ? search : with);
		done += skip-- <= 0;
		text = str_skip(text, before + search.len);
	}
	buf_addstr(out, text);
	return done;
}

static bool occurs_twice(struct str text, struct str search)
{
	const char *at = memmem(text.ptr, text.len, search.ptr, search.len);

	if (!at)
		return false;
	text = str_skip(text, (size_t)(at - text.ptr) + search.len);
	return memmem(text.ptr, text.len, search.ptr, search.len) != NULL;
}

struct err *resolve_file_with_replaced(struct call *c)
{
	AUTO_BUF struct buf text = {0}, changed = {0};
	struct str search = arg_str(c, ARG_File_withReplaced_search);
	bool all = arg_flag(c, ARG_File_withReplaced_all);
	AUTO_FD int fd = -1;
	struct node *n = NULL;
	struct stat st;

	if (!search.len)
		return err_new(ERR_INVALID, "the text to be replaced is empty");
	TRY(open_file(c, self(c), &fd, &st));
	TRY(fd_read_all(fd, CONTENTS_MAX, self(c)->path, &text));
	int64_t from = arg_int(c, ARG_File_withReplaced_firstFrom, 0);
	bool where_given = arg_given(c, ARG_File_withReplaced_firstFrom);
	struct str head = some_lines(buf_str(&text), 0, from > 0 ? from - 1 : 0);
	buf_addstr(&changed, head);
	if (!all && !where_given && occurs_twice(buf_str(&text), search))
		return err_hint(err_new(ERR_INVALID, "%s holds the text to be replaced more than once",
					self(c)->path),
			"set all, or firstFrom to a line number");
	if (!replace(str_skip(buf_str(&text), head.len), search,
		    arg_str(c, ARG_File_withReplaced_replacement), 0, all, &changed) &&
		!all)
		return err_new(ERR_NOT_FOUND, "%s does not hold the text to be replaced", self(c)->path);
	const struct file_action a = {.kind = FILE_MKFILE,
		.dest = own_place(c),
		.data = buf_str(&changed),
		.mode = mode_text(c, st.st_mode & 07777)};
	TRY(node_actions(c->d, NULL, &a, 1, "replace", &n));
	call_give(c, file_new(c, n, a.dest));
	return NULL;
}

struct err *resolve_file_as_json(struct call *c)
{
	AUTO_BUF struct buf text = {0};
	AUTO_JSON json_t *j = NULL;
	struct text *t = OBJECT_NEW(c, "JSONValue", text);

	TRY(file_read_all(c, self(c), &text));
	j = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_DECODE_ANY, NULL);
	if (!j)
		return err_new(ERR_INVALID, "%s does not hold JSON", self(c)->path);
	AUTO_FREE char *dump = json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT);
	t->text = keep_text(c->d, dump);
	call_give(c, t);
	return NULL;
}

struct err *resolve_json_value_contents(struct call *c)
{
	const struct text *t = (const struct text *)(const void *)c->self;
	AUTO_JSON json_t *j = json_loads(t->text, JSON_DECODE_ANY, NULL);
	size_t indent = arg_str(c, ARG_JSONValue_contents_indent).len;
	bool pretty = arg_flag(c, ARG_JSONValue_contents_pretty);

	AUTO_FREE char *text =
		json_dumps(j, JSON_ENCODE_ANY | (pretty ? JSON_INDENT(indent & 31) : JSON_COMPACT));
	gql_out_string(c->out, str_c(text));
	return NULL;
}

/* ---- to and from the disk ---- */

static struct err *copy_out(struct call *c, const struct file *f, const char *path)
{
	AUTO_FREE char *partial = mem_printf("%s.partial-%d", path, (int)getpid());
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	struct stat st;

	TRY(open_file(c, f, &in, &st));
	TRY(file_open(AT_FDCWD, partial, O_WRONLY | O_CREAT | O_TRUNC, st.st_mode & 0777, &out));
	struct err *e = fd_copy(in, out, (uint64_t)st.st_size, path);
	if (!e && rename(partial, path) < 0)
		e = err_sys(errno, "writing %s", path);
	if (e)
		unlink(partial);
	return e;
}

struct err *resolve_file_export(struct call *c)
{
	const char *path = host_path(c, arg_text(c, ARG_File_export_path));
	struct stat st;

	bool into = cstr_ends(arg_text(c, ARG_File_export_path), "/");
	bool is_dir = fstatat(AT_FDCWD, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
	if (is_dir && !arg_flag(c, ARG_File_export_allowParentDirPath))
		return err_hint(err_new(ERR_INVALID, "%s is a directory", path),
			"allowParentDirPath puts the file into it");
	if (is_dir || into)
		path = arena_printf(c->arena, "%s/%s", path, path_base(self(c)->path));
	AUTO_FREE char *dir = path_dir(path);
	TRY(dir_make_all(AT_FDCWD, dir, 0755));
	TRY(copy_out(c, self(c), path));
	gql_out_string(c->out, str_c(path));
	return NULL;
}

struct err *file_on_disk(struct call *c, const struct file *f, char **path)
{
	AUTO_FREE char *dir = NULL;

	TRY(session_scratch(c->d->session, &dir));
	AUTO_FREE char *to = path_join(dir, "file");
	TRY(copy_out(c, f, to));
	*path = steal(&to);
	return NULL;
}

struct err *file_of_disk(struct call *c, const char *dir, const char *name)
{
	AUTO_STRVEC struct strvec include = {0}, none = {0};
	struct node *n = NULL;

	strvec_push(&include, name);
	TRY(host_directory_node(c, dir, &include, &none, true, &n));
	call_give(c, file_new(c, n, path_at(c->d, "/", name)));
	return NULL;
}
