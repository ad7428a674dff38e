/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a container's configuration. */
#include "base/mem.h"
#include "dagger/dagger_schema.h"

#include <string.h>

static struct err *give(struct call *c, struct container *ct)
{
	call_give(c, ct);
	return NULL;
}

static struct err *set_text(struct call *c, const char *key, const char *value)
{
	struct container *ct = container_copy(c);

	if (value && *value)
		json_set_text(container_settings(ct), key, value);
	else
		json_object_del(container_settings(ct), key);
	return give(c, ct);
}

static void set_list(struct container *ct, const char *key, const struct strvec *list)
{
	json_object_set_new(container_settings(ct), key, json_from_strings(strvec_list(list)));
}

struct err *resolve_container_with_user(struct call *c)
{
	return set_text(c, "User", arg_text(c, ARG_Container_withUser_name));
}

struct err *resolve_container_without_user(struct call *c)
{
	return set_text(c, "User", NULL);
}

struct err *resolve_container_with_workdir(struct call *c)
{
	const char *path = NULL;

	TRY(container_path(c, container_self(c), ARG_Container_withWorkdir_path,
		ARG_Container_withWorkdir_expand, &path));
	return set_text(c, "WorkingDir", path);
}

struct err *resolve_container_without_workdir(struct call *c)
{
	return set_text(c, "WorkingDir", NULL);
}

struct err *resolve_container_with_entrypoint(struct call *c)
{
	struct container *ct = container_copy(c);
	AUTO_STRVEC struct strvec args = {0};

	arg_texts(c, ARG_Container_withEntrypoint_args, &args);
	set_list(ct, "Entrypoint", &args);
	if (!arg_flag(c, ARG_Container_withEntrypoint_keepDefaultArgs))
		json_object_del(container_settings(ct), "Cmd");
	return give(c, ct);
}

struct err *resolve_container_without_entrypoint(struct call *c)
{
	struct container *ct = container_copy(c);

	json_object_del(container_settings(ct), "Entrypoint");
	if (!arg_flag(c, ARG_Container_withoutEntrypoint_keepDefaultArgs))
		json_object_del(container_settings(ct), "Cmd");
	return give(c, ct);
}

struct err *resolve_container_with_default_args(struct call *c)
{
	struct container *ct = container_copy(c);
	AUTO_STRVEC struct strvec args = {0};

	arg_texts(c, ARG_Container_withDefaultArgs_args, &args);
	set_list(ct, "Cmd", &args);
	return give(c, ct);
}

struct err *resolve_container_without_default_args(struct call *c)
{
	struct container *ct = container_copy(c);

	json_object_del(container_settings(ct), "Cmd");
	return give(c, ct);
}

/* ---- variables ---- */

static void drop_variable(struct container *ct, const char *name)
{
	json_t *env = json_object_get(container_settings(ct), "Env");
	size_t len = strlen(name);

	for (size_t i = json_array_size(env); i-- > 0;) {
		const char *kv = json_string_value(json_array_get(env, i));
		if (kv && strncmp(kv, name, len) == 0 && kv[len] == '=')
			json_array_remove(env, i);
	}
}

static void drop_secret_variable(struct container *ct, const char *name)
{
	for (size_t i = ct->secret_env.len; i-- > 0;)
		if (cstr_eq(((struct secret_variable *)vec_at(&ct->secret_env, i))->name, name))
			vec_remove(&ct->secret_env, i);
}

static struct err *check_variable(const char *name)
{
	if (!*name || strchr(name, '='))
		return err_new(ERR_INVALID, "\"%s\" cannot be the name of a variable", name);
	return NULL;
}

struct err *resolve_container_with_env_variable(struct call *c)
{
	struct container *ct = container_copy(c);
	const char *name = arg_text(c, ARG_Container_withEnvVariable_name), *value = NULL;

	TRY(check_variable(name));
	TRY(container_expand(c, ct, arg_text(c, ARG_Container_withEnvVariable_value),
		arg_flag(c, ARG_Container_withEnvVariable_expand), &value));
	drop_secret_variable(ct, name);
	container_set_env(ct, name, value);
	return give(c, ct);
}

struct err *resolve_container_without_env_variable(struct call *c)
{
	struct container *ct = container_copy(c);

	drop_variable(ct, arg_text(c, ARG_Container_withoutEnvVariable_name));
	return give(c, ct);
}

struct err *resolve_container_with_env_file_variables(struct call *c)
{
	struct container *ct = container_copy(c);
	struct env_file *file = NULL;

