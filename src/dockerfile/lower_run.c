/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/lower_internal.h"

#include "base/mem.h"
#include "base/path.h"
#include "dockerfile/heredoc.h"
#include "dockerfile/mounts.h"

#include <string.h>

#define PIPES_DIR "/dev/pipes"

/* One RUN being put together. */
struct run {
	struct lower *lw;
	struct stage *st;
	const struct instr *i;
	struct vec inputs; /* of struct node *; 0 is the root */
	struct vec mounts; /* of struct exec_mount */
	struct strvec argv;
	struct strvec env;
	unsigned ssh_mounts;
};

static void run_fini(struct run *r)
{
	vec_fini(&r->inputs);
	vec_fini(&r->mounts);
	strvec_fini(&r->argv);
	strvec_fini(&r->env);
}

static int add_input(struct run *r, struct node *n)
{
	if (!n)
		return INPUT_NONE;
	for (size_t i = 1; i < r->inputs.len; i++)
		if (*(struct node **)vec_at(&r->inputs, i) == n)
			return (int)i;
	vec_push_copy(&r->inputs, &n);
	return (int)r->inputs.len - 1;
}

static void prepend_shell(const struct stage *st, struct strvec *argv)
{
	size_t before = argv->len;
	stage_config_list(&st->config, "Shell", argv);
	if (argv->len > before)
		return;
	strvec_push(argv, "/bin/sh");
	strvec_push(argv, "-c");
}

/* A body that names its interpreter becomes a file that is mounted for the time of the step, so that no layer
 * keeps it. */
static struct err *script_mount(struct run *r, const struct ast_heredoc *doc)
{
	struct file_action make = {.kind = FILE_MKFILE,
		.input = INPUT_NONE,
		.dest = arena_printf(r->lw->a, "/%s", doc->name),
		.mode = "0755",
		.data = doc->body};
	struct op op = {.kind = OP_FILE, .file = {.actions = &make, .action_count = 1}};
	struct node *none = NULL, *file = NULL;
	struct node_label label = {.name = "preparing inline document",
		.where = lower_range(r->lw, r->st, r->i->node),
		.hidden = true};
	TRY(graph_node(r->lw->g, &op, &none, 1, &label, &file));
	struct exec_mount m = {.kind = MOUNT_BIND, .target = PIPES_DIR, .input = add_input(r, file)};
	vec_push_copy(&r->mounts, &m);
	return NULL;
}

static bool usable_file_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* The text that the shell is given. */
static struct err *shell_text(struct run *r, struct buf *out)
{
	const struct ast_node *n = r->i->node;
	const char *line = n->args[0].text;
	if (n->doc_count == 0) {
		buf_adds(out, line);
		return NULL;
	}
	const struct ast_heredoc *doc = &n->docs[0];
	struct ast_heredoc alone = {0};
	bool only = n->doc_count == 1 && heredoc_word(r->lw->a, line, &alone);
	if (only && str_starts(doc->body, "#!") && usable_file_name(doc->name)) {
		TRY(script_mount(r, doc));
		buf_addf(out, PIPES_DIR "/%s", doc->name);
		return NULL;
	}
	if (only) {
		buf_addstr(out, doc->body);
		return NULL;
	}
	buf_adds(out, line);
	for (size_t i = 0; i < n->doc_count; i++)
		buf_addf(out, "\n" STR_FMT "%s", STR_ARG(n->docs[i].body), n->docs[i].name);
	return NULL;
}

static struct err *make_argv(struct run *r)
{
	const struct ast_node *n = r->i->node;
	if (n->json) {
		for (size_t i = 0; i < n->arg_count; i++)
			strvec_push(&r->argv, n->args[i].text);
		return NULL;
	}
	struct buf text AUTO_BUF = {0};
	TRY(shell_text(r, &text));
	prepend_shell(r->st, &r->argv);
	strvec_push(&r->argv, buf_cstr(&text));
	return NULL;
}

