/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "exec/step_internal.h"
#include "sys/file.h"
#include "sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct exec_mount *mount_at(const struct attempt *a, size_t i)
{
	return a->mounts[i].want;
}

static const char *view_path(struct step *s, const char *what, size_t i)
{
	return arena_printf(s->arena, "%s/%s%zu-%u", s->dir, what, i, s->scratches++);
}

/* Does mount i lie inside mount k, as text? */
static bool lies_in(const struct attempt *a, size_t i, size_t k)
{
	const char *inner = mount_at(a, i)->target, *outer = mount_at(a, k)->target;
	return i != k && inner && outer && strcmp(inner, outer) != 0 && path_below(inner + 1, outer + 1);
}

/* What other mounts need to find in bind mount i, as points of its input. */
static void nested_points(const struct attempt *a, size_t i, const char *source, struct strvec *points)
{
	for (size_t k = 0; k < a->mount_count; k++) {
		if (!lies_in(a, k, i) || a->mounts[k].absent)
			continue;
		AUTO_FREE char *p = path_join(
			source ? source : "", mount_at(a, k)->target + strlen(mount_at(a, i)->target));
		strvec_pushf(points, "%s%s%s", p[0] == '/' ? "" : "/", p, a->mounts[k].is_dir ? "/" : "");
	}
}

static struct err *mount_input(struct step *s, struct attempt *a, size_t i, const struct strvec *points)
{
	struct step_mount *m = &a->mounts[i];
	const char *upper = s->kept[i]          ? arena_printf(s->arena, "%s/fs", store_tree_path(s->kept[i]))
			    : m->want->writable ? arena_printf(s->arena, "%s/upper%zu", s->dir, i)
						: NULL;
	if (upper && mkdir(upper, 0755) < 0 && errno != EEXIST)
		return err_sys(errno, "making %s", upper);
	struct rootfs_request rq = {
		.snapshot = m->want->input == INPUT_NONE ? NULL : s->inputs[m->want->input],
		.points = strvec_list(points),
		.upper = upper,
		.work = upper ? view_path(s, "work", i) : NULL,
		.scratch = view_path(s, "stub", i),
	};
	fd_closep(&m->fd);
	return rootfs_mount(s->rc, &rq, s->io, &m->fd);
}

static struct err *open_bind(struct step *s, struct attempt *a, size_t i)
{
	struct step_mount *m = &a->mounts[i];
	AUTO_STRVEC struct strvec none = {0};
	TRY(mount_input(s, a, i, &none));
	m->source = m->want->source && *m->want->source ? m->want->source : NULL;
	struct stat st;
	struct err *e = root_stat(m->fd, m->source ? m->source : ".", true, &st);
	if (err_kind(e) == ERR_NOT_FOUND)
		return err_hint(err_wrap(e, "bind mount at %s: source /%s", m->want->target,
					m->source ? m->source : ""),
			"the source is a path in the build context or in the stage or image that from= "
			"names");
	TRY(e);
	m->is_dir = S_ISDIR(st.st_mode);
	return NULL;
}

static struct err *open_cache(struct step *s, struct step_mount *m, size_t i)
{
	m->is_dir = true;
	unsigned flags = MOUNT_NOSUID | MOUNT_NODEV | (m->want->writable ? 0 : MOUNT_READONLY);
	return mount_clone(AT_FDCWD, volumes_path(s->volumes, i), flags, &m->fd);
}

static struct err *open_ssh(const struct step *s, struct step_mount *m)
{
	const char *id = m->want->secret_id ? m->want->secret_id : "default";
	if (s->rc->host_sockets && path_is_abs(id))
		m->socket = id;
	for (size_t i = 0; i < s->rc->ssh_count; i++) {
		if (cstr_eq(s->rc->ssh[i].id, id))
			m->socket = s->rc->ssh[i].socket;
	}
	m->absent = !m->socket;
	if (m->absent && m->want->required)
		return err_hint(
			err_new(ERR_NOT_FOUND, "ssh agent %s: not given", id), "pass it with --ssh %s", id);
	return NULL;
}

static struct err *open_one(struct step *s, struct attempt *a, size_t i)
{
	struct step_mount *m = &a->mounts[i];
	switch (m->want->kind) {
	case MOUNT_BIND:
		return open_bind(s, a, i);
	case MOUNT_CACHE:
		return open_cache(s, m, i);
	case MOUNT_TMPFS:
		m->is_dir = true;
		return NULL;
	case MOUNT_SECRET:
		return NULL; /* step_secrets_open */
	case MOUNT_SSH:
		return open_ssh(s, m);
	}
	return err_new(ERR_BUG, "a mount of kind %d", (int)m->want->kind);
}

