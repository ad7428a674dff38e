/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/executor_internal.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What was just made is no deeper than what its maker could make; this only bounds the recursion. */
#define MAX_DEPTH 4096

int64_t file_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return (int64_t)t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

struct settling {
	int64_t since;
	struct timespec epoch;
};

static struct err *settle(struct settling *s, int fd, int depth);

static struct err *settle_below(struct settling *s, DIR *d, int depth)
{
	for (;;) {
		errno = 0;
		struct dirent *de = readdir(d);
		if (!de)
			return errno ? err_sys(errno, "normalizing times") : NULL;
		if (de->d_type != DT_DIR || !strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		int sub = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return err_sys(errno, "normalizing the times of %s", de->d_name);
		TRY(settle(s, sub, depth + 1));
	}
}

/* Takes fd. */
static struct err *settle(struct settling *s, int fd, int depth)
{
	struct stat st;
	if (depth > MAX_DEPTH || fstat(fd, &st) < 0) {
		struct err *e = err_sys(depth > MAX_DEPTH ? ENAMETOOLONG : errno, "normalizing times");
		close(fd);
		return e;
	}
	DIR *d = fdopendir(fd);
	if (!d) {
		struct err *e = err_sys(errno, "normalizing times");
		close(fd);
		return e;
	}
	struct err *e = settle_below(s, d, depth);
	struct timespec times[2] = {s->epoch, s->epoch};
	if (!e && stat_mtime_ns(&st) >= s->since && futimens(dirfd(d), times) < 0)
		e = err_sys(errno, "normalizing times");
	closedir(d);
	return e;
}

struct err *settle_dir_times(int fd, int64_t since, int64_t epoch)
{
	struct settling s = {.since = since, .epoch = timespec_of_ns(epoch)};
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return err_sys(errno, "normalizing times");
	return settle(&s, own, 0);
}
