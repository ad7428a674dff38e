/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_follow.h"

#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* What SIGPIPE would have given. */
#define STATUS_UNREAD (128 + SIGPIPE)

struct sink {
	FILE *out;
	bool terminal;
	struct terminal_filter filter;
	bool unread;
};

static struct err *write_out(void *ctx, struct str bytes)
{
	struct sink *s = ctx;
	AUTO_BUF struct buf clean = {0};

	if (s->terminal) {
		terminal_filter(&s->filter, bytes, &clean);
		bytes = buf_str(&clean);
	}
	errno = 0;
	fwrite(bytes.ptr, 1, bytes.len, s->out);
	if (fflush(s->out) == 0 && !ferror(s->out))
		return NULL;
	s->unread = errno == EPIPE;
	return errno ? err_sys(errno, "writing the log") : err_new(ERR_IO, "writing the log");
}

struct err *follow_job(const struct follow *f, int64_t number, uint32_t index)
{
	struct sink sink = {.out = f->out, .terminal = isatty(fileno(f->out)) == 1};
	const struct run_log_request rq = {
		.number = number,
		.index = index,
		.follow = f->live,
		.sink = write_out,
		.ctx = &sink,
		.cancel = f->c->cancel,
	};
	struct err *e = f->source->log(f->source->ctx, &rq);

	if (!sink.unread)
		return e;
	err_ignore(e, "who stops reading has seen enough");
	clearerr(f->out);
	f->c->exit_status = STATUS_UNREAD;
	return NULL;
}

struct err *follow_run(const struct follow *f, int64_t number)
{
	AUTO(run_fini) struct run run = {0};

	TRY(f->source->get(f->source->ctx, number, &run));
	for (size_t i = 0; i < run.jobs.len && f->c->exit_status != STATUS_UNREAD; i++) {
		const struct job *j = vec_at(&run.jobs, i);
		if (run.jobs.len > 1)
			fprintf(f->out, "%s==> job %u: %s <==\n", i ? "\n" : "", j->index, j->kind);
		struct err *e = follow_job(f, number, (uint32_t)i);
		if (err_kind(e) != ERR_NOT_FOUND) {
			TRY(e);
			continue;
		}
		report_error(f->c, e);
		err_ignore(e, "the other jobs may have a log");
	}
	return NULL;
}
