/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_show.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <string.h>

static void add_take(struct table *t, char *text)
{
	table_cell(t, text);
	mem_freep(&text);
}

/* "12s", "5m", "7h", "3d" */
static char *age(int64_t since)
{
	int64_t s = since ? (clock_now() - since) / CLOCK_SECOND : 0;

	if (s < 60)
		return mem_printf("%llds", (long long)(s > 0 ? s : 0));
	if (s < 3600)
		return mem_printf("%lldm", (long long)(s / 60));
	if (s < 48 * 3600)
		return mem_printf("%lldh", (long long)(s / 3600));
	return mem_printf("%lldd", (long long)(s / 86400));
}

static char *duration(int64_t started, int64_t ended)
{
	char text[CLOCK_TEXT_MAX];

	return started ? mem_strdup(clock_duration((ended ? ended : clock_now()) - started, text))
		       : mem_strdup("-");
}

/* Who took the jobs; in parentheses the labels that they wait for. */
static char *runners(const struct run *run)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_BUF struct buf out = {0};

	for (size_t i = 0; i < run->jobs.len; i++) {
		const struct job *j = vec_at(&run->jobs, i);
		AUTO_FREE char *name = j->runner ? mem_strdup(j->runner) : mem_printf("(%s)", j->label);
		if (!strvec_has(&names, name))
			strvec_push(&names, name);
	}
	for (size_t i = 0; i < names.len; i++)
		buf_addf(&out, "%s%s", i ? "," : "", names.ptr[i]);
	return mem_strdup(buf_cstr(&out));
}

void show_run_list(FILE *out, const struct vec *runs)
{
	static const char *const titles[] = {"RUN", "STATUS", "CONTAINER", "TAG", "RUNNER", "AGE", "TIME"};
	struct table t = {0};

	table_start(&t, titles, ARRAY_LEN(titles));
	for (size_t i = 0; i < runs->len; i++) {
		const struct run *r = vec_at(runs, i);
		const struct job *first = r->jobs.len ? vec_at(&r->jobs, 0) : NULL;
		add_take(&t, mem_printf("%lld", (long long)r->number));
		table_cell(&t, job_status_name(r->status));
		table_cell(&t, r->container);
		/* the version and the commit */
		table_cell(&t, first ? first->tag : r->commit);
		add_take(&t, runners(r));
		add_take(&t, age(r->created));
		add_take(&t, duration(r->started, r->ended));
	}
	table_print(&t, out);
	table_fini(&t);
}

static void show_head(FILE *out, const struct run *r)
{
	char when[CLOCK_TEXT_MAX];
	AUTO_FREE char *subject = terminal_line(r->subject);
	AUTO_FREE char *requester = terminal_line(*r->requested_by ? r->requested_by : "-");
	AUTO_FREE char *container = terminal_line(r->container);

	fprintf(out, "run        %lld  %s\n", (long long)r->number, job_status_name(r->status));
	fprintf(out, "container  %s\n", container);
	fprintf(out, "commit     %s  %s\n", r->commit, subject);
	fprintf(out, "asked      %s by %s (%s)\n",
		clock_rfc3339(r->created - r->created % CLOCK_SECOND, when), requester, run_via_name(r->via));
}

void show_run(FILE *out, const struct run *r)
{
	static const char *const titles[] = {"JOB", "NAME", "RUNNER", "LABEL", "STATUS", "TIME", "REFERENCE"};
	struct table t = {0};

	show_head(out, r);
	table_start(&t, titles, ARRAY_LEN(titles));
	for (size_t i = 0; i < r->jobs.len; i++) {
		const struct job *j = vec_at(&r->jobs, i);
		add_take(&t, mem_printf("%u", j->index));
		add_take(&t, mem_printf("%s (%s)", r->container, j->kind));
		table_cell(&t, j->runner ? j->runner : "-");
		table_cell(&t, *j->label ? j->label : "-");
		table_cell(&t, job_status_name(j->status));
		add_take(&t, duration(j->started, j->ended));
		table_cell(&t, j->reference);
	}
	table_print(&t, out);
	table_fini(&t);
	for (size_t i = 0; i < r->jobs.len; i++) {
		const struct job *j = vec_at(&r->jobs, i);
		AUTO_FREE char *error = terminal_text(j->error ? j->error : "");
		if (*error)
			fprintf(out, "job %u: %s\n", j->index, error);
	}
}

void show_results(FILE *out, const struct run *run)
{
	for (size_t i = 0; i < run->jobs.len; i++) {
		const struct job *j = vec_at(&run->jobs, i);
		AUTO_FREE char *error = terminal_text(j->error ? j->error : "");
		if (j->status == JOB_SUCCESS)
			fprintf(out, "%s  %s@%s\n", j->already ? "already published" : "published",
				j->reference, j->digest);
		else
			fprintf(out, "%-9s  %s: %s\n",
				j->status == JOB_FAILURE ? "failed" : job_status_name(j->status), j->kind,
				error);
	}
}
