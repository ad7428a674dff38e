/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a container: every change is one layer, or a change of the mounted directory that the path lies
 * in. */
#include "dagger/dagger_schema.h"

#include <string.h>

struct place {
	struct container *ct;
	struct container_mount *mount; /* NULL: the root */
	struct node *base;
	const char *path; /* in base */
};

static struct err *place_at(struct call *c, struct container *ct, const char *path, struct place *out)
{
	*out = (struct place){.ct = ct};
	return container_target(c, ct, path, &out->base, &out->path, &out->mount);
}

/* The base is n now. */
static struct err *placed(struct call *c, const struct place *p, struct node *n, const char *what)
{
	if (p->mount) {
		p->mount->node = n;
	} else if (n != p->ct->root) {
		p->ct->root = n;
		container_history(c, p->ct, what);
	}
	return NULL;
}

static struct err *copy_to(
	struct call *c, struct container *ct, const char *path, struct copy *cp, const char *what)
{
	struct place p;
	struct node *n = NULL;

	TRY(place_at(c, ct, path, &p));
	cp->dest = p.path;
	TRY(node_copy(c->d, p.base, cp, what, &n));
	return placed(c, &p, n, what);
}

static struct err *act_on(
	struct call *c, struct container *ct, const char *path, struct file_action *a, const char *what)
{
	struct place p;
	struct node *n = NULL;

	TRY(place_at(c, ct, path, &p));
	a->dest = p.path;
	TRY(node_actions(c->d, p.base, a, 1, what, &n));
	return placed(c, &p, n, what);
}

struct err *resolve_container_with_directory(struct call *c)
{
	struct container *ct = container_copy(c);
	AUTO_STRVEC struct strvec include = {0}, exclude = {0};
	struct directory *dir = NULL;
	const char *path = NULL;

	TRY(container_path(
		c, ct, ARG_Container_withDirectory_path, ARG_Container_withDirectory_expand, &path));
	TRY(arg_object(c, ARG_Container_withDirectory_source, "Directory", (void **)&dir));
	arg_texts(c, ARG_Container_withDirectory_include, &include);
	arg_texts(c, ARG_Container_withDirectory_exclude, &exclude);
	TRY(gitignore_patterns(
		c, dir->node, dir->path, arg_flag(c, ARG_Container_withDirectory_gitignore), &exclude));
	struct copy cp = {
		.from = dir->node,
		.source = dir->path,
		.contents = true,
		.mode = mode_text(c, arg_int(c, ARG_Container_withDirectory_permissions, -1)),
		.include = include.len ? strvec_list(&include) : NULL,
		.exclude = exclude.len ? strvec_list(&exclude) : NULL,
	};
	cp.owner = container_owner(c, arg_text(c, ARG_Container_withDirectory_owner));
	TRY(copy_to(c, ct, path, &cp, arena_printf(c->arena, "copy directory %s", path)));
	call_give(c, ct);
	return NULL;
}

static struct err *put_file(struct call *c, struct container *ct, const struct file *f, const char *raw,
	const char *path, bool into, int64_t mode, const char *owner)
{
	struct copy cp = {.from = f->node, .source = f->path, .mode = mode_text(c, mode)};
	const char *what = arena_printf(c->arena, "copy file %s", path);

	cp.owner = container_owner(c, owner);
	cp.into = into || cstr_ends(raw, "/");
	return copy_to(c, ct, path, &cp, what);
}

struct err *resolve_container_with_file(struct call *c)
{
	struct container *ct = container_copy(c);
	struct file *f = NULL;
	const char *path = NULL;

