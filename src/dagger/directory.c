/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of directories. A directory is a place in a file system: what is below it changes, the rest is
 * carried along. */
#include "dagger/dagger_schema.h"
#include "sys/file.h"

#include <string.h>

/* So many changes of a directory become one: a file system is stacked of so many layers at most. */
#define LAYERS_MAX 100

static const struct directory *self(struct call *c)
{
	return (const struct directory *)(const void *)c->self;
}

static struct err *give(struct call *c, struct node *n, const char *path)
{
	call_give(c, directory_new(c, n, path));
	return NULL;
}

/* How many changes lie over one another in what n gives. */
static unsigned layers_of(const struct node *n)
{
	unsigned count = 0;

	for (; n && count < LAYERS_MAX && node_input_count(n) > 0; count++)
		n = node_input(n, 0);
	return count;
}

/* The directory's own files in the root of a file system, so that changes do not carry what lies around them.
 */
static struct err *base(struct call *c, struct node **out)
{
	TRY(directory_root(c->d, self(c), out));
	if (layers_of(*out) < LAYERS_MAX)
		return NULL;
	const struct copy cp = {.from = *out, .source = "/", .contents = true, .dest = "/"};
	return node_copy(c->d, NULL, &cp, "gather", out);
}

static struct err *act(struct call *c, struct file_action *a, const char *path, const char *verb)
{
	struct node *n = NULL;

	TRY(base(c, &n));
	TRY(path_inside(c->d, "/", path, &a->dest));
	TRY(node_actions(c->d, n, a, 1, arena_printf(c->arena, "%s %s", verb, a->dest), &n));
	return give(c, n, "/");
}

struct err *resolve_directory_directory(struct call *c)
{
	const char *path = NULL;

	TRY(path_inside(c->d, self(c)->path, arg_text(c, ARG_Directory_directory_path), &path));
	return give(c, self(c)->node, path);
}

struct err *resolve_directory_file(struct call *c)
{
	const char *path = NULL;

	TRY(path_inside(c->d, self(c)->path, arg_text(c, ARG_Directory_file_path), &path));
	call_give(c, file_new(c, self(c)->node, path));
	return NULL;
}

static struct err *directory_owner(const char *owner, const char **out)
{
	if (owner && *owner && owner[strspn(owner, "0123456789:")])
		return err_hint(
			err_new(ERR_INVALID, "the owner \"%s\" of files of a directory, which knows no names",
				owner),
			"use numbers, or set the owner when it is copied into a container");
	*out = owner && *owner ? owner : NULL;
	return NULL;
}

struct err *resolve_directory_with_directory(struct call *c)
{
	AUTO_STRVEC struct strvec include = {0}, exclude = {0};
	struct directory *dir = NULL;
	struct node *n = NULL;

	TRY(base(c, &n));
	TRY(arg_object(c, ARG_Directory_withDirectory_source, "Directory", (void **)&dir));
	arg_texts(c, ARG_Directory_withDirectory_include, &include);
	arg_texts(c, ARG_Directory_withDirectory_exclude, &exclude);
	TRY(gitignore_patterns(
		c, dir->node, dir->path, arg_flag(c, ARG_Directory_withDirectory_gitignore), &exclude));
	struct copy cp = {
		.from = dir->node,
		.source = dir->path,
		.contents = true,
		.mode = mode_text(c, arg_int(c, ARG_Directory_withDirectory_permissions, -1)),
		.include = include.len ? strvec_list(&include) : NULL,
		.exclude = exclude.len ? strvec_list(&exclude) : NULL,
	};
	TRY(directory_owner(arg_text(c, ARG_Directory_withDirectory_owner), &cp.owner));
	TRY(path_inside(c->d, "/", arg_text(c, ARG_Directory_withDirectory_path), &cp.dest));
	TRY(node_copy(c->d, n, &cp, arena_printf(c->arena, "copy directory %s", cp.dest), &n));
	return give(c, n, "/");
}

static struct err *put_file(struct call *c, struct node **n, const struct file *f, const char *path,
	bool into, int64_t mode, const char *owner)
{
	struct copy cp = {.from = f->node,
		.source = f->path,
		.mode = mode_text(c, mode),
		.into = into || cstr_ends(path, "/")};

	TRY(directory_owner(owner, &cp.owner));
	TRY(path_inside(c->d, "/", path, &cp.dest));
	return node_copy(c->d, *n, &cp, arena_printf(c->arena, "copy file %s", cp.dest), n);
}