static struct err *make_env(struct run *r)
{
	if (!envlist_get(&r->st->env, "PATH"))
		strvec_push(&r->env, "PATH=" DEFAULT_PATH);
	size_t bytes = 0;
	for (size_t i = 0; i < r->st->env.len; i++) {
		bytes += strlen(r->st->env.ptr[i]) + 16;
		strvec_push(&r->env, r->st->env.ptr[i]);
	}
	return lower_charge(r->lw, bytes);
}

static struct err *expand_fields(struct run *r, const struct mount_words *w, struct mount_field **out)
{
	*out = arena_array(r->lw->a, w->count + 1, sizeof(**out));
	for (size_t i = 0; i < w->count; i++) {
		(*out)[i] = w->fields[i];
		if (!w->fields[i].value || strcmp(w->fields[i].key, "from") == 0)
			continue;
		struct ast_word word = {w->fields[i].value, w->at};
		TRY(lower_expand(r->lw, r->st, &word, &(*out)[i].value));
	}
	return NULL;
}

static const char *absolute_target(struct run *r, const char *target)
{
	char *path AUTO_FREE = path_resolve(stage_config_cwd(&r->st->config), target);
	return arena_strdup(r->lw->a, path);
}

/* Where the files of a bind or cache mount come from. */
static struct err *mount_input(
	struct run *r, const struct mount_words *w, const struct mount_spec *spec, struct exec_mount *m)
{
	struct from_result from = {0};
	m->input = INPUT_NONE;
	if (spec->kind != MOUNT_BIND && spec->kind != MOUNT_CACHE)
		return NULL;
	if (spec->from && *spec->from) {
		struct from_ref ref = {spec->from, w->at, false};
		TRY(lower_from(r->lw, r->st, r->i, &ref, &from));
	} else if (spec->kind == MOUNT_BIND) {
		TRY(lower_at(r->lw, r->st, w->at, lower_local(r->lw, "context", &from.node)));
	}
	m->input = add_input(r, from.node);
	if (!spec->source)
		return NULL;
	char *source AUTO_FREE = path_rooted(spec->source);
	m->source = *source ? arena_strdup(r->lw->a, source) : NULL;
	return NULL;
}

static const char *cache_id(struct lower *lw, const char *id)
{
	const char *ns = lower_build_arg(lw, "BUILDKIT_CACHE_MOUNT_NS");
	if (!ns || !*ns)
		return id;
	char *joined AUTO_FREE = path_join(ns, id);
	return arena_strdup(lw->a, joined);
}

static void ssh_defaults(struct run *r, struct exec_mount *m)
{
	unsigned n = r->ssh_mounts++;
	if (!m->target)
		m->target = arena_printf(r->lw->a, "/run/buildkit/ssh_agent.%u", n);
	if (n == 0 && !envlist_get(&r->st->env, "SSH_AUTH_SOCK"))
		m->env = "SSH_AUTH_SOCK";
}

static struct err *add_mount(struct run *r, const struct mount_words *w)
{
	struct mount_field *fields = NULL;
	struct mount_spec spec = {0};
	TRY(expand_fields(r, w, &fields));
	TRY(lower_at(r->lw, r->st, w->at, mount_parse(r->lw->a, fields, w->count, &spec)));
	struct exec_mount m = {
		.kind = spec.kind,
		.target = spec.target ? absolute_target(r, spec.target) : NULL,
		.writable = spec.writable,
		.sharing = spec.sharing,
		.required = spec.required,
		.mode = spec.mode,
		.uid = spec.uid,
		.gid = spec.gid,
		.size = spec.size,
		.env = spec.env,
	};
	if (spec.kind == MOUNT_CACHE)
		m.cache_id = cache_id(r->lw, spec.id);
	if (spec.kind == MOUNT_SECRET || spec.kind == MOUNT_SSH)
		m.secret_id = spec.id;
	if (spec.kind == MOUNT_SSH)
		ssh_defaults(r, &m);
	if (m.target && strcmp(m.target, "/") == 0)
		return lower_at(r->lw, r->st, w->at,
			err_new(ERR_INVALID, "invalid mount target \"%s\": it cannot be the root",
				spec.target));
	TRY(mount_input(r, w, &spec, &m));
	vec_push_copy(&r->mounts, &m);
	return NULL;
}

