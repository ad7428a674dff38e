/* SPDX-License-Identifier: Apache-2.0 */
/* A job's log is one file that only grows. Its size is that of the file, whatever a killed process was about
 * to write. */
#include "release/runs_internal.h"

#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *runs_log_name(int64_t job_id, char out[RUNS_LOG_NAME_MAX])
{
	snprintf(out, RUNS_LOG_NAME_MAX, "%lld.log", (long long)job_id);
	return out;
}

static struct err *open_log(struct runs *r, int64_t job_id, int flags, int *fd, uint64_t *size)
{
	char name[RUNS_LOG_NAME_MAX];
	struct stat st;

	TRY(file_open(r->logs_fd, runs_log_name(job_id, name), flags, 0600, fd));
	if (fstat(*fd, &st) < 0)
		return err_sys(errno, "looking at %s", name);
	*size = (uint64_t)st.st_size;
	return NULL;
}

struct err *runs_log_make(struct runs *r, int64_t job_id, uint64_t *size)
{
	AUTO_FD int fd = -1;

	return open_log(r, job_id, O_WRONLY | O_CREAT, &fd, size);
}

static struct err *write_at(int fd, struct str bytes, uint64_t at)
{
	while (bytes.len) {
		ssize_t n = pwrite(fd, bytes.ptr, bytes.len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "writing to the log of a job");
		bytes = str_skip(bytes, (size_t)n);
		at += (uint64_t)n;
	}
	return NULL;
}

struct err *runs_log_write(struct runs *r, int64_t job_id, struct str bytes, uint64_t at)
{
	AUTO_FD int fd = -1;
	uint64_t size = 0;

	TRY(open_log(r, job_id, O_WRONLY | O_CREAT, &fd, &size));
	return write_at(fd, bytes, at);
}

/* Of a log of size bytes. */
static bool ends_with(int fd, uint64_t size, const char *line)
{
	size_t len = strlen(line) + 1;
	AUTO_FREE char *last = mem_zalloc(len + 1);

	return size >= len && pread(fd, last, len, (off_t)(size - len)) == (ssize_t)len &&
	       last[len - 1] == '\n' && memcmp(last, line, len - 1) == 0;
}

struct err *runs_log_say(struct runs *r, int64_t job_id, const char *line)
{
	AUTO_FD int fd = -1;
	uint64_t size = 0;
	char last = '\n';

	TRY(open_log(r, job_id, O_RDWR | O_CREAT, &fd, &size));
	/* A transaction that was rolled back (a full disk) left it there. */
	if (ends_with(fd, size, line))
		return NULL;
	if (size && pread(fd, &last, 1, (off_t)size - 1) < 0)
		return err_sys(errno, "reading the log of a job");
	AUTO_FREE char *text = mem_printf("%s%s\n", last == '\n' ? "" : "\n", line);
	return write_at(fd, str_c(text), size);
}

struct err *runs_log_sync(struct runs *r, int64_t job_id)
{
	AUTO_FD int fd = -1;
	uint64_t size = 0;

	TRY(open_log(r, job_id, O_RDWR | O_CREAT, &fd, &size));
	if (fdatasync(fd) < 0)
		return err_sys(errno, "syncing the log of a job");
	return file_sync_dir(r->logs_fd, ".");
}

static struct err *read_log(struct runs *r, int64_t job_id, uint64_t offset, void *p, size_t *len)
{
	AUTO_FD int fd = -1;
	uint64_t size = 0;

	TRY(open_log(r, job_id, O_RDONLY, &fd, &size));
	size_t want = *len, have = 0;
	while (have < want) {
		ssize_t n = pread(fd, (char *)p + have, want - have, (off_t)(offset + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "reading the log of a job");
		if (n == 0)
			break;
		have += (size_t)n;
	}
	*len = have;
	return NULL;
}

struct err *runs_log_read(
	struct runs *r, int64_t job_id, uint64_t offset, void *p, size_t *len, bool *finished)
{
	TRY(runs_expire_local_if_possible(r));
	WITH_RUNS(r);
	AUTO(job_fini) struct job j = {0};
	bool found = false;

	/* First the status: once it is final, all bytes are there. */
	TRY(runs_load_job(r, job_id, &j, &found));
	if (!found)
		return err_new(ERR_NOT_FOUND, "there is no job %lld", (long long)job_id);
	if (j.log_gone)
		return err_new(ERR_NOT_FOUND, "the log of run %lld, job %u is not kept any more",
			(long long)j.run, j.index);
	if (j.log_size > offset)
		TRY(read_log(r, job_id, offset, p, len));
	else
		*len = 0;
	*finished = job_status_is_final(j.status);
	return NULL;
}