struct err *resolve_directory_with_file(struct call *c)
{
	struct file *f = NULL;
	struct node *n = NULL;

	TRY(base(c, &n));
	TRY(arg_object(c, ARG_Directory_withFile_source, "File", (void **)&f));
	TRY(put_file(c, &n, f, arg_text(c, ARG_Directory_withFile_path), false,
		arg_int(c, ARG_Directory_withFile_permissions, -1),
		arg_text(c, ARG_Directory_withFile_owner)));
	return give(c, n, "/");
}

struct err *resolve_directory_with_files(struct call *c)
{
	struct node *n = NULL;
	size_t count;
	const struct gql_value *items = arg_items(c, ARG_Directory_withFiles_sources, &count);

	TRY(base(c, &n));
	for (size_t i = 0; i < count; i++) {
		struct file *f = NULL;
		TRY(item_object(c, &items[i], "File", (void **)&f));
		TRY(put_file(c, &n, f, arg_text(c, ARG_Directory_withFiles_path), true,
			arg_int(c, ARG_Directory_withFiles_permissions, -1), NULL));
	}
	return give(c, n, "/");
}

struct err *resolve_directory_with_new_file(struct call *c)
{
	struct file_action a = {.kind = FILE_MKFILE,
		.data = arg_str(c, ARG_Directory_withNewFile_contents),
		.mode = mode_text(c, arg_int(c, ARG_Directory_withNewFile_permissions, 0644))};

	return act(c, &a, arg_text(c, ARG_Directory_withNewFile_path), "write");
}

struct err *resolve_directory_with_new_directory(struct call *c)
{
	struct file_action a = {.kind = FILE_MKDIR,
		.make_parents = true,
		.mode = mode_text(c, arg_int(c, ARG_Directory_withNewDirectory_permissions, 0644))};

	return act(c, &a, arg_text(c, ARG_Directory_withNewDirectory_path), "mkdir");
}

struct err *resolve_directory_with_symlink(struct call *c)
{
	struct file_action a = {
		.kind = FILE_SYMLINK, .target = arg_text(c, ARG_Directory_withSymlink_target)};

	return act(c, &a, arg_text(c, ARG_Directory_withSymlink_linkName), "link");
}

struct err *resolve_directory_without_file(struct call *c)
{
	struct file_action a = {.kind = FILE_REMOVE, .allow_missing = true};

	return act(c, &a, arg_text(c, ARG_Directory_withoutFile_path), "remove");
}

struct err *resolve_directory_without_directory(struct call *c)
{
	struct file_action a = {.kind = FILE_REMOVE, .allow_missing = true};

	return act(c, &a, arg_text(c, ARG_Directory_withoutDirectory_path), "remove");
}

struct err *resolve_directory_without_files(struct call *c)
{
	AUTO_STRVEC struct strvec paths = {0};
	struct node *n = NULL;

	TRY(base(c, &n));
	arg_texts(c, ARG_Directory_withoutFiles_paths, &paths);
	for (size_t i = 0; i < paths.len; i++) {
		struct file_action a = {.kind = FILE_REMOVE, .allow_missing = true};
		TRY(path_inside(c->d, "/", paths.ptr[i], &a.dest));
		TRY(node_actions(c->d, n, &a, 1, arena_printf(c->arena, "remove %s", a.dest), &n));
	}
	return give(c, n, "/");
}

struct err *resolve_directory_filter(struct call *c)
{
	AUTO_STRVEC struct strvec include = {0}, exclude = {0};
	struct node *n = NULL;

	arg_texts(c, ARG_Directory_filter_include, &include);
	arg_texts(c, ARG_Directory_filter_exclude, &exclude);
	TRY(gitignore_patterns(
		c, self(c)->node, self(c)->path, arg_flag(c, ARG_Directory_filter_gitignore), &exclude));
	const struct copy cp = {.from = self(c)->node,
		.source = self(c)->path,
		.contents = true,
		.dest = "/",
		.include = include.len ? strvec_list(&include) : NULL,
		.exclude = exclude.len ? strvec_list(&exclude) : NULL};
	TRY(node_copy(c->d, NULL, &cp, "filter", &n));
	return give(c, n, "/");
}

struct err *resolve_directory_diff(struct call *c)
{
	struct directory *other = NULL;
	struct node *inputs[2] = {NULL, NULL}, *n = NULL;
	const struct op op = {.kind = OP_DIFF};
	const struct node_label label = {.name = "diff"};

