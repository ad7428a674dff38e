/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "sys/file.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

struct login_args {
	const char *username, *password;
	bool password_stdin;
};

#define OPT(field) offsetof(struct login_args, field)
#define LINE_MAX_TEXT 4096
/* Passwords may be files of keys, as with "_json_key". */
#define PASSWORD_MAX ((size_t)64 << 10)

static const struct option options[] = {
	{"username", 'u', OPTION_TEXT, "NAME", OPT(username), "user name"},
	{"password", 'p', OPTION_TEXT, "TEXT", OPT(password),
		"password (others on this machine may see it: prefer stdin)"},
	{"password-stdin", 0, OPTION_FLAG, NULL, OPT(password_stdin),
		"read the password from standard input"},
};

/* A line of standard input. Waits for it and for an interrupt: the echo must not stay off then. */
static struct err *read_line(struct cli *c, char *out, size_t size)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = c->cancel ? cancel_fd(c->cancel) : -1, .events = POLLIN}};
	size_t len = 0;
	char byte = 0;

	for (;;) {
		(void)poll(fds, 2, -1);
		TRY(cancel_check(c->cancel));
		ssize_t n = read(STDIN_FILENO, &byte, 1);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_sys(errno, "reading standard input");
		if (n == 0 && !len)
			return err_new(ERR_USAGE, "standard input ended before the credentials");
		if (n == 0 || byte == '\n')
			break;
		if (len == size - 1)
			return err_new(ERR_USAGE, "a line is longer than %zu bytes", size - 1);
		out[len++] = byte;
	}
	out[len] = '\0';
	out[strcspn(out, "\r")] = '\0';
	return NULL;
}

/* All there is, but for the end of the last line. */
static struct err *read_password(struct buf *out)
{
	TRY(fd_read_all(STDIN_FILENO, PASSWORD_MAX, "the password on standard input", out));
	if (str_ends(buf_str(out), "\n"))
		buf_truncate(out, out->len - 1);
	if (str_ends(buf_str(out), "\r"))
		buf_truncate(out, out->len - 1);
	if (!out->len)
		return err_new(ERR_USAGE, "the password on standard input is empty");
	if (memchr(out->ptr, '\0', out->len))
		return err_new(ERR_USAGE, "the password on standard input has a NUL byte");
	return NULL;
}

static struct err *ask(struct cli *c, const char *prompt, bool hidden, char *out, size_t size)
{
	struct termios old, quiet;
	bool echo_off = hidden && tcgetattr(STDIN_FILENO, &old) == 0;

	fprintf(c->err, "%s: ", prompt);
	fflush(c->err);
	if (echo_off) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	struct err *e = read_line(c, out, size);
	if (echo_off) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', c->err);
	}
	return e;
}

static struct err *run_login(struct cli *c, void *args, const struct strvec *operands)
{
	struct login_args *la = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct remote *remote = NULL;
	const struct transfer_io io = {.cancel = c->cancel};
	char user[LINE_MAX_TEXT], password[LINE_MAX_TEXT];
	AUTO_BUF struct buf given = {0};

	if (la->password_stdin) {
		if (!la->username)
			return err_new(ERR_USAGE, "--password-stdin needs --username");
		TRY(read_password(&given));
		la->password = buf_cstr(&given);
	}
	if (!la->username) {
		TRY(ask(c, "user name", false, user, sizeof(user)));
		la->username = user;
	}
	if (!la->password) {
		TRY(ask(c, "password", true, password, sizeof(password)));
		la->password = password;
	}
	TRY(engine_open(&c->engine, &eng));
	TRY(engine_remote(eng, &remote));
	TRY(remote_login(remote, operands->ptr[0], la->username, la->password, &io));
	fprintf(c->out, "logged in to %s\n", operands->ptr[0]);
	return NULL;
}

static struct err *run_logout(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(engine_closep) struct engine *eng = NULL;
	struct remote *remote = NULL;
	bool was_there = false;

	(void)args;
	TRY(engine_open(&c->engine, &eng));
	TRY(engine_remote(eng, &remote));
	TRY(remote_logout(remote, operands->ptr[0], c->cancel, &was_there));
	fprintf(c->out, "%s %s\n", was_there ? "logged out of" : "there were no credentials for",
		operands->ptr[0]);
	return NULL;
}

const struct command cmd_login = {
	.name = "login",
	.summary = "check credentials for a registry and keep them",
	.operands = "REGISTRY",
	.min = 1,
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct login_args),
	.run = run_login,
};

const struct command cmd_logout = {
	.name = "logout",
	.summary = "forget the credentials for a registry",
	.operands = "REGISTRY",
	.min = 1,
	.max = 1,
	.run = run_logout,
};
