/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/process.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "sys/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_OUTPUT ((size_t)64 << 20)
#define TAIL_LINES 5
#define TAIL_BYTES 1500

extern char **environ;

struct run {
	const struct process_request *rq;
	char *program; /* argv[0] as found in PATH */
	struct strvec env;
	pid_t pid;
	int pidfd;
	int in, out, err; /* our ends; -1 when closed or not wanted */
	size_t written;
	size_t limit;
	struct buf own_err; /* stderr, kept also when the caller does not want it: failures quote it */
	struct buf *out_to, *err_to;
	size_t out_start, err_start;
	int64_t deadline; /* monotonic ns; 0: none */
	bool reaped;
	int status;
};

/* The child's ends. */
struct child_fds {
	int in, out, err, report;
};

static void child_fds_fini(struct child_fds *c)
{
	fd_closep(&c->in);
	fd_closep(&c->out);
	fd_closep(&c->err);
	fd_closep(&c->report);
}

static void kill_group(struct run *r)
{
	if (r->pid > 0 && !r->reaped) {
		kill(-r->pid, SIGKILL);
		kill(r->pid, SIGKILL);
	}
}

static void reap(struct run *r)
{
	while (r->pid > 0 && !r->reaped) {
		int status = 0;
		pid_t p = waitpid(r->pid, &status, 0);
		if (p < 0 && errno == EINTR)
			continue;
		r->reaped = true;
		r->status = p < 0 ? 0 : status;
	}
}

static void run_fini(struct run *r)
{
	kill_group(r);
	reap(r);
	free(r->program);
	strvec_fini(&r->env);
	buf_fini(&r->own_err);
	fd_closep(&r->pidfd);
	fd_closep(&r->in);
	fd_closep(&r->out);
	fd_closep(&r->err);
}

static void build_env(struct run *r)
{
	if (r->rq->env) {
		strvec_push_all(&r->env, r->rq->env);
		return;
	}
	for (char **p = environ; p && *p; p++) {
		bool drop = false;
		for (const char *const *u = r->rq->unset; u && *u && !drop; u++) {
			size_t n = strlen(*u);
			drop = strncmp(*p, *u, n) == 0 && (*p)[n] == '=';
		}
		if (!drop)
			strvec_push(&r->env, *p);
	}
}

