/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"
#include "dagger/dagger_schema.h"

#include <string.h>

const struct container_mount *container_mount_of(
	const struct container *ct, const char *path, const char **rest)
{
	const struct container_mount *best = NULL;

	for (size_t i = 0; i < ct->mounts.len; i++) {
		const struct container_mount *m = vec_at(&ct->mounts, i);
		if (path_below(path + 1, m->path + 1) && (!best || strlen(m->path) >= strlen(best->path)))
			best = m;
	}
	if (best)
		*rest = path + strlen(best->path);
	return best;
}

struct err *container_locate(
	struct call *c, const struct container *ct, const char *path, struct node **node, const char **inside)
{
	static const char *const forms[] = {
		"", "", "cache volume", "temporary directory", "secret", "socket"};
	const char *rest = "";
	const struct container_mount *m = container_mount_of(ct, path, &rest);

	if (!m) {
		*node = ct->root;
		*inside = path;
		return NULL;
	}
	if (m->form == FORM_SECRET)
		return err_new(ERR_NOT_FOUND, "%s: no such file or directory", path);
	if (m->form != FORM_DIRECTORY && m->form != FORM_FILE)
		return err_new(ERR_INVALID, "%s is in a %s, whose files are not part of the container", path,
			forms[m->form]);
	*node = m->node;
	*inside = path_at(c->d, m->source, *rest == '/' ? rest + 1 : rest);
	return NULL;
}

static struct container_mount *mount_index(struct container *ct, const char *path)
{
	for (size_t i = 0; i < ct->mounts.len; i++) {
		struct container_mount *m = vec_at(&ct->mounts, i);
		if (cstr_eq(m->path, path))
			return m;
	}
	return NULL;
}

static void set_mount(struct container *ct, const struct container_mount *m)
{
	struct container_mount *old = mount_index(ct, m->path);

	if (old)
		*old = *m;
	else
		vec_push_copy(&ct->mounts, m);
}

/* Where a file operation on path goes: the root, or a mounted directory (*mount, to get the new node). */
struct err *container_target(struct call *c, struct container *ct, const char *path, struct node **base,
	const char **inside, struct container_mount **mount)
{
	const char *rest;
	const struct container_mount *m = container_mount_of(ct, path, &rest);

	*mount = m ? mount_index(ct, m->path) : NULL;
	return container_locate(c, ct, path, base, inside);
}

/* What the command wrote into mounted directories is what they hold from now on. */
struct err *container_mounts_after(struct call *c, struct container *ct)
{
	for (size_t i = 0; i < ct->mounts.len; i++) {
		struct container_mount *m = vec_at(&ct->mounts, i);
		if (m->form != FORM_DIRECTORY || m->read_only)
			continue;
		const struct op op = {.kind = OP_MOUNT, .mount = {.target = m->path}};
		struct node *inputs[] = {m->node, ct->exec};
		const struct node_label label = {.name = "mount", .hidden = true};
		TRY(session_node(c->d->session, &op, inputs, ARRAY_LEN(inputs), &label, &m->node));
	}
	return NULL;
}

static struct err *finish(struct call *c, struct container *ct, const struct container_mount *m)
{
	if (cstr_eq(m->path, "/"))
		return err_new(ERR_INVALID, "nothing can be mounted at /");
	set_mount(ct, m);
	call_give(c, ct);
	return NULL;
}

/* Where owner is looked up, if it takes a look. */
static struct node *names_of(const struct container *ct, const char *owner)
{
	return owner[strspn(owner, "0123456789:")] ? ct->root : NULL;
}

/* source as a file system of its own, so that what is written to it can be kept. */
static struct err *mounted_root(struct call *c, struct container *ct, const struct directory *dir,
	const char *owner_text, struct node **out)
{
	const char *owner = container_owner(c, owner_text);

	if (!owner)
		return directory_root(c->d, dir, out);
	const struct copy cp = {.from = dir->node,
		.source = dir->path,
		.contents = true,
		.dress_top = true,
		.dest = "/",
		.owner = owner,
		.names = names_of(ct, owner)};
	return node_copy(c->d, NULL, &cp, "chown", out);
}

struct err *resolve_container_with_mounted_directory(struct call *c)
{
	struct container *ct = container_copy(c);
	struct container_mount m = {.form = FORM_DIRECTORY, .source = "/"};
	struct directory *dir = NULL;

	TRY(container_path(c, ct, ARG_Container_withMountedDirectory_path,
		ARG_Container_withMountedDirectory_expand, &m.path));
	TRY(arg_object(c, ARG_Container_withMountedDirectory_source, "Directory", (void **)&dir));
	TRY(mounted_root(c, ct, dir, arg_text(c, ARG_Container_withMountedDirectory_owner), &m.node));
	m.read_only = arg_flag(c, ARG_Container_withMountedDirectory_readOnly);
	return finish(c, ct, &m);
}

struct err *resolve_container_with_mounted_file(struct call *c)
{
	struct container *ct = container_copy(c);
	struct container_mount m = {.form = FORM_FILE};
	struct file *file = NULL;

