/* SPDX-License-Identifier: Apache-2.0 */
/* Named locks: lock_fd on locks/<hash of the name>. Each holder has its own open file, so threads exclude
 * each other. */
#include "base/cancel.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_FIRST_MS 2
#define POLL_LAST_MS 50

struct store_lock {
	struct store *s;
	int fd;
	char path[STORE_PATH_MAX];
};

int lock_fd(int fd, enum fd_lock how, bool wait)
{
	struct flock l = {.l_type = how == FD_SHARED ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	int r;
	do
		r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EACCES)
		errno = EAGAIN;
	return r;
}

void unlock_fd(int fd)
{
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
	fcntl(fd, F_OFD_SETLK, &l);
}

bool fd_still_named(int dirfd, const char *path, int fd)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && fstatat(dirfd, path, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static void lock_path(const char *name, char out[STORE_PATH_MAX])
{
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	struct str text = str_c(name);
	digest_of(text.ptr, text.len, &d);
	snprintf(out, STORE_PATH_MAX, "locks/%.40s", digest_hex(&d, hex));
}

/* *got false: somebody else holds it. */
static struct err *try_once(struct store *s, const char *path, bool shared, bool wait, int *out, bool *got)
{
	for (;;) {
		AUTO_FD int fd = -1;
		*got = false;
		TRY(file_open(s->fd, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &fd));
		if (lock_fd(fd, shared ? FD_SHARED : FD_EXCLUSIVE, wait) < 0)
			return errno == EAGAIN ? NULL : err_sys(errno, "locking %s/%s", s->home, path);
		/* The last holder removes the file; a lock on the removed one excludes nobody. */
		if (!fd_still_named(s->fd, path, fd))
			continue;
		*out = steal_fd(&fd);
		*got = true;
		return NULL;
	}
}

static struct err *wait_a_moment(const struct cancel *cancel, int *ms)
{
	struct pollfd p = {.fd = cancel_fd(cancel), .events = POLLIN};
	poll(&p, 1, *ms);
	*ms = *ms * 2 > POLL_LAST_MS ? POLL_LAST_MS : *ms * 2;
	return cancel_check(cancel);
}

static struct err *acquire(
	struct store *s, const char *path, bool shared, const struct cancel *cancel, int *fd, bool *waited)
{
	bool got = false;
	TRY(cancel_check(cancel));
	TRY(try_once(s, path, shared, false, fd, &got));
	*waited = !got;
	if (got)
		return NULL;
	if (!cancel)
		return try_once(s, path, shared, true, fd, &got);
	for (int ms = POLL_FIRST_MS; !got;) {
		TRY(wait_a_moment(cancel, &ms));
		TRY(try_once(s, path, shared, false, fd, &got));
	}
	return NULL;
}

static struct store_lock *lock_of(struct store *s, int fd, const char *path)
{
	struct store_lock *l = mem_new(struct store_lock);
	l->s = s;
	l->fd = fd;
	snprintf(l->path, sizeof(l->path), "%s", path);
	return l;
}

struct err *store_lock(struct store *s, const char *name, bool shared, const struct cancel *cancel,
	bool *waited, struct store_lock **out)
{
	TRY(store_writable(s));
	char path[STORE_PATH_MAX];
	lock_path(name, path);
	int fd = -1;
	bool had_to_wait = false;
	struct err *e = acquire(s, path, shared, cancel, &fd, &had_to_wait);
	if (e)
		return err_wrap(e, "waiting for the lock of %s", name);
	if (waited)
		*waited = had_to_wait;
	*out = lock_of(s, fd, path);
	return NULL;
}

struct err *store_try_lock(struct store *s, const char *name, bool shared, struct store_lock **out)
{
	TRY(store_writable(s));
	char path[STORE_PATH_MAX];
	lock_path(name, path);
	int fd = -1;
	bool got = false;
	struct err *e = try_once(s, path, shared, false, &fd, &got);
	if (e)
		return err_wrap(e, "taking the lock of %s", name);
	*out = got ? lock_of(s, fd, path) : NULL;
	return NULL;
}

void store_unlock(struct store_lock *l)
{
	if (!l)
		return;
	/* Only who has it alone may remove the file. Giving up a shared hold while trying is no loss here. */
	if (lock_fd(l->fd, FD_EXCLUSIVE, false) == 0 && fd_still_named(l->s->fd, l->path, l->fd))
		unlinkat(l->s->fd, l->path, 0);
	unlock_fd(l->fd);
	close(l->fd);
	free(l);
}

void store_unlockp(struct store_lock **l)
{
	store_unlock(*l);
	*l = NULL;
}
