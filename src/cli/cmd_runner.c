/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/duration.h"
#include "base/mem.h"
#include "cli/build_args.h"
#include "cli/cmds.h"
#include "cli/job_text.h"
#include "cli/terminal.h"
#include "release/runner.h"

#include <stdlib.h>
#include <unistd.h>

struct runner_args {
	const char *server, *name, *git, *repository, *grace;
	struct strvec labels, allow;
	uint64_t jobs;
	bool once;
};

#define OPT(field) offsetof(struct runner_args, field)
#define GRACE_DEFAULT (20 * CLOCK_SECOND)
#define JOBS_MAX 64

static const struct option options[] = {
	{"server", 0, OPTION_TEXT, "URL", OPT(server), "the server (default: $COOPER_SERVER)"},
	{"label", 'l', OPTION_LIST, "LABEL", OPT(labels), "take jobs of this label; several are allowed"},
	{"git", 0, OPTION_TEXT, "URL", OPT(git), "the git remote to fetch commits from"},
	{"repository", 0, OPTION_TEXT, "URL", OPT(repository),
		"take jobs of this remote only (default: that of --git, without credentials)"},
	{"name", 0, OPTION_TEXT, "NAME", OPT(name), "how the runner is called (default: the machine's name)"},
	{"jobs", 'j', OPTION_NUMBER, "N", OPT(jobs), "jobs at once (default: 1)"},
	{"once", 0, OPTION_FLAG, NULL, OPT(once), "take one job, then end with its status"},
	{"grace", 0, OPTION_TEXT, "TIME", OPT(grace),
		"how long a job may go on after SIGTERM before it is given back (default: 20s)"},
	{"allow", 0, OPTION_LIST, "RIGHT", OPT(allow),
		"security.insecure: let RUN --security=insecure leave the sandbox"},
};

static void say(void *ctx, const char *line)
{
	struct cli *c = ctx;
	AUTO_FREE char *clean = terminal_text(line);

	fprintf(c->out, "%s\n", clean);
	fflush(c->out);
}

static struct err *check_args(struct runner_args *ra, int64_t *grace)
{
	if (!ra->server)
		ra->server = getenv("COOPER_SERVER");
	if (!ra->server || !*ra->server)
		return err_new(ERR_USAGE, "say which server: --server URL, or COOPER_SERVER");
	if (!ra->git)
		return err_new(ERR_USAGE, "say where commits are fetched from: --git URL");
	if (!ra->labels.len)
		return err_new(
			ERR_USAGE, "say which jobs to take: --label LABEL, as in runners: of cooper.yaml");
	if (ra->jobs > JOBS_MAX)
		return err_new(ERR_USAGE, "--jobs takes at most %d", JOBS_MAX);
	if (ra->git[0] == '-')
		return err_new(ERR_USAGE, "--git takes the address of a remote, not \"%s\"", ra->git);
	*grace = GRACE_DEFAULT;
	if (ra->grace && !duration_parse_span(ra->grace, grace))
		return err_new(ERR_USAGE, "--grace takes a time like 90s or 10m, not \"%s\"", ra->grace);
	return NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct runner_args *ra = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	const struct job_text text = job_text_log();
	char host[256] = "runner";
	struct runner_options opt = {.once = ra->once, .jobs = (unsigned)ra->jobs, .text = &text, .say = say};

	(void)operands;
	TRY(check_args(ra, &opt.grace));
	TRY(build_allow_parse(&ra->allow, &opt.allow_insecure));
	TRY(engine_open(&c->engine, &eng));
	if (gethostname(host, sizeof(host) - 1) < 0)
		return err_new(ERR_USAGE, "the machine has no name: say --name");
	opt.engine = eng;
	opt.server = ra->server;
	opt.name = ra->name ? ra->name : host;
	opt.labels = strvec_list(&ra->labels);
	opt.git = ra->git;
	opt.repository = ra->repository;
	opt.say_ctx = c;
	opt.cancel = c->cancel;
	return runner_run(&opt);
}

const struct command cmd_runner = {
	.name = "runner",
	.summary = "take jobs from a server: build and publish them",
	.operands = "",
	.details = "The token is $COOPER_TOKEN (scopes runner and push), or what cooper login keeps for the "
		   "server. The "
		   "remote is mirrored below $COOPER_HOME, and each job gets a clean checkout of its own.\n\n"
		   "On SIGTERM no further job is taken, and the present one may go on for --grace; then it "
		   "is given back "
		   "to the queue. A second signal ends the runner at once: the server gives its job to "
		   "another when the "
		   "lease is over.",
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct runner_args),
	.builds = true,
	.run = run,
};