	TRY(arg_object(c, ARG_Container_withEnvFileVariables_source, "EnvFile", (void **)&file));
	for (size_t i = 0; i < file->lines.len; i++) {
		const char *eq = strchr(file->lines.ptr[i], '=');
		AUTO_FREE char *name = mem_strndup(file->lines.ptr[i], (size_t)(eq - file->lines.ptr[i]));
		container_set_env(ct, name, env_file_value(c, file, eq + 1));
	}
	return give(c, ct);
}

struct err *resolve_container_with_volatile_variable(struct call *c)
{
	struct container *ct = container_copy(c);
	const char *name = arg_text(c, ARG_Container_withVolatileVariable_name);

	TRY(check_variable(name));
	envlist_set(&ct->volatile_env, name, arg_text(c, ARG_Container_withVolatileVariable_value));
	return give(c, ct);
}

struct err *resolve_container_without_volatile_variable(struct call *c)
{
	struct container *ct = container_copy(c);
	AUTO_FREE char *prefix = mem_printf("%s=", arg_text(c, ARG_Container_withoutVolatileVariable_name));

	for (size_t i = ct->volatile_env.len; i-- > 0;)
		if (cstr_starts(ct->volatile_env.ptr[i], prefix))
			strvec_remove(&ct->volatile_env, i);
	return give(c, ct);
}

struct err *resolve_container_with_secret_variable(struct call *c)
{
	struct container *ct = container_copy(c);
	const char *name = arg_text(c, ARG_Container_withSecretVariable_name);
	struct secret *secret = NULL;

	TRY(check_variable(name));
	TRY(arg_object(c, ARG_Container_withSecretVariable_secret, "Secret", (void **)&secret));
	drop_variable(ct, name);
	drop_secret_variable(ct, name);
	vec_push_copy(&ct->secret_env, &(struct secret_variable){keep_text(c->d, name), secret});
	return give(c, ct);
}

struct err *resolve_container_without_secret_variable(struct call *c)
{
	struct container *ct = container_copy(c);

	drop_secret_variable(ct, arg_text(c, ARG_Container_withoutSecretVariable_name));
	return give(c, ct);
}

/* ---- labels, annotations, ports ---- */

struct err *resolve_container_with_label(struct call *c)
{
	struct container *ct = container_copy(c);

	json_set_text(json_need_object(container_settings(ct), "Labels"),
		arg_text(c, ARG_Container_withLabel_name), arg_text(c, ARG_Container_withLabel_value));
	return give(c, ct);
}

struct err *resolve_container_without_label(struct call *c)
{
	struct container *ct = container_copy(c);

	json_object_del(json_object_get(container_settings(ct), "Labels"),
		arg_text(c, ARG_Container_withoutLabel_name));
	return give(c, ct);
}

struct err *resolve_container_with_annotation(struct call *c)
{
	struct container *ct = container_copy(c);

	envlist_set(&ct->annotations, arg_text(c, ARG_Container_withAnnotation_name),
		arg_text(c, ARG_Container_withAnnotation_value));
	return give(c, ct);
}

struct err *resolve_container_without_annotation(struct call *c)
{
	struct container *ct = container_copy(c);
	AUTO_FREE char *prefix = mem_printf("%s=", arg_text(c, ARG_Container_withoutAnnotation_name));

	for (size_t i = ct->annotations.len; i-- > 0;)
		if (cstr_starts(ct->annotations.ptr[i], prefix))
			strvec_remove(&ct->annotations, i);
	return give(c, ct);
}

static bool is_udp(const char *protocol)
{
	return cstr_eq(protocol, "UDP");
}

static json_t *ports_setting(struct container *ct)
{
	return json_need_object(container_settings(ct), "ExposedPorts");
}

static void drop_port(struct container *ct, int port, bool udp)
{
	for (size_t i = ct->ports.len; i-- > 0;) {
		struct exposed_port *p = vec_at(&ct->ports, i);
		if (p->port == port && p->udp == udp)
			vec_remove(&ct->ports, i);
	}
}

struct err *resolve_container_with_exposed_port(struct call *c)
{
	struct container *ct = container_copy(c);
	int64_t port = arg_int(c, ARG_Container_withExposedPort_port, 0);
	struct exposed_port p = {
		.port = (int)port,
		.udp = is_udp(arg_text(c, ARG_Container_withExposedPort_protocol)),
		.skip_health = arg_flag(c, ARG_Container_withExposedPort_experimentalSkipHealthcheck),
		.description = keep_text(c->d, arg_text(c, ARG_Container_withExposedPort_description)),
	};

