/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/step_internal.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct settling {
	int64_t start, epoch;
	uint64_t size;
};

static struct err *set_time(int dir, const char *name, const struct stat *st, const struct settling *w)
{
	if (stat_mtime_ns(st) < w->start)
		return NULL;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, timespec_of_ns(w->epoch)};
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "setting the time of %s", name);
	return NULL;
}

static struct err *settle_entry(int dir, const char *name, struct settling *w, struct strvec *subdirs)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "reading %s", name);
	if (S_ISSOCK(st.st_mode)) {
		if (unlinkat(dir, name, 0) < 0)
			return err_sys(errno, "removing socket %s", name);
		return NULL;
	}
	w->size += (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) || !st.st_nlink ? 1 : st.st_nlink);
	if (S_ISDIR(st.st_mode)) {
		strvec_push(subdirs, name);
		return NULL;
	}
	return set_time(dir, name, &st, w);
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* All of a directory but its subdirectories, whose names are appended, and itself. */
static struct err *settle_dir(int dir, struct settling *w, struct strvec *subdirs)
{
	AUTO_FD int copy = -1;
	TRY(file_open(dir, ".", O_RDONLY | O_DIRECTORY, 0, &copy));
	DIR *d AUTO(closedirp) = fdopendir(copy);
	if (!d)
		return err_sys(errno, "reading a directory");
	steal_fd(&copy);
	struct dirent *de;
	while (errno = 0, (de = readdir(d))) {
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			TRY(settle_entry(dir, de->d_name, w, subdirs));
	}
	return errno ? err_sys(errno, "reading a directory") : NULL;
}

struct level {
	struct strvec subdirs; /* those still to be visited */
};

static void levels_fini(struct vec *levels)
{
	for (size_t i = 0; i < levels->len; i++)
		strvec_fini(&((struct level *)vec_at(levels, i))->subdirs);
	vec_fini(levels);
}

static struct err *move_to(int *dir, const char *name)
{
	AUTO_FD int next = -1;
	TRY(file_open(*dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &next));
	fd_closep(dir);
	*dir = steal_fd(&next);
	return NULL;
}

/* Depth first with one directory open, however deep the tree: nobody else changes it any more, so ".." leads
 * back. */
static struct err *settle_tree(int rootfd, struct settling *w)
{
	struct vec levels AUTO(levels_fini) = VEC_OF(struct level);
	AUTO_FD int dir = -1;
	TRY(file_open(rootfd, ".", O_RDONLY | O_DIRECTORY, 0, &dir));
	struct level *top = vec_push(&levels);
	TRY(settle_dir(dir, w, &top->subdirs));
	while (levels.len) {
		top = vec_at(&levels, levels.len - 1);
		if (top->subdirs.len) {
			TRY(move_to(&dir, top->subdirs.ptr[top->subdirs.len - 1]));
			strvec_remove(&top->subdirs, top->subdirs.len - 1);
			top = vec_push(&levels);
			TRY(settle_dir(dir, w, &top->subdirs));
			continue;
		}
		struct stat st;
		if (fstat(dir, &st) < 0)
			return err_sys(errno, "reading a directory");
		TRY(set_time(dir, ".", &st, w));
		strvec_fini(&top->subdirs);
		vec_remove(&levels, levels.len - 1);
		if (levels.len)
			TRY(move_to(&dir, ".."));
	}
	return NULL;
}

struct err *step_settle(int rootfd, int64_t start, int64_t epoch, uint64_t *size)
{
	struct settling w = {.start = start, .epoch = epoch};
	TRY(settle_tree(rootfd, &w));
	/* The top is no entry of a layer, but the next step sees it. */
	struct timespec times[2] = {timespec_of_ns(epoch), timespec_of_ns(epoch)};
	if (futimens(rootfd, times) < 0)
		return err_sys(errno, "setting the time of a layer's root");
	*size = w.size;
	return NULL;
}
