/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "dagger/resolve_internal.h"

struct err *node_actions(struct dagger *d, struct node *base, const struct file_action *actions, size_t count,
	const char *name, struct node **out)
{
	const struct op op = {.kind = OP_FILE, .file = {.actions = actions, .action_count = count}};
	const struct node_label label = {.name = name};

	return session_node(d->session, &op, &base, 1, &label, out);
}

struct err *node_copy(
	struct dagger *d, struct node *base, const struct copy *cp, const char *name, struct node **out)
{
	const char *const sources[] = {cp->source + 1, NULL};
	const struct file_action action = {
		.kind = FILE_COPY,
		.input = 1,
		.sources = sources,
		.dir_contents = cp->contents,
		.dress_top = cp->dress_top,
		.follow_links = !cp->contents,
		.dest_is_dir = cp->into,
		.include = cp->include,
		.exclude = cp->exclude,
		.dest = cp->dest,
		.owner = cp->owner,
		.names_from = cp->names ? 2 : 0,
		.keep_owner = true,
		.replace = true,
		.mode = cp->mode,
	};
	const struct op op = {.kind = OP_FILE, .file = {.actions = &action, .action_count = 1}};
	const struct node_label label = {.name = name};
	struct node *inputs[] = {base, cp->from, cp->names};

	return session_node(d->session, &op, inputs, cp->names ? 3 : 2, &label, out);
}

struct err *directory_root(struct dagger *d, const struct directory *dir, struct node **out)
{
	const struct copy cp = {
		.from = dir->node, .source = dir->path, .contents = true, .dress_top = true, .dest = "/"};

	if (cstr_eq(dir->path, "/")) {
		*out = dir->node;
		return NULL;
	}
	AUTO_FREE char *name = mem_printf("take %s", dir->path);
	return node_copy(d, NULL, &cp, name, out);
}

const char *mode_text(struct call *c, int64_t mode)
{
	return mode < 0 ? NULL : arena_printf(c->arena, "%04o", (unsigned)mode & 07777);
}
