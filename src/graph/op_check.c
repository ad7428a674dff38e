/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"
#include "graph/graph_internal.h"

static struct err *check_absolute(const char *what, const char *path)
{
	if (!path || !path_is_abs(path))
		return err_new(ERR_INVALID, "%s is not an absolute path: \"%s\"", what, path ? path : "");
	if (path_has_dotdot(str_c(path)))
		return err_new(ERR_INVALID, "%s has a \"..\" component: \"%s\"", what, path);
	return NULL;
}

static struct err *check_mount(const struct exec_mount *m, size_t input_count)
{
	bool env_only = m->kind == MOUNT_SECRET && m->env && !m->target;

	if (!env_only)
		TRY(check_absolute("mount target", m->target));
	if (m->target && cstr_eq(m->target, "/"))
		return err_new(ERR_INVALID, "a mount cannot have the root directory as its target");
	if (m->input != INPUT_NONE && (m->input < 0 || (size_t)m->input >= input_count))
		return err_new(
			ERR_BUG, "mount at \"%s\" names input %d of %zu", m->target, m->input, input_count);
	if (m->kind == MOUNT_CACHE && (!m->cache_id || !*m->cache_id))
		return err_new(ERR_INVALID, "cache mount at \"%s\" has no id", m->target);
	if ((m->kind == MOUNT_SECRET || m->kind == MOUNT_SSH) && (!m->secret_id || !*m->secret_id))
		return err_new(
			ERR_INVALID, "secret mount at \"%s\" has no id", m->target ? m->target : m->env);
	return NULL;
}

static struct err *check_exec(const struct op_exec *o, size_t input_count)
{
	if (input_count < 1)
		return err_new(ERR_BUG, "an exec needs its root as input 0");
	if (!o->argv || !o->argv[0] || !*o->argv[0])
		return err_new(ERR_INVALID, "there is no program to run");
	TRY(check_absolute("working directory", o->cwd));
	for (size_t i = 0; i < o->mount_count; i++)
		TRY(check_mount(&o->mounts[i], input_count));
	return NULL;
}

static struct err *check_action(const struct file_action *a, size_t input_count)
{
	TRY(check_absolute("destination", a->dest));
	if (a->names_from < 0 || (size_t)a->names_from >= input_count)
		return err_new(ERR_BUG, "\"%s\" is given to a user of input %d of %zu", a->dest,
			a->names_from, input_count);
	if (a->kind == FILE_SYMLINK && (!a->target || !*a->target))
		return err_new(ERR_INVALID, "symlink \"%s\" has no target", a->dest);
	if (a->kind != FILE_COPY)
		return NULL;
	if (a->input != INPUT_NONE && (a->input < 0 || (size_t)a->input >= input_count))
		return err_new(
			ERR_BUG, "copy to \"%s\" names input %d of %zu", a->dest, a->input, input_count);
	if (!a->sources || !a->sources[0])
		return err_new(ERR_INVALID, "copy to \"%s\" has no source", a->dest);
	return NULL;
}

struct err *op_check(const struct op *op, size_t input_count)
{
	switch (op->kind) {
	case OP_IMAGE:
		if (!op->image.ref || !*op->image.ref || !op->image.platform)
			return err_new(ERR_INVALID, "an image source needs a reference and a platform");
		break;
	case OP_GIT:
		if (!op->git.url || !*op->git.url)
			return err_new(ERR_INVALID, "a git source needs a URL");
		break;
	case OP_HTTP:
		if (!op->http.url || !*op->http.url || !op->http.filename || !*op->http.filename)
			return err_new(ERR_INVALID, "a URL source needs a URL and a file name");
		break;
	case OP_LOCAL:
		if (!op->local.name || !*op->local.name)
			return err_new(ERR_INVALID, "a local source needs a name");
		break;
	case OP_EXEC:
		return check_exec(&op->exec, input_count);
	case OP_FILE:
		if (input_count < 1)
			return err_new(ERR_BUG, "a file operation needs its base as input 0");
		for (size_t i = 0; i < op->file.action_count; i++)
			TRY(check_action(&op->file.actions[i], input_count));
		return NULL;
	case OP_MERGE:
		return NULL;
	case OP_MOUNT:
		if (input_count != 2)
			return err_new(ERR_BUG, "a mount has two inputs, not %zu", input_count);
		return check_absolute("mount target", op->mount.target);
	case OP_DIFF:
		if (input_count != 2)
			return err_new(ERR_BUG, "a diff has two inputs, not %zu", input_count);
		return NULL;
	}
	if (input_count)
		return err_new(ERR_BUG, "a source has no inputs");
	return NULL;
}
