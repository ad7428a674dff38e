/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_internal.h"

static const char *const *copy_list(struct arena *a, const char *const *list)
{
	size_t n = 0;

	if (!list)
		return NULL;
	while (list[n])
		n++;
	const char **copy = arena_array(a, n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a, list[i]);
	return copy;
}

static void copy_exec(struct arena *a, struct op_exec *o)
{
	struct exec_mount *mounts = arena_dup(a, o->mounts, o->mount_count * sizeof(*mounts));

	for (size_t i = 0; i < o->mount_count; i++) {
		struct exec_mount *m = &mounts[i];
		m->target = arena_strdup(a, m->target);
		m->source = arena_strdup(a, m->source);
		m->cache_id = arena_strdup(a, m->cache_id);
		m->secret_id = arena_strdup(a, m->secret_id);
		m->env = arena_strdup(a, m->env);
		m->owner = arena_strdup(a, m->owner);
	}
	o->mounts = mounts;
	o->argv = copy_list(a, o->argv);
	o->env = copy_list(a, o->env);
	o->cwd = arena_strdup(a, o->cwd);
	o->user = arena_strdup(a, o->user);
	o->hostname = arena_strdup(a, o->hostname);
	o->extra_hosts = copy_list(a, o->extra_hosts);
	o->accept = arena_dup(a, o->accept, o->accept_count);
	o->proxy_env = copy_list(a, o->proxy_env);
	o->stdin_text = arena_strdup(a, o->stdin_text);
	o->redirect_stdin = arena_strdup(a, o->redirect_stdin);
	o->redirect_stdout = arena_strdup(a, o->redirect_stdout);
	o->redirect_stderr = arena_strdup(a, o->redirect_stderr);
}

static void copy_file(struct arena *a, struct op_file *o)
{
	struct file_action *actions = arena_dup(a, o->actions, o->action_count * sizeof(*actions));

	for (size_t i = 0; i < o->action_count; i++) {
		struct file_action *f = &actions[i];
		f->sources = copy_list(a, f->sources);
		f->exclude = copy_list(a, f->exclude);
		f->include = copy_list(a, f->include);
		f->dest = arena_strdup(a, f->dest);
		f->owner = arena_strdup(a, f->owner);
		f->mode = arena_strdup(a, f->mode);
		f->target = arena_strdup(a, f->target);
		f->data.ptr = arena_str(a, f->data);
	}
	o->actions = actions;
}

void op_copy(struct arena *a, const struct op *from, struct op *to)
{
	*to = *from;
	switch (from->kind) {
	case OP_IMAGE:
		to->image.ref = arena_strdup(a, from->image.ref);
		to->image.platform = arena_strdup(a, from->image.platform);
		break;
	case OP_GIT:
		to->git.url = arena_strdup(a, from->git.url);
		to->git.ref = arena_strdup(a, from->git.ref);
		to->git.subdir = arena_strdup(a, from->git.subdir);
		to->git.checksum = arena_strdup(a, from->git.checksum);
		to->git.auth_secret = arena_strdup(a, from->git.auth_secret);
		break;
	case OP_HTTP:
		to->http.url = arena_strdup(a, from->http.url);
		to->http.checksum = arena_strdup(a, from->http.checksum);
		to->http.filename = arena_strdup(a, from->http.filename);
		to->http.auth_secret = arena_strdup(a, from->http.auth_secret);
		break;
	case OP_LOCAL:
		to->local.name = arena_strdup(a, from->local.name);
		to->local.include = copy_list(a, from->local.include);
		to->local.exclude = copy_list(a, from->local.exclude);
		break;
	case OP_EXEC:
		copy_exec(a, &to->exec);
		break;
	case OP_FILE:
		copy_file(a, &to->file);
		break;
	case OP_MOUNT:
		to->mount.target = arena_strdup(a, from->mount.target);
		break;
	case OP_MERGE:
	case OP_DIFF:
		break;
	}
}
