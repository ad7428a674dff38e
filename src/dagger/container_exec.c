/* SPDX-License-Identifier: Apache-2.0 */
#include "dagger/dagger_schema.h"

#include <string.h>

#define NAME_MAX_SHOWN 200

/* ---- the command ---- */

static void push_setting(const struct container *ct, const char *key, struct strvec *out)
{
	const json_t *list = json_object_get(container_settings(ct), key);

	for (size_t i = 0; i < json_array_size(list); i++)
		strvec_push(out, json_string_value(json_array_get(list, i)));
}

struct err *container_command(struct call *c, const struct container *ct, unsigned args,
	unsigned use_entrypoint, unsigned expand, struct strvec *argv)
{
	AUTO_STRVEC struct strvec given = {0};

	arg_texts(c, args, &given);
	if (arg_flag(c, use_entrypoint))
		push_setting(ct, "Entrypoint", argv);
	if (!given.len)
		push_setting(ct, "Cmd", argv);
	for (size_t i = 0; i < given.len; i++) {
		const char *word = NULL;
		TRY(container_expand(c, ct, given.ptr[i], arg_flag(c, expand), &word));
		strvec_push(argv, word);
	}
	if (!argv->len)
		return err_hint(err_new(ERR_INVALID, "no command has been set"),
			"give args, or set default args or an entrypoint before");
	return NULL;
}

/* "make -j2 all", on one line and not longer than people read. */
static const char *step_name(struct call *c, const char *verb, const struct strvec *argv)
{
	AUTO_BUF struct buf b = {0};

	buf_addf(&b, "%s ", verb);
	for (size_t i = 0; i < argv->len && b.len < NAME_MAX_SHOWN; i++)
		buf_addf(&b, "%s%s", i ? " " : "", argv->ptr[i]);
	for (size_t i = 0; i < b.len; i++)
		if (b.ptr[i] == '\n' || b.ptr[i] == '\t')
			b.ptr[i] = ' ';
	if (b.len > NAME_MAX_SHOWN) {
		buf_truncate(&b, NAME_MAX_SHOWN);
		while (b.len && ((unsigned char)b.ptr[b.len - 1] & 0xc0) == 0x80)
			buf_truncate(&b, b.len - 1);
		buf_adds(&b, "...");
	}
	return arena_strdup(c->arena, buf_cstr(&b));
}

/* ---- the step ---- */

struct exec_parts {
	struct vec inputs; /* of struct node *; 0 is the root */
	struct vec mounts; /* of struct exec_mount */
};

static int add_input(struct exec_parts *p, struct node *n)
{
	vec_push_copy(&p->inputs, &n);
	return (int)p->inputs.len - 1;
}

static struct err *add_mount(struct call *c, struct exec_parts *p, const struct container_mount *m)
{
	struct exec_mount e = {.target = m->path, .input = INPUT_NONE, .mode = m->mode, .owner = m->owner};

	switch (m->form) {
	case FORM_DIRECTORY:
	case FORM_FILE:
		e.kind = MOUNT_BIND;
		e.input = add_input(p, m->node);
		e.source = m->source + 1;
		e.writable = !m->read_only;
		e.keep = e.writable && m->form == FORM_DIRECTORY;
		break;
	case FORM_CACHE:
		e.kind = MOUNT_CACHE;
		e.input = m->node ? add_input(p, m->node) : INPUT_NONE;
		e.source = m->node ? m->source + 1 : NULL;
		e.cache_id = m->name;
		e.sharing = m->sharing;
		e.writable = true;
		break;
	case FORM_TEMP:
		e.kind = MOUNT_TMPFS;
		e.size = m->size;
		break;
	case FORM_SECRET:
		TRY(secret_ready(c, m->secret, &e.secret_id));
		e.kind = MOUNT_SECRET;
		e.required = true;
		break;
	case FORM_SOCKET:
		e.kind = MOUNT_SSH;
		e.secret_id = m->name;
		e.required = true;
		break;
	}
	vec_push_copy(&p->mounts, &e);
	return NULL;
}

