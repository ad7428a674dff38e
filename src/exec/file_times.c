/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"
#include "exec/executor_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_DEPTH 4096

static struct err *set_below(int fd, const struct timespec times[2], int depth)
{
	AUTO_STRVEC struct strvec names = {0};

	if (depth > MAX_DEPTH)
		return err_sys(ENAMETOOLONG, "setting times");
	TRY(dir_list(fd, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		struct stat st;
		if (fstatat(fd, names.ptr[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(errno, "setting the times of %s", names.ptr[i]);
		if (S_ISDIR(st.st_mode)) {
			AUTO_FD int inner = -1;
			TRY(file_open(fd, names.ptr[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &inner));
			TRY(set_below(inner, times, depth + 1));
		}
		if (utimensat(fd, names.ptr[i], times, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(errno, "setting the times of %s", names.ptr[i]);
	}
	return NULL;
}

struct err *file_set_times(int rootfd, const char *path, int64_t seconds)
{
	const struct timespec t = {.tv_sec = seconds}, times[2] = {t, t};
	AUTO_FD int fd = -1;
	struct stat st;

	TRY(root_open(rootfd, path, O_RDONLY | O_NONBLOCK, 0, &fd));
	if (fstat(fd, &st) < 0)
		return err_sys(errno, "setting the times of %s", path);
	if (S_ISDIR(st.st_mode))
		TRY(set_below(fd, times, 0));
	return futimens(fd, times) < 0 ? err_sys(errno, "setting the times of %s", path) : NULL;
}
