/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is still there, and what has changed: runs.lock. Byte n is locked by who holds run n via local. The
 * locks are those of open file descriptions (fcntl(2)): the kernel drops them however their owner ends, and a
 * child program can inherit them. The first eight bytes are a random number, another one after each change.
 */
#include "release/runs_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_TIME (CLOCK_SECOND / 10)

static struct err *open_lock_file(struct runs *r, int *fd)
{
	AUTO_FREE char *path = path_join(r->home, "runs.lock");
	return file_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0600, fd);
}

struct err *runs_lock_open(struct runs *r)
{
	return open_lock_file(r, &r->lock_fd);
}

void runs_lock_close(struct runs *r)
{
	struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	/* A child that has not executed anything yet shares the description. */
	if (r->hold_fd >= 0 && !r->passed_on)
		fcntl(r->hold_fd, F_OFD_SETLK, &all);
	fd_closep(&r->hold_fd);
	fd_closep(&r->lock_fd);
}

static struct flock byte_of(int64_t number)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = number, .l_len = 1};
}

struct err *runs_hold(struct runs *r, int64_t number)
{
	struct flock lock = byte_of(number);

	if (r->hold_fd < 0)
		TRY(open_lock_file(r, &r->hold_fd));
	if (fcntl(r->hold_fd, F_OFD_SETLK, &lock) < 0)
		return err_sys(errno, "locking %s/runs.lock for run %lld", r->home, (long long)number);
	return NULL;
}

struct err *runs_is_held(struct runs *r, int64_t number, bool *held)
{
	struct flock lock = byte_of(number);

	if (fcntl(r->lock_fd, F_OFD_GETLK, &lock) < 0)
		return err_sys(errno, "asking who works on run %lld", (long long)number);
	*held = lock.l_type != F_UNLCK;
	return NULL;
}

struct err *runs_pass_on(struct runs *r, int *fd)
{
	WITH_RUNS(r);
	if (r->hold_fd < 0)
		TRY(open_lock_file(r, &r->hold_fd));
	int copy = fcntl(r->hold_fd, F_DUPFD, 3);
	if (copy < 0)
		return err_sys(errno, "passing on the lock of runs");
	r->passed_on = true;
	*fd = copy;
	return NULL;
}

struct err *runs_take_over(struct runs *r, int fd)
{
	WITH_RUNS(r);
	struct stat mine, theirs;

	if (fstat(r->lock_fd, &mine) < 0)
		return err_sys(errno, "looking at %s/runs.lock", r->home);
	if (r->hold_fd >= 0 || fstat(fd, &theirs) < 0 || mine.st_dev != theirs.st_dev ||
		mine.st_ino != theirs.st_ino)
		return err_new(ERR_INVALID, "descriptor %d is no lock of runs of %s", fd, r->home);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	r->hold_fd = fd;
	return NULL;
}

void runs_announce(struct runs *r)
{
	uint64_t mark = 0;

	random_bytes(&mark, sizeof(mark));
	/* When it cannot be written (a full disk), who waits looks again after its time is over. */
	if (pwrite(r->lock_fd, &mark, sizeof(mark), 0) < 0)
		errno = 0;
	pthread_mutex_lock(&r->wait_mu);
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->wait_mu);
}

uint64_t runs_seen(struct runs *r)
{
	uint64_t mark = 0;

	return pread(r->lock_fd, &mark, sizeof(mark), 0) == (ssize_t)sizeof(mark) ? mark : 0;
}

void runs_wait(struct runs *r, uint64_t seen, int64_t timeout, const struct cancel *cancel)
{
	int64_t end = clock_monotonic() + timeout;

	pthread_mutex_lock(&r->wait_mu);
	while (runs_seen(r) == seen && !cancel_is_set(cancel)) {
		int64_t now = clock_monotonic();
		if (now >= end)
			break;
		clock_cond_wait(&r->changed, &r->wait_mu, end < now + POLL_TIME ? end : now + POLL_TIME);
	}
	pthread_mutex_unlock(&r->wait_mu);
}