	TRY(container_path(c, ct, ARG_Container_withFile_path, ARG_Container_withFile_expand, &path));
	TRY(arg_object(c, ARG_Container_withFile_source, "File", (void **)&f));
	TRY(put_file(c, ct, f, arg_text(c, ARG_Container_withFile_path), path, false,
		arg_int(c, ARG_Container_withFile_permissions, -1),
		arg_text(c, ARG_Container_withFile_owner)));
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_with_files(struct call *c)
{
	struct container *ct = container_copy(c);
	const char *path = NULL;
	size_t count;
	const struct gql_value *items = arg_items(c, ARG_Container_withFiles_sources, &count);

	TRY(container_path(c, ct, ARG_Container_withFiles_path, ARG_Container_withFiles_expand, &path));
	for (size_t i = 0; i < count; i++) {
		struct file *f = NULL;
		TRY(item_object(c, &items[i], "File", (void **)&f));
		TRY(put_file(c, ct, f, "/", path, true, arg_int(c, ARG_Container_withFiles_permissions, -1),
			arg_text(c, ARG_Container_withFiles_owner)));
	}
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_with_new_file(struct call *c)
{
	struct container *ct = container_copy(c);
	const char *path = NULL;
	struct file_action a = {.kind = FILE_MKFILE, .data = arg_str(c, ARG_Container_withNewFile_contents)};

	TRY(container_path(c, ct, ARG_Container_withNewFile_path, ARG_Container_withNewFile_expand, &path));
	a.owner = container_owner(c, arg_text(c, ARG_Container_withNewFile_owner));
	a.mode = mode_text(c, arg_int(c, ARG_Container_withNewFile_permissions, 0644));
	TRY(act_on(c, ct, path, &a, arena_printf(c->arena, "write %s", path)));
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_with_symlink(struct call *c)
{
	struct container *ct = container_copy(c);
	const char *path = NULL, *target = NULL;

	TRY(container_path(
		c, ct, ARG_Container_withSymlink_linkName, ARG_Container_withSymlink_expand, &path));
	TRY(container_expand(c, ct, arg_text(c, ARG_Container_withSymlink_target),
		arg_flag(c, ARG_Container_withSymlink_expand), &target));
	struct file_action a = {.kind = FILE_SYMLINK, .target = target};
	TRY(act_on(c, ct, path, &a, arena_printf(c->arena, "link %s", path)));
	call_give(c, ct);
	return NULL;
}

static struct err *remove_path(struct call *c, struct container *ct, const char *path)
{
	struct file_action a = {.kind = FILE_REMOVE, .allow_missing = true};

	if (cstr_eq(path, "/"))
		return err_new(ERR_INVALID, "the root directory cannot be removed");
	ct->made_workdir = NULL;
	return act_on(c, ct, path, &a, arena_printf(c->arena, "remove %s", path));
}

static struct err *without(struct call *c, unsigned path_arg, unsigned expand_arg)
{
	struct container *ct = container_copy(c);
	const char *path = NULL;

	TRY(container_path(c, ct, path_arg, (int)expand_arg, &path));
	TRY(remove_path(c, ct, path));
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_without_file(struct call *c)
{
	return without(c, ARG_Container_withoutFile_path, ARG_Container_withoutFile_expand);
}

struct err *resolve_container_without_directory(struct call *c)
{
	return without(c, ARG_Container_withoutDirectory_path, ARG_Container_withoutDirectory_expand);
}

struct err *resolve_container_without_files(struct call *c)
{
	struct container *ct = container_copy(c);
	AUTO_STRVEC struct strvec paths = {0};

	arg_texts(c, ARG_Container_withoutFiles_paths, &paths);
	for (size_t i = 0; i < paths.len; i++) {
		const char *path = NULL;
		TRY(container_expand(
			c, ct, paths.ptr[i], arg_flag(c, ARG_Container_withoutFiles_expand), &path));
		TRY(remove_path(c, ct, path_at(c->d, container_workdir(ct), path)));
	}
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_with_rootfs(struct call *c)
{
	struct container *ct = container_copy(c);
	struct directory *dir = NULL;

	TRY(arg_object(c, ARG_Container_withRootfs_directory, "Directory", (void **)&dir));
	TRY(directory_root(c->d, dir, &ct->root));
	ct->made_workdir = NULL;
	json_object_del(ct->config, "history");
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_rootfs(struct call *c)
{
	call_give(c, directory_new(c, container_self(c)->root, "/"));
	return NULL;
}

struct err *resolve_container_directory(struct call *c)
{
	const char *path = NULL, *inside = NULL;
	struct node *n = NULL;

	TRY(container_path(
		c, container_self(c), ARG_Container_directory_path, ARG_Container_directory_expand, &path));
	TRY(container_locate(c, container_self(c), path, &n, &inside));
	call_give(c, directory_new(c, n, inside));
	return NULL;
}

struct err *resolve_container_file(struct call *c)
{
	const char *path = NULL, *inside = NULL;
	struct node *n = NULL;

	TRY(container_path(c, container_self(c), ARG_Container_file_path, ARG_Container_file_expand, &path));
	TRY(container_locate(c, container_self(c), path, &n, &inside));
	call_give(c, file_new(c, n, inside));
	return NULL;
}

struct err *resolve_container_exists(struct call *c)
{
	const char *path = NULL, *inside = NULL;
	struct node *n = NULL;

	TRY(container_path(
		c, container_self(c), ARG_Container_exists_path, ARG_Container_exists_expand, &path));
	struct err *e = container_locate(c, container_self(c), path, &n, &inside);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "absence is an answer");
		gql_out_bool(c->out, false);
		return NULL;
	}
	TRY(e);
	return exists_give(c, n, inside, arg_text(c, ARG_Container_exists_expectedType),
		!arg_flag(c, ARG_Container_exists_doNotFollowSymlinks));
}

struct err *resolve_container_stat(struct call *c)
{
	const char *path = NULL, *inside = NULL;
	struct node *n = NULL;

	TRY(container_path(c, container_self(c), ARG_Container_stat_path, -1, &path));
	TRY(container_locate(c, container_self(c), path, &n, &inside));
	return stat_give(c, n, inside, !arg_flag(c, ARG_Container_stat_doNotFollowSymlinks));
}