struct err *step_mounts_open(struct step *s, struct attempt *a)
{
	a->mount_count = s->op->mount_count;
	a->mounts = mem_array(a->mount_count + 1, sizeof *a->mounts);
	for (size_t i = 0; i < a->mount_count; i++)
		a->mounts[i] = (struct step_mount){.want = &s->op->mounts[i], .fd = -1, .secret = -1};
	for (size_t i = 0; i < a->mount_count; i++)
		TRY(open_one(s, a, i));
	TRY(step_secrets_open(s, a));
	for (size_t i = 0; i < a->mount_count; i++) {
		AUTO_STRVEC struct strvec points = {0};
		if (a->mounts[i].want->kind == MOUNT_BIND && a->mounts[i].is_dir)
			nested_points(a, i, a->mounts[i].source, &points);
		if (points.len)
			TRY(mount_input(s, a, i, &points));
	}
	return NULL;
}

void step_mounts_points(const struct attempt *a, struct strvec *points)
{
	static const char *const others[] = {"dev", "proc", "sys", NULL};
	for (size_t i = 0; i < a->mount_count; i++) {
		const char *target = mount_at(a, i)->target;
		if (!target || a->mounts[i].absent)
			continue;
		bool inner = false;
		for (size_t k = 0; k < a->mount_count; k++)
			inner = inner || (lies_in(a, i, k) && !a->mounts[k].absent);
		for (size_t k = 0; others[k]; k++)
			inner = inner || path_below(target + 1, others[k]);
		if (!inner)
			strvec_pushf(points, "%s%s", target, a->mounts[i].is_dir ? "/" : "");
	}
}

/* ---- the plan ---- */

static size_t depth(const char *target)
{
	size_t n = 0;
	for (; *target; target++)
		n += *target == '/';
	return n;
}

static void plan_bind(struct attempt *a, size_t i, struct sandbox_plan *p)
{
	struct step_mount *m = &a->mounts[i];
	unsigned flags = MOUNT_NODEV | (m->want->writable ? 0 : MOUNT_READONLY);
	if (!m->source) {
		struct sandbox_op *op = sandbox_add(p, SANDBOX_MOUNT, m->want->target);
		op->fd = steal_fd(&m->fd);
		op->make = true;
		return;
	}
	struct sandbox_op *op = sandbox_add(p, SANDBOX_FROM_STAGE, m->want->target);
	op->stage = (unsigned)(STAGE_FIRST + i);
	op->source = m->source;
	op->flags = flags;
	op->make = true;
}

static void plan_one(struct attempt *a, size_t i, struct sandbox_plan *p)
{
	struct step_mount *m = &a->mounts[i];
	struct sandbox_op *op;
	switch (m->want->kind) {
	case MOUNT_BIND:
		plan_bind(a, i, p);
		return;
	case MOUNT_CACHE:
		op = sandbox_add(p, SANDBOX_MOUNT, m->want->target);
		op->fd = steal_fd(&m->fd);
		break;
	case MOUNT_TMPFS:
		op = sandbox_add(p, SANDBOX_TMPFS, m->want->target);
		op->size = m->want->size;
		op->mode = 01777;
		op->flags = MOUNT_NOSUID | MOUNT_NODEV;
		break;
	case MOUNT_SECRET:
		op = sandbox_add(p, SANDBOX_FROM_STAGE, m->want->target);
		op->stage = STAGE_SECRETS;
		op->source = arena_printf(sandbox_plan_arena(p), "/%d", m->secret);
		op->flags = MOUNT_READONLY | MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC;
		break;
	case MOUNT_SSH:
		op = sandbox_add(p, SANDBOX_BIND, m->want->target);
		op->source = arena_strdup(sandbox_plan_arena(p), m->socket);
		break;
	default:
		return;
	}
	op->make = true;
}

static void plan_stage(struct sandbox_plan *p, size_t stage, int *fd)
{
	if (*fd < 0)
		return;
	struct sandbox_op *op = sandbox_add(p, SANDBOX_STAGE, NULL);
	op->stage = (unsigned)stage;
	op->fd = steal_fd(fd);
}

void step_stages_plan(struct attempt *a, struct sandbox_plan *p)
{
	plan_stage(p, STAGE_FILES, &a->files_fd);
	plan_stage(p, STAGE_SECRETS, &a->secrets_fd);
	for (size_t i = 0; i < a->mount_count; i++) {
		if (mount_at(a, i)->kind == MOUNT_BIND && a->mounts[i].source)
			plan_stage(p, STAGE_FIRST + i, &a->mounts[i].fd);
	}
}

void step_mounts_plan(struct attempt *a, struct sandbox_plan *p)
{
	size_t deepest = 0;
	for (size_t i = 0; i < a->mount_count; i++) {
		const char *t = mount_at(a, i)->target;
		if (t && depth(t) > deepest)
			deepest = depth(t);
	}
	for (size_t level = 0; level <= deepest; level++) {
		for (size_t i = 0; i < a->mount_count; i++) {
			const char *t = mount_at(a, i)->target;
			if (t && depth(t) == level && !a->mounts[i].absent)
				plan_one(a, i, p);
		}
	}
}
