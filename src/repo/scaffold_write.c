/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/scaffold_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_NAMES 6

/* One of the two folders, on its way to its name. */
struct folder {
	const char *dir;    /* relative to the repository */
	int parent;         /* where it will lie */
	char temporary[40]; /* its name until then; "" before and after */
	bool placed;
};

static struct err *open_repo_dir(struct repo *r, int *out)
{
	return file_open(AT_FDCWD, repo_root(r), O_RDONLY | O_DIRECTORY, 0, out);
}

static struct err *exists_error(int rootfd, const char *dir)
{
	struct err *e = err_new(ERR_EXISTS, "%s exists already", dir);
	AUTO_STRVEC struct strvec names = {0};
	AUTO_BUF struct buf list = {0};
	struct err *look = dir_list(rootfd, dir, &names);
	if (look) {
		err_ignore(look, "only for a better hint; it may be a file");
		return e;
	}
	for (size_t i = 0; i < names.len && i < SHOWN_NAMES; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", names.ptr[i]);
	if (names.len > SHOWN_NAMES)
		buf_addf(&list, " and %zu more", names.len - SHOWN_NAMES);
	return err_hint(e, "it holds %s; choose another name, or move it away",
		names.len ? buf_cstr(&list) : "nothing");
}

static struct err *check_free(int rootfd, const char *parent, const char *name)
{
	AUTO_FREE char *dir = mem_printf("%s/%s", parent, name);
	bool there = false;
	TRY(file_exists(rootfd, dir, &there));
	return there ? exists_error(rootfd, dir) : NULL;
}

struct err *scaffold_check(struct repo *r, const struct repo_config *cfg, const char *name, bool manifests)
{
	AUTO_FD int rootfd = -1;
	TRY(scaffold_check_name(name));
	TRY(open_repo_dir(r, &rootfd));
	TRY(check_free(rootfd, cfg->containers, name));
	return manifests ? check_free(rootfd, cfg->manifests.ptr[0], name) : NULL;
}

static struct err *open_parent(int rootfd, struct folder *f)
{
	static const struct made_dir how = {
		.mode = 0777, .uid = (uint32_t)-1, .gid = (uint32_t)-1, .mtime = INT64_MIN};
	AUTO_FREE char *parent = path_dir(f->dir);
	AUTO_FD int place = -1;
	TRY(root_make_dirs(rootfd, parent, &how, &place));
	/* Links in the path were followed inside the repository; from here on names are single components. */
	return file_open(place, ".", O_RDONLY | O_DIRECTORY, 0, &f->parent);
}

static struct err *write_file(const struct folder *f, const struct scaffold_file *file)
{
	AUTO_FREE char *path = mem_printf("%s/%s", f->temporary, file->path + strlen(f->dir) + 1);
	AUTO_FREE char *dir = path_dir(path);
	AUTO_FD int fd = -1;
	TRY(dir_make_all(f->parent, dir, 0777));
	TRY(file_open(f->parent, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
		file->executable ? 0777 : 0666, &fd));
	return fd_write_all(fd, file->text.ptr, file->text.len, path);
}

static struct err *fill(int rootfd, struct folder *f, const struct vec *files)
{
	char random[17];
	TRY(open_parent(rootfd, f));
	random_hex(random, 8);
	snprintf(f->temporary, sizeof(f->temporary), ".new-%s", random);
	for (size_t i = 0; i < files->len; i++) {
		const struct scaffold_file *file = vec_at(files, i);
		if (path_below(file->path, f->dir))
			TRY(write_file(f, file));
	}
	return NULL;
}

static struct err *place(int rootfd, struct folder *f)
{
	if (renameat2(f->parent, f->temporary, f->parent, path_base(f->dir), RENAME_NOREPLACE) == 0) {
		f->placed = true;
		return NULL;
	}
	return errno == EEXIST ? exists_error(rootfd, f->dir) : err_sys(errno, "making %s", f->dir);
}

/* What an error leaves: nothing of ours. */
static struct err *withdraw(struct folder *f, struct err *why)
{
	const char *name = f->placed ? path_base(f->dir) : f->temporary;
	if (f->parent < 0 || !*name)
		return why;
	return err_first(why, tree_remove(f->parent, name));
}

struct err *scaffold_write(struct repo *r, const struct scaffold *s)
{
	struct folder folders[2] = {{.dir = s->dir, .parent = -1}, {.dir = s->manifests_dir, .parent = -1}};
	size_t count = s->manifests_dir ? 2 : 1;
	AUTO_FD int rootfd = -1;
	struct err *e = open_repo_dir(r, &rootfd);
	for (size_t i = 0; i < count && !e; i++)
		e = fill(rootfd, &folders[i], &s->files);
	for (size_t i = 0; i < count && !e; i++)
		e = place(rootfd, &folders[i]);
	for (size_t i = 0; i < count; i++) {
		if (e)
			e = withdraw(&folders[i], e);
		fd_closep(&folders[i].parent);
	}
	return e;
}
