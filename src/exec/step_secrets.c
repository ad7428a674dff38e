/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets exist in memory that is never swapped, for the time of the step. */
#include "base/mem.h"
#include "base/str.h"
#include "exec/step_internal.h"
#include "sys/file.h"
#include "sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX (1u << 20)

struct err *secret_value(const struct run_context *rc, const char *id, struct buf *out, bool *found)
{
	*found = false;
	if (rc->secret_lookup)
		TRY(rc->secret_lookup(rc->secret_ctx, id, out, found));
	for (size_t i = 0; i < rc->secret_count && !*found; i++) {
		const struct secret_source *src = &rc->secrets[i];
		if (!cstr_eq(src->id, id))
			continue;
		if (src->file) {
			struct err *e = file_read(AT_FDCWD, src->file, SECRET_MAX, out);
			if (e)
				return err_wrap(e, "secret %s", id);
		} else if (src->env) {
			const char *value = getenv(src->env);
			if (!value)
				return err_new(ERR_NOT_FOUND,
					"secret %s: there is no environment variable %s", id, src->env);
			buf_adds(out, value);
		} else {
			buf_addstr(out, src->value);
		}
		*found = true;
	}
	return NULL;
}

/* Not for longer in memory than needed. */
static void wipe(struct buf *b)
{
	if (b->ptr)
		explicit_bzero(b->ptr, b->cap);
	buf_fini(b);
}

static struct err *write_secret(struct attempt *a, struct step_mount *m, int number, const struct buf *value)
{
	if (a->secrets_fd < 0) {
		const struct mount_option opts[] = {{"mode", "0700", false}};
		TRY(mount_new("ramfs", opts, ARRAY_LEN(opts), MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC,
			&a->secrets_fd));
	}
	char name[16];
	snprintf(name, sizeof name, "%d", number);
	AUTO_FD int fd = -1;
	TRY(file_open(a->secrets_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd));
	TRY(fd_write_all(fd, value->ptr, value->len, "secret"));
	if (fchown(fd, m->want->uid, m->want->gid) < 0)
		return err_sys(
			errno, "giving secret %s to %u:%u", m->want->secret_id, m->want->uid, m->want->gid);
	if (fchmod(fd, m->want->mode & 07777) < 0)
		return err_sys(errno, "setting the mode of secret %s", m->want->secret_id);
	m->secret = number;
	return NULL;
}

static struct err *open_secret(struct step *s, struct attempt *a, size_t i)
{
	struct step_mount *m = &a->mounts[i];
	struct buf value AUTO(wipe) = {0};
	bool found = false;
	TRY(secret_value(s->rc, m->want->secret_id, &value, &found));
	if (!found && m->want->required)
		return err_hint(err_new(ERR_NOT_FOUND, "secret %s: not found", m->want->secret_id),
			"pass it with --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE",
			m->want->secret_id, m->want->secret_id);
	m->absent = !found;
	if (found && str_trim(buf_str(&value)).len)
		strvec_push_str(&s->masked, str_trim(buf_str(&value)));
	if (m->want->env) {
		if (value.len && memchr(value.ptr, 0, value.len))
			return err_new(ERR_INVALID, "secret %s holds a zero byte: it cannot be a variable",
				m->want->secret_id);
		envlist_set(&a->env, m->want->env, buf_cstr(&value));
	}
	return found && m->want->target ? write_secret(a, m, (int)i, &value) : NULL;
}

struct err *step_secrets_open(struct step *s, struct attempt *a)
{
	for (size_t i = 0; i < a->mount_count; i++) {
		if (a->mounts[i].want->kind == MOUNT_SECRET)
			TRY(open_secret(s, a, i));
	}
	return NULL;
}
