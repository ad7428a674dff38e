/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define COPY_CHUNK (256u << 10)
#define COPY_MOST ((size_t)1 << 30)

enum copy_way { WAY_RANGE, WAY_SENDFILE, WAY_READ };

struct copy {
	int in, out;
	const char *what;
	enum copy_way way;
};

static bool way_refused(int sysno)
{
	return sysno == EXDEV || sysno == EINVAL || sysno == EOPNOTSUPP || sysno == ENOSYS ||
	       sysno == EPERM || sysno == ETXTBSY || sysno == EBADF;
}

static struct err *copy_by_read(struct copy *c, off_t at, off_t end)
{
	char small[16 << 10];
	size_t room = (size_t)(end - at) <= sizeof(small) ? sizeof(small) : COPY_CHUNK;
	AUTO_FREE char *big = room > sizeof(small) ? mem_alloc(room) : NULL;
	char *b = big ? big : small;
	while (at < end) {
		size_t want = (uint64_t)(end - at) < room ? (size_t)(end - at) : room;
		ssize_t n = pread(c->in, b, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "reading %s", c->what);
		if (n == 0)
			return err_new(ERR_UNAVAILABLE, "%s became shorter while it was copied", c->what);
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(c->out, b + done, (size_t)(n - done), at + done);
			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return err_sys(errno, "writing a copy of %s", c->what);
			done += w;
		}
		at += n;
	}
	return NULL;
}

static ssize_t copy_some(struct copy *c, off_t at, off_t end)
{
	size_t want = (uint64_t)(end - at) < COPY_MOST ? (size_t)(end - at) : COPY_MOST;
	off_t in_at = at, out_at = at;
	if (c->way == WAY_RANGE)
		return copy_file_range(c->in, &in_at, c->out, &out_at, want, 0);
	if (lseek(c->out, at, SEEK_SET) < 0)
		return -1;
	return sendfile(c->out, c->in, &in_at, want);
}

static struct err *copy_segment(struct copy *c, off_t at, off_t end)
{
	while (at < end && c->way != WAY_READ) {
		ssize_t n = copy_some(c, at, end);
		if (n > 0) {
			at += n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* 0 is also what some file systems answer where they cannot: the plain way tells which it is.
		 */
		if (n == 0 || way_refused(errno)) {
			c->way = n == 0 ? WAY_READ : c->way + 1;
			continue;
		}
		return err_sys(errno, "copying %s", c->what);
	}
	return copy_by_read(c, at, end);
}

static struct err *copy_data_parts(struct copy *c, off_t size)
{
	for (off_t at = 0; at < size;) {
		off_t data = lseek(c->in, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return NULL;
		if (data < 0)
			return copy_segment(c, at, size);
		off_t hole = lseek(c->in, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		if (data >= size)
			return NULL;
		TRY(copy_segment(c, data, hole));
		at = hole;
	}
	return NULL;
}

struct err *fd_copy(int in, int out, uint64_t size, const char *what)
{
	struct copy c = {.in = in, .out = out, .what = what, .way = WAY_RANGE};
	if (size == 0)
		return NULL;
	if (size > INT64_MAX)
		return err_new(ERR_INVALID, "%s: impossible size", what);
	/* Two plain calls beat any clever one for what fits a few pages. */
	if (size <= (16u << 10))
		return copy_by_read(&c, 0, (off_t)size);
	struct stat st;
	if (fstat(in, &st) < 0)
		return err_sys(errno, "reading %s", what);
	if ((uint64_t)st.st_size == size && ioctl(out, FICLONE, in) == 0)
		return NULL;
	bool sparse = S_ISREG(st.st_mode) && (uint64_t)st.st_blocks * 512 < size;
	if (!sparse)
		return copy_segment(&c, 0, (off_t)size);
	TRY(copy_data_parts(&c, (off_t)size));
	if (ftruncate(out, (off_t)size) < 0)
		return err_sys(errno, "sizing a copy of %s", what);
	return NULL;
}
