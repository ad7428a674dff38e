/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/process_foreground.h"

#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a program may take to end after it was asked to, ms. */
#define GRACE_MS 5000

static struct err *spawn(const struct foreground_request *rq, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	if (rq->pass_fd >= 0)
		posix_spawn_file_actions_adddup2(&actions, rq->pass_fd, FOREGROUND_FD);
	if (rq->dir)
		posix_spawn_file_actions_addchdir_np(&actions, rq->dir);
	int failed = posix_spawnp(
		pid, rq->argv[0], &actions, &attr, (char *const *)rq->argv, (char *const *)rq->env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (failed == ENOENT)
		return err_new(ERR_NOT_FOUND, "there is no program %s", rq->argv[0]);
	return failed ? err_sys(failed, "starting %s", rq->argv[0]) : NULL;
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
