/* SPDX-License-Identifier: Apache-2.0 */
/* What "release --detach" leaves behind. */
#include "cli/build_args.h"
#include "cli/cmds.h"
#include "cli/job_text.h"
#include "cli/via.h"
#include "release/local.h"

struct worker_args {
	uint64_t hold;
	struct strvec allow;
	bool force;
};

#define OPT(field) offsetof(struct worker_args, field)

static const struct option options[] = {
	{"hold", 0, OPTION_NUMBER, "FD", OPT(hold), "the descriptor that holds the runs"},
	{"allow", 0, OPTION_LIST, "RIGHT", OPT(allow), "as of release"},
	{"force", 0, OPTION_FLAG, NULL, OPT(force), "as of release"},
};

static struct err *work_off(struct engine *eng, struct local_work *w, const char *operand, struct err *begun)
{
	TRY(via_run_number(operand, &w->number));
	return begun ? local_give_up(w->runs, w->number, begun) : local_work_off(eng, w);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct worker_args *a = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(runs_closep) struct runs *runs = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	struct job_text text = job_text_log();
	struct local_work w = {.force = a->force, .text = &text, .cancel = c->cancel};
	struct err *first = NULL;

	TRY(build_allow_parse(&a->allow, &w.allow_insecure));
	TRY(engine_open(&c->engine, &eng));
	TRY(runs_open(engine_home(eng), &runs));
	TRY(runs_take_over(runs, (int)a->hold));
	w.runs = runs;
	AUTO(err_freep) struct err *begun = repo_open(".", &repo);
	w.repo = repo;
	for (size_t i = 0; i < operands->len; i++)
		first = err_first(first, work_off(eng, &w, operands->ptr[i], begun));
	return first;
}

const struct command cmd_release_worker = {
	.name = "release-worker",
	.summary = "work off runs in the background",
	.operands = "RUN...",
	.min = 1,
	.max = UNLIMITED,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct worker_args),
	.builds = true,
	.run = run,
};