static enum network_mode network_of(const struct run *r)
{
	const char *said = r->i->flag[FLAG_NETWORK];
	if (said && strcmp(said, "none") == 0)
		return NETWORK_NONE;
	if (said && strcmp(said, "host") == 0)
		return NETWORK_HOST;
	return (enum network_mode)r->lw->rq->network;
}

/* ARGs in scope, each once at its first place, with the value that the step sees. */
static void history_args(const struct stage *st, struct buf *out)
{
	if (st->build_args.len)
		buf_addf(out, "|%zu ", st->build_args.len);
	for (size_t i = 0; i < st->build_args.len; i++) {
		const struct build_arg *a = vec_at(&st->build_args, i);
		const char *value = envlist_get(&st->env, a->key);
		buf_addf(out, "%s=%s ", a->key, value ? value : a->value ? a->value : "");
	}
}

static struct err *add_history(struct run *r)
{
	struct buf text AUTO_BUF = {0};
	buf_adds(&text, "RUN ");
	history_args(r->st, &text);
	for (size_t i = 0; i < r->argv.len; i++)
		buf_addf(&text, "%s ", r->argv.ptr[i]);
	buf_adds(&text, "# buildkit");
	stage_config_history(&r->st->config, buf_cstr(&text), true, r->lw->created);
	return lower_charge(r->lw, text.len + r->st->build_args.len * 64);
}

/* Whoever wrote the file, or a base image's triggers, must not be the one who opens the sandbox. */
static struct err *check_security(const struct run *r, bool insecure)
{
	if (!insecure || r->lw->rq->allow_insecure)
		return NULL;
	return err_hint(lower_at(r->lw, r->st, r->i->flag_at[FLAG_SECURITY],
				err_new(ERR_DENIED, "RUN --security=insecure runs with all capabilities and "
						    "without a system call "
						    "filter: that must be allowed")),
		"if you trust the file and its base images: --allow " ALLOW_INSECURE);
}

static struct err *make_node(struct run *r)
{
	struct lower *lw = r->lw;
	const char *user = stage_config_text(&r->st->config, "User");
	const char *security = r->i->flag[FLAG_SECURITY];
	bool insecure = security && strcmp(security, "insecure") == 0;
	TRY(check_security(r, insecure));
	struct op op = {.kind = OP_EXEC,
		.exec = {
			.argv = strvec_list(&r->argv),
			.env = strvec_list(&r->env),
			.cwd = stage_config_cwd(&r->st->config),
			.user = *user ? user : NULL,
			.network = network_of(r),
			.insecure = insecure,
			.hostname = lower_build_arg(lw, "BUILDKIT_SANDBOX_HOSTNAME"),
			.mounts = r->mounts.ptr,
			.mount_count = r->mounts.len,
			.proxy_env = lw->proxies.len ? strvec_list(&lw->proxies) : NULL,
		}};
	struct node_label label = lower_label(lw, r->st, r->i);
	struct node *made = NULL;
	TRY(lower_at(lw, r->st, r->i->node->at,
		graph_node(lw->g, &op, r->inputs.ptr, r->inputs.len, &label, &made)));
	r->st->root = made;
	return NULL;
}

struct err *lower_run(struct lower *lw, struct stage *st, const struct instr *i)
{
	struct run r AUTO(run_fini) = {.lw = lw,
		.st = st,
		.i = i,
		.inputs = VEC_OF(struct node *),
		.mounts = VEC_OF(struct exec_mount)};
	vec_push_copy(&r.inputs, &st->root);
	TRY(make_env(&r));
	TRY(make_argv(&r));
	for (size_t k = 0; k < i->mount_count; k++)
		TRY(add_mount(&r, &i->mounts[k]));
	TRY(make_node(&r));
	return add_history(&r);
}
