/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "cli/cmds.h"
#include "cli/render.h"
#include "dagger/dagger.h"
#include "dagger/pipeline.h"
#include "sys/process_foreground.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct session_args {
	struct strvec labels;
	const char *workdir, *project, *progress;
	bool load_modules, no_cache, pull;
	uint64_t jobs;
};

#define OPT(field) offsetof(struct session_args, field)

static const struct option options[] = {
	{"workdir", 0, OPTION_TEXT, "DIR", OPT(workdir),
		"what relative paths of the host are relative to (default: here)"},
	{"progress", 0, OPTION_TEXT, "MODE", OPT(progress), "plain (default), tty, json or quiet"},
	{"no-cache", 0, OPTION_FLAG, NULL, OPT(no_cache), "run every step again"},
	{"pull", 0, OPTION_FLAG, NULL, OPT(pull), "ask registries for newer base images"},
	{"jobs", 'j', OPTION_NUMBER, "N", OPT(jobs), "steps at once (default: number of CPUs)"},
	{"label", 0, OPTION_LIST, "KEY:VALUE", OPT(labels), "what SDKs tell of themselves; not used"},
	{"project", 0, OPTION_TEXT, "PATH", OPT(project), "what SDKs tell of a module; not used"},
	{"load-workspace-modules", 0, OPTION_FLAG, NULL, OPT(load_modules),
		"modules are not supported; not used"},
};

struct serving {
	struct session *session;
	struct dagger *dagger;
	struct dagger_server *server;
	char *token;
};

static void serving_fini(struct serving *s)
{
	dagger_server_stop(s->server);
	dagger_free(s->dagger);
	session_close(s->session);
	mem_freep(&s->token);
}

static struct err *serve(
	struct engine *eng, struct display *d, const struct session_args *a, struct serving *s)
{
	AUTO_FREE char *here = getcwd(NULL, 0);
	const struct session_options opt = {.events = display_events(d),
		.no_cache = a->no_cache,
		.jobs = (unsigned)a->jobs,
		.pull = a->pull ? PULL_ALWAYS : PULL_MISSING};

	if (!here)
		return err_sys(errno, "finding the current directory");
	AUTO_FREE char *workdir = path_resolve(here, a->workdir ? a->workdir : ".");
	TRY(session_open(eng, &opt, &s->session));
	const struct dagger_options dopt = {
		.session = s->session, .workdir = workdir, .events = display_events(d)};
	TRY(dagger_new(&dopt, &s->dagger));
	TRY(session_token(&s->token));
	return dagger_serve(s->dagger, s->token, &s->server);
}

/* What SDKs wait for: this line, with these two keys and no other. The session ends with our input. */
static struct err *until_eof(struct cli *c, const struct serving *s)
{
	char bytes[256];
	struct pollfd p[] = {
		{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = cancel_fd(c->cancel), .events = POLLIN}};

	fprintf(c->out, "{\"port\":%u,\"session_token\":\"%s\"}\n", dagger_server_port(s->server), s->token);
	fflush(c->out);
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return err_sys(errno, "waiting for the end of the session");
		if (p[1].revents)
			return NULL;
		if (p[0].revents && read(STDIN_FILENO, bytes, sizeof(bytes)) == 0)
			return NULL;
	}
}

static struct err *run_program(struct cli *c, const struct serving *s, const struct strvec *operands)
{
	AUTO_STRVEC struct strvec env = {0};
	struct foreground child;
	int status = 0;

	session_environment(dagger_server_port(s->server), s->token, &env);
	const struct foreground_request rq = {
		.argv = strvec_list(operands), .env = strvec_list(&env), .pass_fd = -1};
	TRY(foreground_start(&rq, &child));
	TRY(foreground_wait(&child, c->cancel, &status));
	TRY(cancel_check(c->cancel));
	if (!status)
		return NULL;
	/* It has told why itself. */
	c->exit_status = status;
	return NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	struct session_args *a = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(display_freep) struct display *d = NULL;
	struct serving s = {0};

	TRY(engine_open(&c->engine, &eng));
	AUTO_FREE char *logs = path_join(engine_home(eng), "logs");
	/* A display that draws would draw over what the program writes. */
	TRY(display_new(c->err, a->progress ? a->progress : "plain", logs, &d));
	struct err *e = serve(eng, d, a, &s);
	if (!e)
		e = operands->len ? run_program(c, &s, operands) : until_eof(c, &s);
	serving_fini(&s);
	display_end(d);
	return e;
}

const struct command cmd_session = {
	.name = "session",
	.summary = "run a program that uses a Dagger SDK on this engine",
	.operands = "[-- COMMAND...]",
	.details = "COMMAND finds the session in DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN; its exit "
		   "status is the command's. "
		   "Without a command, one line {\"port\":..,\"session_token\":..} is printed and the "
		   "session lasts until standard "
		   "input ends: so do SDKs start it that find cooper in _EXPERIMENTAL_DAGGER_CLI_BIN.",
	.max = UNLIMITED,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct session_args),
	.builds = true,
	.run = run,
};