	TRY(arg_object(c, ARG_Directory_diff_other, "Directory", (void **)&other));
	TRY(base(c, &inputs[0]));
	TRY(directory_root(c->d, other, &inputs[1]));
	TRY(session_node(c->d->session, &op, inputs, 2, &label, &n));
	return give(c, n, "/");
}

struct err *resolve_directory_chown(struct call *c)
{
	struct node *from = NULL, *n = NULL;
	struct copy cp = {.contents = true, .dress_top = true};

	TRY(base(c, &from));
	TRY(path_inside(c->d, "/", arg_text(c, ARG_Directory_chown_path), &cp.dest));
	TRY(directory_owner(arg_text(c, ARG_Directory_chown_owner), &cp.owner));
	cp.from = from;
	cp.source = cp.dest;
	TRY(node_copy(c->d, from, &cp, arena_printf(c->arena, "chown %s", cp.dest), &n));
	return give(c, n, "/");
}

struct err *resolve_directory_with_timestamps(struct call *c)
{
	struct node *n = NULL;
	struct file_action a = {.kind = FILE_TIMES,
		.dest = "/",
		.seconds = arg_int(c, ARG_Directory_withTimestamps_timestamp, 0)};

	TRY(base(c, &n));
	TRY(node_actions(c->d, n, &a, 1, "timestamps", &n));
	return give(c, n, "/");
}

struct err *resolve_directory_with_error(struct call *c)
{
	const char *text = arg_text(c, ARG_Directory_withError_err);

	if (*text)
		return err_new(ERR_INVALID, "%s", text);
	return give(c, self(c)->node, self(c)->path);
}

struct err *resolve_directory_sync(struct call *c)
{
	AUTO_FD int view = -1;
	struct stat st;

	TRY(view_of(c, self(c)->node, &view));
	struct err *e = root_stat(view, self(c)->path, true, &st);
	if (e)
		return err_wrap(e, "%s", self(c)->path);
	if (!S_ISDIR(st.st_mode))
		return err_new(ERR_INVALID, "%s is not a directory", self(c)->path);
	TRY(object_store(c->d, c->self));
	gql_out_string(c->out, str_c(c->self->id));
	return NULL;
}

/* ---- Dockerfiles ---- */

static struct err *build_args(struct call *c, struct strvec *out)
{
	size_t count;
	const struct gql_value *items = arg_items(c, ARG_Directory_dockerBuild_buildArgs, &count);

	for (size_t i = 0; i < count; i++) {
		const char *name = value_text(c, gql_member(&items[i], "name"));
		const char *value = value_text(c, gql_member(&items[i], "value"));
		strvec_pushf(out, "%s=%s", name, value ? value : "");
	}
	return NULL;
}

/* Secrets are known to the Dockerfile's steps by their names. */
static struct err *build_secrets(struct call *c)
{
	size_t count;
	const struct gql_value *items = arg_items(c, ARG_Directory_dockerBuild_secrets, &count);

	for (size_t i = 0; i < count; i++) {
		struct secret *s = NULL;
		AUTO_BUF struct buf value = {0};
		TRY(item_object(c, &items[i], "Secret", (void **)&s));
		TRY(secret_text(c, s, &value));
		session_set_secret(c->d->session, s->name ? s->name : s->uri, buf_str(&value));
		if (value.ptr)
			explicit_bzero(value.ptr, value.cap);
	}
	return NULL;
}

struct err *resolve_directory_docker_build(struct call *c)
{
	AUTO_STRVEC struct strvec args = {0};
	const char *target = arg_text(c, ARG_Directory_dockerBuild_target);
	const char *platform = arg_text(c, ARG_Directory_dockerBuild_platform);
	json_t *config = NULL;
	char text[128];
	struct platform p;

	if (platform)
		TRY(platform_parse(platform, &p));
	else
		platform_host(&p);
	struct container *ct = container_new(c, platform_text(&p, text));
	TRY(build_args(c, &args));
	TRY(build_secrets(c));
	TRY(services_for(c, self(c)->node));
	const struct session_dockerfile d = {
		.context = self(c)->node,
		.path = self(c)->path,
		.file = arg_text(c, ARG_Directory_dockerBuild_dockerfile),
		.target = target && *target ? target : NULL,
		.platform = ct->platform,
		.build_args = strvec_list(&args),
		.cancel = c->cancel,
	};
	TRY(session_dockerfile(c->d->session, &d, &ct->root, &config));
	json_decref(ct->config);
	ct->config = config;
	call_give(c, ct);
	return NULL;
}
