/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/manifest_internal.h"
#include "repo/repo_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

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

static struct err *write_edited(void *ctx, const char *file, struct str before, struct str after)
{
	int rootfd = *(const int *)ctx;
	AUTO_FD int dir = -1;
	AUTO_FREE char *name = NULL;
	struct stat st;
	if (str_eq(before, after))
		return NULL;
	TRY(root_stat(rootfd, file, false, &st));
	TRY(root_open_parent(rootfd, file, &dir, &name));
	return file_replace(dir, name, after.ptr, after.len, st.st_mode & 07777, true);
}

struct err *manifests_apply(
	struct repo *r, const char *prefix, const struct pin_change *changes, size_t count)
{
	AUTO_FD int root = -1;
	TRY(file_open(AT_FDCWD, repo_root(r), O_PATH | O_DIRECTORY, 0, &root));
	return manifests_edit(r, prefix, changes, count, write_edited, &root);
}
