/* SPDX-License-Identifier: Apache-2.0 */
#include "release/local.h"

#include "base/mem.h"

#include <errno.h>

struct run_log {
	struct runs *runs;
	const struct claimed_job *job;
	FILE *stream;
	uint64_t size;
	struct err *failed; /* the first error: what comes after it is dropped */
};

static ssize_t write_log(void *cookie, const char *p, size_t len)
{
	struct run_log *l = cookie;

	if (!l->failed)
		l->failed = runs_log_append(
			l->runs, l->job->job.id, l->job->lease, l->size, str_n(p, len), &l->size);
	/* Told at the end: a stream in error would keep its buffer and try again. */
	return (ssize_t)len;
}

struct err *run_log_open(struct runs *r, const struct claimed_job *job, struct run_log **out, FILE **stream)
{
	struct run_log *l = mem_new(struct run_log);
	const cookie_io_functions_t io = {.write = write_log};

	l->runs = r;
	l->job = job;
	l->stream = fopencookie(l, "w", io);
	if (!l->stream) {
		struct err *e = err_sys(errno, "opening the log of a job");
		mem_freep(&l);
		return e;
	}
	*out = l;
	*stream = l->stream;
	return NULL;
}

struct err *run_log_close(struct run_log *l)
{
	fclose(l->stream);
	struct err *e = l->failed;
	mem_freep(&l);
	return e;
}