static struct err *gather(struct call *c, const struct container *ct, struct exec_parts *p)
{
	for (size_t i = 0; i < ct->mounts.len; i++)
		TRY(add_mount(c, p, vec_at(&ct->mounts, i)));
	for (size_t i = 0; i < ct->secret_env.len; i++) {
		const struct secret_variable *v = vec_at(&ct->secret_env, i);
		const char *id = NULL;
		TRY(secret_ready(c, v->secret, &id));
		vec_push_copy(&p->mounts, &(struct exec_mount){.kind = MOUNT_SECRET,
						  .input = INPUT_NONE,
						  .secret_id = id,
						  .env = v->name,
						  .required = true});
	}
	return NULL;
}

/* The working directory is made when something runs in it. */
static struct err *make_workdir(struct call *c, struct container *ct)
{
	const char *dir = container_workdir(ct), *rest;
	const char *owner = json_string_value(json_object_get(container_settings(ct), "User"));

	if (cstr_eq(dir, "/") || cstr_eq(dir, ct->made_workdir) || container_mount_of(ct, dir, &rest))
		return NULL;
	const struct file_action mkdir = {
		.kind = FILE_MKDIR, .dest = dir, .owner = owner, .make_parents = true};
	struct node *before = ct->root;
	TRY(node_actions(c->d, before, &mkdir, 1, arena_printf(c->arena, "workdir %s", dir), &ct->root));
	if (ct->root != before)
		container_history(c, ct, arena_printf(c->arena, "workdir %s", dir));
	ct->made_workdir = keep_text(c->d, dir);
	return NULL;
}

static struct err *accepted(struct call *c, const char *expect, struct op_exec *op)
{
	uint8_t *codes = arena_alloc(c->arena, 256);

	if (!expect || cstr_eq(expect, "SUCCESS"))
		return NULL;
	for (unsigned code = 1; code < 256; code++)
		if (code < 128 || code > 191)
			codes[op->accept_count++] = (uint8_t)code;
	op->accept = codes;
	op->reject_zero = cstr_eq(expect, "FAILURE");
	return NULL;
}

static const char *text_or_null(struct call *c, unsigned i)
{
	const char *s = arg_text(c, i);

	return s && *s ? s : NULL;
}

static struct err *redirections(struct call *c, const struct container *ct, struct op_exec *op)
{
	const unsigned from[] = {ARG_Container_withExec_redirectStdin, ARG_Container_withExec_redirectStdout,
		ARG_Container_withExec_redirectStderr};
	const char **to[] = {&op->redirect_stdin, &op->redirect_stdout, &op->redirect_stderr};

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		TRY(container_expand(
			c, ct, text_or_null(c, from[i]), arg_flag(c, ARG_Container_withExec_expand), to[i]));
	op->stdin_text = text_or_null(c, ARG_Container_withExec_stdin);
	if (op->stdin_text && op->redirect_stdin)
		return err_new(ERR_INVALID, "stdin and redirectStdin cannot be used together");
	return NULL;
}

static void bind_services(struct dagger *d, const struct node *n, const struct container *ct)
{
	struct vec services = VEC_OF(struct service *);

	for (size_t i = 0; i < ct->services.len; i++)
		vec_push_copy(&services, &((struct service_binding *)vec_at(&ct->services, i))->service);
	services_bind(d, n, services.ptr, services.len);
	vec_fini(&services);
}

struct err *container_step(struct call *c, struct container *ct, const struct strvec *argv,
	struct op_exec *op, const char *verb, struct node **out)
{
	struct exec_parts p = {.inputs = VEC_OF(struct node *), .mounts = VEC_OF(struct exec_mount)};
	AUTO_STRVEC struct strvec env = {0}, hosts = {0};
	const json_t *user = json_object_get(container_settings(ct), "User");
	const char *name = step_name(c, verb, argv);

