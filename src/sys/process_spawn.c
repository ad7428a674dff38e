/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/process_internal.h"
#include "sys/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL_LINES 5
#define TAIL_BYTES 1500

extern char **environ;

/* ---- what to start ---- */

static void build_env(const struct spawn_request *rq, struct strvec *env)
{
	if (rq->env) {
		strvec_push_all(env, rq->env);
		return;
	}
	for (char **p = environ; p && *p; p++) {
		bool drop = false;
		for (const char *const *u = rq->unset; u && *u && !drop; u++) {
			size_t n = strlen(*u);
			drop = strncmp(*p, *u, n) == 0 && (*p)[n] == '=';
		}
		if (!drop)
			strvec_push(env, *p);
	}
}

static bool runnable(const char *path)
{
	struct stat st;
	return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

struct err *process_find(const char *name, const char *path, char **out)
{
	struct str rest = str_c(path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		   dir;
	while (str_split(&rest, ':', &dir)) {
		if (!dir.len || dir.ptr[0] != '/')
			continue; /* the current directory is never searched */
		AUTO_FREE char *full = mem_printf(STR_FMT "/%s", STR_ARG(dir), name);
		if (runnable(full)) {
			*out = steal(&full);
			return NULL;
		}
	}
	return err_hint(
		err_new(ERR_NOT_FOUND, "the program %s was not found in PATH", name), "install %s", name);
}

static struct err *find_program(const struct spawn_request *rq, struct spawned *s)
{
	const char *name = rq->argv[0];
	if (!strchr(name, '/'))
		return process_find(name, envlist_get(&s->env, "PATH"), &s->program);
	s->program = mem_strdup(name);
	return NULL;
}

struct err *process_pipe(int *read_end, int *write_end)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	*read_end = p[0];
	*write_end = p[1];
	return NULL;
}

/* ---- the child ---- */

/* Made before the fork: nothing may be allocated or formatted after it. */
struct child_plan {
	const struct spawn_request *rq;
	const struct spawned *to;
	int report;
	pid_t parent;
	char uid_map[32], gid_map[32];
};

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

/* A namespace is never left; one more gives the process the id that its user has outside. */
static int become_outer_user(const struct child_plan *p)
{
	if (unshare(CLONE_NEWUSER) < 0 || write_text("/proc/self/setgroups", "deny") < 0)
		return -1;
	return write_text("/proc/self/uid_map", p->uid_map) < 0 ||
			       write_text("/proc/self/gid_map", p->gid_map) < 0
		       ? -1
		       : 0;
}

/* After fork: only async-signal-safe calls. */
static NORETURN void be_child(const struct child_plan *p)
{
	const struct spawn_request *rq = p->rq;
	sigset_t none;
	sigemptyset(&none);
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigaction(SIGPIPE, &dfl, NULL);
	sigaction(SIGINT, &dfl, NULL);
	sigaction(SIGTERM, &dfl, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int failed = 0;
	/* Other credentials clear the death signal: it comes after them. */
	if (setpgid(0, 0) < 0 || (rq->as_outer_user && become_outer_user(p) < 0) ||
		prctl(PR_SET_PDEATHSIG, rq->death_signal) < 0)
		failed = errno;
	if (getppid() != p->parent)
		_exit(127);
	/* Sources may lie at 0..2 when we were started with those closed: lift them first. */
	int in = fcntl(rq->in, F_DUPFD_CLOEXEC, 3);
	int out = rq->out >= 0 ? fcntl(rq->out, F_DUPFD_CLOEXEC, 3) : -1;
	int errfd = fcntl(rq->err, F_DUPFD_CLOEXEC, 3);
	int report = fcntl(p->report, F_DUPFD_CLOEXEC, 3);
	if (!failed && (dup2(in, 0) < 0 || (out >= 0 && dup2(out, 1) < 0) || dup2(errfd, 2) < 0))
		failed = errno;
	int where = 0;
	if (!failed && rq->dir && chdir(rq->dir) < 0) {
		failed = errno;
		where = 1;
	}
	if (!failed) {
		execve(p->to->program, (char *const *)rq->argv, (char *const *)strvec_list(&p->to->env));
		failed = errno;
	}
	int message[2] = {failed, where};
	if (write(report, message, sizeof(message)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- starting and ending it ---- */

static struct err *start(const struct spawn_request *rq, struct spawned *s)
{
	AUTO_FD int report = -1;
	AUTO_FD int tell = -1;
	TRY(process_pipe(&report, &tell));
	struct child_plan plan = {.rq = rq, .to = s, .report = tell, .parent = getpid()};
	if (rq->as_outer_user) {
		snprintf(plan.uid_map, sizeof(plan.uid_map), "%u 0 1\n", (unsigned)userns_outer_uid());
		snprintf(plan.gid_map, sizeof(plan.gid_map), "%u 0 1\n", (unsigned)userns_outer_gid());
	}
	s->pid = fork();
	if (s->pid < 0)
		return err_sys(errno, "starting %s", rq->argv[0]);
	if (s->pid == 0)
		be_child(&plan);
	setpgid(s->pid, s->pid); /* also here: a kill of the group may come before the child got that far */
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	fd_closep(&tell);
	int message[2] = {0, 0};
	ssize_t n;
	do
		n = read(report, message, sizeof(message));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(message)) {
		spawned_reap(s);
		if (message[1])
			return err_sys(message[0], "starting %s: entering %s", rq->argv[0], rq->dir);
		return err_sys(message[0], "starting %s", s->program);
	}
	return NULL;
}

struct err *spawn(const struct spawn_request *asked, struct spawned *out)
{
	AUTO(spawned_fini) struct spawned s = NOT_SPAWNED;
	struct spawn_request rq = *asked;
	/* Where we are the user that started us there is nothing to undo. */
	rq.as_outer_user =
		rq.as_outer_user && userns_is_rootless() && geteuid() == 0 && userns_outer_uid() != 0;
	build_env(&rq, &s.env);
	TRY(find_program(&rq, &s));
	TRY(start(&rq, &s));
	*out = s;
	s = NOT_SPAWNED;
	return NULL;
}

void spawned_signal(const struct spawned *s, int sig)
{
	if (s->pid > 0 && !s->reaped && kill(-s->pid, sig) < 0)
		kill(s->pid, sig);
}

void spawned_reap(struct spawned *s)
{
	while (s->pid > 0 && !s->reaped) {
		int status = 0;
		pid_t p = waitpid(s->pid, &status, 0);
		if (p < 0 && errno == EINTR)
			continue;
		s->reaped = true;
		s->status = p < 0 ? 0 : status;
	}
}

void spawned_fini(struct spawned *s)
{
	spawned_signal(s, SIGKILL);
	spawned_reap(s);
	mem_freep(&s->program);
	strvec_fini(&s->env);
	fd_closep(&s->pidfd);
}

bool spawned_is_gone(const struct spawned *s)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == s->pid;
}

/* ---- how it ended ---- */

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

struct err *spawned_error(const struct spawned *s, const char *const *argv, struct str errout)
{
	int code = WIFSIGNALED(s->status) ? 128 + WTERMSIG(s->status) : WEXITSTATUS(s->status);
	if (!code)
		return NULL;
	AUTO_BUF struct buf command = {0};
	AUTO_BUF struct buf tail = {0};
	command_text(&command, argv);
	tail_text(&tail, errout);
	const char *how = WIFSIGNALED(s->status) ? "was killed by signal" : "ended with status";
	int number = WIFSIGNALED(s->status) ? WTERMSIG(s->status) : code;
	struct err *e = err_new(ERR_EXITED, "%s %s %d%s%s", buf_cstr(&command), how, number,
		tail.len ? ": " : "", buf_cstr(&tail));
	return err_with_exit_code(e, code);
}