	TRY(container_path(
		c, ct, ARG_Container_withMountedFile_path, ARG_Container_withMountedFile_expand, &m.path));
	TRY(arg_object(c, ARG_Container_withMountedFile_source, "File", (void **)&file));
	const char *owner = container_owner(c, arg_text(c, ARG_Container_withMountedFile_owner));
	m.node = file->node;
	m.source = file->path;
	if (owner) {
		const struct copy cp = {.from = file->node,
			.source = file->path,
			.dest = "/file",
			.owner = owner,
			.names = names_of(ct, owner)};
		TRY(node_copy(c->d, NULL, &cp, "chown", &m.node));
		m.source = "/file";
	}
	return finish(c, ct, &m);
}

static enum cache_sharing sharing_of(const char *text)
{
	return cstr_eq(text, "LOCKED")    ? CACHE_LOCKED
	       : cstr_eq(text, "PRIVATE") ? CACHE_LOCKED
					  : CACHE_SHARED;
}

struct err *resolve_container_with_mounted_cache(struct call *c)
{
	struct container *ct = container_copy(c);
	struct container_mount m = {.form = FORM_CACHE, .source = "/", .mode = 0755};
	struct cache_volume *cache = NULL;
	struct directory *dir = NULL;

	TRY(container_path(
		c, ct, ARG_Container_withMountedCache_path, ARG_Container_withMountedCache_expand, &m.path));
	TRY(arg_object(c, ARG_Container_withMountedCache_cache, "CacheVolume", (void **)&cache));
	TRY(arg_object(c, ARG_Container_withMountedCache_source, "Directory", (void **)&dir));
	const char *owner = arg_text(c, ARG_Container_withMountedCache_owner);
	if (!owner || !*owner)
		owner = cache->owner;
	m.owner = container_owner(c, owner);
	if (!dir)
		dir = cache->source;
	m.sharing = sharing_of(arg_text(c, ARG_Container_withMountedCache_sharing));
	if (m.sharing == CACHE_SHARED)
		m.sharing = cache->sharing;
	m.name = cache->key;
	if (dir) {
		m.node = dir->node;
		m.source = dir->path;
	}
	return finish(c, ct, &m);
}

struct err *resolve_container_with_mounted_temp(struct call *c)
{
	struct container *ct = container_copy(c);
	struct container_mount m = {.form = FORM_TEMP};

	TRY(container_path(
		c, ct, ARG_Container_withMountedTemp_path, ARG_Container_withMountedTemp_expand, &m.path));
	m.size = (uint64_t)arg_int(c, ARG_Container_withMountedTemp_size, 0);
	return finish(c, ct, &m);
}

struct err *resolve_container_with_mounted_secret(struct call *c)
{
	struct container *ct = container_copy(c);
	struct container_mount m = {.form = FORM_SECRET};
	struct secret *secret = NULL;

	TRY(container_path(c, ct, ARG_Container_withMountedSecret_path,
		ARG_Container_withMountedSecret_expand, &m.path));
	TRY(arg_object(c, ARG_Container_withMountedSecret_source, "Secret", (void **)&secret));
	m.owner = container_owner(c, arg_text(c, ARG_Container_withMountedSecret_owner));
	m.mode = (uint32_t)arg_int(c, ARG_Container_withMountedSecret_mode, 0400);
	m.secret = secret;
	return finish(c, ct, &m);
}

struct err *resolve_container_with_unix_socket(struct call *c)
{
	struct container *ct = container_copy(c);
	struct container_mount m = {.form = FORM_SOCKET};
	struct text *socket = NULL;

	TRY(container_path(
		c, ct, ARG_Container_withUnixSocket_path, ARG_Container_withUnixSocket_expand, &m.path));
	TRY(arg_object(c, ARG_Container_withUnixSocket_source, "Socket", (void **)&socket));
	/* Must be known, but the socket itself is the host's, and so is who may use it. */
	m.owner = container_owner(c, arg_text(c, ARG_Container_withUnixSocket_owner));
	m.name = socket->text;
	return finish(c, ct, &m);
}

static struct err *without(struct call *c, unsigned path_arg, unsigned expand_arg)
{
	struct container *ct = container_copy(c);
	const char *path = NULL;

	TRY(container_path(c, ct, path_arg, (int)expand_arg, &path));
	for (size_t i = ct->mounts.len; i-- > 0;)
		if (cstr_eq(((struct container_mount *)vec_at(&ct->mounts, i))->path, path))
			vec_remove(&ct->mounts, i);
	call_give(c, ct);
	return NULL;
}

struct err *resolve_container_without_mount(struct call *c)
{
	return without(c, ARG_Container_withoutMount_path, ARG_Container_withoutMount_expand);
}

struct err *resolve_container_without_unix_socket(struct call *c)
{
	return without(c, ARG_Container_withoutUnixSocket_path, ARG_Container_withoutUnixSocket_expand);
}

struct err *resolve_container_mounts(struct call *c)
{
	const struct container *ct = container_self(c);
	struct gql_out *items = gql_out_list(c->out, ct->mounts.len);

	for (size_t i = 0; i < ct->mounts.len; i++)
		gql_out_string(&items[i], str_c(((struct container_mount *)vec_at(&ct->mounts, i))->path));
	return NULL;
}