	TRY(make_workdir(c, ct));
	add_input(&p, ct->root);
	struct err *e = gather(c, ct, &p);
	push_setting(ct, "Env", &env);
	services_hosts(c->d, ct, &hosts);
	op->argv = strvec_list(argv);
	op->env = strvec_list(&env);
	op->cwd = container_workdir(ct);
	op->user = json_is_string(user) && *json_string_value(user) ? json_string_value(user) : NULL;
	op->extra_hosts = hosts.len ? strvec_list(&hosts) : NULL;
	op->mounts = p.mounts.ptr;
	op->mount_count = p.mounts.len;
	op->proxy_env = ct->volatile_env.len ? strvec_list(&ct->volatile_env) : NULL;
	const struct op whole = {.kind = OP_EXEC, .exec = *op};
	/* A service runs anew for each session. */
	const struct node_label label = {.name = name, .ignore_cache = cstr_eq(verb, "service")};
	if (!e)
		e = session_node(c->d->session, &whole, p.inputs.ptr, p.inputs.len, &label, out);
	if (!e)
		bind_services(c->d, *out, ct);
	vec_fini(&p.inputs);
	vec_fini(&p.mounts);
	return e;
}

struct err *resolve_container_with_exec(struct call *c)
{
	struct container *ct = container_copy(c);
	AUTO_STRVEC struct strvec argv = {0};
	struct op_exec op = {.insecure = arg_flag(c, ARG_Container_withExec_insecureRootCapabilities)};

	if (arg_flag(c, ARG_Container_withExec_experimentalPrivilegedNesting))
		return err_new(ERR_UNSUPPORTED,
			"not supported by cooper: Container.withExec(experimentalPrivilegedNesting: true)");
	TRY(container_command(c, ct, ARG_Container_withExec_args, ARG_Container_withExec_useEntrypoint,
		ARG_Container_withExec_expand, &argv));
	TRY(accepted(c, arg_text(c, ARG_Container_withExec_expect), &op));
	TRY(redirections(c, ct, &op));
	TRY(container_step(c, ct, &argv, &op, "exec", &ct->exec));
	ct->root = ct->exec;
	container_history(c, ct, step_name(c, "exec", &argv));
	TRY(container_mounts_after(c, ct));
	call_give(c, ct);
	return NULL;
}

/* ---- what it wrote ---- */

static struct err *output(struct call *c, struct session_output *o)
{
	struct container *ct = container_self(c);

	if (!ct->exec)
		return err_hint(err_new(ERR_INVALID, "no command has been set"), "call withExec first");
	TRY(services_for(c, ct->exec));
	return session_exec_output(c->d->session, ct->exec, c->cancel, o);
}

struct err *resolve_container_stdout(struct call *c)
{
	AUTO(session_output_fini) struct session_output o = {0};

	TRY(output(c, &o));
	gql_out_take_string(c->out, &o.out);
	return NULL;
}

struct err *resolve_container_stderr(struct call *c)
{
	AUTO(session_output_fini) struct session_output o = {0};

	TRY(output(c, &o));
	gql_out_take_string(c->out, &o.err);
	return NULL;
}

struct err *resolve_container_combined_output(struct call *c)
{
	AUTO(session_output_fini) struct session_output o = {0};

	TRY(output(c, &o));
	gql_out_take_string(c->out, &o.both);
	return NULL;
}

struct err *resolve_container_exit_code(struct call *c)
{
	AUTO(session_output_fini) struct session_output o = {0};

	TRY(output(c, &o));
	gql_out_int(c->out, o.code);
	return NULL;
}

struct err *resolve_container_sync(struct call *c)
{
	struct container *ct = container_self(c);
	AUTO(snapshot_fini) struct snapshot made = {0};

	TRY(call_solve(c, ct->root, &made));
	for (size_t i = 0; i < ct->mounts.len; i++) {
		const struct container_mount *m = vec_at(&ct->mounts, i);
		AUTO(snapshot_fini) struct snapshot mounted = {0};
		if (m->form == FORM_DIRECTORY || m->form == FORM_FILE)
			TRY(call_solve(c, m->node, &mounted));
	}
	TRY(object_store(c->d, c->self));
	gql_out_string(c->out, str_c(c->self->id));
	return NULL;
}
