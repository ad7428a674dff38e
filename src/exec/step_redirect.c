/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "exec/step_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct err *write_one(
	const struct step *s, const struct attempt *a, const char *path, const struct buf *text)
{
	AUTO_FREE char *joined = path_resolve(s->op->cwd ? s->op->cwd : "/", path);
	AUTO_FREE char *dir = path_dir(joined);
	AUTO_FD int fd = -1;
	const struct made_dir made = {.mode = 0755, .mtime = INT64_MIN};
	struct err *e = root_make_dirs(a->root_fd, dir, &made, NULL);
	if (!e)
		e = root_open(a->root_fd, joined, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &fd);

	if (!e)
		e = fd_write_all(fd, text->ptr, text->len, joined);
	if (!e && fchown(fd, a->user.uid, a->user.gid) < 0)
		e = err_sys(errno, "giving it to user %u", a->user.uid);
	return e ? err_wrap(e, "writing the output of the step to %s", joined) : NULL;
}

struct err *step_redirect(const struct step *s, const struct attempt *a)
{
	if (s->op->redirect_stdout)
		TRY(write_one(s, a, s->op->redirect_stdout, &s->written[0]));
	if (s->op->redirect_stderr)
		TRY(write_one(s, a, s->op->redirect_stderr, &s->written[1]));
	return NULL;
}
