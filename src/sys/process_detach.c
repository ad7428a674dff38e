/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/process_detach.h"

#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the new process tells before it becomes the program: its id, then an errno if it could not. */
struct report {
	pid_t pid;
	int failed;
};

static NORETURN void tell(int fd, int failed)
{
	const struct report r = {.pid = getpid(), .failed = failed};

	_exit(write(fd, &r, sizeof(r)) == (ssize_t)sizeof(r) ? 0 : 126);
}

/* After fork: only async-signal-safe calls. */
static NORETURN void become(const struct detach_request *rq, int report)
{
	sigset_t none;
	const struct report started = {.pid = getpid()};

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The report may lie at 0 to 2 when we were started with those closed. */
	int lifted = fcntl(report, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (lifted < 0 || null < 0)
		tell(report, errno);
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			tell(lifted, errno);
	if (null <= 2)
		fcntl(null, F_SETFD, 0); /* dup2 onto itself left the flag */
	/* Also what we inherited without a flag: a shell may be waiting for its end. */
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ||
		(rq->keep_fd > 2 && fcntl(rq->keep_fd, F_SETFD, 0) < 0))
		tell(lifted, errno);
	if (write(lifted, &started, sizeof(started)) != (ssize_t)sizeof(started))
		_exit(126);
	execv(rq->program, (char *const *)rq->argv);
	tell(lifted, errno);
}

/* The process in between: its end gives the program to the system's first process. */
static NORETURN void lead(const struct detach_request *rq, int report)
{
	if (setsid() < 0)
		tell(report, errno);
	pid_t pid = fork();
	if (pid < 0)
		tell(report, errno);
	if (pid == 0)
		become(rq, report);
	_exit(0);
}

static struct err *read_report(int fd, struct report *out)
{
	ssize_t n;

	do
		n = read(fd, out, sizeof(*out));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(errno, "starting a process in the background");
	if (n != (ssize_t)sizeof(*out))
		*out = (struct report){0};
	return NULL;
}

struct err *process_detach(const struct detach_request *rq, pid_t *pid)
{
	struct report started = {0}, failed = {0};
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	AUTO_FD int from = ends[0];
	AUTO_FD int to = ends[1];
	pid_t leader = fork();
	if (leader < 0)
		return err_sys(errno, "starting a process in the background");
	if (leader == 0)
		lead(rq, to);
	fd_closep(&to);
	while (waitpid(leader, NULL, 0) < 0 && errno == EINTR)
		;
	TRY(read_report(from, &started));
	TRY(read_report(from, &failed));
	if (failed.failed || started.failed)
		return err_sys(failed.failed ? failed.failed : started.failed,
			"starting %s in the background", rq->program);
	if (!started.pid)
		return err_new(ERR_IO, "starting %s in the background", rq->program);
	if (pid)
		*pid = started.pid;
	return NULL;
}
