/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/run_follow.h"
#include "cli/run_show.h"
#include "cli/via.h"
#include "release/run_json.h"

#define DEFAULT_LIMIT 20
#define STATUS_INTERRUPTED 130

struct logs_args {
	const char *via, *job;
	uint64_t limit;
	bool follow, exit_status, json;
};

#define OPT(field) offsetof(struct logs_args, field)

static const struct option options[] = {
	{"job", 'j', OPTION_TEXT, "N", OPT(job), "the whole log of this job of the run, from 0"},
	{"follow", 'f', OPTION_FLAG, NULL, OPT(follow),
		"go on until the job has ended; without -j the logs of all jobs, one after another"},
	{"exit-status", 0, OPTION_FLAG, NULL, OPT(exit_status),
		"with a run: exit with 1 unless it succeeded"},
	{"limit", 'n', OPTION_NUMBER, "N", OPT(limit), "how many runs are listed (default: 20)"},
	{"via", 0, OPTION_TEXT, "WHERE", OPT(via), VIA_HELP},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print runs as JSON"},
};

static void print_json(struct cli *c, json_t *o)
{
	AUTO_FREE char *text = json_dump_pretty(o);

	fprintf(c->out, "%s\n", text);
	json_decref(o);
}

static struct err *list(struct cli *c, const struct logs_args *a, const struct run_source *source)
{
	struct vec all = VEC_OF(struct run);

	TRY(source->list(source->ctx, 0, a->limit ? a->limit : DEFAULT_LIMIT, &all));
	if (a->json) {
		json_t *o = json_array();
		for (size_t i = 0; i < all.len; i++)
			json_array_append_new(o, run_to_json(vec_at(&all, i)));
		print_json(c, o);
	} else if (all.len) {
		show_run_list(c->out, &all);
	} else {
		fprintf(c->out, "no runs yet\n");
	}
	for (size_t i = 0; i < all.len; i++)
		run_fini(vec_at(&all, i));
	vec_fini(&all);
	return NULL;
}

static struct err *show_log(
	struct cli *c, const struct logs_args *a, const struct run_source *source, int64_t number)
{
	const struct follow f = {.c = c, .source = source, .out = c->out, .live = a->follow};
	uint64_t index = 0;

	if (!a->job)
		return follow_run(&f, number);
	if (!str_to_u64(str_c(a->job), &index) || index > UINT32_MAX)
		return err_new(ERR_USAGE, "-j takes the index of a job, not \"%s\"", a->job);
	return follow_job(&f, number, (uint32_t)index);
}

static struct err *show(
	struct cli *c, const struct logs_args *a, const struct run_source *source, int64_t number)
{
	AUTO(run_fini) struct run run = {0};

	if (a->job || a->follow)
		TRY(show_log(c, a, source, number));
	if (a->job && !a->exit_status)
		return NULL;
	TRY(source->get(source->ctx, number, &run));
	if (a->json && !a->job && !a->follow)
		print_json(c, run_to_json(&run));
	else if (!a->job && !a->follow)
		show_run(c->out, &run);
	if (a->exit_status && run.status != JOB_SUCCESS)
		c->exit_status = 1;
	return NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct logs_args *a = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(run_source_close) struct run_source source = {0};
	int64_t number = 0;

	if (!operands->len && (a->job || a->follow || a->exit_status))
		return err_hint(err_new(ERR_USAGE, "which run?"), "cooper logs lists them");
	if (operands->len)
		TRY(via_run_number(operands->ptr[0], &number));
	TRY(engine_open(&c->engine, &eng));
	TRY(via_source(eng, a->via, &source));
	struct err *e = operands->len ? show(c, a, &source, number) : list(c, a, &source);
	if (err_kind(e) != ERR_CANCELED || !a->follow)
		return e;
	/* ^C is how one stops watching. */
	err_ignore(e, "the user has seen enough");
	c->exit_status = STATUS_INTERRUPTED;
	return NULL;
}

const struct command cmd_logs = {
	.name = "logs",
	.summary = "recent runs, newest first; a run's jobs; a job's whole log",
	.operands = "[RUN]",
	.details = "A log that was shown is success, however its job ended; --exit-status tells.",
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct logs_args),
	.run = run,
};
