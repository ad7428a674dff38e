/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds.h"
#include "cli/via.h"

struct cancel_args {
	const char *via;
};

static const struct option options[] = {
	{"via", 0, OPTION_TEXT, "WHERE", offsetof(struct cancel_args, via), VIA_HELP},
};

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct cancel_args *a = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(run_source_close) struct run_source source = {0};
	AUTO(run_fini) struct run run = {0};
	int64_t number = 0;

	TRY(via_run_number(operands->ptr[0], &number));
	TRY(engine_open(&c->engine, &eng));
	TRY(via_source(eng, a->via, &source));
	TRY(source.cancel(source.ctx, number));
	TRY(source.get(source.ctx, number, &run));
	fprintf(c->out, "run %lld: %s\n", (long long)number,
		job_status_is_final(run.status) ? job_status_name(run.status) : "asked to stop");
	return NULL;
}

const struct command cmd_cancel = {
	.name = "cancel",
	.summary = "stop a run: jobs that wait at once, those that run as soon as they can",
	.operands = "RUN",
	.details = "What is published stays so. A run that has ended in another way is an error.",
	.min = 1,
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct cancel_args),
	.run = run,
};