	if (port < 1 || port > 65535)
		return err_new(ERR_INVALID, "%lld is not a port", (long long)port);
	drop_port(ct, p.port, p.udp);
	vec_push_copy(&ct->ports, &p);
	AUTO_FREE char *key = mem_printf("%d/%s", p.port, p.udp ? "udp" : "tcp");
	json_object_set_new(ports_setting(ct), key, json_object());
	return give(c, ct);
}

struct err *resolve_container_without_exposed_port(struct call *c)
{
	struct container *ct = container_copy(c);
	int port = (int)arg_int(c, ARG_Container_withoutExposedPort_port, 0);
	bool udp = is_udp(arg_text(c, ARG_Container_withoutExposedPort_protocol));
	AUTO_FREE char *key = mem_printf("%d/%s", port, udp ? "udp" : "tcp");

	drop_port(ct, port, udp);
	json_object_del(ports_setting(ct), key);
	return give(c, ct);
}

struct port *port_new(struct call *c, const struct exposed_port *of)
{
	struct port *p = OBJECT_NEW(c, "Port", port);

	p->port = *of;
	return p;
}

static bool port_known(const struct container *ct, int port, bool udp, struct exposed_port *out)
{
	for (size_t i = 0; i < ct->ports.len; i++) {
		const struct exposed_port *p = vec_at(&ct->ports, i);
		if (p->port != port || p->udp != udp)
			continue;
		*out = *p;
		return true;
	}
	return false;
}

static int by_port(const void *a, const void *b)
{
	const struct exposed_port *x = a, *y = b;

	return x->port != y->port ? x->port - y->port : x->udp - y->udp;
}

void container_ports(struct container *ct, struct vec *out)
{
	const char *key;
	json_t *value;

	json_object_foreach(ports_setting(ct), key, value)
	{
		struct exposed_port p = {.port = atoi(key), .udp = cstr_ends(key, "/udp")};
		if (!port_known(ct, p.port, p.udp, &p))
			p.description = NULL;
		vec_push_copy(out, &p);
	}
	vec_sort(out, by_port);
}

struct err *resolve_container_exposed_ports(struct call *c)
{
	struct vec ports = VEC_OF(struct exposed_port);

	container_ports(container_self(c), &ports);
	void **list = arena_array(c->arena, ports.len + 1, sizeof(*list));
	for (size_t i = 0; i < ports.len; i++)
		list[i] = port_new(c, vec_at(&ports, i));
	call_give_list(c, list, ports.len);
	vec_fini(&ports);
	return NULL;
}

static const struct exposed_port *port_self(struct call *c)
{
	return &((struct port *)(void *)c->self)->port;
}

struct err *resolve_port_port(struct call *c)
{
	gql_out_int(c->out, port_self(c)->port);
	return NULL;
}

struct err *resolve_port_protocol(struct call *c)
{
	gql_out_enum(c->out, port_self(c)->udp ? "UDP" : "TCP");
	return NULL;
}

struct err *resolve_port_description(struct call *c)
{
	const char *s = port_self(c)->description;

	if (s)
		gql_out_string(c->out, str_c(s));
	return NULL;
}

struct err *resolve_port_experimental_skip_healthcheck(struct call *c)
{
	gql_out_bool(c->out, port_self(c)->skip_health);
	return NULL;
}

/* ---- the rest ---- */

struct err *resolve_container_with_error(struct call *c)
{
	const char *text = arg_text(c, ARG_Container_withError_err);

	if (*text)
		return err_new(ERR_INVALID, "%s", text);
	return give(c, container_copy(c));
}

struct err *resolve_container_with_registry_auth(struct call *c)
{
	struct secret *secret = NULL;
	AUTO_BUF struct buf value = {0};

	TRY(arg_object(c, ARG_Container_withRegistryAuth_secret, "Secret", (void **)&secret));
	TRY(secret_text(c, secret, &value));
	TRY(session_auth(c->d->session, arg_text(c, ARG_Container_withRegistryAuth_address),
		arg_text(c, ARG_Container_withRegistryAuth_username), buf_str(&value)));
	explicit_bzero(value.ptr, value.cap);
	return give(c, container_copy(c));
}

struct err *resolve_container_without_registry_auth(struct call *c)
{
	session_auth_forget(c->d->session, arg_text(c, ARG_Container_withoutRegistryAuth_address));
	return give(c, container_copy(c));
}

struct err *resolve_container_image_ref(struct call *c)
{
	const char *ref = container_self(c)->image_ref;

	if (!ref)
		return err_new(ERR_INVALID, "imageRef is known only straight after from");
	gql_out_string(c->out, str_c(ref));
	return NULL;
}