static bool runnable(const char *path)
{
	struct stat st;
	return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static struct err *find_program(struct run *r)
{
	const char *name = r->rq->argv[0];
	if (strchr(name, '/')) {
		r->program = mem_strdup(name);
		return NULL;
	}
	const char *path = envlist_get(&r->env, "PATH");
	struct str rest = str_c(path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		   dir;
	while (str_split(&rest, ':', &dir)) {
		if (!dir.len || dir.ptr[0] != '/')
			continue; /* the current directory is never searched */
		AUTO_FREE char *full = mem_printf(STR_FMT "/%s", STR_ARG(dir), name);
		if (runnable(full)) {
			r->program = steal(&full);
			return NULL;
		}
	}
	return err_hint(
		err_new(ERR_NOT_FOUND, "the program %s was not found in PATH", name), "install %s", name);
}

static struct err *make_pipe(int *read_end, int *write_end)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	*read_end = p[0];
	*write_end = p[1];
	return NULL;
}

static struct err *make_pipes(struct run *r, struct child_fds *c, int *report)
{
	if (r->rq->input.len)
		TRY(make_pipe(&c->in, &r->in));
	else
		TRY(file_open(AT_FDCWD, "/dev/null", O_RDONLY, 0, &c->in));
	if (r->out_to)
		TRY(make_pipe(&r->out, &c->out));
	TRY(make_pipe(&r->err, &c->err));
	TRY(make_pipe(report, &c->report));
	int ours[] = {r->in, r->out, r->err};
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (ours[i] >= 0 && fcntl(ours[i], F_SETFL, O_NONBLOCK) < 0)
			return err_sys(errno, "preparing a pipe");
	return NULL;
}

/* After fork: only async-signal-safe calls. */
static NORETURN void be_child(const struct run *r, const struct child_fds *c, pid_t parent)
{
	sigset_t none;
	sigemptyset(&none);
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigaction(SIGPIPE, &dfl, NULL);
	sigaction(SIGINT, &dfl, NULL);
	sigaction(SIGTERM, &dfl, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int failed = 0;
	if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		failed = errno;
	if (getppid() != parent)
		_exit(127);
	/* Sources may lie at 0..2 when we were started with those closed: lift them first. */
	int in = fcntl(c->in, F_DUPFD_CLOEXEC, 3);
	int out = c->out >= 0 ? fcntl(c->out, F_DUPFD_CLOEXEC, 3) : -1;
	int errfd = fcntl(c->err, F_DUPFD_CLOEXEC, 3);
	int report = fcntl(c->report, F_DUPFD_CLOEXEC, 3);
	if (!failed && (dup2(in, 0) < 0 || (out >= 0 && dup2(out, 1) < 0) || dup2(errfd, 2) < 0))
		failed = errno;
	int where = 0;
	if (!failed && r->rq->dir && chdir(r->rq->dir) < 0) {
		failed = errno;
		where = 1;
	}
	if (!failed) {
		execve(r->program, (char *const *)r->rq->argv, (char *const *)strvec_list(&r->env));
		failed = errno;
	}
	int message[2] = {failed, where};
	if (write(report, message, sizeof(message)) < 0)
		_exit(126);
	_exit(127);
}

static struct err *start(struct run *r)
{
	AUTO(child_fds_fini) struct child_fds c = {-1, -1, -1, -1};
	AUTO_FD int report = -1;
	TRY(make_pipes(r, &c, &report));
	pid_t parent = getpid();
	r->pid = fork();
	if (r->pid < 0)
		return err_sys(errno, "starting %s", r->rq->argv[0]);
	if (r->pid == 0)
		be_child(r, &c, parent);
	setpgid(r->pid, r->pid); /* also here: a kill of the group may come before the child got that far */
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	child_fds_fini(&c);
	int message[2] = {0, 0};
	ssize_t n;
	do
		n = read(report, message, sizeof(message));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(message)) {
		reap(r);
		if (message[1])
			return err_sys(message[0], "starting %s: entering %s", r->rq->argv[0], r->rq->dir);
		return err_sys(message[0], "starting %s", r->program);
	}
	return NULL;
}

/* Writing to a child that closed its stdin must not kill us: SIGPIPE is held back in this thread and taken
 * off again. */
static ssize_t write_quietly(int fd, const void *p, size_t len)
{
	sigset_t pipe_set, old;
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	ssize_t n = write(fd, p, len);
	int saved = errno;
	if (n < 0 && saved == EPIPE && !sigismember(&old, SIGPIPE)) {
		struct timespec now = {0};
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return n;
}

static struct err *feed(struct run *r)
{
	struct str in = str_skip(r->rq->input, r->written);
	ssize_t n = write_quietly(r->in, in.ptr, in.len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n < 0 && errno != EPIPE)
		return err_sys(errno, "writing to %s", r->rq->argv[0]);
	r->written += n > 0 ? (size_t)n : 0;
	if (n < 0 || r->written == r->rq->input.len)
		fd_closep(&r->in);
	return NULL;
}

static struct err *drain(struct run *r, int *fd, struct buf *to, size_t start)
{
	char chunk[64 << 10];
	for (;;) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return NULL;
		if (n < 0)
			return err_sys(errno, "reading what %s wrote", r->rq->argv[0]);
		if (n == 0) {
			fd_closep(fd);
			return NULL;
		}
		if (to->len - start + (size_t)n > r->limit)
			return err_new(ERR_INVALID, "%s wrote more than %zu bytes", r->rq->argv[0], r->limit);
		buf_add(to, chunk, (size_t)n);
	}
}

static struct err *drain_both(struct run *r)
{
	if (r->out >= 0)
		TRY(drain(r, &r->out, r->out_to, r->out_start));
	if (r->err >= 0)
		TRY(drain(r, &r->err, r->err_to, r->err_start));
	return NULL;
}

static int wait_ms(const struct run *r)
{
	if (!r->deadline)
		return r->pidfd < 0 ? 50 : -1;
	int64_t left = (r->deadline - clock_monotonic()) / 1000000 + 1;
	if (left < 0)
		left = 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static bool child_gone(struct run *r)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == r->pid;
}

/* Ends when the program has ended: what it left running may hold the pipes for ever. */
static struct err *attend(struct run *r)
{
	for (;;) {
		struct pollfd p[] = {
			{.fd = r->in, .events = POLLOUT},
			{.fd = r->out, .events = POLLIN},
			{.fd = r->err, .events = POLLIN},
			{.fd = r->pidfd, .events = POLLIN},
			{.fd = cancel_fd(r->rq->cancel), .events = POLLIN},
		};
		int n = poll(p, ARRAY_LEN(p), wait_ms(r));
		if (n < 0 && errno != EINTR)
			return err_sys(errno, "waiting for %s", r->rq->argv[0]);
		TRY(cancel_check(r->rq->cancel));
		if (r->deadline && clock_monotonic() >= r->deadline)
			return err_new(ERR_TIMEOUT, "%s took longer than %lld s", r->rq->argv[0],
				(long long)(r->rq->timeout / CLOCK_SECOND));
		bool gone = child_gone(r);
		TRY(drain_both(r));
		if (gone)
			return NULL;
		if (r->in >= 0 && n > 0 && (p[0].revents & (POLLOUT | POLLERR | POLLHUP)))
			TRY(feed(r));
	}
}

static void command_text(struct buf *b, const char *const *argv)
{
	for (size_t i = 0; argv[i]; i++) {
		if (b->len > 300) {
			buf_adds(b, " ...");
			return;
		}
		buf_addf(b, "%s%s", i ? " " : "", argv[i]);
	}
}

/* The last lines of what it complained about, as one line. */
static void tail_text(struct buf *b, struct str text)
{
	struct str lines[TAIL_LINES];
	size_t count = 0;
	if (text.len > TAIL_BYTES)
		text = str_skip(text, text.len - TAIL_BYTES);
	text = str_trim(text);
	while (count < TAIL_LINES && text.len) {
		ptrdiff_t i = str_rindex(text, '\n');
		lines[count++] = str_trim(str_skip(text, (size_t)(i + 1)));
		text = str_trim(str_n(text.ptr, i < 0 ? 0 : (size_t)i));
	}
	while (count--)
		buf_addf(b, STR_FMT "%s", STR_ARG(lines[count]), count ? "; " : "");
}

static struct err *exit_error(const struct run *r)
{
	int code = WIFSIGNALED(r->status) ? 128 + WTERMSIG(r->status) : WEXITSTATUS(r->status);
	if (!code)
		return NULL;
	AUTO_BUF struct buf command = {0};
	AUTO_BUF struct buf tail = {0};
	command_text(&command, r->rq->argv);
	tail_text(&tail, str_n(buf_cstr(r->err_to) + r->err_start, r->err_to->len - r->err_start));
	const char *how = WIFSIGNALED(r->status) ? "was killed by signal" : "ended with status";
	int number = WIFSIGNALED(r->status) ? WTERMSIG(r->status) : code;
	struct err *e = err_new(ERR_EXITED, "%s %s %d%s%s", buf_cstr(&command), how, number,
		tail.len ? ": " : "", buf_cstr(&tail));
	return err_with_exit_code(e, code);
}

struct err *process_run(const struct process_request *rq, struct buf *out, struct buf *errout)
{
	assert(rq->argv && rq->argv[0]);
	AUTO(run_fini)
	struct run r = {
		.rq = rq,
		.pidfd = -1,
		.in = -1,
		.out = -1,
		.err = -1,
		.limit = rq->max_output ? rq->max_output : DEFAULT_OUTPUT,
		.out_to = out,
		.out_start = out ? out->len : 0,
		.err_start = errout ? errout->len : 0,
		.deadline = rq->timeout ? clock_monotonic() + rq->timeout : 0,
	};
	r.err_to = errout ? errout : &r.own_err;
	TRY(cancel_check(rq->cancel));
	build_env(&r);
	TRY(find_program(&r));
	TRY(start(&r));
	TRY(attend(&r));
	reap(&r);
	return exit_error(&r);
}
