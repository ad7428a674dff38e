/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/manifest_internal.h"
#include "repo/repo_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A file that is to be written. */
struct rewrite {
	const char *file;
	struct buf before, after;
};

static void rewrites_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++) {
		struct rewrite *w = vec_at(v, i);
		buf_fini(&w->before);
		buf_fini(&w->after);
	}
	vec_fini(v);
}

static bool has_file(const struct vec *v, const char *file)
{
	for (size_t i = 0; i < v->len; i++)
		if (cstr_eq(((const struct rewrite *)vec_at(v, i))->file, file))
			return true;
	return false;
}

static struct err *edit_file(struct repo *r, const char *file, const char *prefix,
	const struct pin_change *changes, size_t count, struct rewrite *out)
{
	AUTO(vec_fini) struct vec of_file = VEC_OF(struct pin_change);
	for (size_t i = 0; i < count; i++)
		if (cstr_eq(changes[i].pin->file, file))
			vec_push_copy(&of_file, &changes[i]);
	bool found = false;
	out->file = file;
	TRY(repo_read_at(r, NULL, file, MANIFEST_MAX_BYTES, &out->before, &found));
	if (!found)
		return err_new(ERR_NOT_FOUND, "%s is gone", file);
	return manifest_edit(buf_str(&out->before), file, prefix, of_file.ptr, of_file.len, &out->after);
}

struct err *manifests_edit(struct repo *r, const char *prefix, const struct pin_change *changes, size_t count,
	manifest_edited_fn *fn, void *ctx)
{
	AUTO(rewrites_fini) struct vec files = VEC_OF(struct rewrite);
	for (size_t i = 0; i < count; i++)
		if (!has_file(&files, changes[i].pin->file))
			TRY(edit_file(r, changes[i].pin->file, prefix, changes, count, vec_push(&files)));
	for (size_t i = 0; i < files.len; i++) {
		const struct rewrite *w = vec_at(&files, i);
		TRY(fn(ctx, w->file, buf_str(&w->before), buf_str(&w->after)));
	}
	return NULL;
}

/* New texts that lie beside their files. */
struct staged {
	const char *file;
	struct buf before;
	int dir;
	char *name, *tmp; /* tmp NULL: not there, or in its place */
};

struct staging {
	struct repo *repo;
	int root;
	struct vec files; /* of struct staged */
};

static void staging_fini(struct staging *s)
{
	for (size_t i = 0; i < s->files.len; i++) {
		struct staged *f = vec_at(&s->files, i);
		if (f->tmp)
			unlinkat(f->dir, f->tmp, 0);
		mem_freep(&f->tmp);
		mem_freep(&f->name);
		fd_closep(&f->dir);
		buf_fini(&f->before);
	}
	vec_fini(&s->files);
	fd_closep(&s->root);
}

static struct err *stage(void *ctx, const char *file, struct str before, struct str after)
{
	struct staging *s = ctx;
	struct stat st;
	if (str_eq(before, after))
		return NULL;
	struct staged *f = vec_push(&s->files);
	*f = (struct staged){.file = file, .dir = -1};
	buf_addstr(&f->before, before);
	TRY(root_stat(s->root, file, false, &st));
	TRY(root_open_parent(s->root, file, &f->dir, &f->name));
	return file_write_beside(f->dir, f->name, after.ptr, after.len, st.st_mode & 07777, true, &f->tmp);
}

/* An editor may have written it meanwhile. */
static struct err *check_unchanged(const struct staging *s, const struct staged *f)
{
	AUTO_BUF struct buf now = {0};
	bool found = false;
	TRY(repo_read_at(s->repo, NULL, f->file, MANIFEST_MAX_BYTES, &now, &found));
	if (found && str_eq(buf_str(&now), buf_str(&f->before)))
		return NULL;
	return err_new(ERR_INVALID, "%s was changed by somebody else meanwhile", f->file);
}

static struct err *put_in_place(struct staged *f)
{
	if (renameat(f->dir, f->tmp, f->dir, f->name) < 0)
		return err_sys(errno, "replacing %s", f->file);
	mem_freep(&f->tmp);
	return file_sync_dir(f->dir, ".");
}

struct err *manifests_apply(
	struct repo *r, const char *prefix, const struct pin_change *changes, size_t count)
{
	AUTO(staging_fini) struct staging s = {.repo = r, .root = -1, .files = VEC_OF(struct staged)};
	TRY(file_open(AT_FDCWD, repo_root(r), O_PATH | O_DIRECTORY, 0, &s.root));
	struct err *e = manifests_edit(r, prefix, changes, count, stage, &s);
	for (size_t i = 0; i < s.files.len && !e; i++)
		e = check_unchanged(&s, vec_at(&s.files, i));
	if (e)
		return err_wrap(e, "nothing was changed");
	for (size_t i = 0; i < s.files.len; i++)
		TRY(put_in_place(vec_at(&s.files, i)));
	return NULL;
}
