/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/process_foreground.h"

#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a program may take to end after it was asked to, ms. */
#define GRACE_MS 5000

/* After fork: only async-signal-safe calls, and glibc's execvpe, which allocates nothing. Returns where it
 * failed. */
static int become(const struct foreground_request *rq, int report, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return report;
	if (getppid() != parent)
		_exit(127);
	/* The report may lie where pass_fd goes. */
	int lifted = fcntl(report, F_DUPFD_CLOEXEC, FOREGROUND_FD + 1);
	if (lifted < 0)
		return report;
	if (rq->output_fd > 0 && (dup2(rq->output_fd, 1) < 0 || dup2(rq->output_fd, 2) < 0))
		return lifted;
	/* dup2 onto itself would leave the close-on-exec flag. */
	if (rq->pass_fd == FOREGROUND_FD ? fcntl(FOREGROUND_FD, F_SETFD, 0) < 0
					 : rq->pass_fd >= 0 && dup2(rq->pass_fd, FOREGROUND_FD) < 0)
		return lifted;
	if (rq->dir && chdir(rq->dir) < 0)
		return lifted;
	execvpe(rq->argv[0], (char *const *)rq->argv, (char *const *)rq->env);
	return lifted;
}

/* Not posix_spawn, which cannot tie the program's life to ours. */
static struct err *spawn(const struct foreground_request *rq, pid_t *pid)
{
	pid_t parent = getpid();
	int ends[2], failed = 0;
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	AUTO_FD int from = ends[0];
	AUTO_FD int to = ends[1];
	*pid = fork();
	if (*pid < 0)
		return err_sys(errno, "starting %s", rq->argv[0]);
	if (*pid == 0) {
		int report = become(rq, to, parent);
		failed = errno;
		if (write(report, &failed, sizeof(failed)) < 0)
			_exit(126);
		_exit(127);
	}
	fd_closep(&to);
	do
		n = read(from, &failed, sizeof(failed));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(failed))
		return NULL;
	waitpid(*pid, NULL, 0);
	if (failed == ENOENT)
		return err_new(ERR_NOT_FOUND, "there is no program %s", rq->argv[0]);
	return err_sys(failed, "starting %s", rq->argv[0]);
}

struct err *foreground_start(const struct foreground_request *rq, struct foreground *out)
{
	*out = (struct foreground){.pid = -1, .pidfd = -1};
	TRY(spawn(rq, &out->pid));
	out->pidfd = (int)syscall(SYS_pidfd_open, out->pid, 0);
	if (out->pidfd < 0) {
		struct err *e = err_sys(errno, "watching %s", rq->argv[0]);
		kill(out->pid, SIGKILL);
		waitpid(out->pid, NULL, 0);
		return e;
	}
	return NULL;
}

struct err *foreground_wait(struct foreground *f, const struct cancel *cancel, int *status)
{
	struct pollfd p[] = {{.fd = f->pidfd, .events = POLLIN}, {.fd = cancel_fd(cancel), .events = POLLIN}};
	int raw = 0;

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (!p[0].revents && p[1].revents) {
		kill(f->pid, SIGTERM);
		if (poll(p, 1, GRACE_MS) == 0)
			kill(f->pid, SIGKILL);
	}
	while (waitpid(f->pid, &raw, 0) < 0)
		if (errno != EINTR)
			return err_sys(errno, "waiting for a program");
	fd_closep(&f->pidfd);
	*status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
	return NULL;
}
