/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cancel *interrupted;

/* The first signal asks for an orderly end, the second one does not wait. */
static void on_signal(int sig)
{
	if (cancel_is_set(interrupted))
		_exit(128 + sig);
	cancel_set(interrupted);
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void open_log(void)
{
	const char *level = getenv("COOPER_LOG");

	if (cstr_eq(level, "debug"))
		log_open(STDERR_FILENO, LOG_DEBUG_LEVEL);
	else if (cstr_eq(level, "info"))
		log_open(STDERR_FILENO, LOG_INFO_LEVEL);
}

void report_error(const struct cli *c, const struct err *e)
{
	AUTO_FREE char *whole = c->verbose ? err_trace(e) : err_text(e);
	AUTO_FREE char *text = terminal_text(whole);
	AUTO_FREE char *hint = err_hint_text(e) ? terminal_text(err_hint_text(e)) : NULL;

	fprintf(c->err, "cooper: %s\n", text);
	if (hint)
		fprintf(c->err, "  %s\n", hint);
}

static bool group_exists(const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; commands[i]; i++)
		if (!strncmp(commands[i]->name, word, len) && commands[i]->name[len] == ' ')
			return true;
	return false;
}

static struct err *unknown_command(char *const *argv)
{
	AUTO_STRVEC struct strvec names = {0};

	for (size_t i = 0; commands[i]; i++)
		strvec_push_str(&names, str_n(commands[i]->name, strcspn(commands[i]->name, " ")));
	const char *near = str_suggest(argv[0], strvec_list(&names));
	struct err *e = err_new(ERR_USAGE, "there is no command \"%s\"", argv[0]);
	return near ? err_hint(e, "did you mean cooper %s?", near) : err_hint(e, "see: cooper --help");
}

/* What stands before a command, or without one. *done: there is nothing more to do. */
static struct err *without_command(struct cli *c, char *const *argv, bool *done)
{
	*done = true;
	if (!argv[0] || cstr_eq(argv[0], "--help") || cstr_eq(argv[0], "-h") ||
		(cstr_eq(argv[0], "help") && !argv[1])) {
		help_overview(c->out);
		return argv[0] ? NULL : err_new(ERR_USAGE, "there is no command");
	}
	if (cstr_eq(argv[0], "--version")) {
		fprintf(c->out, "cooper %s\n", COOPER_VERSION);
		return NULL;
	}
	if (cstr_eq(argv[0], "help") && cstr_eq(argv[1], "--man")) {
		help_man(c->out);
		return NULL;
	}
	*done = false;
	return NULL;
}

static struct err *run_command(struct cli *c, const struct command *cmd, char *const *argv)
{
	struct global_args globals = {0};
	AUTO_STRVEC struct strvec operands = {0};
	AUTO_FREE void *args = mem_zalloc(cmd->args_size ? cmd->args_size : 1);

	struct err *e = command_parse(cmd, argv, &globals, args, &operands);
	c->verbose = globals.verbose;
	c->engine.home = globals.home;
	c->engine.config_file = globals.config;
	if (!e && globals.help)
		help_command(c->out, cmd);
	else if (!e && globals.version)
		fprintf(c->out, "cooper %s\n", COOPER_VERSION);
	else if (!e) {
		if (cmd->builds)
			e = engine_enter_namespace();
		if (!e)
			e = cmd->run(c, args, &operands);
	}
	command_args_fini(cmd, args);
	return e;
}

static struct err *dispatch(struct cli *c, char *const *argv)
{
	bool done = false, help = cstr_eq(argv[0], "help");
	size_t words = 0;

	struct err *e = without_command(c, argv, &done);
	if (e || done)
		return e;
	argv += help;
	const struct command *cmd = command_find(argv, &words);
	if (cmd && help) {
		help_command(c->out, cmd);
		return NULL;
	}
	if (cmd)
		return run_command(c, cmd, argv + words);
	if (!group_exists(argv[0]))
		return unknown_command(argv);
	bool asked = help || cstr_eq(argv[1], "--help") || cstr_eq(argv[1], "-h");
	help_group(asked ? c->out : c->err, argv[0]);
	return asked ? NULL : err_new(ERR_USAGE, "cooper %s takes one of these commands", argv[0]);
}

/* Whoever stops reading has seen enough: that needs no words, only the status that SIGPIPE would have given.
 */
#define STATUS_PIPE (128 + SIGPIPE)

static struct err *finish_output(bool *unread)
{
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return NULL;
	/* A write that failed on the way has left no reason, and nothing to flush: the next one fails alike.
	 */
	if (!errno) {
		clearerr(stdout);
		fputc('\n', stdout);
		fflush(stdout);
	}
	*unread = errno == EPIPE;
	return errno ? err_sys(errno, "writing to standard output")
		     : err_new(ERR_IO, "writing to standard output");
}

int main(int argc, char **argv)
{
	struct cli c = {.out = stdout, .err = stderr};

	(void)argc;
	interrupted = cancel_new();
	c.cancel = interrupted;
	catch_signals();
	open_log();
	struct err *e = dispatch(&c, argv + (argv[0] != NULL));
	bool unread = false;
	if (!e)
		e = finish_output(&unread);
	if (e && !unread)
		report_error(&c, e);
	int status = unread ? STATUS_PIPE : e ? err_exit_status(e) : c.exit_status;
	err_free(e);
	cancel_free(interrupted);
	return status;
}
